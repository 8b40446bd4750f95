//! Both ways at once, on every transport; and one session moved over all of them.

use serde_json::{Value, json};

use crate::support::checker::assert_keeps_the_contract;
use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::server::Servers;
use crate::support::{text, token, unique};

const FRAMES: u64 = 1000;

/// Waits until everything that a client sent is applied and everything of a channel has come;
/// what came, and how often the two changed turns.
async fn both_ways(transport: Transport) {
    let (servers, history) = (Servers::suite(), History::default());
    let (typing, notes) = (unique("typing:"), unique("chat:"));
    let open = json!({ "subs": [{ "ch": notes }] });
    let mut client = Client::open(&servers, transport, open, &history).await;
    client.call(json!({ "t": "subscribe", "ch": typing })).await;
    let watcher = json!({ "subs": [{ "ch": typing }], "ack": false });
    let mut watcher = Client::open(&servers, Transport::WebSocket, watcher, &history).await;
    watcher.until_kind("subscribed").await;
    let pushes = async {
        for first in (0..FRAMES).step_by(20) {
            servers.publish_many(&notes, (first..first + 20).map(Value::from)).await;
        }
    };
    let typed = async {
        let mut order = Vec::new();
        let mut sent = 0;
        while order.iter().filter(|down| **down).count() < 1000 || !client.is_settled() {
            for _ in 0..10 {
                if sent < FRAMES {
                    client.publish(&typing, sent);
                    sent += 1;
                }
            }
            let frame = client.next().await;
            match text(&frame, "t") {
                "event" if text(&frame, "ch") == notes => {
                    assert_eq!(frame["data"], order.iter().filter(|down| **down).count());
                    order.push(true);
                }
                "ok" => order.push(false),
                _ => {}
            }
        }
        order
    };
    // One that nobody reads answers no ping.
    let (order, (), seen) = tokio::join!(typed, pushes, watcher.data(&typing, 1000));
    assert_eq!(seen, (0..FRAMES).map(Value::from).collect::<Vec<_>>());
    let turns = order.windows(2).filter(|two| two[0] != two[1]).count();
    assert!(turns >= 4, "{transport:?}: the two sets changed turns {turns} times");
    println!("{transport:?}: 1000 up and 1000 down changed turns {turns} times");
    assert_keeps_the_contract(&history.records());
}

#[tokio::test]
async fn typing_goes_up_while_notifications_come_down_on_a_websocket() {
    // demand: 3
    both_ways(Transport::WebSocket).await;
}

#[tokio::test]
async fn typing_goes_up_while_notifications_come_down_beside_a_stream() {
    // demand: 3
    // spec: M20
    both_ways(Transport::Stream).await;
}

#[tokio::test]
async fn typing_goes_up_while_notifications_come_down_beside_server_sent_events() {
    // demand: 3, 6
    // spec: M20
    both_ways(Transport::Sse).await;
}

#[tokio::test]
async fn typing_goes_up_while_notifications_come_down_in_polls() {
    // demand: 3
    both_ways(Transport::Poll).await;
}

#[tokio::test]
async fn a_chat_goes_between_users_on_each_transport_in_one_order() {
    // demand: 6, 14, 100, 46
    // spec: O1, D3
    let (servers, history, room) = (Servers::suite(), History::default(), unique("chat:"));
    let mut users = Vec::new();
    for transport in Transport::ALL {
        let open = json!({ "token": token::user(&format!("{transport:?}")),
            "subs": [{ "ch": room }] });
        let mut user = Client::open(&servers, transport, open, &history).await;
        user.until(|frame| text(frame, "t") == "subscribed" && text(frame, "ch") == room).await;
        users.push(user);
    }
    for round in 0..10 {
        for user in &mut users {
            let said = format!("{:?} {round}", user.transport);
            let seq = user.publish(&room, said);
            assert!(user.settled(seq).await["pos"].is_string());
        }
    }
    servers.publish(&room, "the end").await;
    let first = users[0].data(&room, 41).await;
    for user in &mut users[1..] {
        assert_eq!(user.data(&room, 41).await, first, "{:?}", user.transport);
    }
    assert_keeps_the_contract(&history.records());
}

#[tokio::test]
async fn a_session_that_moves_over_every_transport_misses_and_repeats_nothing() {
    // demand: 121
    // spec: S4, D1, D2, R3, M17, M21
    let (servers, history, room) = (Servers::suite(), History::default(), unique("chat:"));
    let sub = json!([{ "ch": room, "presence": true }]);
    let watcher = json!({ "subs": sub });
    let mut watcher = Client::open(&servers, Transport::WebSocket, watcher, &history).await;
    watcher.until_kind("members").await;
    let open = json!({ "subs": sub });
    let mut client = Client::open(&servers, Transport::WebSocket, open, &history).await;
    client.until_kind("members").await;
    let publishes = async {
        for number in 0..1000 {
            servers.publish(&room, number).await;
        }
    };
    let reads = async {
        let mut got = Vec::new();
        let moves = [Transport::Sse, Transport::Poll, Transport::Stream, Transport::WebSocket];
        for (turn, transport) in moves.into_iter().enumerate() {
            got.extend(client.data(&room, (turn + 1) * 200 - got.len()).await);
            client.move_to(transport).await;
        }
        got.extend(client.data(&room, 1000 - got.len()).await);
        got
    };
    // One that nobody reads answers no ping, and is seen to leave.
    let (got, (), seen) = tokio::join!(reads, publishes, watcher.data(&room, 1000));
    assert_eq!(got, (0..1000).map(Value::from).collect::<Vec<_>>());
    assert_eq!(seen, got);
    client.is_quiet();
    watcher.is_quiet();
    assert_keeps_the_contract(&history.records());
}
