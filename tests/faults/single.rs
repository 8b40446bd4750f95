//! The embedded engine is one node's: two nodes that have one each know nothing of each other.

use serde_json::{Value, json};

use crate::support::client::{Client, Transport};
use crate::support::fleet::Fleet;
use crate::support::history::History;
use crate::support::redis::Redis;
use crate::support::server::Setup;
use crate::support::{text, unique};

/// What a reader at each of two nodes gets until the last event that its own node took, and how many
/// events each node has of the channel. Each node says of the fleet what it is.
async fn each_sees(engine: &str, fleet: &str) -> ([Vec<Value>; 2], [usize; 2]) {
    let nodes = Fleet::start(&Setup::suite(), &vec![engine.to_owned(); 2]).await;
    let (ch, history) = (unique("doc:"), History::default());
    let servers = [nodes.nodes[0].servers(), nodes.nodes[1].servers()];
    let mut readers = Vec::new();
    for (node, servers) in nodes.nodes.iter().zip(&servers) {
        let (_, ready) = node.ready().await.expect("an answer");
        assert_eq!(ready["fleet"], fleet);
        let log = node.log();
        let said = log.lines().find(|line| line.contains("listening"));
        assert!(said.is_some_and(|line| line.contains(fleet)), "{log}");
        let open = json!({ "subs": [{ "ch": ch }] });
        let mut reader = Client::open(servers, Transport::WebSocket, open, &history).await;
        reader.until_kind("subscribed").await;
        readers.push(reader);
    }
    for event in ["event", "end"] {
        for (index, servers) in servers.iter().enumerate() {
            servers.publish(&ch, format!("{event} {index}")).await;
        }
    }
    let mut seen = [Vec::new(), Vec::new()];
    let mut logged = [0, 0];
    for (index, reader) in readers.iter_mut().enumerate() {
        while seen[index].last() != Some(&format!("end {index}").into()) {
            seen[index].push(reader.event(&ch).await["data"].clone());
        }
        let page = servers[index].api_get(&format!("/history?channel={ch}")).await;
        let events = page["events"].as_array().expect("events");
        assert!(events.iter().all(|event| text(event, "pos").contains('.')), "{page}");
        logged[index] = events.len();
    }
    (seen, logged)
}

fn all(events: &[&str]) -> Vec<Value> {
    events.iter().map(|event| Value::from(*event)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_with_the_embedded_engine_lose_each_others_messages() {
    // demand: 51
    let (seen, logged) = each_sees("memory:", "single-node").await;
    assert_eq!(seen, [all(&["event 0", "end 0"]), all(&["event 1", "end 1"])]);
    assert_eq!(logged, [2, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_over_redis_have_each_others_messages() {
    // demand: 51
    let redis = Redis::start();
    let (seen, logged) = each_sees(&redis.url(), "shared").await;
    let first = all(&["event 0", "event 1", "end 0"]);
    assert_eq!(seen, [first.clone(), [first, all(&["end 1"])].concat()]);
    assert_eq!(logged, [4, 4]);
}
