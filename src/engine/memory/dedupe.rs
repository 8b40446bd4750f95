//! The publish ids of the last minutes (contract P3).

use std::hash::{BuildHasher, RandomState};

use crate::engine::types::{Dedupe, EngineError, Published, WallMs};
use crate::protocol::channel::Channel;
use crate::protocol::position::Position;

use super::rotating::Rotating;

/// Channel, publisher and id as 128 bits of two hashes with secret keys: an entry then costs the
/// same whatever their length, and no publisher can make two of them meet.
pub(super) type Key = [u64; 2];

#[derive(Debug)]
struct Stored {
    digest: [u8; 16],
    position: Position,
}

/// Remembers each id for one window at least and two at most.
#[derive(Debug)]
pub(super) struct Ids {
    stored: Rotating<Key, Stored>,
    secrets: [RandomState; 2],
    window: WallMs,
    rotated: WallMs,
}

impl Ids {
    pub(super) fn new(max: usize, window: WallMs, now: WallMs) -> Self {
        let secrets = [RandomState::new(), RandomState::new()];
        Self { stored: Rotating::new(max), secrets, window: window.max(1), rotated: now }
    }

    pub(super) fn key(&self, channel: &Channel, dedupe: &Dedupe) -> Key {
        self.secrets.each_ref().map(|s| s.hash_one((channel, &dedupe.publisher, &dedupe.id)))
    }

    /// The answer to a publish that was stored before.
    pub(super) fn answer(
        &self,
        key: &Key,
        digest: &[u8; 16],
    ) -> Result<Option<Published>, EngineError> {
        match self.stored.get(key) {
            None => Ok(None),
            Some(stored) if stored.digest == *digest => {
                Ok(Some(Published { position: stored.position.clone(), duplicate: true }))
            }
            Some(_) => Err(EngineError::DuplicateId),
        }
    }

    /// Remembers a publish, and answers how many ids were forgotten too early for it.
    pub(super) fn remember(&mut self, key: Key, digest: [u8; 16], position: Position) -> usize {
        self.stored.insert(key, Stored { digest, position })
    }

    /// Forgets the ids of the window before the last. Windows follow each other without a hole,
    /// so that an id lasts two of them at most however seldom this is called.
    pub(super) fn expire(&mut self, now: WallMs) {
        let windows = now.saturating_sub(self.rotated) / self.window;
        for _ in 0..windows.min(2) {
            self.stored.rotate();
        }
        self.rotated += windows * self.window;
    }
}
