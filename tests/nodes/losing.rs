//! Nodes that go away, in order or not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::support::checker::assert_keeps_the_contract;
use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::http::Request;
use crate::support::{text, unique, wait};

fn subs(channels: &[&str]) -> Value {
    let subs: Vec<_> = channels.iter().map(|ch| json!({ "ch": ch })).collect();
    json!({ "subs": subs })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_moves_its_sessions_and_presence_sees_nothing() {
    // spec: B3, R3, M43
    let mut fleet = Fleet::start(2).await;
    let (ch, history) = (unique("chat:"), History::default());
    let watch = json!({ "subs": [{ "ch": ch, "presence": true }] });
    let mut watcher = Client::open(fleet.address(1), Transport::WebSocket, watch, &history).await;
    watcher.until_kind("members").await;
    watcher.until_kind("join").await;
    let mut clients = Vec::new();
    for transport in Transport::ALL {
        let mut client = Client::open(fleet.address(0), transport, subs(&[&ch]), &history).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
        watcher.until_kind("join").await;
        clients.push(client);
    }
    let other = fleet.address(1);
    let stopping = async {
        fleet.stop(0).await;
    };
    let goes_on = |mut client: Client| {
        let ch = ch.clone();
        async move {
            // As a balancer does that has seen the node unready.
            client.goes_to(other);
            client.publish(&ch, 1);
            client.data(&ch, 4).await;
            client
        }
    };
    let going_on = futures::future::join_all(clients.into_iter().map(goes_on));
    let ((), clients) = tokio::join!(stopping, going_on);
    let mut back = Vec::new();
    for mut client in clients {
        client.call(json!({ "t": "presence", "users": [] })).await;
        back.push(client);
    }
    let survivor = fleet.servers(&[1]);
    assert_eq!(survivor.metric("throughline_sessions{").await, 5.0);
    assert_eq!(survivor.metric("throughline_sessions_taken_total").await, 4.0);
    let presence = survivor.api_get(&format!("/presence?channel={ch}")).await;
    assert_eq!(presence["channels"][&ch]["n"], 5);
    for client in back {
        client.is_quiet();
        let id = client.member.clone();
        client.close().await;
        let next = watcher.until(|f| matches!(text(f, "t"), "join" | "update" | "leave")).await;
        assert_eq!((text(&next, "t"), text(&next, "id")), ("leave", &id[..]));
    }
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_lease_had_lapsed_lets_its_sessions_go_and_they_go_on_as_the_same_members() {
    // spec: R4, S5, M44
    let fleet = Fleet::start(2).await;
    let history = History::default();
    let servers = fleet.servers(&[0, 1]);
    for transport in Transport::ALL {
        let ch = unique("chat:");
        let mut client = Client::open(&servers, transport, subs(&[&ch]), &history).await;
        client.until_kind("subscribed").await;
        client.publish(&ch, 1);
        client.event(&ch).await;
        let (member, lost) =
            (client.member.clone(), servers.metric("throughline_leases_lost_total").await);
        // Longer than a lease, less than a lease and its grace.
        fleet.skip(Duration::from_secs(9));
        wait::until("both nodes notice that they lost their leases", async || {
            client.next_within(Duration::from_millis(50)).await;
            servers.metric("throughline_leases_lost_total").await >= lost + 2.0
        })
        .await;
        client.publish(&ch, 2);
        client.until_ended().await;
        client.open_again(&[&ch]).await;
        assert_eq!((client.hello["rebuilt"] == true, &client.member), (true, &member));
        assert_eq!(client.event(&ch).await["data"], 2, "{transport:?}");
        client.settle().await;
        client.is_quiet();
        client.close().await;
    }
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_whose_old_session_may_still_live_waits_rather_than_being_another_member() {
    // spec: S5, R3, M44
    let mut fleet = crate::real::Fleet::start(2, &[]).await;
    let (ch, history) = (unique("chat:"), History::default());
    let mut client = Client::open(fleet.at(0), Transport::Poll, subs(&[&ch]), &history).await;
    client.call(json!({ "t": "presence", "users": [] })).await;
    fleet.nodes[0].kill();
    // Its lease says for a while that it lives, and nobody answers there.
    let open = json!([{ "l": "open", "v": 1, "ticket": client.ticket() }]).to_string();
    let mut refused = 0;
    let hello = loop {
        let request = Request::post(&format!("/realtime/{}/x", unique("n")), open.clone());
        let answer = request.send(fleet.at(1)).await.unwrap();
        if answer.status == 200 {
            break answer.json()[0].clone();
        }
        assert_eq!(answer.code(), "session_kept");
        refused += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(refused > 0, "the node was taken for dead at once");
    assert_eq!((&hello["rebuilt"], text(&hello["me"], "id")), (&json!(true), &client.member[..]));
}
