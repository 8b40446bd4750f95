//! Channels by their namespaces: who gets what, and what an event carries.

use serde_json::{Value, json};

use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::server::Servers;
use crate::support::{text, token, unique};

async fn open(servers: &Servers, members: Value) -> Client {
    Client::open(servers, Transport::WebSocket, members, &History::default()).await
}

#[tokio::test]
async fn only_the_readers_of_a_channel_are_written_to() {
    // demand: 41
    let servers = crate::support::server::Setup::suite().set("auto_subscribe", "[]").servers();
    let (game, other) = (unique("typing:"), unique("typing:"));
    let mut readers = Vec::new();
    for index in 0..100 {
        let channel = if index % 10 == 0 { &game } else { &other };
        let mut client = open(&servers, json!({ "subs": [{ "ch": channel }] })).await;
        client.until_kind("subscribed").await;
        readers.push(client);
    }
    let before = servers.metric("throughline_deliveries_total").await;
    servers.publish(&game, 1).await;
    for reader in readers.iter_mut().step_by(10) {
        reader.event(&game).await;
    }
    let pushes = servers.metric("throughline_deliveries_total").await - before;
    assert!((pushes - 10.0).abs() < 0.5, "{pushes}");
}

#[tokio::test]
async fn a_client_that_asked_for_nothing_gets_what_everyone_gets() {
    // demand: 42
    let servers = Servers::suite();
    for transport in Transport::ALL {
        let mut client = Client::open(&servers, transport, json!({}), &History::default()).await;
        client.until_kind("subscribed").await;
        let notice = unique("notice");
        servers.publish("announcements:all", notice.clone()).await;
        client.until(|frame| text(frame, "data") == notice).await;
    }
}

#[tokio::test]
async fn each_channel_behaves_by_its_namespace_and_an_unknown_one_is_refused() {
    // demand: 44
    // spec: M5
    let servers = Servers::suite();
    let mut client = open(&servers, json!({ "token": token::user("alice") })).await;
    for (channel, code, durable) in [
        (unique("chat:"), "", true),
        (unique("typing:"), "", false),
        (unique("scores:"), "", false),
        ("nowhere:1".to_owned(), "unknown_channel", false),
        ("chat".to_owned(), "", true),
        ("@secret".to_owned(), "bad_channel", false),
        ("a b".to_owned(), "bad_frame", false),
        ("x".repeat(201), "bad_frame", false),
        (String::new(), "bad_frame", false),
    ] {
        let answer = client.call(json!({ "t": "subscribe", "ch": channel })).await;
        assert_eq!(text(&answer, "code"), code, "{channel}");
        assert_eq!(answer["durable"] == true, durable, "{channel}");
    }
    for (frame, code) in [
        (json!({ "t": "publish", "ch": "scores:1", "key": "a", "data": 1 }), "forbidden"),
        (json!({ "t": "history", "ch": unique("typing:") }), "not_provided"),
        (json!({ "t": "publish", "ch": unique("chat:"), "key": "a", "data": 1 }), "not_provided"),
        (json!({ "t": "presence", "chs": [unique("typing:")] }), "not_provided"),
    ] {
        let answer = client.call(frame.clone()).await;
        assert_eq!(text(&answer, "code"), code, "{frame}");
    }
}

#[tokio::test]
async fn every_durable_event_has_an_offset_and_an_id_and_history_gives_the_same() {
    // demand: 83
    // spec: O1, D1
    let (servers, room) = (Servers::suite(), unique("chat:"));
    let mut client = open(&servers, json!({ "subs": [{ "ch": room }] })).await;
    client.until(|frame| text(frame, "ch") == room).await;
    let mut live = Vec::new();
    for number in 0..5 {
        servers.publish(&room, number).await;
        client.publish(&room, number);
        live.push(client.event(&room).await);
        live.push(client.event(&room).await);
    }
    let page = client.call(json!({ "t": "history", "ch": room })).await;
    assert_eq!(page["events"], json!(live));
    assert_eq!(servers.api_get(&format!("/history?channel={room}")).await["events"], json!(live));
    for (index, event) in live.iter().enumerate() {
        let offset = text(event, "pos").split('.').nth(1).unwrap().to_owned();
        assert_eq!(offset, (index + 1).to_string());
        assert_ne!(text(event, "id"), "");
    }
}

#[tokio::test]
async fn a_state_channel_gives_a_joiner_the_latest_of_each_key_and_then_what_is_live() {
    // demand: 102
    // spec: M32
    let (servers, board) = (Servers::suite(), unique("scores:"));
    let score = |key: usize, value: u64| {
        let (servers, board) = (servers.clone(), board.clone());
        async move {
            let body = json!({ "channel": board, "key": format!("k{key}"), "data": value });
            assert_eq!(servers.api("/publish", &body).await.status, 200);
        }
    };
    for value in 0..3 {
        for key in 0..50 {
            score(key, value).await;
        }
    }
    for transport in Transport::ALL {
        let subs = json!({ "subs": [{ "ch": board }] });
        let mut client = Client::open(&servers, transport, subs, &History::default()).await;
        let first = client.until(|frame| text(frame, "ch") == board).await;
        assert_eq!((text(&first, "t"), &first["state"]), ("subscribed", &json!(true)));
        assert_eq!(client.data(&board, 50).await, vec![json!(2); 50]);
        assert_eq!(text(&client.until(|f| text(f, "ch") == board).await, "t"), "caught_up");
        score(7, 9).await;
        assert_eq!(client.event(&board).await["data"], 9);
        score(7, 2).await;
    }
}

