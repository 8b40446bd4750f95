//! The events of a durable channel, by size and age, and the proof of positions.

use std::collections::VecDeque;

use crate::engine::types::{Event, PageLimit, WallMs};
use crate::protocol::position::{GapReason, Position};

use super::settings::EVENT_BYTES;

/// Below this many slots a log is not worth shrinking.
const SLOTS_MIN: usize = 64;

/// The youngest events of a channel, contiguous up to its top.
#[derive(Debug, Default)]
pub(super) struct Log {
    events: VecDeque<Event>,
    bytes: usize,
    size: usize,
    age: WallMs,
}

/// What an event counts against the bound of all logs.
pub(super) fn cost(event: &Event) -> usize {
    let key = event.key.as_ref().map_or(0, |key| key.as_str().len());
    event.frame.len() + key + EVENT_BYTES
}

impl Log {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn age(&self) -> WallMs {
        self.age
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Sets what is kept; `trim` applies it.
    pub(super) fn keep(&mut self, size: usize, age: WallMs) {
        self.size = size;
        self.age = age;
    }

    /// Puts the next event at the end.
    pub(super) fn push(&mut self, event: Event) {
        self.bytes += cost(&event);
        self.events.push_back(event);
    }

    /// Drops what is beyond the size, or older than the age.
    pub(super) fn trim(&mut self, now: WallMs) {
        while self.events.len() > self.size || self.oldest_is_past(now) {
            self.drop_oldest();
        }
        self.shrink();
    }

    /// Drops the oldest events until at most `bytes` remain, and answers how many went.
    pub(super) fn trim_to(&mut self, bytes: usize) -> usize {
        let before = self.events.len();
        while self.bytes > bytes && self.drop_oldest() {}
        self.shrink();
        before - self.events.len()
    }

    fn oldest_is_past(&self, now: WallMs) -> bool {
        self.events.front().is_some_and(|event| now.saturating_sub(event.at) > self.age)
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(event) = self.events.pop_front() else { return false };
        self.bytes = self.bytes.saturating_sub(cost(&event));
        true
    }

    fn shrink(&mut self) {
        let (len, slots) = (self.events.len(), self.events.capacity());
        if slots > SLOTS_MIN && len < slots / 4 {
            self.events.shrink_to(len * 2);
        }
    }

    /// Where a reader of all that is retained begins.
    pub(super) fn start(&self, top: &Position) -> Position {
        match self.events.front() {
            Some(first) => Position {
                epoch: top.epoch.clone(),
                offset: first.offset.saturating_sub(1),
                tag: first.prev,
            },
            None => top.clone(),
        }
    }

    /// Finds the first event after a position, which is proven by the tag at its offset, whatever
    /// its epoch (contract D5). Offset 0 has no tag of its own: there the epoch decides.
    pub(super) fn after(&self, since: &Position, top: &Position) -> Result<usize, GapReason> {
        let gap = |reason| if since.epoch == top.epoch { reason } else { GapReason::Epoch };
        if since.offset > top.offset {
            return Err(gap(GapReason::Ahead));
        }
        let missing = usize::try_from(top.offset - since.offset).unwrap_or(usize::MAX);
        let Some(index) = self.events.len().checked_sub(missing) else {
            return Err(gap(GapReason::Trimmed));
        };
        let tag = self.events.get(index).map_or(top.tag, |next| next.prev);
        let proven = since.tag == tag && (since.offset > 0 || since.epoch == top.epoch);
        if proven { Ok(index) } else { Err(gap(GapReason::Tag)) }
    }

    /// The events from an index on, as far as they fit.
    pub(super) fn page(&self, index: usize, limit: PageLimit) -> Vec<Event> {
        let mut bytes = 0usize;
        let fits = |event: &&Event| {
            let first = bytes == 0;
            bytes += event.frame.len();
            first || bytes <= limit.bytes
        };
        self.events.iter().skip(index).take(limit.events.max(1)).take_while(fits).cloned().collect()
    }
}
