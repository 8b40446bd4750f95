//! Life: pings, links that show none, and what is given back.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use crate::support::client::{Client, PATIENCE, Target, Transport};
use crate::support::history::{Change, History, Record};
use crate::support::server::{Servers, Setup};
use crate::support::shim::{Shim, Weather};
use crate::support::wait;
use crate::support::websocket::{FIN, Got, PONG, Socket, frame};
use crate::support::{text, unique};

fn lively() -> Servers {
    Setup::suite()
        .set("session.ping_visible", "'1s'")
        .set("session.ping_hidden", "'1s'")
        .set("session.poll_detach", "'2s'")
        .set("session.window", "'3s'")
        .set("session.grace", "'1s'")
        .set("session.leaving_grace", "'0s'")
        .servers()
}

#[tokio::test]
async fn a_link_that_shows_no_life_is_closed_and_its_session_given_back() {
    // demand: 59, 60, 63
    // spec: M26, R1
    let servers = lively();
    let history = History::default();
    let room = unique("chat:");
    let open = json!({ "subs": [{ "ch": room, "presence": true }] });
    let mut watcher = Client::open(&servers, Transport::WebSocket, open, &history).await;
    watcher.until_kind("join").await;
    // It reads all the while: it must answer, and the first leaves may come while others join.
    let watches = tokio::spawn(async move {
        loop {
            watcher.next_within(PATIENCE).await;
            assert_eq!(watcher.ended, None);
        }
    });
    let mut stalled = Vec::new();
    for transport in Transport::ALL {
        let shim = Shim::before(&servers).await;
        let open = json!({ "subs": [{ "ch": room }] });
        let target = Target::Address(shim.address);
        let mut client = Client::open(target, transport, open, &history).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
        shim.weather(Weather { stall_up: true, stall_down: true, ..Weather::default() });
        client.comes_back = false;
        stalled.push((client, shim));
    }
    wait::until("each of them is seen to leave", async || {
        let records = history.records();
        let left = records.iter().filter_map(|record| match record {
            Record::Presence { change: Change::Leave(member), .. } => Some(member),
            _ => None,
        });
        let left: HashSet<_> = left.collect();
        stalled.iter().all(|(client, _)| left.contains(&client.member))
    })
    .await;
    let over = async || servers.metric("throughline_sessions{").await <= 1.0;
    wait::until("the silent sessions are over", over).await;
    drop(stalled);
    let closed = async || servers.metric("throughline_connections ").await <= 2.0;
    wait::until("their connections are closed", closed).await;
    assert!(!watches.is_finished(), "who answers stays");
    watches.abort();
}

#[tokio::test]
async fn a_ping_says_how_many_frames_were_handed_and_a_pong_empties_the_outbox() {
    // demand: 58
    // spec: M25
    let servers = lively();
    let mut socket = Socket::open(servers.pick(), json!({})).await;
    socket.until("subscribed").await;
    let ping = socket.until("ping").await;
    assert_eq!((&ping["n"], &ping["up"], &ping["next"]), (&json!(1), &json!(0), &json!(1000)));
    socket.say(&json!({ "l": "pong", "count": ping["n"] })).await;
    assert_eq!(socket.until("ping").await["n"], 1);
}

#[tokio::test]
async fn a_client_that_answers_only_control_pings_stays() {
    // demand: 61
    // spec: M16
    let servers = lively();
    let mut socket = Socket::open(servers.pick(), json!({ "ack": false })).await;
    socket.until("attached").await;
    let (mut pings, mut controls) = (0, 0);
    while pings < 5 {
        match socket.next().await {
            Got::Text(got) if text(&got, "l") == "ping" => pings += 1,
            Got::Text(_) => {}
            Got::Ping => {
                controls += 1;
                socket.write(&frame(FIN | PONG, b"")).await;
            }
            other => panic!("{other:?} after {pings} pings and {controls} control pings"),
        }
    }
    assert!(controls >= 3, "{controls}");
}

#[tokio::test]
async fn a_client_that_answers_nothing_is_closed_as_dead() {
    // demand: 59
    // spec: M26
    let servers = lively();
    let mut socket = Socket::open(servers.pick(), json!({})).await;
    socket.until("attached").await;
    // It is provisional until it answers.
    socket.say(&json!({ "l": "pong" })).await;
    assert_eq!(text(&socket.until("error").await, "code"), "dead");
    assert_eq!(socket.close_code().await, 4445);
}

#[tokio::test]
async fn a_client_whose_count_is_wrong_at_a_ping_attaches_again_and_misses_nothing() {
    // spec: M25
    let servers = lively();
    let (history, room) = (History::default(), unique("chat:"));
    let open = json!({ "subs": [{ "ch": room }] });
    for transport in [Transport::WebSocket, Transport::Stream, Transport::Sse] {
        let mut client = Client::open(&servers, transport, open.clone(), &history).await;
        client.until(|frame| text(frame, "ch") == "announcements:all").await;
        client.forget_one_frame();
        servers.publish(&room, 1).await;
        assert_eq!(client.event(&room).await["data"], 1, "{transport:?}");
        assert!(client.link() > 1, "{transport:?}");
    }
}

#[tokio::test]
async fn streams_stay_as_long_as_their_client_answers() {
    // demand: 4
    let servers = Setup::suite()
        .set("session.ping_visible", "'2s'")
        .set("session.ping_hidden", "'2s'")
        .servers();
    for transport in [Transport::Stream, Transport::Sse] {
        let mut client = Client::open(&servers, transport, json!({}), &History::default()).await;
        client.until_kind("subscribed").await;
        // Only the server could end the link.
        client.abandons = false;
        // Longer than the link of a client that does not answer would live.
        client.next_within(Duration::from_secs(8)).await;
        assert_eq!((client.link(), client.ended.as_deref()), (1, None), "{transport:?}");
    }
}
