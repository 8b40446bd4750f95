//! All of the engine in one process: the executable meaning of the trait.
//!
//! Durable over connections, not over restarts: a restart is a new epoch for every channel, so a
//! gap. Everything is bounded by [`MemorySettings`]. Nothing runs by itself: [`Engine::renew`], which
//! a node calls every few seconds, also drops what is too old.

mod cell;
mod dedupe;
mod eviction;
mod lease;
mod log;
mod members;
mod parked;
mod presence;
mod publish;
mod rotating;
mod settings;
mod shards;
mod state;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::protocol::channel::Channel;
use crate::protocol::position::{Position, Since};

use super::clock::Clock;
use super::types::{
    Delivery, EngineError, Entrance, Health, Incarnation, Member, MemberId, NodeStatus, Page,
    PageLimit, ParkedSession, PresenceSnapshot, Publish, Published, Renewal, Seat, StateSnapshot,
    UserPresence,
};
use super::{Engine, Op};

use self::cell::Cell;
use self::eviction::Eviction;
use self::lease::Leases;
use self::parked::Parked;
use self::presence::{Exit, LAPSED_IDLE};
use self::publish::ANSWER_WITHIN;
pub use self::settings::{EVENT_BYTES, MemorySettings, MemoryStats};
use self::shards::Shards;

/// An engine for one node, without a store.
#[derive(Debug)]
pub struct MemoryEngine {
    shards: Shards,
    eviction: Eviction,
    leases: Leases,
    parked: Parked,
    members_max: usize,
    clock: Clock,
    deliveries: mpsc::Sender<Delivery>,
}

impl MemoryEngine {
    /// An empty engine that broadcasts into `deliveries`. A batch of more events than that queue
    /// has places is refused ([`EngineError::Full`]).
    pub fn new(settings: &MemorySettings, deliveries: mpsc::Sender<Delivery>) -> Arc<Self> {
        Self::with_clock(settings, deliveries, Clock::wall())
    }

    /// The same with a clock of the caller's.
    pub fn with_clock(
        settings: &MemorySettings,
        deliveries: mpsc::Sender<Delivery>,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self {
            shards: Shards::new(settings, clock.now()),
            eviction: Eviction::new(settings.log_bytes),
            leases: Leases::new(settings),
            parked: Parked::new(settings.parked_bytes),
            members_max: settings.members,
            clock,
            deliveries,
        })
    }

    /// What the engine holds, and what it had to give up.
    pub fn stats(&self) -> MemoryStats {
        self.shards.counts.stats()
    }

    /// Changes or reads a channel, which begins if it is not there, without what is too old.
    fn with_cell<T>(
        &self,
        channel: &Channel,
        act: impl FnOnce(&mut Cell) -> T,
    ) -> Result<T, EngineError> {
        let mut shard = self.shards.lock(channel);
        let now = self.clock.now();
        let cell = self.shards.cell(&mut shard, channel, now)?;
        self.shards.measured(cell, |cell| cell.trim(now));
        Ok(act(cell))
    }

    /// Drops what is too old, a shard at a time.
    async fn sweep(&self) {
        let now = self.clock.now();
        self.parked.expire(now);
        for shard in self.shards.iter() {
            self.shards.sweep_if_due(&mut shard.lock(), now);
            tokio::task::yield_now().await;
        }
    }
}

impl Engine for MemoryEngine {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn health(&self) -> Health {
        Health::Ready
    }

