//! The composition root: builds the parts out of the settings, and serves until told to stop.

pub mod engine;

mod admin;
mod cluster;
mod descriptors;
mod http2;
mod listener;
mod patience;
mod router;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Authenticator;
use crate::config::cluster::Drain;
use crate::config::tls::TlsListen;
use crate::config::{AdminListen, Config};
use crate::engine::types::Health;
use crate::gateway::{Gateway, drain, lease, pump};
use crate::hub::wheel::TURN_MS;
use crate::telemetry::clock::now_ms;
use crate::telemetry::metrics::Metrics;
use crate::transport::node;

use self::engine::{Built, Measure};
use self::listener::Service;
use self::tls::Tls;

/// How long the end of the sessions and connections may take.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Checks what only the parts can read of the settings: the engine's address, the certificates.
/// # Errors
/// With the key and what is wrong with it.
pub fn check(config: &Config) -> anyhow::Result<()> {
    engine::check(config)?;
    tls::check(config)
}

/// Serves until SIGTERM or SIGINT, then ends every session and connection.
/// # Errors
/// Where an address cannot be bound, or a key cannot be read.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let node = Node::start(config).await?;
    // Heard before anyone is told that it is there.
    let asked = stop_asked()?;
    node.announce();
    asked.await;
    node.stop().await;
    Ok(())
}

