//! At which rate sessions come to this node: those that open, and those that it takes from others
//! (contract B4). Asked before a token, a record or the engine is looked at.
//!
//! Who is refused is told when: each its own turn, in the order refused, as far as
//! [`SPREAD`] goes; beyond it, some time before. So a herd comes back as fast as it is admitted, and
//! clients that never do cost the others no more than that.
//!
//! A plain feed is not held to it: an `EventSource` that is refused never comes back.

use std::time::Duration;

use parking_lot::Mutex;

use crate::config::limits::Rate;

use super::rate::Meter;

/// The longest that a client is told to stay away.
const SPREAD: Duration = Duration::from_secs(25);

/// Whom the node admits.
#[derive(Debug, Default)]
pub(super) struct Admission(Mutex<Turns>);

#[derive(Debug, Default)]
struct Turns {
    meter: Meter,
    /// The last turn that was promised, in microseconds.
    promised_us: u64,
}

impl Admission {
    /// Admits one, or says in how many milliseconds it may come back.
    /// # Errors
    /// The milliseconds, at least 1 and at most those of [`SPREAD`].
    pub(super) fn admit(&self, rate: Rate, now_ms: u64) -> Result<(), u32> {
        let mut turns = self.0.lock();
        let Some(next_us) = turns.meter.admit(rate, now_ms) else { return Ok(()) };
        let (now_us, spread_us) = (now_ms * 1000, micros(SPREAD));
        let promised_us = turns.promised_us.saturating_add(rate.step_us()).max(next_us);
        let mut wait_us = promised_us.saturating_sub(now_us);
        if wait_us <= spread_us {
            turns.promised_us = promised_us;
        } else {
            wait_us = rand::random_range(spread_us / 2..spread_us);
        }
        Err(u32::try_from(wait_us.div_ceil(1000)).unwrap_or(u32::MAX).max(1))
    }

    /// One that was admitted did not come after all.
    pub(super) fn give_back(&self, rate: Rate) {
        self.0.lock().meter.give_back(rate);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const RATE: Rate = Rate { per_second: 100, burst: 50 };

    /// Brings a herd at once, each coming back when it is told to. When each was admitted, in order.
    fn herd(many: u32) -> Vec<u64> {
        let admission = Admission::default();
        let mut coming: BTreeSet<(u64, u32)> = (0..many).map(|client| (1000, client)).collect();
        let mut admitted = Vec::new();
        while let Some((now, client)) = coming.pop_first() {
            match admission.admit(RATE, now) {
                Ok(()) => admitted.push(now),
                Err(wait) => drop(coming.insert((now + u64::from(wait), client))),
            }
        }
        admitted
    }

    // spec: B4
    #[test]
    fn a_herd_is_admitted_at_the_rate_and_back_within_its_time_and_thirty_seconds() {
        for many in [100, 5000, 20_000] {
            let admitted = herd(many);
            assert_eq!(admitted.len(), many as usize);
            for (index, at) in admitted.iter().enumerate() {
                let within = admitted[index..].iter().take_while(|other| **other < at + 1000);
                assert!(within.count() <= 150, "{many}, from {at}");
            }
            let bound = 1000 + u64::from(many) * 10 + 30_000;
            assert!(admitted.last() <= Some(&bound), "{many}: {:?} {bound}", admitted.last());
        }
    }

    // spec: B4
    #[test]
    fn each_that_is_refused_has_a_turn_of_its_own() {
        let admission = Admission::default();
        let waits: Vec<_> = (0..1000).filter_map(|_| admission.admit(RATE, 1000).err()).collect();
        assert_eq!(waits.len(), 950);
        assert!(waits.iter().zip(1..).all(|(wait, turn)| *wait == turn * 10), "{waits:?}");
    }

    #[test]
    fn clients_that_never_come_back_keep_nobody_away_for_long() {
        let admission = Admission::default();
        let longest = (0..100_000).filter_map(|_| admission.admit(RATE, 1000).err()).max();
        assert!(longest <= Some(25_000), "{longest:?}");
    }

    #[test]
    fn what_is_given_back_is_for_another() {
        let admission = Admission::default();
        while admission.admit(RATE, 1000).is_ok() {}
        admission.give_back(RATE);
        assert_eq!(admission.admit(RATE, 1000), Ok(()));
        assert!(admission.admit(RATE, 1000).is_err());
    }
}
