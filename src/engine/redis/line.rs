//! A connection to one server that is made again whenever it breaks, by a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, Value, cmd};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use super::address::Address;
use super::fitness::Fitness;
use super::outage::Outage;

/// How long a connection may take to be made, and each step on the way there.
const CONNECT: Duration = Duration::from_secs(1);
/// How long one answer is waited for. The library's own 500 ms would make a pause of the server a
/// doubt about every publish.
pub(super) const ANSWER: Duration = Duration::from_millis(1800);
/// Between two looks at a connection: a half-open one fails no command, it only never answers.
const WATCH: Duration = Duration::from_secs(1);
/// Looks without an answer after which the connection is made again.
const SILENT: u32 = 3;
/// The first delay before connecting again, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Commands that wait to be written; beyond, callers wait.
const QUEUE: usize = 1024;

/// How the server is found, each time anew.
#[derive(Debug)]
pub(super) enum Finder {
    /// It is there.
    At(Client),
    /// The Sentinels of the address name it.
    Master(Address),
}

impl Finder {
    /// A client of the server as it is found now.
    async fn find(&self) -> Result<Client, RedisError> {
        match self {
            Self::At(client) => Ok(client.clone()),
            Self::Master(address) => address.client(&master(address).await?),
        }
    }

    /// Whether the Sentinels name another server than the one connected to. One that was
    /// superseded takes writes until it is told, and those are lost.
    async fn is_superseded(&self, connected: &Client) -> bool {
        let Self::Master(address) = self else { return false };
        let Ok(found) = master(address).await else { return false };
        let named = address.client(&found);
        named.is_ok_and(|client| addr(&client) != addr(connected))
    }

    /// Whether a server that was found must say that it is a master: one that a Sentinel named may
    /// have been demoted since.
    fn must_be_master(&self) -> bool {
        matches!(self, Self::Master(_))
    }
}

fn addr(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

/// `host:port` of the master, by the first Sentinel that names it. The error is that of the last.
async fn master(address: &Address) -> Result<String, RedisError> {
    let kind = ErrorKind::MasterNameNotFoundBySentinel;
    let mut last = (kind, "no Sentinel").into();
    for sentinel in &address.hosts {
        let why = match timeout(CONNECT, ask(address, sentinel)).await {
            Ok(Ok(Some(found))) => return Ok(found),
            Ok(Ok(None)) => format!("{sentinel} knows no master {}", address.master),
            Ok(Err(error)) => format!("{sentinel}: {error}"),
            Err(_) => format!("{sentinel}: no answer"),
        };
        last = (kind, "Sentinel", why).into();
    }
    Err(last)
}

async fn ask(address: &Address, sentinel: &str) -> Result<Option<String>, RedisError> {
    let client = address.sentinel(sentinel)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut asked = cmd("SENTINEL");
    asked.arg("GET-MASTER-ADDR-BY-NAME").arg(&address.master);
    let found: Option<(String, u16)> = asked.query_async(&mut connection).await?;
    Ok(found.map(|(host, port)| {
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }))
}

/// What every connection of ours is made with.
pub(super) fn settings() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER))
        .set_pipeline_buffer_size(QUEUE)
}

/// Makes one connection, and says to whom.
pub(super) async fn connect(
    finder: &Finder,
    settings: &AsyncConnectionConfig,
) -> Result<(Client, MultiplexedConnection), RedisError> {
    let client = finder.find().await?;
    let mut connection = client.get_multiplexed_async_connection_with_config(settings).await?;
    if finder.must_be_master() {
        let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
        let name = role.first().and_then(|name| redis::from_redis_value_ref::<String>(name).ok());
        if name.as_deref() != Some("master") {
            return Err(
                (ErrorKind::MasterNameNotFoundBySentinel, "that server is no master").into()
            );
        }
    }
    Ok((client, connection))
}

/// One connection of a line.
#[derive(Clone)]
pub(super) struct Conn {
    number: u64,
    pub(super) connection: MultiplexedConnection,
}

/// A connection that is made again whenever it breaks. The task that does it ends with the line.
pub(super) struct Line {
    now: watch::Receiver<Option<Conn>>,
    broken: mpsc::Sender<u64>,
    reached: Arc<AtomicBool>,
}

