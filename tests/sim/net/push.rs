//! WebSockets and streams: one connection of a node, from its first frame to its end.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::StdRng;
use throughline::gateway::candidates::{Place, Waiting};
use throughline::gateway::driver::Driver;
use throughline::gateway::link::LinkPort as _;
use throughline::gateway::open::{self, Opener};
use throughline::gateway::resume;
use throughline::protocol::down::LinkDown;
use throughline::protocol::error::{ErrorCode, Refusal};
use throughline::protocol::up::{self, LinkUp, Up};
use throughline::session::input::{AttachInput, ConnId, ConnKind, Input, Target};
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
        let refused = |refusal: &Refusal| self.port.close(Some(refusal), false);
        while let Some(line) = lines.recv().await {
            sleep(Duration::from_millis(rng.random_range(0..=lag))).await;
            self.node.running.gate().await;
            if self.is_stalled() {
                continue;
            }
            let frame = up::parse(&line).expect("the client's frames are right");
            let place = match &*self.place.lock() {
                None => None,
                Some(Place::Here(driver)) => Some(Ok(Arc::clone(driver))),
                Some(Place::Waits(waiting)) => Some(waiting.driver().ok_or(Arc::clone(waiting))),
            };
            let driver = match place {
                Some(Ok(driver)) => driver,
                Some(Err(waiting)) => {
                    if let Err(refusal) = wait(waiting, frame).await {
                        refused(&refusal);
                    }
                    continue;
                }
                None => {
                    match self.begin(frame).await {
                        Ok(place) => *self.place.lock() = Some(place),
                        Err(refusal) => refused(&refusal),
                    }
                    continue;
                }
            };
            while !driver.takes_up() && !driver.is_over() {
                sleep(Duration::from_millis(20)).await;
            }
            self.say(&driver, frame);
        }
        pending::<()>().await;
    }

    async fn begin(&self, frame: Up) -> Result<Place, Refusal> {
        let (gateway, conn, port) = (&self.node.gateway, self.conn, Arc::clone(&self.port));
        let nonce = format!("n{}", conn.0);
        match frame {
            Up::Link(LinkUp::Open(head)) => {
                let (kind, nonce, bearer) = (ConnKind::Push, nonce.as_str(), None);
                let opener = Opener { conn, nonce, kind, bearer, port };
                open::open(gateway, opener, *head).await.map(|(driver, _)| Place::Here(driver))
            }
            Up::Link(LinkUp::Candidate { ticket, .. }) => {
                resume::candidate(gateway, &ticket, conn, &nonce, port).await
            }
            Up::Link(_) | Up::Session(_) => Err(ErrorCode::BadFrame.into()),
        }
    }

    fn say(&self, driver: &Arc<Driver>, frame: Up) {
        let conn = self.conn;
        match frame {
            Up::Session(numbered) => driver.up(conn, numbered),
            Up::Link(LinkUp::Attach(attach)) => {
                let (link, count, visible) = (attach.link, attach.count, attach.visible);
                let target = Target::Own;
                let attach = AttachInput { link, count, target, visible, wait: 0 };
                driver.handle(Input::Attach { conn, attach });
            }
            Up::Link(LinkUp::Pong { count, visible }) => {
                driver.handle(Input::Pong { conn, count, visible });
            }
            Up::Link(LinkUp::Echo { id, .. }) => {
                driver.echo(Some(conn), None, &LinkDown::Echo { id: &id }.encode());
                driver.handle(Input::Life { conn });
            }
            Up::Link(LinkUp::Leaving) => driver.last_words(conn, Input::Leaving),
            Up::Link(LinkUp::Close) => {
                driver.last_words(conn, Input::End { why: ErrorCode::Closed.into() });
            }
            Up::Link(LinkUp::Open(_) | LinkUp::Candidate { .. }) => {
                self.port.close(Some(&ErrorCode::BadFrame.into()), false);
            }
        }
    }
}

/// A frame of a candidate whose session is at another node.
async fn wait(waiting: Arc<Waiting>, frame: Up) -> Result<(), Refusal> {
    match frame {
        Up::Link(LinkUp::Attach(attach)) => waiting.attach(*attach).await.map(drop),
        Up::Link(LinkUp::Echo { id, .. }) => {
            waiting.write(&LinkDown::Echo { id: &id }.encode());
            Ok(())
        }
        _ => Ok(()),
    }
}
