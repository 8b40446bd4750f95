//! The latest event of each key of a state channel.

use std::collections::{BTreeMap, HashMap};

use crate::engine::types::Event;
use crate::protocol::channel::StateKey;

use super::log::cost;

/// At most so many keys; the one longest unchanged goes first.
#[derive(Debug, Default)]
pub(super) struct State {
    by_offset: BTreeMap<u64, Event>,
    offsets: HashMap<StateKey, u64>,
    bytes: usize,
    keys: usize,
}

impl State {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_offset.is_empty()
    }

    /// Sets how many keys are kept; `trim` applies it.
    pub(super) fn keep(&mut self, keys: usize) {
        self.keys = keys;
    }

    /// Puts an event in the place of its key's last one. An event without a key is not kept.
    pub(super) fn put(&mut self, event: Event) {
        let Some(key) = event.key.clone() else { return };
        self.bytes += cost(&event);
        let replaced = self.offsets.insert(key, event.offset);
        if let Some(event) = replaced.and_then(|offset| self.by_offset.remove(&offset)) {
            self.bytes = self.bytes.saturating_sub(cost(&event));
        }
        self.by_offset.insert(event.offset, event);
    }

    /// Drops the keys longest unchanged beyond the number kept.
    pub(super) fn trim(&mut self) {
        while self.by_offset.len() > self.keys && self.drop_oldest() {}
    }

    /// Drops the keys longest unchanged until at most `bytes` remain, and answers how many went.
    pub(super) fn trim_to(&mut self, bytes: usize) -> usize {
        let before = self.by_offset.len();
        while self.bytes > bytes && self.drop_oldest() {}
        before - self.by_offset.len()
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, event)) = self.by_offset.pop_first() else { return false };
        self.bytes = self.bytes.saturating_sub(cost(&event));
        if let Some(key) = &event.key {
            self.offsets.remove(key);
        }
        true
    }

    /// The events, by offset.
    pub(super) fn events(&self) -> Vec<Event> {
        self.by_offset.values().cloned().collect()
    }
}