    fn publish(&self, publish: Publish) -> Op<'_, Published> {
        Box::pin(self.store(publish))
    }

    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: PageLimit) -> Op<'a, Page> {
        Box::pin(async move { self.with_cell(channel, |cell| cell.page(since, limit)) })
    }

    fn top<'a>(&'a self, channel: &'a Channel) -> Op<'a, Position> {
        Box::pin(async move { self.with_cell(channel, |cell| cell.top().clone()) })
    }

    fn state<'a>(&'a self, channel: &'a Channel) -> Op<'a, StateSnapshot> {
        Box::pin(async move { self.with_cell(channel, |cell| cell.state()) })
    }

    fn subscribe<'a>(&'a self, channel: &'a Channel) -> Op<'a, ()> {
        Box::pin(async move { self.with_cell(channel, |cell| cell.interest = true) })
    }

    fn unsubscribe<'a>(&'a self, channel: &'a Channel) -> Op<'a, ()> {
        Box::pin(async move {
            if let Some(cell) = self.shards.lock(channel).channels.get_mut(channel) {
                cell.interest = false;
                cell.touch(self.clock.now());
            }
            Ok(())
        })
    }

    fn join<'a>(&'a self, channel: &'a Channel, member: Member, how: Entrance) -> Op<'a, ()> {
        Box::pin(self.enter(channel, member, how))
    }

    fn leave<'a>(
        &'a self,
        channel: &'a Channel,
        member: &'a MemberId,
        fence: u64,
        idle: Duration,
    ) -> Op<'a, ()> {
        Box::pin(self.exit(channel, member, Exit { fence, of: None, idle }))
    }

    fn withdraw<'a>(
        &'a self,
        channel: &'a Channel,
        member: &'a MemberId,
        fence: u64,
        of: &'a Incarnation,
    ) -> Op<'a, ()> {
        Box::pin(self.exit(channel, member, Exit { fence, of: Some(of), idle: LAPSED_IDLE }))
    }

    fn asserted<'a>(
        &'a self,
        incarnation: &'a Incarnation,
        part: u16,
    ) -> Op<'a, Option<Vec<(Channel, MemberId)>>> {
        Box::pin(async move {
            let all = (part == 0).then(|| self.members_of(incarnation));
            Ok(all.map(|all| all.into_iter().map(|(channel, id, _)| (channel, id)).collect()))
        })
    }

    fn members<'a>(&'a self, channel: &'a Channel) -> Op<'a, PresenceSnapshot> {
        Box::pin(async move { Ok(self.snapshot(channel)) })
    }

    fn seats<'a>(&'a self, channel: &'a Channel) -> Op<'a, Vec<Seat>> {
        Box::pin(async move { Ok(self.seated(channel)) })
    }

    fn users<'a>(&'a self, subjects: &'a [String]) -> Op<'a, Vec<UserPresence>> {
        Box::pin(async move { Ok(subjects.iter().map(|subject| self.user(subject)).collect()) })
    }

    fn renew<'a>(
        &'a self,
        incarnation: &'a Incarnation,
        address: Option<&'a str>,
    ) -> Op<'a, Renewal> {
        Box::pin(async move {
            let renewal = self.leases.renew(incarnation, address, self.clock.now())?;
            // The lease is renewed, whatever becomes of the sweep: the next one goes on with it.
            let _cut_short = timeout(ANSWER_WITHIN, self.sweep_lapsed()).await;
            self.sweep().await;
            Ok(renewal)
        })
    }

    fn node<'a>(&'a self, incarnation: &'a Incarnation) -> Op<'a, NodeStatus> {
        Box::pin(async move { Ok(self.leases.status(incarnation, self.clock.now())) })
    }

    fn tell<'a>(&'a self, incarnation: &'a Incarnation, message: Bytes) -> Op<'a, bool> {
        Box::pin(async move {
            if !self.leases.is_here(incarnation, self.clock.now()) {
                return Ok(false);
            }
            let mut room = self.reserve(1).await?;
            Ok(room.next().map(|permit| permit.send(Delivery::Control(message))).is_some())
        })
    }

    fn park<'a>(&'a self, session: &'a str, parked: ParkedSession, expected: u64) -> Op<'a, ()> {
        Box::pin(async move { self.parked.park(session, parked, expected, self.clock.now()) })
    }

    fn parked<'a>(&'a self, session: &'a str) -> Op<'a, Option<ParkedSession>> {
        Box::pin(async move { Ok(self.parked.read(session, self.clock.now())) })
    }

    fn unpark<'a>(&'a self, session: &'a str, expected: u64) -> Op<'a, ()> {
        Box::pin(async move { self.parked.unpark(session, expected, self.clock.now()) })
    }
}
