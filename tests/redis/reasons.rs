//! What an operator reads in the log when a node cannot use its Redis, or had better not.

use std::time::Duration;

use crate::support::redis::cluster::Cluster;
use crate::support::redis::sentinel::Sentinel;
use crate::support::redis::{Options, Redis, free_port};
use crate::support::server::{Server, Servers, Setup};
use crate::support::wait;

/// A node that starts on this engine.
fn node(url: &str) -> Server {
    Setup::suite().set("engine.url", &format!("{url:?}")).start()
}

/// Waits until a node on this engine says all of this in one line of its log.
fn says(url: &str, words: &[&str]) {
    let node = node(url);
    let line = |line: &str| words.iter().all(|word| line.contains(word));
    wait::until_now(&format!("{url}: {words:?}"), || node.log().lines().any(line));
    assert!(!node.log().contains("s3cret"), "{}", node.log());
}

#[test]
fn the_log_says_why_a_server_cannot_be_used() {
    let (port, ()) = free_port(|_| Some(()));
    let nobody = format!("127.0.0.1:{port}");
    let refused = ["Redis cannot be used", &nobody, "Connection refused"];
    says(&format!("redis://{nobody}/0"), &refused);
    let open = Redis::start();
    says(&format!("rediss://127.0.0.1:{}/0", open.port()), &["cannot be used", "TLS"]);
    says(&open.url().replace("/0", "/9999"), &["cannot be used", "out of range"]);
    let url = open.url().replace("redis://", "redis+cluster://");
    says(url.trim_end_matches("/0"), &["cannot be used", "it is no part of a Cluster"]);
    let closed = Redis::with(Options::new().password("s3cret"));
    says(&format!("redis://127.0.0.1:{}/0", closed.port()), &["cannot be used", "NOAUTH"]);
    let wrong = closed.url().replace("s3cret", "s3cretive");
    says(&wrong, &["cannot be used", "WRONGPASS"]);
}

#[test]
fn a_part_of_a_cluster_is_not_taken_for_a_server_of_its_own() {
    let cluster = Cluster::start();
    let url = cluster.url().replace("redis+cluster", "redis");
    says(
        url.split(',').next().unwrap(),
        &["cannot be used", "it is part of a Cluster", "redis+cluster"],
    );
}

#[test]
fn a_master_that_no_sentinel_knows_is_named() {
    let sentinel = Sentinel::start(Duration::from_secs(30));
    let url = sentinel.url().replace("/main", "/other");
    says(&url, &["cannot be used", "knows no master other"]);
}

#[test]
fn a_server_that_would_drop_channels_is_warned_of_and_used() {
    let redis =
        Redis::with(Options::new().arg("maxmemory", "10mb").arg("maxmemory-policy", "allkeys-lru"));
    says(&redis.url(), &["WARN", "maxmemory-policy is allkeys-lru", "noeviction"]);
}

#[tokio::test]
async fn the_log_says_that_a_server_can_be_used_again_and_a_metric_whether_it_can() {
    let redis = Redis::start();
    let node = node(&redis.url());
    let servers = Servers::of(&[node.address]);
    let up = async |yes: f64| servers.metric("throughline_engine_up ").await == yes;
    wait::until("it is up", async || up(1.0).await).await;
    redis.kill();
    wait::until("the reason", async || node.log().contains("Redis cannot be used")).await;
    wait::until("it is down", async || up(0.0).await).await;
    redis.restart();
    wait::until("the end", async || node.log().contains("Redis can be used again")).await;
    wait::until("it is up again", async || up(1.0).await).await;
    assert_eq!(node.log().matches("was not renewed").count(), 1, "{}", node.log());
}
