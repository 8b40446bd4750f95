//! The engine while its Redis fails: F1, F2, F4, F5, D1, P2, P3, P4.

use std::sync::Arc;
use std::time::Duration;

use throughline::engine::types::{
    Delivery, EngineError, Health, NodeStatus, PresenceState, Publish, Retention,
};
use throughline::protocol::position::{GapReason, Position};

use crate::conformance::Fixture;
use crate::conformance::fixture::{channel, incarnation, member, publish, with_id};
use crate::fixture;
use crate::support::redis::cluster::Cluster;
use crate::support::redis::sentinel::Sentinel;
use crate::support::redis::{Options, Redis};
use crate::support::wait;

const DEEP: Retention = Retention::Log { size: 10_000, age: Duration::from_hours(1) };

fn on(redis: &Arc<Redis>) -> Fixture {
    fixture(&redis.url(), Arc::clone(redis) as _)
}

/// Publishes with an id, again and again until it is answered, as a backend does.
async fn surely(it: &Fixture, n: u64) -> Position {
    let mut stored = None;
    wait::until("the publish is answered", async || {
        let send = with_id(publish(&channel("chat:a"), DEEP, &["x"]), "k:b", &n.to_string(), 1);
        match it.engine.publish(send).await {
            Ok(done) => stored = Some(done.position),
            Err(EngineError::Unavailable | EngineError::Unknown) => {}
            Err(other) => panic!("{other:?}"),
        }
        stored.is_some()
    })
    .await;
    stored.unwrap()
}

/// Waits for an operation to succeed.
pub async fn healed(it: &Fixture) {
    wait::until("the store is there", async || it.engine.top(&channel("chat:probe")).await.is_ok())
        .await;
}

/// The next that is no word of a loss of all data.
async fn next(it: &mut Fixture) -> Delivery {
    loop {
        match it.next().await {
            Delivery::Lost => {}
            other => return other,
        }
    }
}

/// Reads events up to an offset: each once, in order.
async fn events(it: &mut Fixture, from: u64, to: u64) {
    for expected in from..=to {
        match next(it).await {
            Delivery::Event { event, .. } => assert_eq!(event.offset, expected),
            other => panic!("not event {expected}: {other:?}"),
        }
    }
}

/// Waits for the word that events of a channel may be missing.
async fn missed(it: &mut Fixture) {
    loop {
        if let Delivery::Missed { channel, events: true, .. } = next(it).await {
            assert_eq!(channel.as_str(), "chat:a");
            return;
        }
    }
}

// spec: D1, D2, D3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_killed_again_and_again_loses_and_repeats_nothing() {
    let redis = Arc::new(Redis::start());
    let mut it = on(&redis);
    it.engine.subscribe(&channel("chat:a")).await.unwrap();
    for n in 1..=500 {
        it.publish(publish(&channel("chat:a"), DEEP, &["x"])).await;
        if n % 50 == 0 {
            redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
    }
    events(&mut it, 1, 500).await;
}

// spec: D1, D3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_that_was_lost_is_read_from_the_log() {
    // demand: 85
    let redis = Arc::new(Redis::start());
    let mut it = on(&redis);
    it.engine.subscribe(&channel("chat:a")).await.unwrap();
    surely(&it, 1).await;
    events(&mut it, 1, 1).await;
    // What a publish does, without its broadcast.
    let silent = "local t = redis.call('HGET', KEYS[1], 't') \
        redis.call('XADD', KEYS[2], '2-0', 'f', '{}', 't', '00000000000000aa', 'p', t, 'a', redis.call('TIME')[1] * 1000) \
        return redis.call('HSET', KEYS[1], 'o', '2', 't', '00000000000000aa')";
    let [meta, log] = ["m", "s"].map(|kind| redis.cli(&["KEYS", &format!("*:{kind}:chat:a")]));
    assert_eq!(redis.cli(&["EVAL", silent, "2", &meta, &log]), "0");
    surely(&it, 3).await;
    events(&mut it, 2, 3).await;
}

// spec: F1, F3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_reader_is_told_of_a_store_that_was_flushed() {
    let redis = Arc::new(Redis::start());
    let mut it = on(&redis);
    it.engine.subscribe(&channel("chat:a")).await.unwrap();
    let last = surely(&it, 1).await;
    events(&mut it, 1, 1).await;
    it.engine.subscribe(&channel("chat:quiet")).await.unwrap();
    redis.cli(&["FLUSHALL"]);
    let (mut lost, mut told) = (false, 0);
    while !lost || told < 2 {
        match it.next().await {
            Delivery::Lost => lost = true,
            Delivery::Missed { events: true, .. } => told += 1,
            _ => {}
        }
    }
    assert_eq!(it.gap(&channel("chat:a"), &last).await, Some(GapReason::Epoch));
}

