//! What the log says of commands that Redis refuses: each code at once, then once a minute with how
//! many they were. A full server refuses every publish.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long the same is not said again.
const SAID: Duration = Duration::from_mins(1);

/// What was refused, by the code of Redis.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<&'static str, Said>>);

struct Said {
    at: Instant,
    /// How many were refused since.
    unsaid: u64,
}

impl Refusals {
    /// Redis refused a command with this code.
    pub(super) fn count(&self, code: &'static str) {
        if let Some(refused) = self.due(code) {
            tracing::warn!(code, refused, "Redis refuses");
        }
    }

    /// How many were refused with this code, where that is to be said now.
    fn due(&self, code: &'static str) -> Option<u64> {
        let (now, mut all) = (Instant::now(), self.0.lock());
        let before = all.get_mut(code);
        if let Some(said) = before.filter(|said| now - said.at < SAID) {
            said.unsaid += 1;
            return None;
        }
        let said = all.insert(code, Said { at: now, unsaid: 0 });
        Some(1 + said.map_or(0, |said| said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_said_at_once_and_those_after_it_together_a_minute_later() {
        let refusals = Refusals::default();
        assert_eq!(refusals.due("OOM"), Some(1));
        for _ in 0..5 {
            assert_eq!(refusals.due("OOM"), None);
        }
        assert_eq!(refusals.due("NOPERM"), Some(1));
        tokio::time::advance(SAID).await;
        assert_eq!(refusals.due("OOM"), Some(6));
        assert_eq!(refusals.due("OOM"), None);
    }
}