#[tokio::test]
async fn a_publish_from_the_backend_reaches_a_user_on_every_device() {
    // demand: 39, 46, 101, 73
    let (servers, user) = (Servers::suite(), unique("user"));
    let mut devices = Vec::new();
    for transport in Transport::ALL {
        let open = json!({ "token": token::user(&user) });
        let mut device = Client::open(&servers, transport, open, &History::default()).await;
        device.until(|frame| text(frame, "ch").starts_with("@user:")).await;
        devices.push(device);
    }
    let sent = servers.api("/publish", &json!({ "user": user, "data": "hello" })).await;
    assert_eq!(sent.status, 200, "{}", sent.text());
    for device in &mut devices {
        assert_eq!(device.event(&format!("@user:{user}")).await["data"], "hello");
    }
}

#[tokio::test]
async fn a_repeated_id_is_stored_once_and_another_body_under_it_is_refused() {
    // spec: P3
    let (servers, room) = (Servers::suite(), unique("chat:"));
    let body = |data: u64| json!({ "channel": room, "id": "one", "data": data });
    let first = servers.api("/publish", &body(1)).await.json();
    let again = servers.api("/publish", &body(1)).await.json();
    assert_eq!((&again["pos"], &again["duplicate"]), (&first["pos"], &json!(true)));
    let other = servers.api("/publish", &body(2)).await;
    assert_eq!((other.status, other.code()), (409, "duplicate_id".to_owned()));
}

#[tokio::test]
async fn of_two_publishes_that_expect_one_top_one_is_stored() {
    // demand: 115
    // spec: P7
    let (servers, room) = (Servers::suite(), unique("chat:"));
    let top = servers.publish(&room, 0).await["pos"].clone();
    let mut client = open(&servers, json!({ "subs": [{ "ch": room }] })).await;
    client.until(|frame| text(frame, "ch") == room).await;
    let publish = |data: u64| json!({ "t": "publish", "ch": room, "data": data, "expect": top });
    let won = client.call(publish(1)).await;
    let lost = client.call(publish(2)).await;
    assert_eq!((text(&lost, "code"), &lost["pos"]), ("conflict", &won["pos"]));
    let body = json!({ "channel": room, "data": 3, "expect": top });
    let answer = servers.api("/publish", &body).await;
    assert_eq!((answer.status, &answer.json()["pos"]), (409, &won["pos"]));
}

#[tokio::test]
async fn a_batch_is_contiguous_and_each_channel_is_for_itself() {
    // spec: P5
    let (servers, room) = (Servers::suite(), unique("chat:"));
    let many: Vec<_> = (0..5).map(|n| json!({ "data": n })).collect();
    let body = json!({ "batches": [
        { "channel": room, "events": many },
        { "channel": "nowhere:1", "events": many },
        { "channel": room, "events": many },
    ] });
    let results = servers.api("/batch", &body).await.json()["results"].clone();
    assert_eq!(text(&results[0], "pos").split('.').nth(1), Some("5"));
    assert_eq!(text(&results[1]["error"], "code"), "unknown_channel");
    assert_eq!(text(&results[2], "pos").split('.').nth(1), Some("10"));
}

#[tokio::test]
async fn frames_up_with_wrong_content_are_settled_and_count_as_applied() {
    // spec: M4, M28
    let servers = Servers::suite();
    for transport in Transport::ALL {
        let mut client = Client::open(&servers, transport, json!({}), &History::default()).await;
        for frame in [
            json!({ "t": "fly" }),
            json!({ "t": "publish", "ch": 5, "data": 1 }),
            json!({ "t": "publish", "ch": "chat:1" }),
            json!({ "t": "history", "ch": "chat:1", "limit": 0 }),
            json!({ "t": "subscribe", "ch": "chat:1", "since": "now" }),
        ] {
            let answer = client.call(frame.clone()).await;
            assert_eq!(text(&answer, "t"), "error", "{frame}");
        }
        let answer = client.call(json!({ "t": "history", "ch": "chat:1" })).await;
        assert_eq!(text(&answer, "t"), "ok", "{transport:?}");
    }
}

#[tokio::test]
async fn subscriptions_beyond_the_limit_are_refused() {
    let servers = Servers::suite();
    let mut client = open(&servers, json!({})).await;
    let mut refused = 0;
    for index in 0..140 {
        let frame = json!({ "t": "subscribe", "ch": format!("typing:{index}") });
        refused += usize::from(text(&client.call(frame).await, "code") == "too_many");
    }
    assert!((12..=14).contains(&refused), "{refused}");
}
