//! The subscriptions of a session: where each stands, and whether it reads live or from the log.

use crate::protocol::channel::Channel;
use crate::protocol::frame::Frame;
use crate::protocol::position::{Epoch, Position, Tag};
use crate::protocol::up::Subscribe;

use super::Millis;
use super::input::{ChannelKind, EventInput, SubId};

/// One subscription.
#[derive(Debug)]
pub struct Sub {
    /// Its id.
    pub id: SubId,
    /// Its channel.
    pub channel: Channel,
    /// What the channel keeps; known once it has begun.
    pub kind: ChannelKind,
    /// Whether the session is a member of the channel's presence.
    pub member: bool,
    /// Whether changes of presence are sent.
    pub watches: bool,
    /// Where it stands: everything up to here is in the outbox or was handed.
    pub at: Option<Position>,
    /// How it reads.
    pub phase: SubPhase,
    /// The list of members must be read again.
    pub members: MembersPhase,
    /// It came from another node with a link that goes on: what it reads first is no replay.
    pub unseen: bool,
}

/// How a subscription reads.
#[derive(Debug)]
pub enum SubPhase {
    /// It has been asked for; what comes meanwhile is kept, bounded.
    Pending {
        /// What came.
        events: Vec<(Epoch, EventInput)>,
        /// How many did not fit.
        dropped: u64,
    },
    /// What comes is delivered.
    Live,
    /// What comes is dropped: it is read from the log, or as state, when the outbox has room.
    Behind {
        /// Whether a read is under way.
        asked: bool,
        /// Not before this time.
        not_before: Millis,
        /// The last event that came while the read was under way, and that it may not have seen.
        seen: Option<(Epoch, u64)>,
    },
}

/// Whether the list of members must be read again.
#[derive(Debug, PartialEq, Eq)]
pub enum MembersPhase {
    /// The client has it, or does not want it.
    Fresh,
    /// Changes were dropped.
    Stale {
        /// Not to be read before this time.
        not_before: Millis,
    },
    /// It is being read; changes that come meanwhile may be above its version and are kept, bounded.
    Reading {
        /// What came.
        came: Vec<Frame>,
        /// Whether something did not fit: it must be read again.
        dropped: bool,
    },
}

impl MembersPhase {
    pub(super) fn reading() -> Self {
        Self::Reading { came: Vec::new(), dropped: false }
    }
}

/// What to do with an event that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was delivered before, or will come from the log.
    Drop,
    /// It is the next one, after so many that are missing (never on a durable channel).
    Take {
        /// How many ephemeral events are missing before it.
        missed: u64,
    },
    /// Something before it is missing: read from the log, or the state by key.
    FallBehind,
}

impl Sub {
    pub(super) fn pending(id: SubId, channel: Channel) -> Self {
        Self {
            id,
            channel,
            kind: ChannelKind::Ephemeral,
            member: false,
            watches: false,
            at: None,
            phase: SubPhase::Pending { events: Vec::new(), dropped: 0 },
            members: MembersPhase::reading(),
            unseen: false,
        }
    }

    /// When something is to be read for it.
    pub(super) fn reads_at(&self) -> Option<Millis> {
        let page = match self.phase {
            SubPhase::Behind { asked: false, not_before, .. } => Some(not_before),
            SubPhase::Behind { .. } | SubPhase::Pending { .. } | SubPhase::Live => None,
        };
        let members = match self.members {
            MembersPhase::Stale { not_before } => Some(not_before),
            MembersPhase::Fresh | MembersPhase::Reading { .. } => None,
        };
        [page, members].into_iter().flatten().min()
    }

    /// Whether somebody asks to see who is there, for the first time or again.
    pub(super) fn is_to_be_watched(&self, wanted: &Subscribe) -> bool {
        wanted.presence && !self.is_pending()
    }

    /// The offset it stands at.
    pub(super) fn stands_on(&self) -> u64 {
        self.at.as_ref().map_or(0, |at| at.offset)
    }

    /// Whether it has begun.
    pub fn is_pending(&self) -> bool {
        matches!(self.phase, SubPhase::Pending { .. })
    }