// spec: R5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_loss_of_data_nobody_is_listed_as_gone_before_nodes_could_list_again() {
    let redis = Arc::new(Redis::start());
    let mut it = on(&redis);
    let room = channel("room:a");
    it.engine.subscribe(&room).await.unwrap();
    it.join(&room, member("m1", 1, PresenceState::Online, "")).await.unwrap();
    redis.cli(&["FLUSHALL"]);
    while !matches!(it.next().await, Delivery::Lost) {}
    let listed = it.engine.members(&room).await;
    assert!(matches!(listed, Err(EngineError::Unavailable)), "{listed:?}");
    while !matches!(it.next().await, Delivery::Missed { members: true, .. }) {}
    assert!(it.engine.members(&room).await.is_ok());
}

// spec: F2, D5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_was_lost_is_a_gap_to_who_saw_it_and_begins_a_new_epoch() {
    let redis = Arc::new(Redis::with(Options::new().append_only("always")));
    let mut it = on(&redis);
    it.engine.subscribe(&channel("chat:a")).await.unwrap();
    let mut seen = Vec::new();
    for n in 1..=200 {
        seen.push(surely(&it, n).await);
    }
    events(&mut it, 1, 200).await;
    redis.kill();
    redis.truncate_aof(0.3);
    redis.restart();
    missed(&mut it).await;
    let top = it.top(&channel("chat:a")).await;
    assert!((1..200).contains(&top.offset), "{top}");
    let new = surely(&it, 1000).await;
    assert_ne!(new.epoch, top.epoch);
    assert_eq!(new.offset, top.offset + 1);
    let kept = usize::try_from(top.offset).unwrap();
    assert_eq!(it.gap(&channel("chat:a"), &seen[kept - 1]).await, None, "its tag is proven");
    assert!(it.gap(&channel("chat:a"), &seen[kept]).await.is_some(), "the offset came again");
    assert!(it.gap(&channel("chat:a"), &seen[199]).await.is_some());
}

// spec: F3, P3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_that_lost_nothing_is_no_gap() {
    let redis = Arc::new(Redis::with(Options::new().append_only("always")));
    let mut it = on(&redis);
    it.engine.subscribe(&channel("chat:a")).await.unwrap();
    for n in 1..=50 {
        surely(&it, n).await;
    }
    redis.kill();
    let down = it.engine.publish(publish(&channel("chat:a"), DEEP, &["x"])).await;
    assert!(matches!(down, Err(EngineError::Unavailable | EngineError::Unknown)), "{down:?}");
    wait::until("it is degraded", async || it.engine.health() == Health::Degraded).await;
    redis.restart();
    for n in 41..=100 {
        surely(&it, n).await;
    }
    events(&mut it, 1, 100).await;
}

// spec: P2, F3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stands_still_leaves_a_doubt_which_the_id_settles() {
    let redis = Arc::new(Redis::start());
    let it = on(&redis);
    surely(&it, 1).await;
    redis.stop();
    let send = || with_id(publish(&channel("chat:a"), DEEP, &["x"]), "k:b", "2", 1);
    let doubt = it.engine.publish(send()).await;
    assert!(matches!(doubt, Err(EngineError::Unknown)), "{doubt:?}");
    redis.cont();
    let settled = surely(&it, 2).await;
    assert_eq!(settled.offset, 2);
    assert_eq!(it.top(&channel("chat:a")).await.offset, 2, "it is there once");
}

// spec: F4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_were_forgotten_are_loaded_again() {
    let redis = Arc::new(Redis::start());
    let it = on(&redis);
    surely(&it, 1).await;
    redis.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(surely(&it, 2).await.offset, 2);
}

// spec: F4, P2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_memory_or_that_must_not_write_refuses_and_stores_nothing() {
    let redis = Arc::new(Redis::start());
    let it = on(&redis);
    surely(&it, 1).await;
    let send = || publish(&channel("chat:a"), DEEP, &["x"]);
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let full = it.engine.publish(send()).await;
    assert!(matches!(full, Err(EngineError::Full(_))), "{full:?}");
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let alone = it.engine.publish(send()).await;
    assert!(matches!(alone, Err(EngineError::Unavailable)), "{alone:?}");
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    assert_eq!(surely(&it, 2).await.offset, 2);
}

// spec: F4, F1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_wrong_type_costs_its_own_channel_alone() {
    let redis = Arc::new(Redis::start());
    let it = on(&redis);
    let first = surely(&it, 1).await;
    let other = it.say(&channel("chat:b"), "x").await;
    let meta = redis.cli(&["--raw", "KEYS", "*:m:chat:a"]);
    redis.cli(&["DEL", &meta]);
    redis.cli(&["SET", &meta, "poison"]);
    let second = surely(&it, 2).await;
    assert_ne!(second.epoch, first.epoch);
    assert_eq!(it.gap(&channel("chat:a"), &first).await, Some(GapReason::Epoch));
    assert_eq!(it.top(&channel("chat:b")).await, other);
}

