//! Frames down: handed and not acknowledged in front, waiting behind. A frame gets its number when
//! it is first handed, by its place: the front one is `acked + 1`.
//!
//! At its bound an outbox takes replies and what stands for many frames (gap, snapshot) only, which
//! are bounded by what the client asked for; [`Outbox::has_room`] says so before an event is put in.

use std::collections::VecDeque;

use crate::protocol::down;
use crate::protocol::frame::Frame;
use crate::protocol::position::Tag;

use super::Millis;
use super::input::SubId;

/// How many times the bound of events replies may fill.
const REPLIES: usize = 4;

/// What a frame is, as far as dropping and replaying go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Body {
    /// An event that is in the log.
    Durable {
        /// Whose.
        sub: SubId,
        /// Its offset.
        offset: u64,
        /// Its tag.
        tag: Tag,
        /// The tag of the event before.
        prev: Tag,
    },
    /// An event that is nowhere else.
    Ephemeral {
        /// Whose.
        sub: SubId,
        /// When it came.
        at: Millis,
    },
    /// The latest of a key.
    State {
        /// Whose.
        sub: SubId,
    },
    /// A change of presence.
    Presence {
        /// Whose.
        sub: SubId,
    },
    /// Events of a subscription are missing here: a reader never goes back to before it.
    Gap {
        /// Whose.
        sub: SubId,
    },
    /// The end of a replay: of a subscription, else of the session.
    CaughtUp {
        /// Whose.
        sub: Option<SubId>,
    },
    /// Stands for ephemeral events that were not delivered.
    Skipped {
        /// How many.
        n: u64,
    },
    /// An answer.
    Reply,
}

impl Body {
    /// The subscription it belongs to.
    pub fn sub(self) -> Option<SubId> {
        match self {
            Self::Durable { sub, .. }
            | Self::Ephemeral { sub, .. }
            | Self::State { sub }
            | Self::Presence { sub }
            | Self::Gap { sub } => Some(sub),
            Self::CaughtUp { sub } => sub,
            Self::Skipped { .. } | Self::Reply => None,
        }
    }
}

/// A frame in the outbox.
#[derive(Debug, Clone)]
pub struct Item {
    /// The encoded frame. Empty for what another node handed and this one can read again.
    pub frame: Frame,
    /// What it is.
    pub body: Body,
}

/// The frames of a session that are not acknowledged.
#[derive(Debug)]
pub struct Outbox {
    items: VecDeque<Item>,
    /// How many frames were acknowledged: the number of the one before the front.
    acked: u64,
    /// How many at the front were handed to a link.
    handed: usize,
    bytes: usize,
    frames_max: usize,
    bytes_max: usize,
}

/// Why a count cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCount;

impl Outbox {
    /// An empty outbox with its bounds.
    pub fn new(frames_max: usize, bytes_max: usize) -> Self {
        Self { items: VecDeque::new(), acked: 0, handed: 0, bytes: 0, frames_max, bytes_max }
    }

    pub(super) fn restored(mut self, acked: u64, handed: usize, items: Vec<Item>) -> Self {
        self.acked = acked;
        self.bytes = items.iter().map(|item| item.frame.len()).sum();
        self.handed = handed.min(items.len());
        self.items = items.into();
        self
    }

    /// Frames held.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Frames that wait to be handed.
    pub fn waiting(&self) -> usize {
        self.items.len() - self.handed
    }

    /// The number of the last frame handed.
    pub fn handed_total(&self) -> u64 {
        self.acked + self.handed as u64
    }

