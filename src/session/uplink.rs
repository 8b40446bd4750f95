//! Frames up: applied once, in order, one after the other (contract O3, S3).
//!
//! Beyond a hole, and at the bound, nothing is taken: the client sends it again.

use std::collections::VecDeque;

use crate::protocol::up::Numbered;

/// The order of a session's frames up.
#[derive(Debug)]
pub struct Uplink {
    /// The last number taken.
    taken: u64,
    /// The last number settled.
    applied: u64,
    waiting: VecDeque<Numbered>,
    /// Whether one is being performed.
    running: bool,
    frames_max: usize,
}

impl Uplink {
    /// An empty uplink with its bound.
    pub fn new(frames_max: usize) -> Self {
        Self { taken: 0, applied: 0, waiting: VecDeque::new(), running: false, frames_max }
    }

    pub(super) fn restored(mut self, applied: u64) -> Self {
        (self.taken, self.applied) = (applied, applied);
        self
    }

    /// Everything up to this number is settled.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Whether one more is taken.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < self.frames_max
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.running
    }

    /// Whether a frame waits and none is being performed.
    pub fn can_start(&self) -> bool {
        !self.running && !self.waiting.is_empty()
    }

    /// Takes a frame if it is the next and there is room. Returns whether it was taken.
    pub fn take(&mut self, frame: Numbered) -> bool {
        if frame.seq != self.taken + 1 || !self.has_room() {
            return false;
        }
        self.taken = frame.seq;
        self.waiting.push_back(frame);
        true
    }

    /// The next frame to perform, if none is being performed.
    pub fn start_next(&mut self) -> Option<Numbered> {
        if self.running {
            return None;
        }
        let frame = self.waiting.pop_front()?;
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        self.running = true;
        Some(frame)
    }

    /// The frame being performed is settled. Returns whether it was that one.
    pub fn settle(&mut self, seq: u64) -> bool {
        let fits = self.running && seq == self.applied + 1;
        if fits {
            self.applied = seq;
            self.running = false;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::up::Command;

    fn frame(seq: u64) -> Numbered {
        Numbered { seq, command: Ok(Command::Noop) }
    }

    #[test]
    fn takes_each_number_once_and_nothing_beyond_a_hole() {
        // spec: M28, S3
        let mut uplink = Uplink::new(2);
        assert!(uplink.take(frame(1)));
        assert!(!uplink.take(frame(1)));
        assert!(!uplink.take(frame(3)));
        assert!(uplink.take(frame(2)));
        assert!(!uplink.take(frame(3)), "at the bound");
    }

    #[test]
    fn performs_one_after_the_other() {
        // spec: O3
        let mut uplink = Uplink::new(4);
        assert!(uplink.take(frame(1)) && uplink.take(frame(2)));
        assert_eq!(uplink.start_next().unwrap().seq, 1);
        assert!(uplink.start_next().is_none());
        assert!(uplink.settle(1));
        assert_eq!(uplink.start_next().unwrap().seq, 2);
        assert_eq!(uplink.applied(), 1);
    }
}
