//! One user on several devices and nodes.

use serde_json::{Value, json};

use crate::real::Fleet;
use crate::support::checker::assert_keeps_the_contract;
use crate::support::client::{Client, Target, Transport};
use crate::support::history::History;
use crate::support::{text, token, unique, wait};

/// The grace in `suite.toml`.
const GRACE_MS: u64 = 3_000;

/// A device that sees how its user's other devices are.
async fn device(at: impl Into<Target>, by: Transport, user: &str, history: &History) -> Client {
    // Nothing but the user's own channel, without any grant.
    let token = token::with(user, &json!({}));
    let subs = json!([{ "ch": format!("@user:{user}"), "presence": true }]);
    let open = json!({ "token": token, "subs": subs });
    let mut device = Client::open(at, by, open, history).await;
    let own = device.member.clone();
    device.until_kind("members").await;
    device.until(|frame| text(frame, "t") == "join" && who(frame) == own).await;
    device
}

fn who(change: &Value) -> &str {
    match text(change, "t") {
        "leave" => text(change, "id"),
        _ => text(&change["member"], "id"),
    }
}

/// Reads the next change, which must be this one.
async fn sees(device: &mut Client, kind: &str, member: &str, state: Option<&str>) {
    let next = device.until(|f| matches!(text(f, "t"), "join" | "update" | "leave")).await;
    let seen = next["member"]["state"].as_str();
    assert_eq!((text(&next, "t"), who(&next), seen), (kind, member, state));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_as_present_as_the_best_of_the_devices_and_each_of_them_is_told() {
    // demand: 67, 72, 73
    // spec: R1, R7
    let fleet = Fleet::start(2, &[]).await;
    let both = fleet.servers(&[0, 1]);
    for transport in Transport::ALL {
        let (user, history) = (unique("user"), History::default());
        let state = async || {
            let answer = both.api_get(&format!("/presence?user={user}")).await;
            answer["users"][&user].clone()
        };
        assert_eq!(state().await, json!({ "state": "offline", "sessions": 0 }));
        let mut phone = device(fleet.at(0), transport, &user, &history).await;
        let mut laptop = device(fleet.at(1), Transport::WebSocket, &user, &history).await;
        sees(&mut phone, "join", &laptop.member, Some("online")).await;
        phone.call(json!({ "t": "away", "away": true })).await;
        sees(&mut laptop, "update", &phone.member, Some("away")).await;
        let own = phone.member.clone();
        sees(&mut phone, "update", &own, Some("away")).await;
        assert_eq!(state().await, json!({ "state": "online", "sessions": 2 }));
        let (before, id) = (throughline::telemetry::clock::wall_ms(), laptop.member.clone());
        laptop.close().await;
        sees(&mut phone, "leave", &id, None).await;
        assert_eq!(state().await, json!({ "state": "away", "sessions": 1 }));
        phone.is_quiet();
        assert_keeps_the_contract(&history.records());
        phone.close().await;
        let mut gone = Value::Null;
        wait::until("the user is offline", async || {
            gone = state().await;
            gone["state"] == "offline"
        })
        .await;
        assert_eq!(gone["sessions"], 0);
        let seen = gone["last_seen"].as_u64().unwrap();
        let now = throughline::telemetry::clock::wall_ms();
        assert!((before..=now).contains(&seen), "{before} {seen} {now}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_may_begin_to_watch_what_it_reads_and_stays_in_its_own_channel() {
    // demand: 73
    // spec: M47, M48
    let fleet = Fleet::start(1, &[]).await;
    for transport in Transport::ALL {
        let (user, history) = (unique("user"), History::default());
        let (own, ch) = (format!("@user:{user}"), unique("room:"));
        let caps = json!({ "room:*": ["subscribe"] });
        let open = json!({ "token": token::with(&user, &caps), "subs": [{ "ch": ch }] });
        let mut client = Client::open(fleet.at(0), transport, open, &history).await;
        client.until(|f| text(f, "t") == "subscribed" && text(f, "ch") == own).await;
        let watch = |ch: &str| json!({ "t": "subscribe", "ch": ch, "presence": true });
        let answer = client.call(watch(&own)).await;
        assert_eq!((text(&answer, "t"), text(&answer, "ch")), ("subscribed", &*own));
        let listed = client.until_kind("members").await;
        assert_eq!(text(&listed["members"][0], "id"), client.member);
        // Asked again, it is told again.
        assert_eq!(text(&client.call(watch(&own)).await, "t"), "subscribed");
        assert_eq!(client.until_kind("members").await["members"], listed["members"]);
        client.call(json!({ "t": "away", "away": true })).await;
        let update = client.until_kind("update").await;
        assert_eq!((who(&update), text(&update["member"], "state")), (&*client.member, "away"));
        let refused = client.call(watch(&ch)).await;
        assert_eq!(text(&refused, "code"), "forbidden", "{transport:?}");
        let stays = client.call(json!({ "t": "unsubscribe", "ch": own })).await;
        assert_eq!(text(&stays, "code"), "not_provided", "{transport:?}");
        client.is_quiet();
        assert_keeps_the_contract(&history.records());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_users_cost_one_command_each_in_one_round_trip() {
    // demand: 71, 72
    // spec: R7
    let fleet = Fleet::start(2, &[]).await;
    let history = History::default();
    let users: Vec<_> = (0..500).map(|_| unique("user")).collect();
    let caps = json!({ "@user:*": ["presence"] });
    let open = json!({ "token": token::with(&users[7], &caps) });
    let mut client = Client::open(fleet.at(0), Transport::WebSocket, open, &history).await;
    client.call(json!({ "t": "presence", "users": [] })).await;
    let monitor = fleet.redis.monitor();
    let asked = client.call(json!({ "t": "presence", "users": users })).await;
    let called = fleet.servers(&[1]).api("/presence", &json!({ "users": users })).await.json();
    for answer in [&asked["users"], &called["users"]] {
        assert_eq!(answer.as_object().unwrap().len(), 500);
        assert_eq!(answer[&users[7]], json!({ "state": "online", "sessions": 1 }));
        assert_eq!(answer[&users[8]], json!({ "state": "offline", "sessions": 0 }));
    }
    // The one who is there is looked after besides.
    let is_about = |line: &String| line.contains("@user:user-") && !line.contains(&*users[7]);
    let mut seen: Vec<String> = Vec::new();
    wait::until("each user was asked for twice", async || {
        seen.extend(monitor.take().into_iter().filter(&is_about));
        seen.iter().filter(|line| line.contains("\"HMGET\"")).count() >= 998
    })
    .await;
    // Nothing else was asked about any of them.
    assert_eq!(seen.len(), 998);
    let others = client.call(json!({ "t": "presence", "users": ["x"], "chs": ["room:1"] })).await;
    assert_eq!(text(&others, "code"), "forbidden");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_whose_device_breaks_off_was_last_seen_when_it_last_said_something() {
    // demand: 67
    // spec: R7
    let fleet = Fleet::start(1, &[]).await;
    let servers = fleet.servers(&[0]);
    let now = throughline::telemetry::clock::wall_ms;
    for transport in [Transport::WebSocket, Transport::Stream, Transport::Sse] {
        let (user, history) = (unique("user"), History::default());
        let mut device = device(fleet.at(0), transport, &user, &history).await;
        let before = now();
        device.call(json!({ "t": "presence", "users": [] })).await;
        device.comes_back = false;
        device.cut();
        let mut state = json!({});
        while state["state"] != "offline" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let answer = servers.api_get(&format!("/presence?user={user}")).await;
            state = answer["users"][&user].clone();
        }
        let seen = state["last_seen"].as_u64().unwrap();
        // Not when it was told, which is a grace later.
        let told = now();
        let range = before - 2..told - GRACE_MS / 2;
        assert!(range.contains(&seen), "{transport:?}: {before} {seen} {told}");
    }
}
