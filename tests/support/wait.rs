//! Waiting for what must become so, within a bound: a test that hangs says what it waited for.

use std::time::{Duration, Instant};

use tokio::time::timeout;

/// A bound on hanging and no measure of speed: a busy machine stays far below it.
pub const WITHIN: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until it is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looks = async {
        while !is_so().await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    in_time(what, looks).await;
}

/// The same without a runtime.
pub fn until_now(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + WITHIN;
    while !is_so() {
        assert!(Instant::now() < end, "not within {WITHIN:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// What comes of it.
pub async fn in_time<T>(what: &str, comes: impl Future<Output = T>) -> T {
    let came = timeout(WITHIN, comes).await;
    came.unwrap_or_else(|_| panic!("not within {WITHIN:?}: {what}"))
}
