//! What publishers, stored bytes and a lack of descriptors can do to nodes: FAULTS 33, 37, 41, 43, 45.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::harness::stage::Stage;
use crate::harness::table::Row;
use crate::support::client::{Client, Transport};
use crate::support::fleet::{Fleet, Node};
use crate::support::history::History;
use crate::support::http::Request;
use crate::support::redis::Redis;
use crate::support::server::{API_KEY, Setup};
use crate::support::{text, unique, wait};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_storm_of_publishers_loses_nothing_that_was_accepted() {
    // spec: P1, P2, P3, D1, D2
    let redis = Redis::start();
    let stage = Stage::start(&redis.url()).await;
    let (stop, mut storm) = (CancellationToken::new(), JoinSet::new());
    for seed in 0..40 {
        let (publisher, channels) = (stage.load.publisher(), stage.load.durable()[..2].to_vec());
        let (rng, stop) = (StdRng::seed_from_u64(seed), stop.clone());
        storm.spawn(publisher.run(channels, Duration::from_millis(1), rng, stop));
    }
    stage.run(Duration::from_secs(5)).await;
    stop.cancel();
    storm.join_all().await;
    stage.finish("37 40 publishers without a pause for 5 s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn requests_that_are_broken_off_give_no_answer_to_another() {
    // spec: P2, P3, D2
    let redis = Redis::start();
    let stage = Stage::start(&redis.url()).await;
    let (servers, ch, mut requests) = (stage.fleet.servers(), unique("doc:"), JoinSet::new());
    for seed in 0..20 {
        let (servers, ch) = (servers.clone(), ch.clone());
        requests.spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            for _ in 0..200 {
                let body = json!({ "channel": ch, "id": unique("id"), "data": "broken off" });
                let request = Request::post("/api/publish", body.to_string())
                    .header("content-type", "application/json")
                    .header("authorization", &format!("Bearer {API_KEY}"));
                let within = Duration::from_micros(rng.random_range(0..20_000));
                let _ = timeout(within, request.send(servers.pick())).await;
            }
        });
    }
    requests.join_all().await;
    // Each publisher of the load checks that an answer has the id it sent.
    stage.finish("41 4000 publishes broken off").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_before_redis_is_unready_and_serves_when_it_comes() {
    // spec: F3
    let redis = Redis::start();
    redis.kill();
    let node = Node::start(&Setup::suite(), &redis.url());
    let (status, ready) = node.ready().await.expect("an answer");
    assert_eq!((status, text(&ready, "status")), (503, "starting"));
    redis.restart();
    node.wait_until_ready().await;
    node.servers().publish(&unique("doc:"), "served").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_in_a_log_that_are_no_event_cost_one_channel_at_most() {
    // spec: F4, D5
    let redis = Redis::start();
    let fleet = Fleet::start(&Setup::suite(), &[redis.url()]).await;
    let (servers, history) = (fleet.servers(), History::default());
    // What a script adds: no UTF-8, too long, too deep, other fields.
    let poisons = [
        "'f', '\\255\\254', 't', 't', 'p', 'p', 'a', '1'",
        "'f', string.rep('x', 1048576), 't', 't', 'p', 'p', 'a', 'never'",
        "'f', string.rep('[', 5000) .. string.rep(']', 5000), 't', 't', 'p', 'p', 'a', '1'",
        "'other', 'fields'",
    ];
    let (good, mut bad) = (unique("doc:"), Vec::new());
    for poison in poisons {
        let ch = unique("doc:");
        servers.publish(&ch, "first").await;
        let since = servers.top(&ch).await;
        let log = redis.cli(&["KEYS", &format!("tl:*:s:{ch}")]);
        let add = format!("return redis.call('XADD', KEYS[1], '2-0', {poison})");
        assert_eq!(redis.cli(&["EVAL", &add, "1", &log]), "2-0");
        // The channel's own count leaves the place out, as its next event has a higher one.
        let meta = redis.cli(&["KEYS", &format!("tl:*:m:{ch}")]);
        redis.cli(&["HSET", &meta, "o", "2"]);
        bad.push((ch, since));
    }
    servers.publish(&good, "first").await;
    let since = servers.top(&good).await;
    servers.publish(&good, "second").await;
    for _ in 0..3 {
        let sub = |(ch, since): &(String, String)| json!({ "ch": ch, "since": since });
        let mut subs: Vec<_> = bad.iter().map(sub).collect();
        subs.push(json!({ "ch": good, "since": since }));
        let open = json!({ "subs": subs });
        let mut reader = Client::open(&servers, Transport::WebSocket, open, &history).await;
        assert_eq!(reader.data(&good, 1).await, ["second"]);
        reader.close().await;
    }
    for (ch, _) in &bad {
        servers.publish(ch, "after").await;
    }
    servers.publish(&good, "third").await;
    assert_eq!(servers.metric("throughline_panics_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_descriptors_keeps_its_sessions_and_takes_more_once_there_are_some() {
    // spec: B1, B2
    let redis = Redis::start();
    let fleet = Fleet::start(&Setup::suite(), &[redis.url()]).await;
    let (node, servers) = (&fleet.nodes[0], fleet.servers());
    let (ch, history) = (unique("doc:"), History::default());
    let open = json!({ "subs": [{ "ch": ch }] });
    let mut reader = Client::open(&servers, Transport::WebSocket, open, &history).await;
    let mut writer = Client::open(&servers, Transport::WebSocket, json!({}), &history).await;
    node.limit_files(Some(4));
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(node.address).await.expect("the system takes it"));
    }
    let logged = async || node.log().contains("no connection could be accepted");
    wait::until("a connection could not be accepted", logged).await;
    let (began, worked) = (Instant::now(), node.worked());
    for event in 0..20 {
        let published = json!({ "t": "publish", "ch": ch, "id": unique("id"), "data": event });
        writer.call(published).await;
        assert_eq!(reader.data(&ch, 1).await, [event]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Row::counted(
        "33 no descriptor left, 2 s",
        &format!(
            "two sessions went on; the node worked for {:.1} s of {:.1} s",
            (node.worked() - worked).as_secs_f64(),
            began.elapsed().as_secs_f64()
        ),
    );
    node.limit_files(None);
    drop(idle);
    servers.publish(&ch, "taken").await;
    assert_eq!(reader.data(&ch, 1).await, ["taken"]);
}
