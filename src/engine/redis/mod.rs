//! The shared state of a fleet in Redis 6.2 or later, or Valkey: one server, Sentinel, or a Cluster
//! from 7.0 (docs/adr/0008).
//!
//! Every change is one script on one partition; what it broadcasts comes back over Pub/Sub to every
//! node that has interest. Nothing here blocks the connection that commands share, and nothing is
//! repeated whose repeat could be seen.

mod address;
mod backplane;
mod call;
mod failure;
mod fitness;
mod keys;
mod lease;
mod line;
mod log;
mod outage;
mod presence;
mod refusals;
mod reply;
mod route;
mod script;
mod store;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::protocol::channel::Channel;
use crate::protocol::position::{Position, Since};

use super::types::{
    Delivery, EngineError, Entrance, Health, Incarnation, Member, MemberId, NodeStatus, Page,
    PageLimit, ParkedSession, PresenceSnapshot, Publish, Published, Renewal, Seat, StateSnapshot,
    UserPresence,
};
use super::{Engine, Op};

pub use self::address::{Address, BadAddress, Certificate, SentinelLogin};
use self::backplane::Backplane;
use self::call::Caller;
use self::keys::Keys;
use self::presence::{Exit, LAPSED_IDLE};
use self::refusals::Refusals;
use self::route::Router;
pub use self::store::Skew;
use self::store::Store;

/// How the engine uses its Redis.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// What every key begins with; several fleets may share a Redis under different ones.
    pub prefix: String,
    /// How long after its lease a node's members stay (contract g).
    pub grace: Duration,
    /// Moves time, in tests.
    pub skew: Skew,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self { prefix: "tl".to_owned(), grace: Duration::from_secs(10), skew: Skew::default() }
    }
}

/// What the engine did, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisStats {
    /// Breaks of a link to the backplane, after each of which positions were checked.
    pub breaks: u64,
    /// Channels that this node hears.
    pub channels: usize,
    /// Messages of the backplane that this node received.
    pub received: u64,
}

/// An engine for a fleet.
pub struct RedisEngine {
    store: Arc<Store>,
    backplane: Arc<Backplane>,
    tasks: Vec<JoinHandle<()>>,
}

impl RedisEngine {
    /// An engine that broadcasts into `deliveries`. It connects by itself, and again whenever it
    /// must; until then every operation is refused within 2 s.
    /// # Errors
    /// [`BadAddress`] where no client can be made of the address.
    pub fn start(
        address: Address,
        settings: &RedisSettings,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Result<Arc<Self>, BadAddress> {
        // TLS takes one provider in the process; another part may have installed it before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let keys = Keys::new(&settings.prefix, address.database);
        let router = Router::new(address)?;
        let caller = Caller { router: Arc::clone(&router), refusals: Refusals::default() };
        let store = Store::new(keys, caller, settings);
        let backplane = Backplane::new(Arc::clone(&store), deliveries);
        let tasks = vec![
            tokio::spawn(Arc::clone(&router).keep()),
            tokio::spawn(Arc::clone(&backplane).keep()),
        ];
        Ok(Arc::new(Self { store, backplane, tasks }))
    }

    /// What the engine did.
    pub fn stats(&self) -> RedisStats {
        self.backplane.stats()
    }
}

impl Drop for RedisEngine {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.backplane.end();
    }
}

impl Engine for RedisEngine {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn health(&self) -> Health {
        let router = &self.store.caller.router;
        if router.is_up() {
            Health::Ready
        } else if router.was_up() {
            Health::Degraded
        } else {
            Health::Starting
        }
    }

    fn publish(&self, publish: Publish) -> Op<'_, Published> {
        Box::pin(self.store.append(publish))
    }

    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: PageLimit) -> Op<'a, Page> {
        Box::pin(async move { self.store.page(channel, &since, limit).await })
    }

    fn top<'a>(&'a self, channel: &'a Channel) -> Op<'a, Position> {
        Box::pin(self.store.top_of(channel))
    }

    fn state<'a>(&'a self, channel: &'a Channel) -> Op<'a, StateSnapshot> {
        Box::pin(self.store.state_of(channel))
    }

    fn subscribe<'a>(&'a self, channel: &'a Channel) -> Op<'a, ()> {
        Box::pin(self.backplane.subscribe(channel))
    }

    fn unsubscribe<'a>(&'a self, channel: &'a Channel) -> Op<'a, ()> {
        self.backplane.unsubscribe(channel);
        Box::pin(async { Ok(()) })
    }

    fn join<'a>(&'a self, channel: &'a Channel, member: Member, how: Entrance) -> Op<'a, ()> {
        Box::pin(async move { self.store.enter(channel, &member, how).await })
    }

    fn leave<'a>(
        &'a self,
        channel: &'a Channel,
        member: &'a MemberId,
        fence: u64,
        idle: Duration,
    ) -> Op<'a, ()> {
        Box::pin(self.store.exit(channel, member, Exit { fence: Some(fence), of: None, idle }))
    }

    fn withdraw<'a>(
        &'a self,
        channel: &'a Channel,
        member: &'a MemberId,
        fence: u64,
        of: &'a Incarnation,
    ) -> Op<'a, ()> {
        let exit = Exit { fence: Some(fence), of: Some(of), idle: LAPSED_IDLE };
        Box::pin(self.store.exit(channel, member, exit))
    }

    fn asserted<'a>(
        &'a self,
        incarnation: &'a Incarnation,
        part: u16,
    ) -> Op<'a, Option<Vec<(Channel, MemberId)>>> {
        Box::pin(self.store.asserted_in(part, incarnation))
    }

    fn members<'a>(&'a self, channel: &'a Channel) -> Op<'a, PresenceSnapshot> {
        Box::pin(async move {
            if self.backplane.is_settling() {
                // Nobody is gone whom a node has not had the time to list again (contract R5).
                return Err(EngineError::Unavailable);
            }
            self.store.snapshot(channel).await
        })
    }

    fn seats<'a>(&'a self, channel: &'a Channel) -> Op<'a, Vec<Seat>> {
        Box::pin(self.store.seated(channel))
    }

    fn users<'a>(&'a self, subjects: &'a [String]) -> Op<'a, Vec<UserPresence>> {
        Box::pin(self.store.presence_of(subjects))
    }

    fn renew<'a>(
        &'a self,
        incarnation: &'a Incarnation,
        address: Option<&'a str>,
    ) -> Op<'a, Renewal> {
        Box::pin(async move {
            self.backplane.listen_for(incarnation).await?;
            self.store.renewed(incarnation, address).await
        })
    }

    fn node<'a>(&'a self, incarnation: &'a Incarnation) -> Op<'a, NodeStatus> {
        Box::pin(self.store.status(incarnation))
    }

    fn tell<'a>(&'a self, incarnation: &'a Incarnation, message: Bytes) -> Op<'a, bool> {
        Box::pin(async move { self.store.send_to(incarnation, &message).await })
    }

    fn park<'a>(&'a self, session: &'a str, parked: ParkedSession, expected: u64) -> Op<'a, ()> {
        Box::pin(async move { self.store.change_record(session, expected, &parked).await })
    }

    fn parked<'a>(&'a self, session: &'a str) -> Op<'a, Option<ParkedSession>> {
        Box::pin(self.store.record(session))
    }

    fn unpark<'a>(&'a self, session: &'a str, expected: u64) -> Op<'a, ()> {
        let none = ParkedSession { version: 0, state: Bytes::new(), ttl: Duration::ZERO };
        Box::pin(async move { self.store.change_record(session, expected, &none).await })
    }
}