// spec: P4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replicated_publish_is_answered_once_a_replica_has_it_and_else_unknown() {
    let redis = Arc::new(Redis::start());
    let it = on(&redis);
    // The first of all finds no script and loads it, which takes of the time for a replica.
    surely(&it, 1).await;
    let send = || Publish { replicas: 1, ..publish(&channel("chat:a"), DEEP, &["x"]) };
    let alone = it.engine.publish(send()).await;
    assert!(matches!(alone, Err(EngineError::Unknown)), "{alone:?}");
    let replica = Redis::with(Options::new().replica_of("127.0.0.1", redis.port()));
    replica.wait_in_sync();
    // A busy replica may take its time; by its id it is stored once.
    let mut answered = None;
    wait::until("the replica has it in time", async || {
        answered = it.engine.publish(with_id(send(), "k:b", "replicated", 1)).await.ok();
        answered.is_some()
    })
    .await;
    assert_eq!(answered.unwrap().position.offset, 3);
}

// spec: S5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_lease_proves_nothing_after_a_loss_of_data() {
    let redis = Arc::new(Redis::start());
    let it = on(&redis);
    it.engine.renew(&incarnation("one"), None).await.unwrap();
    it.advance(Duration::from_secs(9)).await;
    assert_eq!(it.engine.node(&incarnation("other")).await.unwrap(), NodeStatus::Dead);
    redis.cli(&["FLUSHALL"]);
    // Nor before this node has noticed it.
    assert_eq!(it.engine.node(&incarnation("other")).await.unwrap(), NodeStatus::Unknown);
    it.engine.renew(&incarnation("one"), None).await.unwrap();
    assert_eq!(it.engine.node(&incarnation("other")).await.unwrap(), NodeStatus::Unknown);
    it.advance(Duration::from_secs(9)).await;
    assert_eq!(it.engine.node(&incarnation("other")).await.unwrap(), NodeStatus::Dead);
}

// spec: R2, R3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_of_the_store_nobody_is_gone_before_sessions_could_go_on_elsewhere() {
    let redis = Arc::new(Redis::with(Options::new().append_only("always")));
    let it = on(&redis);
    it.engine.renew(&incarnation("dead"), None).await.unwrap();
    it.advance(Duration::from_secs(16)).await;
    redis.kill();
    redis.restart();
    healed(&it).await;
    // Beyond the lease and the grace, and not a lease after the restart.
    it.advance(Duration::from_secs(4)).await;
    assert_eq!(it.engine.node(&incarnation("dead")).await.unwrap(), NodeStatus::Unknown);
    assert!(it.engine.renew(&incarnation("dead"), None).await.unwrap().late);
    it.advance(Duration::from_secs(40)).await;
    assert!(it.engine.renew(&incarnation("dead"), None).await.is_err());
}

// spec: R2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_of_the_store_itself_lapses_no_lease() {
    let redis = Arc::new(Redis::start());
    let it = on(&redis);
    for node in ["one", "two"] {
        it.engine.renew(&incarnation(node), None).await.unwrap();
    }
    it.advance(Duration::from_mins(10)).await;
    assert!(!it.engine.renew(&incarnation("one"), None).await.unwrap().late);
    assert!(!it.engine.renew(&incarnation("two"), None).await.unwrap().late);
}

// spec: F2, F4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_failover_loses_and_repeats_nothing() {
    let sentinel = Arc::new(Sentinel::start(Duration::from_secs(1)));
    let mut it = fixture(&sentinel.url(), Arc::clone(&sentinel) as _);
    healed(&it).await;
    it.engine.subscribe(&channel("chat:a")).await.unwrap();
    for n in 1..=100 {
        surely(&it, n).await;
    }
    let before = it.top(&channel("chat:a")).await;
    let old = sentinel.master().port();
    sentinel.fail_over();
    // Until the old one is told it takes writes, which are lost: that is no clean failover.
    while sentinel.replica().port() != old || sentinel.replica().info("role") != "slave" {}
    for n in 101..=200 {
        surely(&it, n).await;
    }
    events(&mut it, 1, 200).await;
    assert_ne!(it.top(&channel("chat:a")).await.epoch, before.epoch, "another server");
    assert_eq!(it.gap(&channel("chat:a"), &before).await, None, "its tag is proven");
}

// spec: F4, D3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_loses_and_repeats_nothing() {
    let cluster = Arc::new(Cluster::start());
    let mut it = fixture(&cluster.url(), Arc::clone(&cluster) as _);
    healed(&it).await;
    it.engine.subscribe(&channel("chat:a")).await.unwrap();
    for n in 1..=50 {
        surely(&it, n).await;
    }
    let key = cluster.nodes.iter().map(|node| node.cli(&["--raw", "KEYS", "*:m:chat:a"]));
    let key = key.into_iter().find(|key| !key.is_empty()).unwrap();
    let slot = cluster.slot(&key);
    let to = (cluster.owner(slot) + 1) % 3;
    cluster.begin_move(slot, to);
    cluster.move_keys(slot, to, 1);
    let mut during = Box::pin(surely(&it, 51));
    assert!(futures::poll!(&mut during).is_pending());
    cluster.end_move(slot, to);
    during.await;
    for n in 52..=100 {
        surely(&it, n).await;
    }
    events(&mut it, 1, 100).await;
}
