//! A rate with a burst: the generic cell rate algorithm (ITU-T I.371), 16 bytes a connection.

use crate::config::limits::Rate;

/// How far ahead of its rate something is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter {
    /// When the next one would be due at the steady rate, in microseconds.
    due_us: u64,
}

impl Meter {
    /// Counts one. Returns how many milliseconds it is too early; 0 within the burst.
    pub fn count(&mut self, rate: Rate, now_ms: u64) -> u64 {
        let now = now_ms * 1000;
        self.due_us = self.due_us.max(now) + rate.step_us();
        self.due_us.saturating_sub(now + rate.burst_us()).div_ceil(1000)
    }

    /// Counts one, but for one that is too early: then, when it is not, in microseconds.
    pub fn admit(&mut self, rate: Rate, now_ms: u64) -> Option<u64> {
        let now = now_ms * 1000;
        let due = self.due_us.max(now) + rate.step_us();
        if due > now + rate.burst_us() {
            return Some(due.saturating_sub(rate.burst_us()));
        }
        self.due_us = due;
        None
    }

    /// One that was counted does not count after all.
    pub fn give_back(&mut self, rate: Rate) {
        self.due_us = self.due_us.saturating_sub(rate.step_us());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rate = Rate { per_second: 10, burst: 5 };
        let mut meter = Meter::default();
        assert!((0..5).all(|_| meter.count(rate, 1000) == 0));
        assert_eq!(meter.count(rate, 1000), 100);
        assert_eq!(meter.count(rate, 1200), 0);
    }
}
