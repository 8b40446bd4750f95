//! One channel: its top, its log, and who is in it.

use std::collections::{BTreeMap, VecDeque};

use throughline::engine::types::{
    Entry, Event, Member, MemberId, Page, PageLimit, PresenceChange, PresenceSnapshot, Seat,
};
use throughline::protocol::position::{Epoch, GapReason, Position, Since, Tag};

/// A channel.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) top: Position,
    /// The generation of the store that appended last.
    pub(crate) generation: u64,
    pub(crate) durable: bool,
    log: VecDeque<Event>,
    /// Rises with each change of who is there.
    pub(crate) version: u64,
    members: BTreeMap<MemberId, (Member, u64)>,
}

impl Cell {
    pub(crate) fn new(epoch: Epoch, generation: u64) -> Self {
        let top = Position { epoch, offset: 0, tag: Tag::default() };
        let (log, members) = (VecDeque::new(), BTreeMap::new());
        Self { top, generation, durable: false, log, version: 0, members }
    }

    /// Gives the next offset to an entry.
    pub(crate) fn append(&mut self, entry: Entry, size: usize, at: u64) -> Event {
        let prev = self.top.tag;
        self.top.offset += 1;
        self.top.tag = entry.tag;
        let frame = entry.frame.with_position(&self.top);
        let Position { offset, tag, .. } = self.top;
        let event = Event { offset, tag, prev, at, key: entry.key, frame };
        if self.durable {
            self.log.push_back(event.clone());
            while self.log.len() > size {
                self.log.pop_front();
            }
        }
        event
    }

    /// Whether a position is the top.
    pub(crate) fn is_top(&self, at: &Position) -> bool {
        (at.offset, at.tag) == (self.top.offset, self.top.tag)
            && (at.offset > 0 || at.epoch == self.top.epoch)
    }

    /// What is retained after a position. `by_tag`: whether its tag is to prove it.
    pub(crate) fn page(&self, since: Since, limit: PageLimit, by_tag: bool) -> Page {
        let since = match (since, self.log.front()) {
            (Since::After(position), _) => position,
            (Since::Oldest, None) => self.top.clone(),
            (Since::Oldest, Some(first)) => Position {
                epoch: self.top.epoch.clone(),
                offset: first.offset.saturating_sub(1),
                tag: first.prev,
            },
        };
        match self.after(&since, by_tag) {
            Err(reason) => {
                let reason = if since.epoch == self.top.epoch { reason } else { GapReason::Epoch };
                let (position, top) = (self.top.clone(), self.top.clone());
                Page { events: Vec::new(), position, top, gap: Some(reason) }
            }
            Ok(index) => {
                let events = self.log.iter().skip(index).take(limit.events).cloned();
                let events: Vec<_> = events.collect();
                let at = events.last().map(|last| (last.offset, last.tag));
                let (offset, tag) = at.unwrap_or((since.offset, since.tag));
                let position = Position { epoch: self.top.epoch.clone(), offset, tag };
                Page { events, position, top: self.top.clone(), gap: None }
            }
        }
    }

    fn after(&self, since: &Position, by_tag: bool) -> Result<usize, GapReason> {
        if since.offset > self.top.offset {
            return Err(GapReason::Ahead);
        }
        let missing = usize::try_from(self.top.offset - since.offset).unwrap_or(usize::MAX);
        let index = self.log.len().checked_sub(missing).ok_or(GapReason::Trimmed)?;
        if !by_tag {
            return if since.epoch == self.top.epoch { Ok(index) } else { Err(GapReason::Epoch) };
        }
        let tag = self.log.get(index).map_or(self.top.tag, |next| next.prev);
        let proven = since.tag == tag && (since.offset > 0 || since.epoch == self.top.epoch);
        if proven { Ok(index) } else { Err(GapReason::Tag) }
    }

    /// All that is retained.
    pub(crate) fn log(&self) -> impl Iterator<Item = &Event> {
        self.log.iter()
    }

    /// The member that is listed under an id.
    pub(crate) fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id).map(|(member, _)| member)
    }

    /// Makes or renews a member; what others see of it.
    pub(crate) fn join(&mut self, member: Member, now: u64) -> Option<PresenceChange> {
        let json = member.json.clone();
        let since = match self.members.get(&member.id) {
            Some((stored, _)) if stored.fence >= member.fence => return None,
            Some((stored, since)) => {
                let same = stored.json == json && stored.state == member.state;
                let since = *since;
                self.members.insert(member.id.clone(), (member, since));
                if same {
                    return None;
                }
                self.version += 1;
                return Some(PresenceChange::Update(json));
            }
            None => now,
        };
        self.members.insert(member.id.clone(), (member, since));
        self.version += 1;
        Some(PresenceChange::Join(json))
    }

    /// Removes a member that no higher fence holds.
    pub(crate) fn leave(&mut self, id: &MemberId, fence: u64) -> Option<PresenceChange> {
        if self.member(id)?.fence > fence {
            return None;
        }
        self.members.remove(id);
        self.version += 1;
        Some(PresenceChange::Leave(id.clone()))
    }

    /// The members that an incarnation asserts, with their fences.
    pub(crate) fn of(&self, incarnation: &str) -> Vec<(MemberId, u64)> {
        let members = self.members.values().map(|(member, _)| member);
        let of = members.filter(|member| *member.incarnation.0 == *incarnation);
        of.map(|member| (member.id.clone(), member.fence)).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn snapshot(&self) -> PresenceSnapshot {
        let members = self.members.values().map(|(member, _)| member.json.clone()).collect();
        PresenceSnapshot { version: self.version, count: self.count(), members }
    }

    pub(crate) fn seats(&self) -> Vec<Seat> {
        let seat = |(member, since): &(Member, u64)| Seat {
            id: member.id.clone(),
            incarnation: member.incarnation.clone(),
            state: member.state,
            since: *since,
            fence: member.fence,
        };
        self.members.values().map(seat).collect()
    }
}
