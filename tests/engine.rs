//! The conformance suite against the memory engine, and that engine's own bounds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a failed test is a panic"
)]

mod conformance;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join, ready};
use throughline::engine::Engine;
use throughline::engine::clock::Clock;
use throughline::engine::memory::{EVENT_BYTES, MemoryEngine, MemorySettings};
use throughline::engine::types::{
    EngineError, MemberId, ParkedSession, PresenceState, Published, Retention,
};
use throughline::protocol::position::{GapReason, Since};
use tokio::sync::mpsc;

use conformance::fixture::{
    ALL, DURABLE, at_once, channel, incarnation, keyed, member, offsets, publish, with_id,
};
use conformance::{Fixture, Harness, conformance};

struct Memory;

impl Harness for Memory {
    fn fresh(&self) -> BoxFuture<'_, Fixture> {
        ready(bounded(&MemorySettings::default(), 100_000).0).boxed()
    }
}

conformance!(crate::Memory);

fn bounded(settings: &MemorySettings, queue: usize) -> (Fixture, Arc<MemoryEngine>) {
    let (sender, deliveries) = mpsc::channel(queue);
    let time = Arc::new(AtomicU64::new(1_700_000_000_000));
    let now = Arc::clone(&time);
    let clock = Clock::from_fn(move || now.load(Relaxed));
    let engine = MemoryEngine::with_clock(settings, sender, clock);
    let advance = move |by: Duration| {
        time.fetch_add(u64::try_from(by.as_millis()).unwrap(), Relaxed);
        ready(()).boxed()
    };
    let shared: Arc<dyn Engine> = Arc::<MemoryEngine>::clone(&engine);
    (Fixture { engine: shared, deliveries, advance: Box::new(advance) }, engine)
}

fn full(result: Result<impl std::fmt::Debug, EngineError>, of: &str) {
    match result {
        Err(EngineError::Full(what)) => assert_eq!(what, of),
        other => panic!("not full: {other:?}"),
    }
}

// spec: B1
#[tokio::test]
async fn at_the_bound_of_all_logs_the_largest_lose_their_oldest_events() {
    let settings = MemorySettings { log_bytes: 64 * 1024, ..MemorySettings::default() };
    let (it, engine) = bounded(&settings, 16);
    let deep = Retention::Log { size: 100_000, age: Duration::from_hours(1) };
    let (small, large) = (channel("chat:small"), channel("chat:large"));
    for text in ["a", "b", "c"] {
        it.publish(publish(&small, deep, &[text])).await;
    }
    let start = it.top(&large).await;
    for _ in 0..2000 {
        it.publish(publish(&large, deep, &["x"])).await;
        assert!(engine.stats().log_bytes <= settings.log_bytes);
    }
    assert_eq!(offsets(&it.all(&small).await), [1, 2, 3], "a small log loses nothing");
    let kept = it.all(&large).await;
    assert_eq!(kept.last().unwrap().offset, 2000);
    assert_eq!(engine.stats().evicted, 2000 - kept.len() as u64);
    assert!(kept.len() * (EVENT_BYTES + 60) > settings.log_bytes / 2, "no more than it must");
    assert_eq!(it.gap(&large, &start).await, Some(GapReason::Trimmed));
}

// spec: B1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_at_once_pass_the_bound_of_all_logs_by_their_own_batches_at_most() {
    const PUBLISHERS: usize = 4;
    let settings = MemorySettings { log_bytes: 64 * 1024, ..MemorySettings::default() };
    let (_it, engine) = bounded(&settings, 16);
    let most = settings.log_bytes + PUBLISHERS * 2 * (EVENT_BYTES + 100);
    let tasks = (0..PUBLISHERS).map(|n| {
        let (engine, ch) = (Arc::clone(&engine), channel(&format!("chat:{n}")));
        async move {
            for _ in 0..500 {
                engine.publish(publish(&ch, DURABLE, &["a", "b"])).await.unwrap();
                assert!(engine.stats().log_bytes <= most);
            }
        }
    });
    at_once(tasks.collect::<Vec<_>>()).await;
    assert!(engine.stats().evicted > 0);
}

