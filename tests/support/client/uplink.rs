//! Frames up: numbered, and kept until they are applied.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde_json::Value;

/// Frames in one body at most.
const FRAMES: usize = 40;

/// What is not applied, in order.
#[derive(Default)]
pub(super) struct Uplink {
    last: u64,
    waiting: VecDeque<(u64, Value)>,
    /// The last that was written to the WebSocket that is the link.
    written: u64,
    /// What the history adds to numbers: those of the sessions before.
    base: u64,
    /// Publishes without an answer: channel and id by number.
    publishes: HashMap<u64, (String, String)>,
    /// The same, as they were sent.
    kept: BTreeMap<u64, Value>,
}

impl Uplink {
    /// The next frame is this publish.
    pub(super) fn published(&mut self, ch: &str, id: &str) {
        self.publishes.insert(self.last + 1, (ch.to_owned(), id.to_owned()));
    }

    /// Numbers a frame.
    pub(super) fn push(&mut self, mut frame: Value) -> u64 {
        self.last += 1;
        frame["seq"] = self.last.into();
        if self.publishes.contains_key(&self.last) {
            self.kept.insert(self.last, frame.clone());
        }
        self.waiting.push_back((self.last, frame));
        self.last
    }

    /// Everything up to a number is applied.
    pub(super) fn applied(&mut self, up: u64) {
        while self.waiting.front().is_some_and(|(seq, _)| *seq <= up) {
            self.waiting.pop_front();
        }
    }

    /// The publish that is answered now.
    pub(super) fn settles(&mut self, seq: u64) -> Option<(String, String)> {
        self.kept.remove(&seq);
        self.publishes.remove(&seq)
    }

    /// What the history calls a number.
    pub(super) fn recorded(&self, seq: u64) -> u64 {
        self.base + seq
    }

    pub(super) fn unsettled(&self) -> usize {
        self.publishes.len()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.publishes.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The session is another: publishes without an answer are sent again, by their ids.
    pub(super) fn restart(&mut self) {
        let mut publishes = std::mem::take(&mut self.publishes);
        self.base += self.last;
        (self.last, self.written) = (0, 0);
        self.waiting.clear();
        for (seq, frame) in std::mem::take(&mut self.kept) {
            if let Some((ch, id)) = publishes.remove(&seq) {
                self.published(&ch, &id);
                self.push(frame);
            }
        }
    }

    /// What goes into one body.
    pub(super) fn body(&self) -> Vec<Value> {
        self.waiting.iter().take(FRAMES).map(|(_, frame)| frame.clone()).collect()
    }

    /// What was not written to this WebSocket.
    pub(super) fn unwritten(&mut self) -> Vec<Value> {
        let written = std::mem::replace(&mut self.written, self.last);
        let more = self.waiting.iter().filter(|(seq, _)| *seq > written);
        more.map(|(_, frame)| frame.clone()).collect()
    }

    /// On a new link everything is written again.
    pub(super) fn rewind(&mut self) {
        self.written = 0;
    }
}
