//! Who is there.

use serde_json::{Value, json};

use crate::support::checker::assert_keeps_the_contract;
use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::server::{Servers, Setup};
use crate::support::{text, token, unique, wait};

/// Servers whose graces are longer than anybody takes who comes back.
fn patient() -> Servers {
    let setup = Setup::suite().set("session.grace", "'60s'");
    setup.set("session.leaving_grace", "'60s'").servers()
}

async fn watcher(servers: &Servers, room: &str, history: &History) -> Client {
    let open = json!({ "subs": [{ "ch": room, "presence": true }] });
    let mut watcher = Client::open(servers, Transport::WebSocket, open, history).await;
    watcher.until_kind("members").await;
    // Its own join.
    watcher.until_kind("join").await;
    watcher
}

async fn member(servers: &Servers, transport: Transport, room: &str, history: &History) -> Client {
    let user = format!("{transport:?}");
    let open = json!({ "token": token::user(&user), "subs": [{ "ch": room }] });
    let mut member = Client::open(servers, transport, open, history).await;
    member.call(json!({ "t": "presence", "users": [] })).await;
    member
}

fn who(change: &Value) -> &str {
    match text(change, "t") {
        "leave" => text(change, "id"),
        _ => text(&change["member"], "id"),
    }
}

fn is_change(frame: &Value) -> bool {
    matches!(text(frame, "t"), "join" | "update" | "leave")
}

#[tokio::test]
async fn a_member_is_seen_to_join_and_after_its_close_to_leave_at_once() {
    // demand: 62, 64
    // spec: R1
    let (servers, room, history) = (Servers::suite(), unique("chat:"), History::default());
    let mut watcher = watcher(&servers, &room, &history).await;
    for transport in Transport::ALL {
        let member = member(&servers, transport, &room, &history).await;
        let join = watcher.until(is_change).await;
        assert_eq!((text(&join, "t"), who(&join)), ("join", &member.member[..]), "{transport:?}");
        let user = format!("{transport:?}");
        assert_eq!(text(&join["member"], "user"), user);
        let presence = servers.api_get(&format!("/presence?channel={room}")).await;
        assert_eq!(presence["channels"][&room]["n"], 2);
        let state = servers.api_get(&format!("/presence?user={user}")).await;
        assert_eq!(text(&state["users"][&user], "state"), "online");
        let id = member.member.clone();
        member.close().await;
        let leave = watcher.until(is_change).await;
        assert_eq!((text(&leave, "t"), who(&leave)), ("leave", &id[..]), "{transport:?}");
        // It leaves its channels one after the other.
        wait::until("the user is offline", async || {
            let state = servers.api_get(&format!("/presence?user={user}")).await;
            let state = &state["users"][&user];
            text(state, "state") == "offline" && state["last_seen"].is_u64()
        })
        .await;
    }
    watcher.is_quiet();
    assert_keeps_the_contract(&history.records());
}

#[tokio::test]
async fn a_page_that_goes_away_leaves_after_the_short_grace() {
    // demand: 64
    // spec: R1
    let servers =
        Setup::suite().set("session.grace", "'60s'").set("session.leaving_grace", "'1s'").servers();
    let room = unique("chat:");
    let history = History::default();
    let mut watcher = watcher(&servers, &room, &history).await;
    for transport in Transport::ALL {
        let mut member = member(&servers, transport, &room, &history).await;
        assert_eq!(text(&watcher.until(is_change).await, "t"), "join");
        member.comes_back = false;
        // A beacon: an exchange at the link there is.
        let beacon = json!([
            { "l": "attach", "ticket": member.ticket(), "link": member.link(),
                "count": member.counted(), "wait": 0 },
            { "l": "leaving" },
        ]);
        let request = crate::support::http::Request::post("/realtime/n1/x", beacon.to_string());
        member.cut();
        assert_eq!(servers.send(request).await.status, 200);
        let leave = watcher.until(is_change).await;
        assert_eq!((text(&leave, "t"), who(&leave)), ("leave", &member.member[..]));
    }
}

#[tokio::test]
async fn a_reload_is_seen_by_nobody() {
    // demand: 64, 69, 79
    // spec: R3
    let (servers, room, history) = (patient(), unique("chat:"), History::default());
    let mut watcher = watcher(&servers, &room, &history).await;
    let mut client = member(&servers, Transport::WebSocket, &room, &history).await;
    assert_eq!(text(&watcher.until(is_change).await, "t"), "join");
    client.say(&json!({ "l": "leaving" }));
    client.cut();
    client.call(json!({ "t": "presence", "users": [] })).await;
    // Another member's join and leave come after anything that the reload could have caused.
    let last = member(&servers, Transport::Sse, &room, &history).await;
    let id = last.member.clone();
    last.close().await;
    for kind in ["join", "leave"] {
        let change = watcher.until(is_change).await;
        assert_eq!((text(&change, "t"), who(&change)), (kind, &id[..]));
    }
    assert_keeps_the_contract(&history.records());
}

