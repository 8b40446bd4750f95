//! WebSockets and streams: one connection of a node, from its first frame to its end.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::StdRng;
use throughline::gateway::candidates::Place;
use throughline::gateway::link::LinkPort;
use throughline::protocol::error::Refusal;
use throughline::protocol::up::{self, Up};
use throughline::session::input::ConnId;
use throughline::transport::ws::frames;
use throughline::transport::ws::opening::Opening;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::port::{Down, Port};
use crate::life::Running;
use crate::node::{Fleet, Node};
use crate::support::client::target::Takes;

/// Where the first frames come from: a WebSocket goes on to send.
pub(super) type Lines = mpsc::UnboundedReceiver<String>;

/// What a connection will suffer.
pub(super) struct Luck {
    pub(super) lag: Duration,
    /// After which it is cut.
    pub(super) lives: Duration,
    /// After which it brings nothing any more, either way, and nobody is told.
    pub(super) stalls: Duration,
    pub(super) rng: StdRng,
}

impl Luck {
    pub(super) fn throw(mut rng: StdRng, calm: bool) -> Self {
        let (far, ms) = (Duration::from_hours(1), Duration::from_millis);
        if calm {
            return Self { lag: ms(4), lives: far, stalls: far, rng };
        }
        let lag = if rng.random_bool(0.1) { ms(80) } else { ms(4) };
        let lives = if rng.random_bool(0.2) { ms(rng.random_range(0..6_000)) } else { far };
        let stalls = if rng.random_bool(0.1) { ms(rng.random_range(0..6_000)) } else { far };
        Self { lag, lives, stalls, rng }
    }
}

/// One connection.
struct Pushed {
    node: Arc<Node>,
    conn: ConnId,
    port: Arc<Port>,
    place: Mutex<Option<Place>>,
    stalled: AtomicBool,
}

impl Drop for Pushed {
    fn drop(&mut self) {
        // Nobody tells the node that the other end of a dead line is gone.
        let Some(place) = self.place.lock().take() else { return };
        let (conn, running) = (self.conn, Arc::clone(&self.node.running));
        if self.stalled.load(Relaxed) {
            return;
        }
        match (running.now(), Handle::try_current()) {
            (Running::Yes, _) => place.lost(conn),
            (Running::Paused, Ok(runtime)) => {
                runtime.spawn(async move {
                    running.gate().await;
                    place.lost(conn);
                });
            }
            (Running::Paused | Running::Dead, _) => {}
        }
    }
}

/// Carries a connection to its end.
pub(super) async fn carry(fleet: &Fleet, node: Arc<Node>, lines: Lines, takes: Takes, luck: Luck) {
    let cuts = fleet.cuts.now();
    let (port, down) = Port::new();
    let pushed = Pushed {
        conn: node.gateway.next_conn(),
        node,
        port: Arc::new(port),
        place: Mutex::default(),
        stalled: AtomicBool::new(false),
    };
    let Luck { lag, lives, stalls, mut rng } = luck;
    let lag = lag.as_millis().try_into().unwrap_or(u64::MAX);
    let (up_seed, mut stall) = (rng.random::<u64>(), std::pin::pin!(sleep(stalls)));
    let ends = async {
        tokio::select! {
            biased;
            () = pushed.node.running.dies() => {}
            _ = fleet.cuts.until(|count| count != cuts) => {}
            () = sleep(lives) => {}
            () = pushed.down(down, lag, rng, &takes) => {}
            () = pushed.up(lines, lag, up_seed) => {}
        }
    };
    let mut ends = std::pin::pin!(ends);
    tokio::select! {
        biased;
        () = &mut ends => return,
        () = &mut stall => pushed.stalled.store(true, Relaxed),
    }
    ends.await;
}

impl Pushed {
    fn is_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    async fn down(
        &self,
        mut down: mpsc::UnboundedReceiver<Down>,
        lag: u64,
        mut rng: StdRng,
        takes: &Takes,
    ) {
        while let Some(came) = down.recv().await {
            sleep(Duration::from_millis(rng.random_range(0..=lag))).await;
            let Down::Frame(frame) = came else {
                if self.is_stalled() {
                    pending::<()>().await;
                }
                return;
            };
            if self.is_stalled() {
                continue;
            }
            takes(serde_json::from_slice(frame.json()).expect("frames are JSON"));
            self.node.running.gate().await;
            let unblocked = self.port.arrived();
            let driver = self.place.lock().as_ref().and_then(Place::driver);
            if let Some(driver) = driver.filter(|_| unblocked) {
                driver.writable(self.conn);
            }
        }
    }

    async fn up(&self, mut lines: Lines, lag: u64, seed: u64) {
        use rand::SeedableRng as _;
        let mut rng = StdRng::seed_from_u64(seed);
        while let Some(line) = lines.recv().await {
            sleep(Duration::from_millis(rng.random_range(0..=lag))).await;
            self.node.running.gate().await;
            if self.is_stalled() {
                continue;
            }
            let frame = up::parse(&line).expect("the client's frames are right");
            if let Err(refusal) = self.take(frame).await {
                self.port.close(Some(&refusal), false);
            }
        }
        pending::<()>().await;
    }

    /// A frame, as a WebSocket takes it; a stream has but a first one.
    async fn take(&self, frame: Up) -> Result<(), Refusal> {
        let place = match &*self.place.lock() {
            None => None,
            Some(Place::Here(driver)) => Some(Ok(Arc::clone(driver))),
            Some(Place::Waits(waiting)) => Some(waiting.driver().ok_or(Arc::clone(waiting))),
        };
        let coming = match place {
            Some(Ok(driver)) => {
                while !driver.takes_up() && !driver.is_over() {
                    sleep(Duration::from_millis(20)).await;
                }
                return frames::up(&driver, self.conn, frame);
            }
            Some(Err(waiting)) => frames::waits(waiting, frame)?,
            None => {
                let opening = Opening { nonce: format!("n{}", self.conn.0), bearer: None };
                let port = Arc::clone(&self.port) as Arc<dyn LinkPort>;
                let gateway = Arc::clone(&self.node.gateway);
                Some(opening.begin(gateway, (self.conn, port), frame)?)
            }
        };
        if let Some(coming) = coming {
            let place = coming.await?;
            *self.place.lock() = Some(place);
        }
        Ok(())
    }
}
