//! Appending and broadcasting in one step (contract P1–P7).

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc::{PermitIterator, error::TrySendError};

use crate::engine::types::{Delivery, EngineError, Publish, Published};

use super::MemoryEngine;

/// Every operation answers within 2 s (contract F3).
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl MemoryEngine {
    /// Room in the queue of deliveries, which a full queue makes wait. Nothing is stored yet, so
    /// giving up, or being dropped, leaves nothing behind.
    pub(super) async fn reserve(
        &self,
        count: usize,
    ) -> Result<PermitIterator<'_, Delivery>, EngineError> {
        if count > self.deliveries.max_capacity() {
            return Err(EngineError::Full("deliveries"));
        }
        match self.deliveries.try_reserve_many(count) {
            Ok(room) => Ok(room),
            Err(TrySendError::Closed(())) => Err(EngineError::Unavailable),
            Err(TrySendError::Full(())) => {
                match tokio::time::timeout(ANSWER_WITHIN, self.deliveries.reserve_many(count)).await
                {
                    Ok(Ok(room)) => Ok(room),
                    Ok(Err(_)) | Err(_) => Err(EngineError::Unavailable),
                }
            }
        }
    }

    pub(super) async fn store(&self, publish: Publish) -> Result<Published, EngineError> {
        let room = self.reserve(publish.entries.len()).await?;
        let published = self.append(publish, room)?;
        self.eviction.run(&self.shards, &self.clock).await;
        Ok(published)
    }

    fn append(
        &self,
        publish: Publish,
        room: PermitIterator<'_, Delivery>,
    ) -> Result<Published, EngineError> {
        // There are no replicas: a namespace that wants them is refused by the settings.
        let Publish { channel, retention, entries, dedupe, expect, replicas: _ } = publish;
        let mut shard = self.shards.lock(&channel);
        let now = self.clock.now();
        shard.ids.expire(now);
        let dedupe = dedupe.map(|dedupe| (shard.ids.key(&channel, &dedupe), dedupe.digest));
        if let Some((key, digest)) = &dedupe
            && let Some(published) = shard.ids.answer(key, digest)?
        {
            return Ok(published);
        }
        let cell = self.shards.cell(&mut shard, &channel, now)?;
        if expect.is_some_and(|expect| !cell.is_top(&expect)) {
            return Err(EngineError::Conflict { top: Some(cell.top().clone()) });
        }
        self.shards.measured(cell, |cell| {
            cell.retain(retention);
            for (entry, permit) in entries.into_iter().zip(room) {
                let event = cell.append(entry, now);
                if cell.interest {
                    let epoch = cell.top().epoch.clone();
                    permit.send(Delivery::Event { channel: channel.clone(), epoch, event });
                }
            }
            cell.trim(now);
        });
        let position = cell.top().clone();
        if let Some((key, digest)) = dedupe {
            let forgotten = shard.ids.remember(key, digest, position.clone());
            self.shards.counts.ids_forgotten.fetch_add(forgotten as u64, Relaxed);
        }
        Ok(Published { position, duplicate: false })
    }
}