#[tokio::test]
async fn a_cut_and_a_change_of_transport_within_grace_are_seen_by_nobody() {
    // demand: 69, 121
    // spec: R3
    let (servers, room, history) = (patient(), unique("chat:"), History::default());
    let mut watcher = watcher(&servers, &room, &history).await;
    let mut client = member(&servers, Transport::WebSocket, &room, &history).await;
    assert_eq!(text(&watcher.until(is_change).await, "t"), "join");
    for transport in Transport::ALL {
        client.cut();
        client.move_to(transport).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
    }
    let id = client.member.clone();
    client.close().await;
    let change = watcher.until(is_change).await;
    assert_eq!((text(&change, "t"), who(&change)), ("leave", &id[..]));
    watcher.is_quiet();
    assert_keeps_the_contract(&history.records());
}

#[tokio::test]
async fn away_and_online_are_seen() {
    // demand: 68
    let (servers, room, history) = (Servers::suite(), unique("chat:"), History::default());
    let mut watcher = watcher(&servers, &room, &history).await;
    for transport in Transport::ALL {
        let mut client = member(&servers, transport, &room, &history).await;
        assert_eq!(text(&watcher.until(is_change).await, "t"), "join");
        for (away, state) in [(true, "away"), (false, "online")] {
            client.call(json!({ "t": "away", "away": away })).await;
            let update = watcher.until(is_change).await;
            assert_eq!((text(&update, "t"), who(&update)), ("update", &client.member[..]));
            assert_eq!(text(&update["member"], "state"), state);
        }
        client.close().await;
        watcher.until_kind("leave").await;
    }
}

#[tokio::test]
async fn a_channel_that_counts_gives_counts() {
    // demand: 108
    let (servers, crowd, history) = (Servers::suite(), unique("crowd:"), History::default());
    let open = json!({ "subs": [{ "ch": crowd, "presence": true }] });
    let mut watcher = Client::open(&servers, Transport::WebSocket, open, &history).await;
    watcher.until(|frame| text(frame, "t") == "count" && frame["n"] == 1).await;
    let open = json!({ "subs": [{ "ch": crowd }] });
    let mut other = Client::open(&servers, Transport::Sse, open, &history).await;
    other.until(|frame| text(frame, "ch") == crowd).await;
    watcher.until(|frame| text(frame, "t") == "count" && frame["n"] == 2).await;
    other.close().await;
    watcher.until(|frame| text(frame, "t") == "count" && frame["n"] == 1).await;
}

#[tokio::test]
async fn who_looks_at_a_user_hears_of_changes_and_is_none_of_the_users_devices() {
    // demand: 70
    // spec: M48
    let (servers, history) = (Servers::suite(), History::default());
    let alice = unique("user");
    let own = format!("@user:{alice}");
    let caps = json!({ "@user:*": ["subscribe", "presence"] });
    let contact = async || {
        let open = json!({ "token": token::with(&unique("user"), &caps) });
        Client::open(&servers, Transport::WebSocket, open, &history).await
    };
    let (mut looks, mut other) = (contact().await, contact().await);
    let members = looks.call(json!({ "t": "subscribe", "ch": own, "presence": true })).await;
    assert_eq!(text(&members, "t"), "subscribed");
    let state = async || servers.api_get(&format!("/presence?user={alice}")).await;
    assert_eq!(state().await["users"][&alice], json!({ "state": "offline", "sessions": 0 }));

    let open = json!({ "token": token::with(&alice, &json!({})) });
    let device = Client::open(&servers, Transport::WebSocket, open, &history).await;
    let joined = looks.until_kind("join").await;
    assert_eq!(text(&joined["member"], "id"), device.member);
    assert_eq!(state().await["users"][&alice], json!({ "state": "online", "sessions": 1 }));
    device.close().await;
    assert_eq!(text(&looks.until_kind("leave").await, "ch"), own);

    // Another who may look and does not is told nothing.
    let asked = other.send(json!({ "t": "presence", "users": [alice] }));
    other
        .until(|frame| {
            assert_ne!(text(frame, "ch"), own);
            frame["re"] == asked
        })
        .await;
}

#[tokio::test]
async fn many_users_are_asked_for_in_one_frame() {
    // demand: 71
    let (servers, history) = (Servers::suite(), History::default());
    let present = unique("user");
    let caps = json!({ "@user:*": ["presence"], "chat:*": ["history"] });
    let open = json!({ "token": token::with(&present, &caps) });
    let mut client = Client::open(&servers, Transport::WebSocket, open, &history).await;
    client.until(|frame| text(frame, "ch").starts_with("@user:")).await;
    client.call(json!({ "t": "history", "ch": "chat:1" })).await;
    let mut users: Vec<_> = (0..500).map(|index| format!("nobody{index}")).collect();
    users.push(present.clone());
    wait::until("the user is online", async || {
        let answer = client.call(json!({ "t": "presence", "users": users })).await;
        assert_eq!(answer["users"].as_object().unwrap().len(), 501);
        text(&answer["users"][&present], "state") == "online"
    })
    .await;
    users.resize(1001, "x".to_owned());
    let answer = client.call(json!({ "t": "presence", "users": users })).await;
    assert_eq!(text(&answer, "code"), "too_many");
}