    /// Judges an event against where the subscription stands (contract D1, D2, D6).
    pub fn judge(&mut self, epoch: &Epoch, event: &EventInput) -> Verdict {
        if let SubPhase::Behind { seen, .. } = &mut self.phase {
            *seen = Some((epoch.clone(), event.offset));
            return Verdict::Drop;
        }
        let Some(at) = &self.at else { return Verdict::Drop };
        let same_epoch = at.epoch == *epoch;
        if same_epoch && event.offset <= at.offset {
            return Verdict::Drop;
        }
        let follows = event.offset == at.offset + 1 && event.prev == at.tag;
        match self.kind {
            ChannelKind::Durable | ChannelKind::State if follows => Verdict::Take { missed: 0 },
            ChannelKind::Durable | ChannelKind::State => Verdict::FallBehind,
            ChannelKind::Ephemeral if same_epoch => {
                Verdict::Take { missed: event.offset - at.offset - 1 }
            }
            ChannelKind::Ephemeral => Verdict::Take { missed: 0 },
        }
    }

    /// The subscription now stands at this event.
    pub fn advance(&mut self, epoch: &Epoch, offset: u64, tag: Tag) {
        match &mut self.at {
            Some(at) if at.epoch == *epoch => (at.offset, at.tag) = (offset, tag),
            at => *at = Some(Position { epoch: epoch.clone(), offset, tag }),
        }
    }

    /// The subscription reads from the log after where it stands.
    pub fn fall_behind(&mut self) {
        self.phase = SubPhase::Behind { asked: false, not_before: 0, seen: None };
        self.unseen = false;
    }

    /// Where it stands without what waits, of which the first (offset, tag of the event before) is
    /// given.
    pub fn stands_at(&self, first: Option<(u64, Tag)>) -> Option<Position> {
        let mut at = self.at.clone()?;
        if let Some((offset, prev)) = first {
            (at.offset, at.tag) = (offset.saturating_sub(1), prev);
        }
        Some(at)
    }
}

/// An answer to a subscription of an `open` that waits for those before it.
#[derive(Debug)]
pub enum Answer {
    /// It is known.
    Ready(Frame),
    /// That of a subscription to the same channel before it.
    Again(SubId, Channel),
}

/// Up to here the list has room for what is in it and no more: most sessions have few.
const EXACT: usize = 8;

/// All subscriptions of a session.
#[derive(Debug, Default)]
pub struct Subs {
    list: Vec<Sub>,
    last_id: u32,
    /// Answers that wait, each for a subscription to begin or to be refused, in order. Bounded by
    /// the size of the `open`.
    answers: Vec<(SubId, Answer)>,
    /// Whether any may need to read; spares the common path a search.
    pub(super) reading: bool,
}

impl Subs {
    /// How many.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds one that begins.
    pub fn add(&mut self, channel: Channel) -> SubId {
        self.last_id += 1;
        let id = SubId(self.last_id);
        if self.list.len() < EXACT {
            self.list.reserve_exact(1);
        }
        self.list.push(Sub::pending(id, channel));
        id
    }

    /// The last one that has yet to begin.
    pub(super) fn last_pending(&self) -> Option<SubId> {
        self.list.iter().rev().find(|sub| sub.is_pending()).map(|sub| sub.id)
    }

    /// Keeps an answer until a subscription has begun or was refused.
    pub(super) fn answer_after(&mut self, id: SubId, answer: Answer) {
        self.answers.push((id, answer));
    }

    /// Whether answers wait.
    pub(super) fn owes_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// The answers that waited for a subscription; what was refused is refused again.
    pub(super) fn take_answers(&mut self, id: SubId, refusal: Option<&Frame>) -> Vec<Answer> {
        if let Some(refusal) = refusal {
            for (_, answer) in &mut self.answers {
                if matches!(answer, Answer::Again(of, _) if *of == id) {
                    *answer = Answer::Ready(refusal.clone());
                }
            }
        }
        let due = self.answers.extract_if(.., |(after, _)| *after == id);
        due.map(|(_, answer)| answer).collect()
    }

    pub(super) fn restore(&mut self, sub: Sub) {
        self.last_id = self.last_id.max(sub.id.0);
        self.list.push(sub);
    }

    /// The one with this id.
    pub fn get_mut(&mut self, id: SubId) -> Option<&mut Sub> {
        self.list.iter_mut().find(|sub| sub.id == id)
    }

    /// The one with this id.
    pub fn get(&self, id: SubId) -> Option<&Sub> {
        self.list.iter().find(|sub| sub.id == id)
    }

    /// The one of this channel.
    pub fn of_channel(&self, channel: &Channel) -> Option<&Sub> {
        self.list.iter().find(|sub| sub.channel == *channel)
    }

    /// Takes one out.
    pub fn remove(&mut self, id: SubId) -> Option<Sub> {
        let index = self.list.iter().position(|sub| sub.id == id)?;
        Some(self.list.remove(index))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Sub> {
        self.list.iter()
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Sub> {
        self.list.iter_mut()
    }
}
