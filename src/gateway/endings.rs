//! Why sessions ended whose clients were not there to be told, as one that polls mostly is not: the
//! next request gets the reason, not `session_gone`, upon which it would open again at once.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::protocol::error::{ErrorCode, Refusal, Retry};
use crate::session::Millis;

/// Endings that are remembered; beyond it the oldest is forgotten.
const ENDINGS_MAX: usize = 10_000;

/// The latest endings.
#[derive(Debug, Default)]
pub(super) struct Endings(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_session: HashMap<u128, Refusal>,
    /// By when they are forgotten.
    order: VecDeque<(Millis, u128)>,
}

impl Endings {
    /// A session is over. Remembered until then, if the reason lets no client open again at once.
    pub(super) fn remember(&self, session: u128, why: &Refusal, now: Millis, until: Millis) {
        if !must_know(why) {
            return;
        }
        let mut known = self.0.lock();
        while let Some((at, session)) = known.order.front().copied()
            && (at <= now || known.order.len() >= ENDINGS_MAX)
        {
            known.order.pop_front();
            known.by_session.remove(&session);
        }
        if known.by_session.insert(session, why.clone()).is_none() {
            known.order.push_back((until, session));
        }
    }

    /// Why a session ended here, if it did lately and its client must know.
    pub(super) fn of(&self, session: u128) -> Option<Refusal> {
        self.0.lock().by_session.get(&session).cloned()
    }
}

/// Whether a client must know why its session ended: it may not open again at once.
pub(super) fn must_know(why: &Refusal) -> bool {
    why.code.row().retry != Retry::Open && why.code != ErrorCode::Draining
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_kept_for_its_time_and_one_that_lets_a_client_open_again_is_not() {
        let endings = Endings::default();
        endings.remember(1, &ErrorCode::Disconnected.into(), 0, 100);
        endings.remember(2, &ErrorCode::Closed.into(), 0, 100);
        assert_eq!(endings.of(1).map(|why| why.code), Some(ErrorCode::Disconnected));
        assert_eq!(endings.of(2), None);
        endings.remember(3, &ErrorCode::TooManySessions.into(), 100, 200);
        assert_eq!(endings.of(1), None);
        assert!(endings.of(3).is_some());
    }

    #[test]
    fn at_the_bound_the_oldest_is_forgotten() {
        let endings = Endings::default();
        for session in 0..=ENDINGS_MAX as u128 {
            endings.remember(session, &ErrorCode::Disconnected.into(), 0, 100);
        }
        assert_eq!(endings.of(0), None);
        assert!(endings.of(1).is_some());
        assert_eq!(endings.0.lock().by_session.len(), ENDINGS_MAX);
    }
}
