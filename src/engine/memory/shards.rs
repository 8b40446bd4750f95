//! All channels, in shards of one lock each.
//!
//! What is done under a lock takes no other shard's lock and awaits nothing.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::{Mutex, MutexGuard};

use crate::engine::clock::millis;
use crate::engine::types::{EngineError, WallMs};
use crate::protocol::channel::Channel;

use super::cell::Cell;
use super::dedupe::Ids;
use super::rotating::Rotating;
use super::settings::{Counts, MemorySettings, admit};

const SHARDS: usize = 64;
/// A shard is swept for the sake of a new channel at most this often: ms.
const SWEEP_MIN_MS: WallMs = 1000;
/// A shard is swept at a renewal at most this often: ms.
const SWEEP_EVERY_MS: WallMs = 15_000;
/// Below this many slots a map is not worth shrinking.
const SLOTS_MIN: usize = 64;

/// The channels whose names hash alike, with what belongs to them.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) channels: HashMap<Channel, Cell>,
    pub(super) ids: Ids,
    /// When the last member of a user's own channel left.
    pub(super) last_seen: Rotating<Channel, WallMs>,
    swept: WallMs,
}

/// All shards.
#[derive(Debug)]
pub(super) struct Shards {
    others: Vec<Mutex<Shard>>,
    last: Mutex<Shard>,
    hasher: RandomState,
    channels_max: usize,
    idle: WallMs,
    pub(super) counts: Counts,
}

impl Shards {
    pub(super) fn new(settings: &MemorySettings, now: WallMs) -> Self {
        let window = millis(settings.dedupe_window);
        let part = |bound: usize| bound.div_ceil(SHARDS);
        let shard = || {
            Mutex::new(Shard {
                channels: HashMap::new(),
                ids: Ids::new(part(settings.dedupe_ids), window, now),
                last_seen: Rotating::new(part(settings.last_seen)),
                swept: now,
            })
        };
        Self {
            others: (1..SHARDS).map(|_| shard()).collect(),
            last: shard(),
            hasher: RandomState::new(),
            channels_max: settings.channels,
            idle: millis(settings.channel_idle).max(window.saturating_mul(2)),
            counts: Counts::default(),
        }
    }

    /// Every shard.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Mutex<Shard>> {
        self.others.iter().chain([&self.last])
    }

    /// The shard of a channel.
    pub(super) fn lock(&self, channel: &Channel) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(self.hasher.hash_one(channel) % SHARDS as u64).unwrap_or_default();
        self.others.get(at).unwrap_or(&self.last).lock()
    }

    /// The channel, begun if it is not there.
    /// # Errors
    /// [`EngineError::Full`] where there are as many channels as may be.
    pub(super) fn cell<'s>(
        &self,
        shard: &'s mut Shard,
        channel: &Channel,
        now: WallMs,
    ) -> Result<&'s mut Cell, EngineError> {
        if !shard.channels.contains_key(channel) {
            self.admit(shard, now)?;
        }
        let cell = shard.channels.entry(channel.clone()).or_insert_with(|| Cell::new(now));
        cell.touch(now);
        Ok(cell)
    }

    fn admit(&self, shard: &mut Shard, now: WallMs) -> Result<(), EngineError> {
        if admit(&self.counts.channels, self.channels_max) {
            return Ok(());
        }
        if now.saturating_sub(shard.swept) >= SWEEP_MIN_MS {
            self.sweep(shard, now);
            if admit(&self.counts.channels, self.channels_max) {
                return Ok(());
            }
        }
        Err(EngineError::Full("channels"))
    }

    /// Changes a channel and keeps the count of bytes in step.
    pub(super) fn measured<T>(&self, cell: &mut Cell, change: impl FnOnce(&mut Cell) -> T) -> T {
        let before = cell.bytes();
        let out = change(cell);
        let after = cell.bytes();
        if after >= before {
            self.counts.log_bytes.fetch_add(after - before, Relaxed);
        } else {
            self.counts.log_bytes.fetch_sub(before - after, Relaxed);
        }
        out
    }

    /// Sweeps a shard unless that was done lately.
    pub(super) fn sweep_if_due(&self, shard: &mut Shard, now: WallMs) {
        if now.saturating_sub(shard.swept) >= SWEEP_EVERY_MS {
            self.sweep(shard, now);
        }
    }

    /// Drops what is too old: events, publish ids, channels that nobody uses.
    fn sweep(&self, shard: &mut Shard, now: WallMs) {
        shard.swept = now;
        shard.ids.expire(now);
        shard.channels.retain(|_, cell| {
            self.measured(cell, |cell| cell.trim(now));
            let idle = cell.is_idle(now, self.idle);
            if idle {
                self.counts.channels.fetch_sub(1, Relaxed);
            }
            !idle
        });
        let (len, slots) = (shard.channels.len(), shard.channels.capacity());
        if slots > SLOTS_MIN && len < slots / 4 {
            shard.channels.shrink_to(len * 2);
        }
    }
}
