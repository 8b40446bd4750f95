//! The engine that the settings name.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::engine::memory::{MemoryEngine, MemorySettings};
use crate::engine::redis::{Address, Certificate, RedisEngine, RedisSettings, SentinelLogin};
use crate::engine::{Deliveries, Engine};
use crate::telemetry::metrics::Metrics;

/// Deliveries that wait between the engine and the fan-out; beyond it publishers wait.
const DELIVERIES: usize = 4096;

/// An engine, and what comes out of it.
pub struct Built {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// What it broadcasts to this node.
    pub deliveries: Deliveries,
    /// Puts what it counts into the metrics.
    pub measure: Measure,
}

/// Puts what an engine counts into the metrics.
pub type Measure = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Checks what only the engine can read of the settings.
/// # Errors
/// With the key and what is wrong with it.
pub fn check(config: &Config) -> anyhow::Result<()> {
    if config.engine.is_memory() { Ok(()) } else { address(config).map(drop) }
}

fn address(config: &Config) -> anyhow::Result<Address> {
    let redis = &config.engine.redis;
    let read = |key: &str, path: &str| -> anyhow::Result<Vec<u8>> {
        std::fs::read(path).with_context(|| format!("engine.redis.{key}: {path}"))
    };
    let authority = match redis.ca_file.as_str() {
        "" => None,
        path => Some(read("ca_file", path)?),
    };
    let certificate = match (&redis.cert_file, &redis.key_file) {
        (Some(cert), Some(key)) => {
            Some(Certificate { cert: read("cert_file", cert)?, key: read("key_file", key)? })
        }
        (None, None) => None,
        _ => bail!("engine.redis.cert_file and engine.redis.key_file come together"),
    };
    let login = match (&redis.sentinel_user, &redis.sentinel_password) {
        (user, Some(password)) => {
            Some(SentinelLogin { user: user.clone(), password: password.clone() })
        }
        (None, None) => None,
        (Some(_), None) => bail!("engine.redis.sentinel_user needs a sentinel_password"),
    };
    let address = Address::parse(config.engine.url.expose())?;
    Ok(address.trusting(authority).showing(certificate).watched_by(login))
}

/// Builds the engine of `engine.url`.
pub(super) fn build(config: &Config) -> anyhow::Result<Built> {
    if config.engine.is_memory() { Ok(memory(config)) } else { redis(config) }
}

fn memory(config: &Config) -> Built {
    let (sender, deliveries) = mpsc::channel(DELIVERIES);
    let memory = &config.engine.memory;
    let settings = MemorySettings {
        log_bytes: memory.log_bytes,
        channels: memory.channels,
        members: memory.presence_members,
        grace: config.session.grace,
        ..MemorySettings::default()
    };
    let memory = MemoryEngine::new(&settings, sender);
    let engine = Arc::clone(&memory) as Arc<dyn Engine>;
    let measure = Box::new(move |metrics: &Metrics| {
        let stats = memory.stats();
        metrics.engine_log_bytes.set(count(stats.log_bytes));
        metrics.engine_channels.set(count(stats.channels));
    });
    Built { engine, deliveries, measure }
}

fn redis(config: &Config) -> anyhow::Result<Built> {
    let (sender, deliveries) = mpsc::channel(DELIVERIES);
    let prefix = config.engine.redis.prefix.clone();
    let grace = config.session.grace;
    let settings = RedisSettings { prefix, grace, ..RedisSettings::default() };
    let redis = RedisEngine::start(address(config)?, &settings, sender)?;
    let engine = Arc::clone(&redis) as Arc<dyn Engine>;
    let measure = Box::new(move |metrics: &Metrics| {
        let stats = redis.stats();
        metrics.engine_channels.set(count(stats.channels));
        metrics.backplane_received.set(stats.received);
        metrics.backplane_breaks.set(stats.breaks);
    });
    Ok(Built { engine, deliveries, measure })
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or_default()
}