// spec: B1
#[tokio::test]
async fn the_state_of_keys_counts_against_the_bound_of_all_logs() {
    let settings = MemorySettings { log_bytes: 16 * 1024, ..MemorySettings::default() };
    let (it, engine) = bounded(&settings, 16);
    let score = channel("score:a");
    for n in 0..500 {
        let entries = vec![keyed(&format!("k{n}"), "x")];
        let retention = Retention::State { keys: 100_000 };
        let send = publish(&score, retention, &[]);
        it.publish(throughline::engine::types::Publish { entries, ..send }).await;
        assert!(engine.stats().log_bytes <= settings.log_bytes);
    }
    let state = it.engine.state(&score).await.unwrap();
    assert_eq!(state.events.last().unwrap().offset, 500);
    assert!(state.events.len() < 500);
}

// spec: B1, B2
#[tokio::test]
async fn the_memory_of_what_is_too_old_is_given_back() {
    let (it, engine) = bounded(&MemorySettings::default(), 16);
    for n in 0..100 {
        it.say(&channel(&format!("chat:{n}")), "x").await;
    }
    assert_eq!(engine.stats().channels, 100);
    it.engine.subscribe(&channel("chat:7")).await.unwrap();
    it.join(&channel("chat:8"), member("m", 1, PresenceState::Online, "")).await.unwrap();
    let wanted = it.top(&channel("chat:7")).await;
    let idle = it.top(&channel("chat:9")).await;
    it.advance(Duration::from_hours(2)).await;
    it.engine.renew(&incarnation("node"), None).await.unwrap();
    let stats = engine.stats();
    assert_eq!((stats.channels, stats.log_bytes, stats.evicted), (2, 0, 0));
    assert_eq!(it.top(&channel("chat:7")).await, wanted);
    assert_eq!(it.gap(&channel("chat:9"), &idle).await, Some(GapReason::Epoch), "it began again");
}

// spec: B1
#[tokio::test]
async fn at_the_bound_of_channels_a_new_one_is_refused_until_one_is_idle() {
    let settings = MemorySettings { channels: 10, ..MemorySettings::default() };
    let (it, engine) = bounded(&settings, 16);
    for n in 0..10 {
        it.publish(publish(&channel(&format!("cursor:{n}")), Retention::None, &["x"])).await;
    }
    let one_more = || publish(&channel("cursor:more"), Retention::None, &["x"]);
    full(it.engine.publish(one_more()).await, "channels");
    full(it.engine.top(&channel("cursor:more")).await, "channels");
    it.publish(publish(&channel("cursor:3"), Retention::None, &["x"])).await;
    it.advance(Duration::from_secs(601)).await;
    it.engine.renew(&incarnation("node"), None).await.unwrap();
    assert_eq!(engine.stats().channels, 0);
    it.publish(one_more()).await;
}

// spec: B1, P3
#[tokio::test]
async fn at_the_bound_of_ids_the_older_half_is_forgotten() {
    let settings = MemorySettings { dedupe_ids: 64 * 10, ..MemorySettings::default() };
    let (it, engine) = bounded(&settings, 16);
    let ch = channel("chat:a");
    let send = |n: u32| with_id(publish(&ch, DURABLE, &["x"]), "u:ann", &n.to_string(), 7);
    for n in 0..100 {
        assert!(!it.publish(send(n)).await.duplicate);
    }
    assert_eq!(engine.stats().ids_forgotten, 90);
    assert!(it.publish(send(99)).await.duplicate);
    assert!(it.publish(send(91)).await.duplicate);
    assert!(!it.publish(send(0)).await.duplicate);
}

