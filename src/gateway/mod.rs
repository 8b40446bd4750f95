//! Use cases, one file a verb: what a transport or the application's backend can ask for. Nothing
//! here knows HTTP; transports plug in at [`link::LinkPort`].
//!
//! Only this module knows all the parts: sessions, the hub, the engine, who may do what.

pub mod candidates;
pub mod control;
pub mod disconnect;
pub mod drain;
pub mod driver;
pub mod exchange;
pub mod feed;
pub mod history;
pub mod lease;
pub mod link;
pub mod open;
pub mod owner;
pub mod parking;
pub mod peers;
pub mod presence;
pub mod publish;
pub mod pump;
pub mod rate;
pub mod rebuild;
pub mod resume;
pub mod rules;
pub mod sessions;
pub mod subscribe;
pub mod tickets;

mod admission;
mod audit;
mod commands;
mod effects;
mod endings;
mod interest;
mod leftover;
mod listing;
mod record;
mod seats;
mod snapshots;
mod unsettled;
mod users;

#[cfg(test)]
pub(crate) mod testing;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::auth::{Authenticator, Identity};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::types::Incarnation;
use crate::hub::fanout::{Fanout, Shard};
use crate::hub::registry::Registry;
use crate::hub::wheel::Wheel;
use crate::protocol::error::ErrorCode;
use crate::session::input::ConnId;
use crate::session::settings::Settings;
use crate::telemetry::clock::wall_ms;
use crate::telemetry::metrics::Metrics;

use self::admission::Admission;
use self::candidates::Candidates;
use self::control::Control;
use self::driver::Driver;
use self::endings::Endings;
use self::interest::Interest;
use self::lease::Lease;
use self::leftover::Watched;
use self::peers::Peers;
use self::snapshots::Snapshots;
use self::users::Users;

/// One node.
pub struct Gateway {
    /// The settings.
    pub config: Arc<Config>,
    /// The shared state.
    pub engine: Arc<dyn Engine>,
    /// Who may do what.
    pub auth: Authenticator,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The way to the other nodes; none where the engine is of this node alone.
    peers: Option<Peers>,
    lease: Lease,
    control: Control,
    /// Told whenever a session has left this node, or has come, or neither after all.
    moves: Notify,
    /// Sessions that are just coming: they are this node's, and not yet in the registry.
    arriving: Mutex<HashSet<u128>>,
    /// Members of sessions that have left it, and that it looks after.
    watched: Watched,
    candidates: Candidates,
    settings: Arc<Settings>,
    registry: Registry<Driver>,
    fanout: Fanout<Driver>,
    wheel: Wheel<Driver>,
    interest: Interest,
    users: Users,
    admission: Admission,
    endings: Endings,
    snapshots: Snapshots,
    /// Losses of data that were found; each begins an audit of presence.
    losses: AtomicU64,
    /// One audit withdraws at a time.
    withdrawing: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
    last_conn: AtomicU64,
    draining: AtomicBool,
}

impl Gateway {
    /// A node, and the shards of its fan-out to run. `peers` where other nodes share the engine.
    pub fn new(
        config: Arc<Config>,
        engine: Arc<dyn Engine>,
        auth: Authenticator,
        metrics: Arc<Metrics>,
        peers: Option<Peers>,
        shards: usize,
    ) -> (Arc<Self>, Vec<Shard<Driver>>) {
        let (fanout, shards) = Fanout::new(shards);
        let gateway = Arc::new(Self {
            settings: Arc::new(rules::session_settings(&config)),
            config,
            engine,
            auth,
            metrics,
            peers,
            lease: Lease::default(),
            control: Control::default(),
            moves: Notify::new(),
            arriving: Mutex::default(),
            watched: Watched::default(),
            candidates: Candidates::default(),
            registry: Registry::default(),
            fanout,
            wheel: Wheel::default(),
            interest: Interest::default(),
            users: Users::default(),
            admission: Admission::default(),
            endings: Endings::default(),
            snapshots: Snapshots::default(),
            losses: AtomicU64::new(0),
            withdrawing: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            last_conn: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        });
        (gateway, shards)
    }

    /// A name for a new connection or request.
    pub fn next_conn(&self) -> ConnId {
        ConnId(self.last_conn.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// This start of the node; another one after its lease had lapsed.
    pub fn incarnation(&self) -> Incarnation {
        self.lease.incarnation()
    }

    /// Whether other nodes share the engine.
    pub fn is_shared(&self) -> bool {
        self.peers.is_some()
    }

    /// `single-node` where sessions and events stay on this node, else `shared`.
    pub fn fleet(&self) -> &'static str {
        if self.is_shared() { "shared" } else { "single-node" }
    }

    /// What the client calls a connection: the incarnation and its nonce.
    pub fn via(&self, nonce: &str) -> String {
        format!("{}.{nonce}", self.incarnation().0)
    }

    /// Runs a task that [`Gateway::shut_down`] waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Who a token says that this is; refusals are counted.
    /// # Errors
    /// What the token refuses.
    pub fn verify(&self, token: &str) -> Result<Identity, ErrorCode> {
        let verified = self.auth.verify(token, wall_ms());
        verified.inspect_err(|code| self.metrics.token_refused(*code))
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.registry.len()
    }

    /// How many posts were put into mailboxes so far.
    pub fn pushes(&self) -> u64 {
        self.fanout.pushes()
    }

    /// Wakes the sessions whose time has come, and ends the candidates whose time is over.
    pub fn turn(&self, now: u64) {
        self.wheel.turn(now);
        self.candidates.turn(now, self.settings.candidate_age);
    }

    /// Whether the other nodes know this one: before that its sessions would be taken for lost.
    pub fn is_known(&self) -> bool {
        !self.is_shared() || self.lease.was_held()
    }

    /// Whether new sessions are refused.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Refuses new sessions from here on.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.candidates.end_all(ErrorCode::Draining);
    }

    /// Refuses new sessions, ends those there are, and waits until what they left is done.
    pub async fn shut_down(&self) {
        self.begin_draining();
        for driver in self.registry.all() {
            driver.end(ErrorCode::Draining);
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes a session in.
    fn remember(&self, driver: &Arc<Driver>) {
        if let Some(user) = &driver.user {
            self.users.enter(user, driver.id);
        }
        self.registry.insert(driver.id, Arc::clone(driver));
    }

    /// Takes a session out that is over. Returns whether it was there.
    fn forget(&self, driver: &Driver) -> bool {
        let was_here = self.registry.remove(driver.id, driver);
        if was_here && let Some(user) = &driver.user {
            self.users.leave(user, driver.id);
        }
        was_here
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("sessions", &self.sessions()).finish_non_exhaustive()
    }
}
