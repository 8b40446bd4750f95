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

/// Wall-clock milliseconds since the Unix epoch: for what leaves the process. It may jump. Where
/// tokio's time is paused, it goes by as that does.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (tokios, real) = (Instant::now().into_std(), std::time::Instant::now());
    // The same but for nanoseconds, unless tokio's time is not the machine's.
    let since = match tokios.checked_duration_since(real) {
        Some(ahead) => since.saturating_add(ahead),
        None => since.saturating_sub(real.saturating_duration_since(tokios)),
    };
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

    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_moves_with_tokios() {
        let before = wall_ms();
        tokio::time::advance(Duration::from_hours(5)).await;
        // But for what a busy machine takes between two readings.
        assert!((wall_ms() - before).abs_diff(5 * 3_600_000) < 60_000);
    }

    #[test]
    fn the_wall_clock_is_of_this_century() {
        assert!(wall_ms() > 1_700_000_000_000);
    }
}
