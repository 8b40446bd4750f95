//! What every operation has: the keys, and the way to the servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::RedisSettings;
use super::call::Caller;
use super::keys::Keys;
use super::lease::Steady;

/// Milliseconds that are added to the server's time: tests move time, they never wait. 0 else.
#[derive(Debug, Clone, Default)]
pub struct Skew(Arc<AtomicU64>);

impl Skew {
    /// Moves time on.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Runs scripts on keys.
pub(super) struct Store {
    pub(super) keys: Keys,
    pub(super) caller: Caller,
    pub(super) steady: Steady,
    /// How long after its lease a node's members stay.
    pub(super) grace: Duration,
    skew: Skew,
}

impl Store {
    pub(super) fn new(keys: Keys, caller: Caller, settings: &RedisSettings) -> Arc<Self> {
        let (grace, skew) = (settings.grace, settings.skew.clone());
        Arc::new(Self { keys, caller, steady: Steady::default(), grace, skew })
    }

    pub(super) fn skew(&self) -> u64 {
        self.skew.get()
    }

    /// In a Cluster what is broadcast stays with the server of its partition.
    pub(super) fn publish_command(&self) -> &'static str {
        if self.caller.router.is_cluster() { "SPUBLISH" } else { "PUBLISH" }
    }
}
