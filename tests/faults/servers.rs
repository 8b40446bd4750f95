//! The Redis servers of the suite do what the scenarios need of them.

use std::time::Duration;

use crate::support::redis::cluster::Cluster;
use crate::support::redis::sentinel::Sentinel;
use crate::support::redis::{Options, Redis};

#[test]
fn a_single_server_serves_and_survives_a_kill_with_its_log() {
    let redis = Redis::with(Options::new().append_only("always").password("secret"));
    assert_eq!(redis.cli(&["SET", "key", "value"]), "OK");
    redis.kill();
    redis.restart();
    assert_eq!(redis.cli(&["GET", "key"]), "value");
    redis.kill();
    assert!(redis.truncate_aof(1.0) > 0);
    redis.restart();
    assert_eq!(redis.cli(&["GET", "key"]), "");
    assert_eq!(redis.url(), format!("redis://:secret@127.0.0.1:{}/0", redis.port()));
}

#[test]
fn a_stopped_server_goes_on_where_it_was() {
    let redis = Redis::with(Options::new().user("node", "word", "~* &* +@all"));
    let monitor = redis.monitor();
    redis.stop();
    redis.cont();
    assert_eq!(redis.cli(&["SET", "key", "value"]), "OK");
    assert_eq!(redis.cli(&["GET", "key"]), "value");
    let seen = monitor.take();
    assert!(seen.iter().any(|line| line.ends_with(r#""SET" "key" "value""#)), "{seen:?}");
    assert_eq!(redis.url(), format!("redis://node:word@127.0.0.1:{}/0", redis.port()));
}

#[test]
fn a_sentinel_trio_makes_the_replica_the_master() {
    let sentinel = Sentinel::start(Duration::from_secs(1));
    let (first, second) = (sentinel.master(), sentinel.replica());
    assert_eq!(first.cli(&["SET", "key", "value"]), "OK");
    assert_eq!(first.cli(&["WAIT", "1", "5000"]), "1");
    first.kill();
    sentinel.wait_for_master(second);
    assert_eq!(second.cli(&["GET", "key"]), "value");
}

#[test]
fn a_cluster_serves_while_its_slots_move() {
    let cluster = Cluster::start();
    assert_eq!(cluster.cli(&["SET", "key", "value"]), "OK");
    let slot = cluster.slot("key");
    let (from, to) = (cluster.owner(slot), (cluster.owner(slot) + 1) % 3);
    cluster.begin_move(slot, to);
    assert_eq!(cluster.cli(&["GET", "key"]), "value");
    cluster.end_move(slot, to);
    assert_eq!((cluster.owner(slot), cluster.cli(&["GET", "key"]).as_str()), (to, "value"));
    cluster.reshard(to, from, 10);
    assert_eq!(cluster.cli(&["GET", "key"]), "value");
}
