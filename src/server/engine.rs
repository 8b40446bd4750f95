//! The engine that the settings name.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::engine::Engine;
use crate::engine::memory::{MemoryEngine, MemorySettings};
use crate::engine::redis::{Address, RedisEngine, RedisSettings};
use crate::engine::types::Delivery;
use crate::telemetry::metrics::Metrics;

/// An engine, and what it counts.
pub(super) enum Chosen {
    Memory(Arc<MemoryEngine>),
    Redis(Arc<RedisEngine>),
}

/// Checks what only the engine can read of the settings.
/// # Errors
/// With the key and what is wrong with it.
pub fn check(config: &Config) -> anyhow::Result<()> {
    if config.engine.is_memory() { Ok(()) } else { address(config).map(drop) }
}

fn address(config: &Config) -> anyhow::Result<Address> {
    let redis = &config.engine.redis;
    let authority = match redis.ca_file.as_str() {
        "" => None,
        path => Some(std::fs::read(path).with_context(|| format!("engine.redis.ca_file: {path}"))?),
    };
    Ok(Address::parse(&config.engine.url)?.trusting(authority))
}

impl Chosen {
    /// Starts the engine.
    pub(super) fn start(
        config: &Config,
        deliveries: mpsc::Sender<Delivery>,
    ) -> anyhow::Result<Self> {
        if config.engine.is_memory() {
            let memory = &config.engine.memory;
            let settings = MemorySettings {
                log_bytes: memory.log_bytes,
                channels: memory.channels,
                members: memory.presence_members,
                ..MemorySettings::default()
            };
            return Ok(Self::Memory(MemoryEngine::new(&settings, deliveries)));
        }
        let prefix = config.engine.redis.prefix.clone();
        let settings = RedisSettings { prefix, ..RedisSettings::default() };
        Ok(Self::Redis(RedisEngine::start(address(config)?, &settings, deliveries)?))
    }

    pub(super) fn shared(&self) -> Arc<dyn Engine> {
        match self {
            Self::Memory(engine) => Arc::clone(engine) as Arc<dyn Engine>,
            Self::Redis(engine) => Arc::clone(engine) as Arc<dyn Engine>,
        }
    }

    /// Puts what the engine counts into the metrics.
    pub(super) fn measure(&self, metrics: &Metrics) {
        let count = |n: usize| u64::try_from(n).unwrap_or_default();
        match self {
            Self::Memory(engine) => {
                let stats = engine.stats();
                metrics.engine_log_bytes.set(count(stats.log_bytes));
                metrics.engine_channels.set(count(stats.channels));
            }
            Self::Redis(engine) => {
                let stats = engine.stats();
                metrics.engine_channels.set(count(stats.channels));
                metrics.backplane_received.set(stats.received);
                metrics.backplane_breaks.set(stats.breaks);
            }
        }
    }
}
