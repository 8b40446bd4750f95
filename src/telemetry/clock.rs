//! The two clocks. Everything else takes time as an argument or from these.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Set an hour back, so that a time of this clock is never 0 and one a little before the first use
/// is still told apart.
static START: LazyLock<Instant> = LazyLock::new(|| {
    let now = Instant::now();
    now.checked_sub(Duration::from_hours(1)).unwrap_or(now)
});

/// Wall-clock milliseconds since the Unix epoch: for what leaves the process. It may jump.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds of a clock that never goes back, of this process only: for timers and ages. Where
/// tokio's time is paused, so is this.
pub fn now_ms() -> u64 {
    u64::try_from(Instant::now().saturating_duration_since(*START).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_monotonic_clock_moves_with_tokios() {
        let before = now_ms();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(now_ms() - before, 5000);
    }

    #[test]
    fn the_wall_clock_is_of_this_century() {
        assert!(wall_ms() > 1_700_000_000_000);
    }
}