// spec: P2, F3
#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_a_publisher_wait_and_then_stores_nothing() {
    let (mut it, _engine) = bounded(&MemorySettings::default(), 2);
    let ch = channel("chat:a");
    it.engine.subscribe(&ch).await.unwrap();
    it.publish(publish(&ch, DURABLE, &["a", "b"])).await;
    let began = tokio::time::Instant::now();
    let refused = it.engine.publish(publish(&ch, DURABLE, &["c"])).await;
    assert!(matches!(refused, Err(EngineError::Unavailable)), "{refused:?}");
    assert_eq!(began.elapsed().as_secs(), 2);
    assert_eq!(it.top(&ch).await.offset, 2);
    let engine = Arc::clone(&it.engine);
    let (stored, _) = join(engine.publish(publish(&ch, DURABLE, &["d"])), it.next()).await;
    assert_eq!(stored.unwrap().position.offset, 3, "room was made in time");
}

// spec: P2
#[tokio::test]
async fn a_publish_dropped_while_it_waits_stores_nothing() {
    let (it, _engine) = bounded(&MemorySettings::default(), 1);
    let ch = channel("chat:a");
    it.engine.subscribe(&ch).await.unwrap();
    it.say(&ch, "a").await;
    let waits = it.engine.publish(publish(&ch, DURABLE, &["b"])).now_or_never();
    assert!(waits.is_none());
    assert_eq!(it.top(&ch).await.offset, 1);
}

#[tokio::test]
async fn deliveries_that_nobody_wants_take_no_room() {
    let (it, _engine) = bounded(&MemorySettings::default(), 1);
    for _ in 0..10 {
        it.say(&channel("chat:a"), "a").await;
    }
    full(it.engine.publish(publish(&channel("chat:a"), DURABLE, &["a", "b"])).await, "deliveries");
}

// spec: P2
#[tokio::test]
async fn without_a_reader_of_deliveries_the_engine_is_unavailable() {
    let (mut it, _engine) = bounded(&MemorySettings::default(), 1);
    it.deliveries.close();
    let refused = it.engine.publish(publish(&channel("chat:a"), DURABLE, &["a"])).await;
    assert!(matches!(refused, Err(EngineError::Unavailable)), "{refused:?}");
    assert!(it.page(&channel("chat:a"), Since::Oldest, ALL).await.events.is_empty());
}

// spec: B1
#[tokio::test]
async fn at_the_bound_of_members_a_new_one_is_refused() {
    let settings = MemorySettings { members: 2, ..MemorySettings::default() };
    let (it, engine) = bounded(&settings, 16);
    let room = channel("room:a");
    let one = |id, fence| member(id, fence, PresenceState::Online, "");
    it.join(&room, one("m1", 1)).await.unwrap();
    it.join(&room, one("m2", 1)).await.unwrap();
    full(it.join(&room, one("m3", 1)).await, "members");
    it.join(&room, one("m2", 2)).await.unwrap();
    it.engine.leave(&room, &MemberId("m1".into()), 1, Duration::ZERO).await.unwrap();
    it.join(&room, one("m3", 1)).await.unwrap();
    assert_eq!(engine.stats().members, 2);
}

// spec: B1
#[tokio::test]
async fn at_the_bound_of_parked_bytes_a_session_is_refused_until_one_is_over() {
    let settings = MemorySettings { parked_bytes: 1000, ..MemorySettings::default() };
    let (it, _engine) = bounded(&settings, 16);
    let parked = |version| ParkedSession {
        version,
        state: vec![0; 600].into(),
        ttl: Duration::from_mins(2),
    };
    it.engine.park("s1", parked(1), 0).await.unwrap();
    full(it.engine.park("s2", parked(1), 0).await, "parked sessions");
    it.engine.park("s1", parked(2), 1).await.unwrap();
    it.advance(Duration::from_secs(121)).await;
    it.engine.park("s2", parked(1), 0).await.unwrap();
}

#[tokio::test]
async fn the_wall_clock_is_the_default() {
    let (sender, _deliveries) = mpsc::channel(16);
    let engine = MemoryEngine::new(&MemorySettings::default(), sender);
    let ch = channel("chat:a");
    let Published { position, .. } = engine.publish(publish(&ch, DURABLE, &["a"])).await.unwrap();
    let page = engine.history(&ch, Since::Oldest, ALL).await.unwrap();
    assert_eq!(page.position, position);
    assert!(page.events[0].at > 1_700_000_000_000);
    assert_eq!(engine.name(), "memory");
}
