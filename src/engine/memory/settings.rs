//! The bounds of the memory engine, and how near to them it is.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// The bounds of a [`MemoryEngine`](super::MemoryEngine), each with what happens at it.
#[derive(Debug, Clone)]
pub struct MemorySettings {
    /// Bytes of all logs and states together: frames, keys and [`EVENT_BYTES`] for each event.
    /// Near it the largest logs lose their oldest events until all fit in seven eighths of it:
    /// history is shorter than configured, readers behind it get a gap, and
    /// [`MemoryStats::evicted`] rises. Default: 256 MiB.
    pub log_bytes: usize,
    /// Channels at most. Above it a new channel is refused
    /// ([`EngineError::Full`](crate::engine::types::EngineError::Full)). Default: 1,000,000.
    pub channels: usize,
    /// How long a channel that holds no event, no member and no interest is kept after its last
    /// use; never below twice `dedupe_window`, nor below the age of the channel's log. A channel
    /// that was dropped begins again with a new epoch. Default: 10 min.
    pub channel_idle: Duration,
    /// How long a publish id is remembered at least; at most twice as long (contract P3).
    /// Default: 5 min.
    pub dedupe_window: Duration,
    /// Publish ids at most. Above it the older half is forgotten early, so that the window is
    /// shorter than configured, and [`MemoryStats::ids_forgotten`] rises. Default: 1,000,000.
    pub dedupe_ids: usize,
    /// Members of all channels at most. Above it a new member is refused (`Full`).
    /// Default: 1,000,000.
    pub members: usize,
    /// Users at most whose `last_seen` is kept. Above it the older half is forgotten.
    /// Default: 1,000,000.
    pub last_seen: usize,
    /// How long a lease lasts after its renewal (contract L). Default: 8 s.
    pub lease: Duration,
    /// How long after its lease an incarnation's members stay (contract g). Default: 10 s.
    pub grace: Duration,
    /// Bytes of all parked sessions together, and 256 for each. Above it parking is refused
    /// (`Full`). Default: 64 MiB.
    pub parked_bytes: usize,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            log_bytes: 256 << 20,
            channels: 1_000_000,
            channel_idle: Duration::from_mins(10),
            dedupe_window: Duration::from_mins(5),
            dedupe_ids: 1_000_000,
            members: 1_000_000,
            last_seen: 1_000_000,
            lease: Duration::from_secs(8),
            grace: Duration::from_secs(10),
            parked_bytes: 64 << 20,
        }
    }
}

/// Bytes counted for each stored event besides its frame and key: the entry itself and the
/// allocations behind it, with what they leave unused.
pub const EVENT_BYTES: usize = 256;

/// What the engine holds, and what it had to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryStats {
    /// Channels there are.
    pub channels: usize,
    /// Bytes of all logs and states, as counted against [`MemorySettings::log_bytes`].
    pub log_bytes: usize,
    /// Members of all channels.
    pub members: usize,
    /// Events that went because of [`MemorySettings::log_bytes`], since the start.
    pub evicted: u64,
    /// Publish ids that went before their window was over, since the start.
    pub ids_forgotten: u64,
}

/// The counts behind [`MemoryStats`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) channels: AtomicUsize,
    pub(super) log_bytes: AtomicUsize,
    pub(super) members: AtomicUsize,
    pub(super) evicted: AtomicU64,
    pub(super) ids_forgotten: AtomicU64,
}

impl Counts {
    pub(super) fn stats(&self) -> MemoryStats {
        MemoryStats {
            channels: self.channels.load(Relaxed),
            log_bytes: self.log_bytes.load(Relaxed),
            members: self.members.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
            ids_forgotten: self.ids_forgotten.load(Relaxed),
        }
    }
}

/// Adds one if the count stays within `max`; answers whether it did.
pub(super) fn admit(count: &AtomicUsize, max: usize) -> bool {
    count.fetch_update(Relaxed, Relaxed, |n| (n < max).then_some(n + 1)).is_ok()
}
