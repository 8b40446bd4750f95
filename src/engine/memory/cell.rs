//! One channel: its top, what it keeps, who is in it, and whether this node wants it.

use crate::engine::clock::millis;
use crate::engine::types::{
    Entry, Event, Member, MemberId, Page, PageLimit, PresenceChange, Retention, StateSnapshot,
    WallMs,
};
use crate::protocol::position::{Epoch, GapReason, Position, Since, Tag};

use super::log::Log;
use super::members::Members;
use super::state::State;

#[derive(Debug)]
enum Kept {
    Nothing,
    Log(Log),
    State(Box<State>),
}

/// A channel. All of it is read and written under the lock of its shard.
#[derive(Debug)]
pub(super) struct Cell {
    top: Position,
    kept: Kept,
    members: Option<Box<Members>>,
    touched: WallMs,
    /// Whether this node wants the channel's deliveries.
    pub(super) interest: bool,
}

impl Cell {
    /// A channel that begins: a new epoch, nothing published.
    pub(super) fn new(now: WallMs) -> Self {
        let epoch = Epoch::from_random(rand::random());
        let top = Position { epoch, offset: 0, tag: Tag::default() };
        Self { top, kept: Kept::Nothing, members: None, touched: now, interest: false }
    }

    pub(super) fn touch(&mut self, now: WallMs) {
        self.touched = now;
    }

    pub(super) fn top(&self) -> &Position {
        &self.top
    }

    /// Whether a position is the top; its tag proves it whatever its epoch, except at offset 0.
    pub(super) fn is_top(&self, position: &Position) -> bool {
        position.offset == self.top.offset
            && position.tag == self.top.tag
            && (position.offset > 0 || position.epoch == self.top.epoch)
    }

    /// Sets what the channel keeps. What another kind of retention kept goes.
    pub(super) fn retain(&mut self, retention: Retention) {
        match (&mut self.kept, retention) {
            (Kept::Log(log), Retention::Log { size, age }) => log.keep(size, millis(age)),
            (Kept::State(state), Retention::State { keys }) => state.keep(keys),
            (Kept::Nothing, Retention::None) => {}
            (kept, Retention::None) => *kept = Kept::Nothing,
            (kept, Retention::Log { size, age }) => {
                let mut log = Log::default();
                log.keep(size, millis(age));
                *kept = Kept::Log(log);
            }
            (kept, Retention::State { keys }) => {
                let mut state = State::default();
                state.keep(keys);
                *kept = Kept::State(Box::new(state));
            }
        }
    }

    /// Gives the next offset to an entry, and keeps the event as the channel's retention says.
    pub(super) fn append(&mut self, entry: Entry, now: WallMs) -> Event {
        let prev = self.top.tag;
        self.top.offset += 1;
        self.top.tag = entry.tag;
        let frame = entry.frame.with_position(&self.top);
        let Position { offset, tag, .. } = self.top;
        let event = Event { offset, tag, prev, at: now, key: entry.key, frame };
        match &mut self.kept {
            Kept::Nothing => {}
            Kept::Log(log) => log.push(event.clone()),
            Kept::State(state) => state.put(event.clone()),
        }
        event
    }

    /// Drops what is beyond the channel's own bounds.
    pub(super) fn trim(&mut self, now: WallMs) {
        match &mut self.kept {
            Kept::Nothing => {}
            Kept::Log(log) => log.trim(now),
            Kept::State(state) => state.trim(),
        }
    }

    /// Drops the oldest events until at most `bytes` remain, and answers how many went.
    pub(super) fn trim_to(&mut self, bytes: usize) -> usize {
        match &mut self.kept {
            Kept::Nothing => 0,
            Kept::Log(log) => log.trim_to(bytes),
            Kept::State(state) => state.trim_to(bytes),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.kept {
            Kept::Nothing => 0,
            Kept::Log(log) => log.bytes(),
            Kept::State(state) => state.bytes(),
        }
    }

    /// Reads what is retained after a position.
    pub(super) fn page(&self, since: Since, limit: PageLimit) -> Page {
        let nothing = Log::default();
        let log = if let Kept::Log(log) = &self.kept { log } else { &nothing };
        let since = match since {
            Since::Oldest => log.start(&self.top),
            Since::After(position) => position,
        };
        match log.after(&since, &self.top) {
            Ok(index) => {
                let events = log.page(index, limit);
                let at = events.last().map(|last| (last.offset, last.tag));
                let (offset, tag) = at.unwrap_or((since.offset, since.tag));
                let position = Position { epoch: self.top.epoch.clone(), offset, tag };
                Page { events, position, top: self.top.clone(), gap: None }
            }
            Err(reason) => self.gap(reason),
        }
    }

    fn gap(&self, reason: GapReason) -> Page {
        let (position, top) = (self.top.clone(), self.top.clone());
        Page { events: Vec::new(), position, top, gap: Some(reason) }
    }

    /// The latest event of each key.
    pub(super) fn state(&self) -> StateSnapshot {
        let events = match &self.kept {
            Kept::State(state) => state.events(),
            Kept::Nothing | Kept::Log(_) => Vec::new(),
        };
        StateSnapshot { events, top: self.top.clone() }
    }

    pub(super) fn members(&self) -> Option<&Members> {
        self.members.as_deref()
    }

    pub(super) fn join(&mut self, member: Member, now: WallMs) -> Option<PresenceChange> {
        self.members.get_or_insert_default().join(member, now)
    }

    pub(super) fn leave(&mut self, member: &MemberId, fence: u64) -> Option<PresenceChange> {
        self.members.as_mut().and_then(|members| members.leave(member, fence))
    }

    /// Whether nothing is kept, nobody is there, and it was last used more than `idle` ago.
    pub(super) fn is_idle(&self, now: WallMs, idle: WallMs) -> bool {
        let (empty, age) = match &self.kept {
            Kept::Nothing => (true, 0),
            Kept::Log(log) => (log.is_empty(), log.age()),
            Kept::State(state) => (state.is_empty(), 0),
        };
        let alone = self.members().is_none_or(|members| members.count() == 0);
        !self.interest && empty && alone && now.saturating_sub(self.touched) > idle.max(age)
    }
}
