//! What the fleet asks of Redis, counted there.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::table::Row;
use crate::support::client::{Client, PATIENCE, Transport};
use crate::support::fleet::Fleet;
use crate::support::history::History;
use crate::support::redis::Redis;
use crate::support::server::Setup;
use crate::support::websocket::Socket;
use crate::support::{text, unique};

/// Far more than what else comes to a node in the time that a test takes.
const EVENTS: usize = 200;

/// What clients of Redis asked for that names a channel; not what scripts do.
fn of<'a>(seen: &'a [String], ch: &str) -> Vec<&'a String> {
    seen.iter().filter(|line| line.contains(ch) && !line.contains(" lua]")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_for_readers_of_every_transport_on_three_nodes_is_one_command() {
    // demand: 40
    let redis = Redis::start();
    // Nobody reads what the others are sent while the last ones open.
    let setup = Setup::suite()
        .set("session.ping_visible", "'120s'")
        .set("session.ping_hidden", "'120s'")
        .set("session.poll_detach", "'120s'");
    let fleet = Fleet::start(&setup, &vec![redis.url(); 3]).await;
    let (ch, history) = (unique("room:"), History::default());
    let mut readers = Vec::new();
    for index in 0..300 {
        let node = fleet.nodes[index % 3].servers();
        let transport = Transport::ALL[index % Transport::ALL.len()];
        let open = json!({ "subs": [{ "ch": ch }] });
        let mut client = Client::open(&node, transport, open, &history).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
        readers.push(client);
    }
    // The first publish of all finds no script and loads it.
    fleet.nodes[0].servers().publish(&unique("room:"), "first").await;
    let monitor = redis.monitor();
    fleet.nodes[0].servers().publish(&ch, "to all").await;
    for reader in &mut readers {
        assert_eq!(reader.data(&ch, 1).await, ["to all"]);
    }
    let seen = monitor.take();
    let commands = of(&seen, &ch).len();
    Row::counted("none: an event for 300 readers on 3 nodes", &format!("{commands} command"));
    assert_eq!(commands, 1, "{:#?}", of(&seen, &ch));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_goes_to_the_nodes_that_have_readers_of_its_channel() {
    // demand: 38
    let redis = Redis::start();
    let fleet = Fleet::start(&Setup::suite(), &vec![redis.url(); 3]).await;
    let (ch, all, history) = (unique("room:"), unique("room:"), History::default());
    let open = json!({ "subs": [{ "ch": all }] });
    let mut others = Vec::new();
    for node in &fleet.nodes {
        let at = node.servers();
        let mut other = Client::open(&at, Transport::WebSocket, open.clone(), &history).await;
        other.until(|frame| text(frame, "t") == "subscribed" && text(frame, "ch") == all).await;
        others.push(other);
    }
    let open = json!({ "subs": [{ "ch": ch }] });
    let second = fleet.nodes[1].servers();
    let mut client = Client::open(&second, Transport::WebSocket, open, &history).await;
    client.call(json!({ "t": "presence", "users": [] })).await;
    // Written down each second.
    let received = async |node: usize| {
        fleet.nodes[node].servers().metric("throughline_backplane_received").await
    };
    let risen = async |node: usize, above: f64| {
        let until = Instant::now() + PATIENCE;
        while received(node).await <= above {
            assert!(Instant::now() < until, "node {node} hears nothing");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        received(node).await
    };
    let before = [received(0).await, received(1).await, received(2).await];
    for event in 0..EVENTS {
        fleet.nodes[0].servers().publish(&ch, event).await;
    }
    client.data(&ch, EVENTS).await;
    let name = redis.cli(&["PUBSUB", "CHANNELS", &format!("*{ch}*")]);
    let nodes = redis.cli(&["PUBSUB", "NUMSUB", &name]).replace(&format!("{name}\n"), "");
    Row::counted(
        "none: an event for readers on 1 of 3 nodes",
        &format!("received by {nodes} node"),
    );
    assert_eq!(nodes, "1", "{name}");
    // What comes to every node after those.
    fleet.nodes[0].servers().publish(&all, "end").await;
    risen(1, before[1] + EVENTS as f64).await;
    for node in [0, 2] {
        let rose = risen(node, before[node]).await - before[node];
        assert!(rose < EVENTS as f64, "node {node} has no reader and received {rose}");
    }
}

/// Commands that Redis ran in this time.
async fn commands(redis: &Redis, time: Duration) -> u64 {
    let total = || redis.info("total_commands_processed").parse::<u64>().expect("a number");
    let before = total();
    tokio::time::sleep(time).await;
    total() - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn idle_sessions_cost_redis_nothing() {
    // demand: 33
    let redis = Redis::start();
    let setup = Setup::suite().set("session.ping_hidden", "'120s'");
    let fleet = Fleet::start(&setup, &vec![redis.url(); 3]).await;
    let channels: Vec<_> = (0..50).map(|_| unique("chat:")).collect();
    let mut sockets = Vec::new();
    let mut counts = Vec::new();
    for many in [100, 10_000] {
        while sockets.len() < many {
            let (node, ch) = (&fleet.nodes[sockets.len() % 3], &channels[sockets.len() % 50]);
            let open = json!({ "subs": [{ "ch": ch }], "visible": false });
            let mut socket = Socket::open(node.address, open).await;
            socket.until("subscribed").await;
            socket.say(&json!({ "l": "pong", "count": 1 })).await;
            sockets.push(socket);
        }
        // Joins are on their way still.
        tokio::time::sleep(Duration::from_secs(5)).await;
        counts.push(commands(&redis, Duration::from_secs(60)).await);
    }
    Row::counted(
        "none: idle sessions on 3 nodes",
        &format!("{} commands in 60 s with 100, {} with 10000", counts[0], counts[1]),
    );
    assert!(counts[1].abs_diff(counts[0]) * 20 <= counts[0], "{counts:?}");
}
