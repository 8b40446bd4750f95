//! The wall clock, as an argument: tests move time, they never wait.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::types::WallMs;

/// Tells the wall-clock time. Cloning shares the clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> WallMs + Send + Sync>);

impl Clock {
    /// The clock of the machine: the one place that reads it.
    pub fn wall() -> Self {
        Self::from_fn(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis))
    }

    /// A clock that the caller moves.
    pub fn from_fn(now: impl Fn() -> WallMs + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now(&self) -> WallMs {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// A duration in whole milliseconds, at most what a [`WallMs`] holds.
pub fn millis(duration: Duration) -> WallMs {
    WallMs::try_from(duration.as_millis()).unwrap_or(WallMs::MAX)
}
