//! The state that the nodes share, as a store would keep it: each change one step, what it changes
//! broadcast. It can lose its end or all of it, and it can be wrong in five ways, so that the judge
//! is seen to notice.

mod cell;
mod leases;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use throughline::engine::types::{
    Dedupe, EngineError, Entrance, Incarnation, Member, MemberId, Page, PageLimit, PresenceChange,
    PresenceSnapshot, Publish, Published, Retention, Seat,
};
use throughline::protocol::channel::{Channel, PublishId};
use throughline::protocol::position::{Epoch, Position, Since, Tag};
use throughline::telemetry::clock::{now_ms, wall_ms};

use self::cell::Cell;
pub(crate) use self::leases::LEASE_MS;
use self::leases::Leases;
use self::wire::Wire;
pub(crate) use self::wire::{Push, Pushes};

/// A way in which the fleet is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// An event goes missing after a node has checked that it is the next.
    DropsAfterTheCheck,
    /// A publish that is stored is stored once more.
    DeliversTwice,
    /// Positions are offsets in an epoch, which a store that lost its end keeps.
    ForgetsTheTag,
    /// A member that another incarnation has taken over is said to have left.
    LeavesWithoutARemoval,
    /// Whoever writes a session's record has the session.
    TakesOverWithoutTheCompare,
}

/// Where a publish of an id was stored, with the digest of its body.
type Known = ([u8; 16], Position);

/// What is lost when the store is.
#[derive(Debug, Clone, Default)]
struct Data {
    cells: BTreeMap<Channel, Cell>,
    ids: HashMap<(Channel, Arc<str>, PublishId), Known>,
    leases: Leases,
}

/// The store.
#[derive(Debug)]
pub(crate) struct Store {
    data: Data,
    /// What a replica has that is no longer told: channels without who is in them.
    replica: Option<Data>,
    /// Changes where the end may be lost.
    generation: u64,
    /// Changes where all of it is.
    mark: u64,
    /// Whether nobody can be listed.
    refuses: bool,
    wires: Vec<Option<Wire>>,
    mutant: Option<Mutant>,
    rng: StdRng,
}

