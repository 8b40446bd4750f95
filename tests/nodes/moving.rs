//! Sessions whose requests land on any node: exchanges are relayed, connections move the session.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::support::checker::assert_keeps_the_contract;
use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::{text, unique, wait};

const PARKED: &str = "throughline_sessions_parked_total";
const TAKEN: &str = "throughline_sessions_taken_total";
const RELAYED: &str = "throughline_exchanges_relayed_total";

fn subs(channels: &[&str]) -> Value {
    let subs: Vec<_> = channels.iter().map(|ch| json!({ "ch": ch })).collect();
    json!({ "subs": subs })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_on_one_node_is_read_on_another() {
    // spec: D3, O2
    let fleet = Fleet::start(2).await;
    let (ch, history) = (unique("chat:"), History::default());
    let (first, second) = (fleet.address(0), fleet.address(1));
    for transport in Transport::ALL {
        let mut reader = Client::open(second, transport, subs(&[&ch]), &history).await;
        let mut writer = Client::open(first, transport, subs(&[&ch]), &history).await;
        reader.until_kind("subscribed").await;
        for n in 1..3 {
            let seq = writer.publish(&ch, n);
            writer.settled(seq).await;
        }
        assert_eq!(reader.data(&ch, 2).await, [1, 2]);
    }
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_is_answered_by_the_node_of_its_session_whichever_it_comes_to() {
    // spec: S5
    let fleet = Fleet::start(3).await;
    let (ch, history) = (unique("chat:"), History::default());
    let servers = fleet.servers(&[0, 1, 2]);
    let mut client = Client::open(&servers, Transport::Poll, subs(&[&ch]), &history).await;
    client.until_kind("subscribed").await;
    for n in 0..20 {
        client.publish(&ch, n);
        assert_eq!(client.event(&ch).await["data"], n);
    }
    client.settle().await;
    assert!(servers.metric(RELAYED).await > 5.0);
    assert_eq!(servers.metric(TAKEN).await, 0.0);
    client.is_quiet();
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_to_the_node_that_its_connections_come_to() {
    // spec: S4, S5, M43
    let fleet = Fleet::start(3).await;
    let (ch, history) = (unique("chat:"), History::default());
    let servers = fleet.servers(&[0, 1, 2]);
    let mut client = Client::open(&servers, Transport::Poll, subs(&[&ch]), &history).await;
    client.proves = true;
    client.until_kind("subscribed").await;
    for n in 0..24 {
        client.move_to(Transport::ALL[n % 4]).await;
        client.publish(&ch, n);
        assert_eq!(client.event(&ch).await["data"], n);
    }
    client.settle().await;
    assert!(servers.metric(TAKEN).await > 3.0);
    // Nodes are asked one after the other.
    let settled = async || servers.metric(TAKEN).await == servers.metric(PARKED).await;
    wait::until("what was parked was taken", settled).await;
    let one = async || servers.metric("throughline_sessions{").await == 1.0;
    wait::until("the session is in one place", one).await;
    client.is_quiet();
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_while_a_session_moves_under_publishes() {
    // spec: D1, D2, D7, P3, O3, S3, S5, M43
    let fleet = Fleet::start(3).await;
    let (ch, typing, history) = (unique("chat:"), unique("typing:"), History::default());
    let servers = fleet.servers(&[0, 1, 2]);
    let mut client =
        Client::open(&servers, Transport::WebSocket, subs(&[&ch, &typing]), &history).await;
    client.proves = true;
    client.until_kind("subscribed").await;
    let (publisher, chat, other) = (fleet.servers(&[0, 1, 2]), ch.clone(), typing.clone());
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let publishing = tokio::spawn(async move {
        let mut n = 0;
        while stopped.try_recv().is_err() {
            publisher.publish(&chat, n).await;
            publisher.publish(&other, n).await;
            n += 1;
        }
    });
    for own in 0..40 {
        client.publish(&ch, format!("own {own}"));
        client.move_to(Transport::ALL[own % 4]).await;
        client.next_within(Duration::from_millis(20)).await;
    }
    stop.send(()).unwrap();
    publishing.await.unwrap();
    client.until_top(&servers, &ch).await;
    let taken = servers.metric(TAKEN).await;
    assert!(taken > 5.0, "{taken} moves");
    client.is_quiet();
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_sees_neither_a_leave_nor_a_join_when_a_session_moves() {
    // demand: 66
    // spec: R3
    let fleet = Fleet::start(3).await;
    let (ch, history) = (unique("chat:"), History::default());
    let watch = json!({ "subs": [{ "ch": ch, "presence": true }] });
    let mut watcher = Client::open(fleet.address(0), Transport::WebSocket, watch, &history).await;
    watcher.until_kind("members").await;
    watcher.until_kind("join").await;
    let servers = fleet.servers(&[0, 1, 2]);
    let mut member = Client::open(&servers, Transport::Poll, subs(&[&ch]), &history).await;
    let join = watcher.until_kind("join").await;
    assert_eq!(text(&join["member"], "id"), member.member);
    wait::until("the session has moved thrice", async || {
        member.move_to(Transport::Stream).await;
        member.call(json!({ "t": "presence", "chs": [ch] })).await;
        servers.metric(TAKEN).await >= 3.0
    })
    .await;
    let id = member.member.clone();
    member.close().await;
    let next = watcher.until(|f| matches!(text(f, "t"), "join" | "update" | "leave")).await;
    assert_eq!((text(&next, "t"), text(&next, "id")), ("leave", &id[..]));
    watcher.is_quiet();
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_reaches_the_sessions_of_every_node() {
    // spec: S6
    let fleet = Fleet::start(3).await;
    let (user, history) = (unique("user"), History::default());
    let open = json!({ "token": crate::support::token::user(&user) });
    let mut clients = Vec::new();
    for node in 0..3 {
        let at = fleet.address(node);
        let mut client = Client::open(at, Transport::WebSocket, open.clone(), &history).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
        client.comes_back = false;
        clients.push(client);
    }
    let answer = fleet.servers(&[1]).api("/disconnect", &json!({ "user": user })).await;
    assert_eq!(answer.status, 200);
    for mut client in clients {
        client.until_ended().await;
        assert_eq!(client.ended.as_deref(), Some("disconnected"));
    }
}
