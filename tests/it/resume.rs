//! Coming back: after a cut, by ticket and by positions; what was missed, and what is not replayed.

use std::time::Duration;

use serde_json::{Value, json};
use throughline::protocol::position::Position;

use crate::support::checker::assert_keeps_the_contract;
use crate::support::client::{Client, Target, Transport};
use crate::support::history::History;
use crate::support::server::{Servers, Setup};
use crate::support::shim::{Cut, Shim, Weather};
use crate::support::{text, unique, wait};

fn numbers(range: std::ops::Range<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}

async fn open(servers: &Servers, transport: Transport, subs: Value, history: &History) -> Client {
    let subs = json!({ "subs": subs });
    let mut client = Client::open(servers, transport, subs, history).await;
    client.call(json!({ "t": "presence", "users": [] })).await;
    client
}

#[tokio::test]
async fn what_was_missed_comes_then_one_caught_up_then_what_is_live() {
    // demand: 80, 82
    // spec: D4, M33
    for transport in Transport::ALL {
        let (servers, history, room) = (Servers::suite(), History::default(), unique("chat:"));
        let mut client = open(&servers, transport, json!([{ "ch": room }]), &history).await;
        servers.publish(&room, 0).await;
        assert_eq!(client.event(&room).await["data"], 0);
        client.cut();
        // A poll that is cut is no detachment: the next one goes on.
        let detaches = transport != Transport::Poll;
        let detached = async || {
            !detaches
                || servers.metric(r#"throughline_sessions{transport="detached"}"#).await >= 1.0
        };
        wait::until("the session is detached", detached).await;
        servers.publish_many(&room, numbers(1..50)).await;
        // What was published may still be on its way to the session when it resumes: then it is
        // live, and comes after the mark.
        let (mut missed, mut marks) = (Vec::new(), 0);
        while missed.len() < 49 || (detaches && marks == 0) {
            let frame = client.next().await;
            match text(&frame, "t") {
                "event" => missed.push(frame["data"].clone()),
                "caught_up" => marks += usize::from(text(&frame, "ch").is_empty()),
                _ => {}
            }
        }
        assert_eq!(missed, numbers(1..50), "{transport:?}");
        assert!(marks <= 1, "{transport:?}: {marks}");
        servers.publish(&room, 50).await;
        assert_eq!(client.event(&room).await["data"], 50, "{transport:?}");
        client.is_quiet();
        assert_keeps_the_contract(&history.records());
    }
}

#[tokio::test]
async fn after_a_cut_the_chat_comes_and_the_typing_does_not() {
    // demand: 82, 100
    // spec: D7, M33
    let servers = Setup::suite().set("session.ephemeral_age", "'0s'").servers();
    for transport in Transport::ALL {
        let (history, room, typing) = (History::default(), unique("chat:"), unique("typing:"));
        let subs = json!([{ "ch": room }, { "ch": typing }]);
        let mut client = open(&servers, transport, subs, &history).await;
        client.cut();
        // The typing first, so that it is older than nothing.
        for channel in [&typing, &room] {
            for number in 0..10 {
                servers.publish(channel, number).await;
            }
        }
        let mut skipped = 0;
        let mut said = Vec::new();
        while said.len() < 10 || skipped < 10 {
            let frame = client.next().await;
            match text(&frame, "t") {
                "skipped" => skipped += frame["n"].as_u64().unwrap(),
                "event" if text(&frame, "ch") == room => said.push(frame["data"].clone()),
                "event" => panic!("{transport:?}: {frame}"),
                _ => {}
            }
        }
        assert_eq!((said, skipped), (numbers(0..10), 10), "{transport:?}");
        assert_keeps_the_contract(&history.records());
    }
}

#[tokio::test]
async fn a_resume_at_100_of_150_joins_the_live_stream_without_a_seam() {
    // demand: 84, 47
    // spec: D4, D6, M31
    let (servers, history, room) = (Servers::suite(), History::default(), unique("chat:"));
    servers.publish_many(&room, numbers(1..101)).await;
    let at = servers.top(&room).await;
    servers.publish_many(&room, numbers(101..151)).await;
    for transport in Transport::ALL {
        let subs = json!({ "subs": [{ "ch": room, "since": at }] });
        let mut client = Client::open(&servers, transport, subs, &history).await;
        let subscribed = client.next().await;
        assert_eq!((text(&subscribed, "t"), text(&subscribed, "pos")), ("subscribed", &at[..]));
        assert_eq!(client.data(&room, 50).await, numbers(101..151));
        assert_eq!(text(&client.next().await, "t"), "caught_up");
        client.is_quiet();
    }
    let subs = json!({ "subs": [{ "ch": room, "since": at }] });
    let mut client = Client::open(&servers, Transport::WebSocket, subs, &history).await;
    servers.publish(&room, 151).await;
    assert_eq!(client.data(&room, 51).await, numbers(101..152));
    assert_keeps_the_contract(&history.records());
}

#[tokio::test]
async fn more_than_a_page_is_paged_and_not_cut_short() {
    // spec: D4, D8, M34
    let (servers, history, room) = (Servers::suite(), History::default(), unique("chat:"));
    servers.publish_many(&room, numbers(0..3000)).await;
    for transport in Transport::ALL {
        let subs = json!({ "subs": [{ "ch": room, "since": "0" }] });
        let mut client = Client::open(&servers, transport, subs, &history).await;
        assert_eq!(client.data(&room, 3000).await, numbers(0..3000), "{transport:?}");
        assert_eq!(text(&client.until_kind("caught_up").await, "ch"), room);
    }
}

#[tokio::test]
async fn what_was_trimmed_is_one_gap_and_a_quiet_top_is_none() {
    // spec: D4, D5, M31
    let (servers, history, doc) = (Servers::suite(), History::default(), unique("doc:"));
    let first = servers.publish(&doc, 0).await;
    servers.publish_many(&doc, numbers(1..101)).await;
    let token = crate::support::token::user("alice");
    let subs = |since: &str| json!({ "token": token, "subs": [{ "ch": doc, "since": since }] });
    // Exactly as many behind as the log holds: whole.
    let whole = subs(text(&first, "pos"));
    let mut client = Client::open(&servers, Transport::WebSocket, whole, &history).await;
    assert_eq!(client.data(&doc, 100).await, numbers(1..101));
    servers.publish(&doc, 101).await;
    let lost = subs(text(&first, "pos"));
    let mut client = Client::open(&servers, Transport::WebSocket, lost, &history).await;
    let gap = client.until_kind("gap").await;
    assert_eq!((text(&gap, "ch"), text(&gap, "reason")), (&doc[..], "trimmed"));
    servers.publish(&doc, 102).await;
    assert_eq!(client.event(&doc).await["data"], 102);
    let top = servers.publish(&doc, 103).await;
    let top = subs(text(&top, "pos"));
    let mut client = Client::open(&servers, Transport::WebSocket, top, &history).await;
    let mark = client.until(|f| matches!(text(f, "t"), "gap" | "caught_up")).await;
    assert_eq!(text(&mark, "t"), "caught_up");
    assert_keeps_the_contract(&history.records());
}

#[tokio::test]
async fn positions_that_cannot_be_proven_are_gaps_with_their_reason() {
    // spec: D5
    let (servers, room) = (Servers::suite(), unique("chat:"));
    let receipt = servers.publish(&room, 1).await;
    let Position { epoch, tag, .. } = text(&receipt, "pos").parse().unwrap();
    for (since, reason) in [
        (format!("{}.1.00000000000000ff", epoch.as_str()), "tag"),
        (format!("{}.9.{tag}", epoch.as_str()), "ahead"),
        ("other.1.00000000000000ff".to_owned(), "epoch"),
    ] {
        let subs = json!({ "subs": [{ "ch": room, "since": since }] });
        let history = History::default();
        let mut client = Client::open(&servers, Transport::WebSocket, subs, &history).await;
        assert_eq!(text(&client.until_kind("gap").await, "reason"), reason);
        assert_keeps_the_contract(&history.records());
    }
}

#[tokio::test]
async fn a_publish_whose_answer_was_cut_is_sent_again_and_stored_once() {
    // demand: 87
    // spec: P3, S3, M28
    for transport in Transport::ALL {
        let (servers, history, room) = (Servers::suite(), History::default(), unique("chat:"));
        let shim = Shim::before(&servers).await;
        let target = Target::Address(shim.address);
        let open = json!({ "subs": [{ "ch": room }] });
        let mut client = Client::open(target, transport, open, &history).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
        wait::until("what was sent is answered", async || {
            client.next_within(Duration::from_millis(10)).await;
            !client.is_sending()
        })
        .await;
        // The publish goes up; its answer does not come down.
        shim.weather(Weather { stall_down: true, ..Weather::default() });
        let seq = client.publish(&room, 1);
        wait::until("the publish is stored", async || {
            client.next_within(Duration::from_millis(10)).await;
            let stored = servers.api_get(&format!("/history?channel={room}")).await;
            !stored["events"][0].is_null()
        })
        .await;
        shim.cut(Cut::Rst);
        shim.weather(Weather::default());
        assert!(client.settled(seq).await["pos"].is_string(), "{transport:?}");
        let stored = servers.api_get(&format!("/history?channel={room}")).await;
        assert_eq!(stored["events"].as_array().unwrap().len(), 1, "{transport:?}");
        assert_keeps_the_contract(&history.records());
    }
}

#[tokio::test]
async fn what_was_published_offline_is_stored_in_order() {
    // demand: 88
    // spec: O3
    let (servers, history, room) = (Servers::suite(), History::default(), unique("chat:"));
    let mut client = open(&servers, Transport::Sse, json!([{ "ch": room }]), &history).await;
    client.cut();
    for number in 0..150 {
        client.publish(&room, number);
    }
    assert_eq!(client.data(&room, 150).await, numbers(0..150));
    wait::until("every frame up is applied", async || {
        client.next_within(Duration::from_millis(100)).await;
        client.is_settled()
    })
    .await;
    assert_keeps_the_contract(&history.records());
}

#[tokio::test]
async fn a_session_is_kept_for_its_window_and_no_longer() {
    // spec: M24
    let servers = Setup::suite()
        .set("session.window", "'1s'")
        .set("session.grace", "'0s'")
        .set("session.leaving_grace", "'0s'")
        .set("session.poll_detach", "'1s'")
        .servers();
    for transport in Transport::ALL {
        let room = unique("chat:");
        let mut client =
            open(&servers, transport, json!([{ "ch": room }]), &History::default()).await;
        client.comes_back = false;
        client.cut();
        let none = async || servers.metric("throughline_sessions{").await == 0.0;
        wait::until("the session is over", none).await;
        client.comes_back = true;
        client.until_ended().await;
        assert_eq!(client.ended.as_deref(), Some("session_gone"), "{transport:?}");
    }
}
