//! A node with many sessions is told to go: FAULTS 3.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::table::Row;
use crate::support::client::{Client, PATIENCE, Transport};
use crate::support::fleet::Fleet;
use crate::support::history::{Change, History, Record};
use crate::support::redis::Redis;
use crate::support::server::Setup;
use crate::support::unique;

const MANY: usize = 1000;
const EVENTS: u64 = 100;
const TAKEN: &str = "throughline_sessions_taken_total";

/// A session that goes on until it has every event of a channel.
async fn stays(mut client: Client, ch: String) -> Client {
    while client.position(&ch).is_none_or(|at| at.offset < EVENTS) {
        client.next_within(Duration::from_secs(1)).await;
        assert_eq!(client.ended, None, "{} by {:?}", client.name, client.transport);
    }
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_thousand_sessions_leave_a_node_that_is_told_to_stop_and_nobody_is_seen_to_leave() {
    // demand: 95
    // spec: B3, D1, D2, R3
    let redis = Redis::start();
    // The contract's.
    let setup = Setup::suite().set("session.grace", "'10s'");
    let fleet = Fleet::start(&setup, &vec![redis.url(); 2]).await;
    let [first, second] = [0, 1].map(|node: usize| &fleet.nodes[node]);
    let (ch, room, history) = (unique("doc:"), unique("room:"), History::default());
    let watch = json!({ "subs": [{ "ch": room, "presence": true }] });
    let mut watcher = Client::open(&second.servers(), Transport::WebSocket, watch, &history).await;
    watcher.until_kind("members").await;
    let mut sessions = JoinSet::new();
    for index in 0..MANY {
        // One in ten is seen; if all were, each would be told to all.
        let subs = [&ch, &room].into_iter().take(1 + usize::from(index % 10 == 0));
        let open = json!({ "subs": subs.map(|ch| json!({ "ch": ch })).collect::<Vec<_>>() });
        let transport = Transport::ALL[index % Transport::ALL.len()];
        let mut client = Client::open(&first.servers(), transport, open, &history).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
        // As a balancer does, whose next request goes to the node that is ready.
        client.goes_to(&second.servers());
        sessions.spawn(stays(client, ch.clone()));
    }
    let began = Instant::now();
    let unready = async {
        // Before it has gone.
        while first.ready().await.is_none_or(|(status, _)| status != 503) {
            assert!(began.elapsed() < PATIENCE, "it stays ready");
        }
        began.elapsed()
    };
    let publishes = async {
        for event in 0..EVENTS {
            second.servers().publish(&ch, event).await;
        }
    };
    let ((status, unready), ()) =
        tokio::join!(async { tokio::join!(first.drain(), unready) }, publishes);
    let ended = began.elapsed();
    assert!(status.success(), "{status}");
    let mut there = Vec::new();
    while let Some(client) = sessions.join_next().await {
        there.push(client.expect("a session that goes on"));
    }
    let all = began.elapsed();
    let taken = second.servers().metric(TAKEN).await;
    while watcher.next_within(Duration::from_secs(2)).await.is_some() {}
    let leaves = history
        .records()
        .into_iter()
        .filter(|record| matches!(record, Record::Presence { change: Change::Leave(_), .. }));
    let row = Row {
        healed: Some(all),
        more: format!(
            "unready after {:.2} s, ended after {:.1} s, {taken} sessions moved",
            unready.as_secs_f64(),
            ended.as_secs_f64()
        ),
        ..Row::of(&format!("3 SIGTERM of a node with {MANY} sessions"), &history.records())
    };
    row.keep();
    row.assert();
    assert_eq!(taken, MANY as f64);
    assert_eq!(leaves.count(), 0);
    there.iter().for_each(|client| assert_eq!((client.rebuilt, client.lost), (0, 0)));
}
