//! Sessions whose requests land on any node.

use serde_json::json;

use crate::fleet::Fleet;
use crate::support::client::{Client, Target, Transport};
use crate::support::history::History;
use crate::support::unique;

fn on(fleet: &Fleet, node: usize) -> Target {
    Target::Address(fleet.address(node))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_on_one_node_is_read_on_another() {
    // spec: D3, O2
    let fleet = Fleet::start(2).await;
    let (ch, history) = (unique("chat:"), History::default());
    let subs = json!({ "subs": [{ "ch": ch }] });
    let mut reader = Client::open(on(&fleet, 1), Transport::Stream, subs.clone(), &history).await;
    let mut writer = Client::open(on(&fleet, 0), Transport::WebSocket, subs, &history).await;
    reader.until_kind("subscribed").await;
    writer.publish(&ch, 1);
    writer.publish(&ch, 2);
    assert_eq!(reader.data(&ch, 2).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_is_answered_by_the_node_of_its_session_whichever_it_comes_to() {
    // spec: S5
    let fleet = Fleet::start(3).await;
    let (ch, history) = (unique("chat:"), History::default());
    let subs = json!({ "subs": [{ "ch": ch }] });
    let servers = fleet.servers(&[0, 1, 2]);
    let mut client = Client::open(&servers, Transport::Poll, subs, &history).await;
    client.until_kind("subscribed").await;
    for n in 0..20 {
        client.publish(&ch, n);
        assert_eq!(client.event(&ch).await["data"], n);
    }
    assert!(servers.metric("throughline_exchanges_relayed_total").await > 5.0);
    assert_eq!(servers.metric("throughline_sessions_taken_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_to_the_node_that_its_connections_come_to() {
    // spec: S5
    let fleet = Fleet::start(3).await;
    let (ch, history) = (unique("chat:"), History::default());
    let subs = json!({ "subs": [{ "ch": ch }] });
    let servers = fleet.servers(&[0, 1, 2]);
    let mut client = Client::open(&servers, Transport::Poll, subs, &history).await;
    client.until_kind("subscribed").await;
    for n in 0..24 {
        client.move_to(Transport::ALL[n % 4]).await;
        client.publish(&ch, n);
        assert_eq!(client.event(&ch).await["data"], n);
    }
    assert!(servers.metric("throughline_sessions_taken_total").await > 3.0);
}
