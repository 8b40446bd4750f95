//! The conformance suite against the Redis engine: on one server, and on a Cluster. Every server is
//! a real one that the tests start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::pedantic,
    reason = "a failed test is a panic, and suites share their support"
)]

mod access;
#[path = "../conformance/mod.rs"]
mod conformance;
mod faults;
mod masters;
mod reasons;
#[path = "../support/mod.rs"]
mod support;

use std::any::Any;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use throughline::engine::Engine;
use throughline::engine::redis::{Address, RedisEngine, RedisSettings, Skew};
use throughline::engine::types::Incarnation;
use tokio::sync::mpsc;

use conformance::{Fixture, Harness};
use support::redis::Redis;
use support::redis::cluster::Cluster;

/// Between two renewals of a node that lives while time is moved; a fleet is never silent.
const BEAT: Duration = Duration::from_secs(2);
/// How long nobody may renew without the store taking itself for having been away.
const QUIET: Duration = Duration::from_secs(3);
/// Beyond this nobody looks at leases.
const BEATS_FOR: Duration = Duration::from_mins(3);

/// A server that tests share; it ends with the last of them.
struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    fn get(&self, start: impl FnOnce() -> T) -> Arc<T> {
        let mut shared = self.0.lock().unwrap();
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(start());
            *shared = Arc::downgrade(&started);
            started
        })
    }
}

/// An engine of its own prefix, which keeps its server alive.
fn fixture(url: &str, server: Arc<dyn Any + Send + Sync>) -> Fixture {
    of(Address::parse(url).unwrap(), server)
}

/// The same of an address with all that is not in its URL.
fn of(address: Address, server: Arc<dyn Any + Send + Sync>) -> Fixture {
    let (sender, deliveries) = mpsc::channel(100_000);
    let prefix = format!("t{:016x}", rand::random::<u64>());
    let skew = Skew::default();
    let settings = RedisSettings { prefix, skew: skew.clone(), ..RedisSettings::default() };
    let engine = RedisEngine::start(address, &settings, sender).unwrap();
    let shared: Arc<dyn Engine> = engine;
    let beats = Arc::clone(&shared);
    let advance = move |by: Duration| {
        let (skew, beats, server) = (skew.clone(), Arc::clone(&beats), Arc::clone(&server));
        async move {
            let beat = Incarnation("beat".into());
            let mut left = by;
            if by <= BEATS_FOR {
                beats.renew(&beat, None).await.unwrap();
                while left > QUIET {
                    skew.advance(2000);
                    left -= BEAT;
                    beats.renew(&beat, None).await.unwrap();
                }
            }
            skew.advance(u64::try_from(left.as_millis()).unwrap());
            drop(server);
        }
        .boxed()
    };
    Fixture { engine: shared, deliveries, advance: Box::new(advance) }
}

struct Single;

static SINGLE: Shared<Redis> = Shared::new();

impl Harness for Single {
    fn fresh(&self) -> BoxFuture<'_, Fixture> {
        async {
            let server = SINGLE.get(Redis::start);
            fixture(&server.url(), server)
        }
        .boxed()
    }
}

mod single {
    use crate::conformance::conformance;

    conformance!(crate::Single);
}

struct InCluster;

static CLUSTER: Shared<Cluster> = Shared::new();

impl Harness for InCluster {
    fn fresh(&self) -> BoxFuture<'_, Fixture> {
        async {
            let cluster = CLUSTER.get(Cluster::start);
            fixture(&cluster.url(), cluster)
        }
        .boxed()
    }
}

mod cluster {
    use crate::conformance::conformance;

    conformance!(crate::InCluster);
}