    /// The number of the last frame acknowledged.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// Whether one more event of that many bytes may come in.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.items.len() < self.frames_max && self.bytes + bytes <= self.bytes_max
    }

    /// Whether frames up, each of which is answered, may be taken. Far above the bound of events:
    /// acknowledgements come behind frames up, and must still be read where events fill it.
    pub fn takes_replies(&self) -> bool {
        self.items.len() < self.frames_max * REPLIES && self.bytes < self.bytes_max * REPLIES
    }

    /// Whether it is time to read on from the log: less than a quarter of the bound waits.
    pub fn wants_more(&self) -> bool {
        self.waiting() * 4 < self.frames_max && self.has_room(self.bytes_max / 4)
    }

    /// Puts a frame at the end.
    pub fn push(&mut self, frame: Frame, body: Body) {
        self.bytes += frame.len();
        self.items.push_back(Item { frame, body });
    }

    /// Puts a frame before all that wait.
    pub fn push_first(&mut self, frame: Frame, body: Body) {
        self.bytes += frame.len();
        self.items.insert(self.handed.min(self.items.len()), Item { frame, body });
    }

    /// Hands the next waiting frame; `settled` counts it as received at once.
    pub fn hand_one(&mut self, settled: bool) -> Option<Frame> {
        let frame = self.items.get(self.handed)?.frame.clone();
        self.handed += 1;
        if settled {
            self.drop_front(1);
        }
        Some(frame)
    }

    /// Takes the client's count.
    /// # Errors
    /// [`BadCount`] below what was acknowledged or above what was handed.
    pub fn acknowledge(&mut self, count: u64) -> Result<(), BadCount> {
        if count < self.acked || count > self.handed_total() {
            return Err(BadCount);
        }
        self.drop_front(usize::try_from(count - self.acked).map_err(|_| BadCount)?);
        Ok(())
    }

    fn drop_front(&mut self, many: usize) {
        for _ in 0..many {
            let Some(item) = self.items.pop_front() else { break };
            self.bytes -= item.frame.len();
            self.handed = self.handed.saturating_sub(1);
            self.acked += 1;
        }
        if self.items.is_empty() {
            // An idle session holds no buffer.
            self.items = VecDeque::new();
        }
    }

    /// The frames handed and not acknowledged, again with the same numbers.
    pub fn handed_again(&self) -> Vec<Frame> {
        self.items.iter().take(self.handed).map(|item| item.frame.clone()).collect()
    }

    /// Everything goes back to the queue, unnumbered. Returns whether anything had been handed.
    pub fn requeue(&mut self) -> bool {
        std::mem::take(&mut self.handed) > 0
    }

    /// Drops waiting frames that `keep` refuses; what was handed keeps its number. Returns how many.
    pub fn retain_waiting(&mut self, mut keep: impl FnMut(&Body) -> bool) -> u64 {
        let (mut index, mut dropped, handed) = (0, 0, self.handed);
        let bytes = &mut self.bytes;
        self.items.retain(|item| {
            let stays = index < handed || keep(&item.body);
            index += 1;
            if !stays {
                dropped += 1;
                *bytes -= item.frame.len();
            }
            stays
        });
        dropped
    }

    /// The first durable event of a subscription that waits, after the last gap that waits: its
    /// offset and the tag of the event before. From there a reader can go on without a repeat.
    pub fn first_waiting(&self, of: SubId) -> Option<(u64, Tag)> {
        let mut first = None;
        for item in self.items.iter().skip(self.handed) {
            match item.body {
                Body::Gap { sub } if sub == of => first = None,
                Body::Durable { sub, offset, prev, .. } if sub == of => {
                    first = first.or(Some((offset, prev)));
                }
                _ => {}
            }
        }
        first
    }

    /// How many gaps of a subscription wait.
    pub fn gaps_waiting(&self, of: SubId) -> usize {
        let gap = Body::Gap { sub: of };
        self.items.iter().skip(self.handed).filter(|item| item.body == gap).count()
    }

    /// Drops waiting frames without content: they are read again.
    pub fn drop_unread(&mut self) {
        let (mut index, handed) = (0, self.handed);
        self.items.retain(|item| {
            index += 1;
            index <= handed || !item.frame.is_empty()
        });
    }

    /// Replaces the content of handed frames that `keep` refuses: their numbers are given.
    pub fn withdraw_handed(&mut self, keep: impl Fn(&Body) -> bool) {
        for item in self.items.iter_mut().take(self.handed) {
            if !keep(&item.body) {
                self.bytes -= item.frame.len();
                item.frame = down::withdrawn();
                item.body = Body::Reply;
                self.bytes += item.frame.len();
            }
        }
    }

    /// All frames, with whether each was handed.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Item, bool)> {
        self.items.iter().enumerate().map(|(index, item)| (item, index < self.handed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(frames: usize) -> Outbox {
        let mut outbox = Outbox::new(8, 1000);
        for _ in 0..frames {
            outbox.push(Frame::new(b"{\"t\":\"x\"}"), Body::Reply);
        }
        outbox
    }

    #[test]
    fn a_count_is_between_what_was_acknowledged_and_what_was_handed() {
        // spec: M22
        let mut outbox = filled(4);
        outbox.hand_one(false);
        outbox.hand_one(false);
        assert_eq!(outbox.acknowledge(3), Err(BadCount));
        assert_eq!(outbox.acknowledge(2), Ok(()));
        assert_eq!(outbox.acknowledge(1), Err(BadCount));
        assert_eq!((outbox.acked(), outbox.len()), (2, 2));
    }

    #[test]
    fn dropping_happens_only_before_a_frame_has_its_number() {
        let mut outbox = filled(4);
        outbox.hand_one(false);
        assert_eq!(outbox.retain_waiting(|_| false), 3);
        assert_eq!(outbox.len(), 1);
        outbox.withdraw_handed(|_| false);
        assert_eq!(outbox.handed_again()[0].json(), b"{}");
    }

    #[test]
    fn bytes_follow_the_frames() {
        let mut outbox = filled(3);
        while outbox.hand_one(false).is_some() {}
        outbox.acknowledge(3).unwrap();
        assert_eq!((outbox.bytes, outbox.len(), outbox.items.capacity()), (0, 0, 0));
    }
}
