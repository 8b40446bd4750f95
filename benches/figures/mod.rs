//! The figures: what is measured, and how it is written down.

pub(crate) mod fanout;
pub(crate) mod fleet;
pub(crate) mod process;
pub(crate) mod sessions;
pub(crate) mod table;

use std::time::Duration;

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Rounds of each comparison.
    pub(crate) rounds: usize,
    /// Readers that are paced.
    pub(crate) paced_readers: usize,
    /// Messages of a paced round, four a second.
    pub(crate) paced_messages: usize,
    /// Readers of all nodes of a fleet.
    pub(crate) fleet_readers: usize,
    /// Readers that are flooded.
    pub(crate) flooded_readers: usize,
    /// Messages of a flooded round.
    pub(crate) flooded_messages: usize,
    /// Sessions whose memory and beginning are measured.
    pub(crate) sessions: usize,
    /// How long a server rests before its memory is read: more than its allocator keeps what is free.
    pub(crate) rest: Duration,
}

impl Size {
    /// All of it: under four minutes.
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        paced_readers: 4000,
        paced_messages: 14,
        fleet_readers: 2000,
        flooded_readers: 500,
        flooded_messages: 1000,
        sessions: 5000,
        rest: Duration::from_millis(2500),
    };
    /// A quick look: under a minute.
    pub(crate) const QUICK: Self = Self {
        rounds: 2,
        paced_readers: 2000,
        paced_messages: 4,
        fleet_readers: 1000,
        flooded_readers: 500,
        flooded_messages: 500,
        sessions: 2000,
        rest: Duration::from_millis(1200),
    };
}

/// The middle one.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}
