//! Who a session is, and what it may do, as long as its token is good.

use serde_json::json;

use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::server::Servers;
use crate::support::{text, token, unique, wait};

/// How long a token lasts that a test waits for, in seconds: it is opened and renewed before.
const BRIEF: u64 = 5;

#[tokio::test]
async fn a_forged_user_in_a_publish_is_ignored() {
    // demand: 22
    // spec: M30
    let (servers, room) = (Servers::suite(), unique("chat:"));
    for transport in Transport::ALL {
        let open = json!({ "token": token::user("alice"), "subs": [{ "ch": room }] });
        let mut client = Client::open(&servers, transport, open, &History::default()).await;
        client.until(|frame| text(frame, "ch") == room).await;
        let member = client.member.clone();
        client.send(json!({ "t": "publish", "ch": room, "data": 1, "user": "root", "by": "m0" }));
        let event = client.event(&room).await;
        assert_eq!((text(&event, "user"), text(&event, "by")), ("alice", &member[..]));
    }
}

#[tokio::test]
async fn nothing_is_delivered_after_a_token_has_expired() {
    // demand: 23
    // spec: S6
    let servers = Servers::suite();
    let sessions = Transport::ALL.map(async |transport| {
        let room = unique("chat:");
        let open = json!({ "token": token::expiring("alice", BRIEF), "subs": [{ "ch": room }] });
        let mut client = Client::open(&servers, transport, open, &History::default()).await;
        client.until_ended().await;
        assert_eq!(client.ended.as_deref(), Some("token_expired"), "{transport:?}");
    });
    futures::future::join_all(sessions).await;
}

#[tokio::test]
async fn a_fresh_token_in_band_keeps_the_session_live() {
    // demand: 23
    // spec: S6
    let servers = Servers::suite();
    let sessions = Transport::ALL.map(async |transport| {
        let room = unique("chat:");
        let open = json!({ "token": token::expiring("alice", BRIEF), "subs": [{ "ch": room }] });
        let mut client = Client::open(&servers, transport, open, &History::default()).await;
        client.wait = 500;
        let fresh = json!({ "t": "auth", "token": token::user("alice") });
        let answer = client.call(fresh).await;
        assert!(answer["expires_ms"].as_u64().unwrap() > 3_000_000, "{answer}");
        // Another session, whose token ends when the first one of this did, is the clock.
        let clock = json!({ "token": token::expiring("bob", BRIEF) });
        let mut clock =
            Client::open(&servers, Transport::WebSocket, clock, &History::default()).await;
        clock.until_ended().await;
        servers.publish(&room, 1).await;
        assert_eq!(client.event(&room).await["data"], 1, "{transport:?}");
    });
    futures::future::join_all(sessions).await;
}

#[tokio::test]
async fn a_token_of_another_user_is_refused_in_band() {
    let servers = Servers::suite();
    let open = json!({ "token": token::user("alice") });
    let mut client = Client::open(&servers, Transport::WebSocket, open, &History::default()).await;
    let answer = client.call(json!({ "t": "auth", "token": token::user("bob") })).await;
    assert_eq!(text(&answer, "code"), "forbidden");
    let answer = client.call(json!({ "t": "auth", "token": "rubbish" })).await;
    assert_eq!(text(&answer, "code"), "unauthorized");
}

#[tokio::test]
async fn a_fresh_token_that_allows_less_ends_what_it_no_longer_allows() {
    let (servers, room) = (Servers::suite(), unique("room:"));
    let open = json!({ "token": token::user("alice"), "subs": [{ "ch": room }] });
    let mut client = Client::open(&servers, Transport::WebSocket, open, &History::default()).await;
    client.until(|frame| text(frame, "ch") == room).await;
    let less = token::with("alice", &json!({ "room:other": ["subscribe"] }));
    client.send(json!({ "t": "auth", "token": less }));
    let ended = client.until_kind("unsubscribed").await;
    assert_eq!((text(&ended, "ch"), text(&ended, "code")), (&room[..], "forbidden"));
}

