//! How many sessions a user may have over all nodes, and where they are.

use std::time::Duration;

use serde_json::{Value, json};

use crate::real::{Fleet, LASTING};
use crate::support::client::{Client, Target, Transport};
use crate::support::history::History;
use crate::support::http::Request;
use crate::support::{text, token, unique, wait};

/// A session of a user that its client has answered for, and that is listed.
async fn session(at: impl Into<Target>, by: Transport, user: &str, history: &History) -> Client {
    let mut client = Client::open(at, by, json!({ "token": token::user(user) }), history).await;
    client.call(json!({ "t": "presence", "users": [] })).await;
    client
}

/// A session of a user that ends as soon as its client has answered; what it is told.
async fn refused(at: impl Into<Target>, by: Transport, user: &str, history: &History) -> Value {
    let mut client = Client::open(at, by, json!({ "token": token::user(user) }), history).await;
    client.send(json!({ "t": "noop" }));
    client.until_ended().await;
    client.refusal.clone()
}

/// A user's sessions as the API lists them, once there are so many.
async fn listed(fleet: &Fleet, node: usize, user: &str, many: usize) -> Value {
    let (path, mut answer) = (format!("/users/{user}/sessions"), Value::Null);
    wait::until("the user has so many sessions", async || {
        answer = fleet.servers(&[node]).api_get(&path).await;
        answer["sessions"].as_array().unwrap().len() == many
    })
    .await;
    answer
}

fn members(answer: &Value) -> Vec<Value> {
    answer["sessions"].as_array().unwrap().iter().map(|one| one["member"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_session_too_many_is_refused_on_every_node_and_a_resume_or_a_rebuild_is_not() {
    // demand: 26
    // spec: B1, S5, M45
    let settings = [LASTING, &[("limits.sessions_per_user", "5")]].concat();
    let mut fleet = Fleet::start(3, &settings).await;
    let (user, history) = (unique("user"), History::default());
    // Nobody answers these: they count for nobody.
    let open = json!([{ "l": "open", "v": 1, "token": token::user(&user) }]);
    for node in 0..3 {
        for _ in 0..5 {
            let request = Request::post("/realtime/n1/x", open.to_string());
            assert_eq!(request.send(fleet.at(node)).await.unwrap().status, 200);
        }
    }
    let mut clients = Vec::new();
    for n in 0..5 {
        clients.push(session(fleet.at(n % 3), Transport::ALL[n % 4], &user, &history).await);
    }
    for (n, transport) in Transport::ALL.into_iter().enumerate() {
        let why = refused(fleet.at(n % 3), transport, &user, &history).await;
        assert_eq!(text(&why, "code"), "too_many_sessions", "{transport:?}");
        assert_eq!((text(&why, "scope"), &why["retry_ms"]), ("session", &30_000.into()));
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.cut();
        client.goes_to(&fleet.servers(&[1, 2]));
        client.move_to(Transport::ALL[(n + 1) % 4]).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
    }
    // A node that is lost: its session goes on elsewhere, in its own seat.
    clients.pop().unwrap().close().await;
    listed(&fleet, 0, &user, 4).await;
    let mut last = session(fleet.at(0), Transport::WebSocket, &user, &history).await;
    fleet.nodes[0].kill();
    last.goes_to(&fleet.servers(&[1, 2]));
    last.until_ended().await;
    last.open_again(&[]).await;
    last.call(json!({ "t": "presence", "users": [] })).await;
    assert_eq!(last.hello["rebuilt"], true);
    let why = refused(fleet.at(1), Transport::Poll, &user, &history).await;
    assert_eq!(text(&why, "code"), "too_many_sessions");
    last.close().await;
    listed(&fleet, 2, &user, 4).await;
    session(fleet.at(2), Transport::Sse, &user, &history).await;
    for client in &mut clients {
        client.is_quiet();
        assert_eq!(client.ended, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_oldest_makes_room_it_is_told_on_whichever_node_it_is() {
    // demand: 26
    // spec: B1, S6, M45
    let over = [("limits.sessions_per_user", "2"), ("limits.sessions_per_user_over", "'oldest'")];
    let fleet = Fleet::start(3, &over).await;
    let history = History::default();
    for transport in Transport::ALL {
        let user = unique("user");
        let mut first = session(fleet.at(0), transport, &user, &history).await;
        let second = session(fleet.at(1), transport, &user, &history).await;
        let third = session(fleet.at(2), transport, &user, &history).await;
        first.until_ended().await;
        assert_eq!(first.ended.as_deref(), Some("superseded"), "{transport:?}");
        let rest = [&second.member, &third.member].map(|member| json!(member));
        // The third takes its seat once the first was told.
        wait::until("the oldest has left its seat", async || {
            members(&listed(&fleet, 0, &user, 2).await) == rest
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_lists_a_users_sessions_and_where_they_are_and_forgets_those_of_a_lost_node() {
    // demand: 37
    // spec: R1, R7
    let mut fleet = Fleet::start(3, LASTING).await;
    let (user, history) = (unique("user"), History::default());
    let mut clients = Vec::new();
    for (n, transport) in Transport::ALL.into_iter().enumerate() {
        clients.push(session(fleet.at(n % 3), transport, &user, &history).await);
    }
    clients[0].call(json!({ "t": "away", "away": true })).await;
    let answer = listed(&fleet, 0, &user, 4).await;
    let sessions = answer["sessions"].as_array().unwrap();
    for (n, (one, client)) in sessions.iter().zip(&clients).enumerate() {
        assert_eq!(one["member"], client.member);
        let transport = ["websocket", "stream", "sse", "poll"][n];
        assert_eq!((&one["transport"], &one["visible"]), (&json!(transport), &json!(true)));
        assert_eq!(one["state"], if n == 0 { "away" } else { "online" });
        assert!(one["since"].as_u64() > Some(1_600_000_000_000));
        assert!(text(&one["node"], "address").starts_with("127.0.0.1:"));
    }
    assert_eq!(sessions[0]["node"], sessions[3]["node"]);
    assert_ne!(sessions[0]["node"], sessions[1]["node"]);
    assert!(answer.get("unreachable").is_none());
    for node in [1, 2] {
        assert_eq!(listed(&fleet, node, &user, 4).await, answer);
    }
    let state = fleet.servers(&[1]).api("/presence", &json!({ "users": [user] })).await.json();
    assert_eq!(
        (&state["users"][&user]["state"], &state["users"][&user]["sessions"]),
        (&json!("online"), &json!(4))
    );
    fleet.nodes[0].kill();
    let mut gone = listed(&fleet, 1, &user, 4).await;
    while gone.get("unreachable").is_none() {
        // What is known of a node is a moment old.
        tokio::time::sleep(Duration::from_millis(50)).await;
        gone = listed(&fleet, 1, &user, 4).await;
    }
    assert_eq!(gone["unreachable"], json!([sessions[0]["node"]["incarnation"]]));
    assert_eq!(gone["sessions"][0].get("transport"), None);
    assert_eq!(gone["sessions"][1], sessions[1]);
    let left = listed(&fleet, 2, &user, 2).await;
    assert_eq!(members(&left), members(&answer)[1..3]);
    let nobody = fleet.servers(&[1]).api_get("/users/nobody/sessions").await;
    assert_eq!(nobody, json!({ "sessions": [] }));
}
