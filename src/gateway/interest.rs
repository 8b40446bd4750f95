//! Which channels this node has readers of. The first reader asks the engine, the last one's end
//! tells it; what happens to one channel happens one after the other.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tokio::sync::Mutex;

use crate::engine::Engine;
use crate::engine::types::EngineError;
use crate::protocol::channel::Channel;

const STRIPES: usize = 64;

/// Readers by channel. Bounded by the sessions and the subscriptions of each.
#[derive(Debug)]
pub(super) struct Interest {
    stripes: Vec<Mutex<HashMap<Channel, usize>>>,
}

impl Default for Interest {
    fn default() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::new(HashMap::new())).collect() }
    }
}

impl Interest {
    fn stripe(&self, channel: &Channel) -> Option<&Mutex<HashMap<Channel, usize>>> {
        let mut hasher = DefaultHasher::new();
        channel.hash(&mut hasher);
        let index = hasher.finish() % STRIPES as u64;
        self.stripes.get(usize::try_from(index).unwrap_or_default())
    }

    /// One more reader.
    pub(super) async fn acquire(
        &self,
        engine: &dyn Engine,
        channel: &Channel,
    ) -> Result<(), EngineError> {
        let Some(stripe) = self.stripe(channel) else { return Err(EngineError::Unavailable) };
        // Held over the engine's answer, so that an end that overtakes a beginning cannot be.
        let mut readers = stripe.lock().await;
        match readers.get_mut(channel) {
            Some(count) => *count += 1,
            None => {
                engine.subscribe(channel).await?;
                readers.insert(channel.clone(), 1);
            }
        }
        Ok(())
    }

    /// One reader less.
    pub(super) async fn release(&self, engine: &dyn Engine, channel: &Channel) {
        let Some(stripe) = self.stripe(channel) else { return };
        let mut readers = stripe.lock().await;
        let Some(count) = readers.get_mut(channel) else { return };
        *count -= 1;
        if *count == 0 {
            readers.remove(channel);
            // Where the engine cannot be reached its deliveries find no reader, which is harmless.
            let _ = engine.unsubscribe(channel).await;
        }
    }
}