#[tokio::test]
async fn a_fresh_token_without_presence_ends_its_changes_and_not_the_subscription() {
    // spec: M39, S6
    let (servers, room) = (Servers::suite(), unique("room:"));
    let subs = json!([{ "ch": room, "presence": true }]);
    for transport in Transport::ALL {
        let open = json!({ "token": token::user("alice"), "subs": subs });
        let mut client = Client::open(&servers, transport, open, &History::default()).await;
        client.until_kind("members").await;
        let less = token::with("alice", &json!({ "room:*": ["subscribe"] }));
        client.send(json!({ "t": "auth", "token": less }));
        let ended = client.until_kind("unwatched").await;
        assert_eq!((text(&ended, "ch"), text(&ended, "code")), (&room[..], "forbidden"));
        let open = json!({ "token": token::user("bob"), "subs": [{ "ch": room }] });
        let mut other =
            Client::open(&servers, Transport::WebSocket, open, &History::default()).await;
        other.call(json!({ "t": "publish", "ch": room, "data": 1 })).await;
        other.close().await;
        servers.publish(&room, 2).await;
        // Whoever comes or goes is not told any more.
        let mut seen = Vec::new();
        while seen.last().is_none_or(|frame: &serde_json::Value| frame["data"] != 2) {
            seen.push(client.next().await);
        }
        let others =
            |frame: &&serde_json::Value| !matches!(text(frame, "t"), "event" | "ok" | "subscribed");
        assert_eq!(seen.iter().find(others), None, "{transport:?}");
    }
}

#[tokio::test]
async fn capabilities_decide_what_a_session_may_do() {
    let servers = Servers::suite();
    let caps = json!({ "room:a": ["subscribe"], "room:c": ["subscribe"], "game:*": ["subscribe", "publish"] });
    let open = json!({ "token": token::with("alice", &caps) });
    let mut client = Client::open(&servers, Transport::WebSocket, open, &History::default()).await;
    for (frame, code) in [
        (json!({ "t": "subscribe", "ch": "room:a" }), ""),
        (json!({ "t": "subscribe", "ch": "room:b" }), "forbidden"),
        (json!({ "t": "subscribe", "ch": "room:c", "presence": true }), "forbidden"),
        (json!({ "t": "publish", "ch": "room:a", "data": 1 }), "forbidden"),
        (json!({ "t": "publish", "ch": "game:x", "data": 1 }), ""),
        (json!({ "t": "history", "ch": "room:a" }), "forbidden"),
        (json!({ "t": "presence", "chs": ["room:a"] }), "forbidden"),
        (json!({ "t": "presence", "users": ["bob"] }), "forbidden"),
        (json!({ "t": "feed_ticket", "chs": ["room:a"] }), ""),
        (json!({ "t": "feed_ticket", "chs": ["room:b"] }), "forbidden"),
        (json!({ "t": "subscribe", "ch": "@user:bob" }), "forbidden"),
        (json!({ "t": "publish", "ch": "@user:alice", "data": 1 }), "forbidden"),
    ] {
        let answer = client.call(frame.clone()).await;
        assert_eq!(text(&answer, "code"), code, "{frame}");
    }
}

#[tokio::test]
async fn the_application_ends_the_sessions_of_a_user() {
    let servers = Servers::suite();
    for transport in Transport::ALL {
        let user = unique("user");
        let open = json!({ "token": token::user(&user) });
        let mut client = Client::open(&servers, transport, open, &History::default()).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
        // The answer counts those that presence knows.
        wait::until("the user is online", async || {
            let state = servers.api_get(&format!("/presence?user={user}")).await;
            text(&state["users"][&user], "state") == "online"
        })
        .await;
        let ended = servers.api("/disconnect", &json!({ "user": user })).await.json();
        assert_eq!(ended["sessions"], 1);
        client.until_ended().await;
        let code = client.ended.as_deref().unwrap();
        assert!(matches!(code, "disconnected" | "session_gone"), "{transport:?}: {code}");
    }
}