impl Line {
    /// `cluster`: whether the server must be part of a Cluster; else it must not.
    pub(super) fn open(finder: Arc<Finder>, cluster: bool, outage: Outage) -> Self {
        let (state, now) = watch::channel(None);
        let (broken, reports) = mpsc::channel(16);
        let reached = Arc::new(AtomicBool::new(false));
        let kept = Kept { finder, cluster, outage, advised: None };
        tokio::spawn(kept.keep(state, reports, Arc::clone(&reached)));
        Self { now, broken, reached }
    }

    /// The connection, as soon as there is one, but not after `by`.
    pub(super) async fn ready(&self, by: Instant) -> Option<Conn> {
        let mut now = self.now.clone();
        let ready = timeout_at(by, now.wait_for(Option::is_some)).await;
        ready.ok()?.ok().and_then(|conn| conn.clone())
    }

    pub(super) fn is_up(&self) -> bool {
        self.now.borrow().is_some()
    }

    /// Whether there ever was a connection.
    pub(super) fn was_up(&self) -> bool {
        self.reached.load(Relaxed)
    }

    /// Says that a connection is of no use any more.
    pub(super) fn broke(&self, conn: &Conn) {
        // A full queue holds this report already.
        let _ = self.broken.try_send(conn.number);
    }
}

/// What the task of a line has.
struct Kept {
    finder: Arc<Finder>,
    cluster: bool,
    outage: Outage,
    /// What was advised last.
    advised: Option<String>,
}

impl Kept {
    async fn keep(
        mut self,
        state: watch::Sender<Option<Conn>>,
        mut reports: mpsc::Receiver<u64>,
        reached: Arc<AtomicBool>,
    ) {
        let (settings, mut number, mut delay) = (settings(), 0, BACKOFF.0);
        while !state.is_closed() {
            match self.fit(&settings).await {
                Ok((client, connection)) => {
                    number += 1;
                    delay = BACKOFF.0;
                    self.outage.is_over();
                    let conn = Conn { number, connection };
                    reached.store(true, Relaxed);
                    state.send_replace(Some(conn.clone()));
                    watch_over(conn, (&self.finder, &client), &state, &mut reports).await;
                    state.send_replace(None);
                }
                Err(error) => self.outage.goes_on(&error),
            }
            tokio::select! {
                () = sleep(delay.mul_f64(rand::random_range(0.5..1.0))) => {}
                () = state.closed() => {}
            }
            delay = (delay * 2).min(BACKOFF.1);
        }
    }

    /// Makes one connection, to a server that can be used.
    async fn fit(
        &mut self,
        settings: &AsyncConnectionConfig,
    ) -> Result<(Client, MultiplexedConnection), RedisError> {
        let (client, mut connection) = connect(&self.finder, settings).await?;
        let fitness = Fitness::ask(&mut connection).await?;
        fitness.check(self.cluster)?;
        let advice = fitness.advice();
        if advice != self.advised {
            if let Some(advice) = &advice {
                tracing::warn!(server = %addr(&client), "{advice}");
            }
            self.advised = advice;
        }
        Ok((client, connection))
    }
}

/// Returns when the connection is of no use, or nobody wants it.
async fn watch_over(
    mut conn: Conn,
    (finder, client): (&Finder, &Client),
    state: &watch::Sender<Option<Conn>>,
    reports: &mut mpsc::Receiver<u64>,
) {
    let mut looks = interval(WATCH);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = 0;
    loop {
        tokio::select! {
            () = state.closed() => return,
            number = reports.recv() => if number.is_none_or(|number| number == conn.number) {
                return;
            },
            _ = looks.tick() => {
                let ping = cmd("PING");
                match timeout(ANSWER, conn.connection.send_packed_command(&ping)).await {
                    Ok(Ok(_)) => silent = 0,
                    Ok(Err(error)) if !error.is_timeout() => return,
                    Ok(Err(_)) | Err(_) => silent += 1,
                }
                if silent >= SILENT {
                    return tracing::warn!("Redis does not answer: connecting again");
                }
                if finder.is_superseded(client).await {
                    return tracing::warn!("the Sentinels name another master");
                }
            }
        }
    }
}