/// A node that serves.
#[derive(Debug)]
pub struct Node {
    gateway: Arc<Gateway>,
    addresses: Vec<SocketAddr>,
    /// Where TLS is spoken.
    secure: Option<SocketAddr>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Node {
    async fn start(mut config: Config) -> anyhow::Result<Self> {
        descriptors::fit(&mut config.limits);
        let config = Arc::new(config);
        let built = engine::build(&config)?;
        Self::with(config, built).await
    }

    /// Serves with an engine that is there already.
    /// # Errors
    /// Where an address cannot be bound, or a key cannot be read.
    pub async fn with(config: Arc<Config>, built: Built) -> anyhow::Result<Self> {
        let auth = Authenticator::new(&config)?;
        let tls = if config.tls.is_on() { Some(Tls::new(&config.tls)?) } else { None };
        let metrics = Arc::new(Metrics::default());
        let Built { engine, deliveries, measure } = built;
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        let cluster = if config.is_shared() { Some(cluster::bind(&config, &auth)?) } else { None };
        let (cluster, peers) = cluster.unzip();
        let (gateway, shards) =
            Gateway::new(Arc::clone(&config), engine, auth, Arc::clone(&metrics), peers, shards);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        for shard in shards {
            tasks.spawn(shard.run());
        }
        tasks.spawn(pump::run(Arc::clone(&gateway), deliveries));
        tasks.spawn(turn(Arc::clone(&gateway), stop.clone()));
        tasks.spawn(renew(Arc::clone(&gateway), measure, stop.clone()));
        let mut node = Self { gateway, addresses: Vec::new(), secure: None, stop, tasks };
        if let Some(listener) = cluster {
            let router = node::routes(Arc::clone(&node.gateway));
            node.serve(listener, Service { router, tls: None }).await;
            node.tasks.spawn(cluster::listen(Arc::clone(&node.gateway), node.stop.clone()));
        }
        if config.is_shared() {
            // Whose lease is not there yet is dead to the others: before anyone can connect.
            lease::renew(&node.gateway).await;
        }
        node.listen_for_clients(tls.map(Arc::new)).await?;
        if let AdminListen::Addr(address) = config.admin.listen {
            let service = Service { router: router::admin(&node.gateway), tls: None };
            node.listen("admin.listen", address, service).await?;
        }
        Ok(node)
    }

    async fn listen_for_clients(&mut self, tls: Option<Arc<Tls>>) -> anyhow::Result<()> {
        let config = Arc::clone(&self.gateway.config);
        let router = router::main(&self.gateway);
        let Some(tls) = tls else {
            return self.listen("listen", config.listen, Service { router, tls }).await;
        };
        // Heard from before anybody can know that the node is there: unheard it would end the process.
        let hangup = signal(SignalKind::hangup())?;
        let gateway = Arc::clone(&self.gateway);
        self.tasks.spawn(tls::keep(Arc::clone(&tls), gateway, hangup, self.stop.clone()));
        let secure = Service { router: router.clone(), tls: Some(tls) };
        match config.tls.listen {
            TlsListen::Main => self.listen("listen", config.listen, secure).await?,
            TlsListen::Addr(address) => {
                self.listen("listen", config.listen, Service { router, tls: None }).await?;
                self.listen("tls.listen", address, secure).await?;
            }
        }
        self.secure = self.addresses.last().copied();
        Ok(())
    }

    async fn listen(
        &mut self,
        key: &str,
        address: SocketAddr,
        service: Service,
    ) -> anyhow::Result<()> {
        let listener = listener::bind(address).with_context(|| format!("{key} on {address}"))?;
        self.addresses.push(listener.local_addr()?);
        self.serve(listener, service).await;
        Ok(())
    }

    async fn serve(&self, listener: Listener, service: Service) {
        let (gateway, stop) = (Arc::clone(&self.gateway), self.stop.clone());
        self.tasks.spawn(listener::serve(gateway, listener, service, stop));
        tokio::task::yield_now().await;
    }

    /// Says where it listens: for people, and for tools that gave port 0.
    fn announce(&self) {
        let Some(address) = self.address() else { return };
        let (engine, fleet) = (self.gateway.engine.name(), self.gateway.fleet());
        tracing::info!(%address, engine, fleet, "listening");
        // The one that is plain last: who reads on for it has read both.
        if let Some(secure) = self.secure.filter(|secure| *secure != address) {
            println!("listening on https://{secure}");
        }
        let scheme = if self.secure == Some(address) { "https" } else { "http" };
        println!("listening on {scheme}://{address}");
        if self.gateway.config.demo {
            println!("demo: {scheme}://{address}/");
        }
    }

    /// The first address that it listens on: the clients'.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }

    /// Unready at once; sessions that can move do so while everything is still served.
    pub async fn stop(self) {
        tracing::info!(sessions = self.gateway.sessions(), "stopping");
        self.gateway.begin_draining();
        if self.gateway.is_shared() {
            let Drain { window, timeout: within } = self.gateway.config.drain;
            if timeout(within, drain::drain(&self.gateway, window)).await.is_err() {
                tracing::warn!(sessions = self.gateway.sessions(), "some sessions were not moved");
            }
        }
        self.stop.cancel();
        if timeout(STOP_WITHIN, self.gateway.shut_down()).await.is_err() {
            tracing::warn!(sessions = self.gateway.sessions(), "some sessions did not end in time");
        }
    }
}

/// Ends where the process is told to stop. SIGHUP, which would end it, is for the certificates.
fn stop_asked() -> io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = term.recv() => return,
                _ = interrupt.recv() => return,
                _ = hangup.recv() => tracing::info!("SIGHUP: certificates alone are read again"),
            }
        }
    })
}

/// Wakes sessions whose time has come.
async fn turn(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut turns = interval(Duration::from_millis(TURN_MS));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(turns.tick()).await.is_some() {
        gateway.turn(now_ms());
    }
}

/// Renews the node's lease, and reads what the engine counts.
async fn renew(gateway: Arc<Gateway>, measure: Measure, stop: CancellationToken) {
    let mut renewals = interval(lease::RENEW);
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(renewals.tick()).await.is_some() {
        lease::renew(&gateway).await;
        let up = gateway.engine.health() == Health::Ready;
        gateway.metrics.engine_up.set(u64::from(up));
        measure(&gateway.metrics);
    }
}

/// A bound listener.
type Listener = TcpListener;