impl Store {
    pub(crate) fn new(nodes: usize, mutant: Option<Mutant>, seed: u64) -> Self {
        let wires = (0..nodes).map(|_| None).collect();
        let (data, rng) = (Data::default(), StdRng::seed_from_u64(seed));
        Self { data, replica: None, generation: 1, mark: 1, refuses: false, wires, mutant, rng }
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Nothing of it is left.
    pub(crate) fn flush(&mut self) {
        self.data = Data::default();
        self.mark += 1;
    }

    /// Nothing is left of a channel.
    pub(crate) fn forget(&mut self, channel: &str) {
        self.data.cells.retain(|known, _| known.as_str() != channel);
    }

    /// Whether members can be listed from here on.
    pub(crate) fn takes_members(&mut self, yes: bool) {
        self.refuses = !yes;
    }

    /// What is stored from here on is lost when it fails over.
    pub(crate) fn lag(&mut self) {
        self.replica = Some(self.data.clone());
    }

    /// The replica is the store now. It has all of leases and records: no node repairs what a failover
    /// loses of these.
    pub(crate) fn fail_over(&mut self) {
        let Some(mut replica) = self.replica.take() else { return };
        replica.leases = std::mem::take(&mut self.data.leases);
        self.data = replica;
        self.generation += 1;
        self.wires.iter_mut().for_each(|wire| *wire = None);
    }

    /// The generation, and the mark of the data.
    pub(crate) fn known(&self) -> (u64, u64) {
        (self.generation, self.mark)
    }

    pub(crate) fn connect(&mut self, node: usize) -> Pushes {
        let (wire, pushes) = Wire::open();
        self.wires[node] = Some(wire);
        pushes
    }

    pub(crate) fn cut(&mut self, node: usize) {
        self.wires[node] = None;
    }

    pub(crate) fn silence(&mut self, node: usize) {
        self.wires[node].iter_mut().for_each(Wire::fall_silent);
    }

    pub(crate) fn hear(&mut self, node: usize, channels: &[Channel], names: &[Arc<str>]) {
        self.wires[node].iter_mut().for_each(|wire| wire.hear(channels, names));
    }

    pub(crate) fn unhear(&mut self, node: usize, channels: &[Channel]) {
        self.wires[node].iter_mut().for_each(|wire| wire.leave(channels));
    }

    pub(crate) fn probe(&mut self, node: usize, count: u64) -> (u64, u64) {
        if let Some(wire) = &mut self.wires[node] {
            wire.send(Push::Probe(count), Duration::ZERO);
        }
        self.known()
    }

    pub(crate) fn tell(&mut self, name: &Incarnation, message: &Bytes) -> bool {
        let lag = self.throw_lag();
        let of = self.wires.iter_mut().flatten().find(|wire| wire.is_of(&name.0));
        of.map(|wire| wire.send(Push::Control(message.clone()), lag)).is_some()
    }

    fn throw_lag(&mut self) -> Duration {
        let most = if self.rng.random_bool(0.02) { 400 } else { 4 };
        Duration::from_millis(self.rng.random_range(0..=most))
    }

    fn broadcast(&mut self, channel: &Channel, push: &Push) {
        for node in 0..self.wires.len() {
            let lag = self.throw_lag();
            if let Some(wire) = self.wires[node].as_mut().filter(|wire| wire.hears(channel)) {
                wire.send(push.clone(), lag);
            }
        }
    }

    fn cell(&mut self, channel: &Channel) -> &mut Cell {
        let (rng, generation) = (&mut self.rng, self.generation);
        self.data
            .cells
            .entry(channel.clone())
            .or_insert_with(|| Cell::new(Epoch::from_random(rng.random()), generation))
    }

    pub(crate) fn publish(&mut self, publish: &Publish) -> Result<Published, EngineError> {
        let Publish { channel, dedupe, expect, .. } = publish;
        let key =
            |dedupe: &Dedupe| (channel.clone(), Arc::clone(&dedupe.publisher), dedupe.id.clone());
        if let Some(dedupe) = dedupe
            && let Some((digest, position)) = self.data.ids.get(&key(dedupe))
        {
            if *digest != dedupe.digest {
                return Err(EngineError::DuplicateId);
            }
            return Ok(Published { position: position.clone(), duplicate: true });
        }
        let cell = self.cell(channel);
        if expect.as_ref().is_some_and(|expect| !cell.is_top(expect)) {
            return Err(EngineError::Conflict { top: Some(cell.top.clone()) });
        }
        let position = self.append(publish);
        if let Some(dedupe) = dedupe {
            self.data.ids.insert(key(dedupe), (dedupe.digest, position.clone()));
        }
        if self.is(Mutant::DeliversTwice) && self.rng.random_bool(0.05) {
            self.append(publish);
        }
        Ok(Published { position, duplicate: false })
    }

    fn append(&mut self, publish: &Publish) -> Position {
        let Publish { channel, retention, entries, .. } = publish;
        let (generation, fresh) = (self.generation, Epoch::from_random(self.rng.random()));
        let forgets = self.is(Mutant::ForgetsTheTag);
        let cell = self.cell(channel);
        if cell.generation != generation && !forgets {
            // Its end may be lost: what follows must not be taken for what was there.
            cell.top.epoch = fresh;
        }
        cell.generation = generation;
        let size = match retention {
            Retention::Log { size, .. } => *size,
            Retention::None | Retention::State { .. } => 0,
        };
        cell.durable = size > 0;
        let appended = entries.iter().map(|entry| cell.append(entry.clone(), size, wall_ms()));
        let appended: Vec<_> = appended.collect();
        let (position, durable) = (cell.top.clone(), cell.durable);
        for event in appended {
            let epoch = position.epoch.clone();
            self.broadcast(
                channel,
                &Push::Event { channel: channel.clone(), epoch, durable, event },
            );
        }
        position
    }

    pub(crate) fn page(&mut self, channel: &Channel, since: Since, limit: PageLimit) -> Page {
        let by_tag = !self.is(Mutant::ForgetsTheTag);
        self.cell(channel).page(since, limit, by_tag)
    }

    pub(crate) fn top(&mut self, channel: &Channel) -> Position {
        self.cell(channel).top.clone()
    }

    /// Where a channel stands: its top, whether it keeps a log, and the version of its presence.
    pub(crate) fn standing(&mut self, channel: &Channel) -> (Position, bool, u64) {
        let cell = self.cell(channel);
        (cell.top.clone(), cell.durable, cell.version)
    }

    /// The durable channels with what is in their logs: position and frame.
    pub(crate) fn logs(&self) -> Vec<(String, Vec<(Position, Bytes)>)> {
        let logs =
            self.data.cells.iter().filter(|(_, cell)| cell.durable).map(|(channel, cell)| {
                let epoch =
                    |tag: Tag, offset| Position { epoch: cell.top.epoch.clone(), offset, tag };
                let entries = cell.log().map(|event| {
                    (epoch(event.tag, event.offset), Bytes::copy_from_slice(event.frame.json()))
                });
                (channel.as_str().to_owned(), entries.collect())
            });
        logs.collect()
    }

    fn changed(&mut self, channel: &Channel, change: PresenceChange) {
        let cell = self.cell(channel);
        let (version, count, channel) = (cell.version, cell.count(), channel.clone());
        self.broadcast(&channel.clone(), &Push::Presence { channel, version, count, change });
    }

    pub(crate) fn join(
        &mut self,
        channel: &Channel,
        member: Member,
        how: Entrance,
    ) -> Result<(), EngineError> {
        if self.refuses {
            return Err(EngineError::Unavailable);
        }
        if self.data.leases.is_swept(&member.incarnation.0) {
            return Err(EngineError::Conflict { top: None });
        }
        let now = now_ms();
        let (id, incarnation) = (member.id.clone(), member.incarnation.clone());
        let cell = self.cell(channel);
        let before = cell.member(&id).map(|stored| stored.incarnation.clone());
        if before.is_none() && cell.count() >= how.most {
            return Err(EngineError::Full("members of the channel"));
        }
        if let Some(change) = cell.join(member, now)
            && !how.again
        {
            self.changed(channel, change);
        }
        if self.is(Mutant::LeavesWithoutARemoval)
            && before.is_some_and(|before| before != incarnation)
        {
            self.cell(channel).version += 1;
            self.changed(channel, PresenceChange::Leave(id));
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self, channel: &Channel, id: &MemberId, fence: u64) {
        if let Some(change) = self.cell(channel).leave(id, fence) {
            self.changed(channel, change);
        }
    }

    /// The same, if this incarnation asserts it.
    pub(crate) fn withdraw(
        &mut self,
        channel: &Channel,
        id: &MemberId,
        fence: u64,
        of: &Incarnation,
    ) {
        if self.cell(channel).member(id).is_some_and(|member| member.incarnation == *of) {
            self.leave(channel, id, fence);
        }
    }

    /// What an incarnation asserts in one of so many parts.
    pub(crate) fn asserted(
        &mut self,
        of: &Incarnation,
        part: u16,
        parts: u16,
    ) -> Vec<(Channel, MemberId)> {
        let part_of = |channel: &&Channel| {
            channel
                .as_str()
                .bytes()
                .fold(0, |sum: u16, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
                % parts
        };
        let here = self.data.cells.keys().filter(|channel| part_of(channel) == part);
        let channels: Vec<_> = here.cloned().collect();
        let mut found = Vec::new();
        for channel in channels {
            let members = self.cell(&channel).of(&of.0);
            found.extend(members.into_iter().map(|(id, _)| (channel.clone(), id)));
        }
        found
    }

    pub(crate) fn snapshot(&mut self, channel: &Channel) -> PresenceSnapshot {
        self.cell(channel).snapshot()
    }

    pub(crate) fn seats(&mut self, channel: &Channel) -> Vec<Seat> {
        self.cell(channel).seats()
    }
}
