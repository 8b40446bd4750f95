//! Links: candidates, echoes, which number wins, and what is told to the others.

use serde_json::{Value, json};

use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::http::Request;
use crate::support::server::{Servers, Setup};
use crate::support::websocket::Socket;
use crate::support::{text, unique};

async fn opened(servers: &Servers, members: Value) -> (Socket, String) {
    let mut socket = Socket::open(servers.pick(), members).await;
    let ticket = text(&socket.until("hello").await, "ticket").to_owned();
    socket.until("attached").await;
    (socket, ticket)
}

async fn candidate(servers: &Servers, ticket: &str) -> Socket {
    let mut socket = Socket::connect(servers.pick()).await;
    socket.say(&json!({ "l": "candidate", "v": 1, "ticket": ticket })).await;
    let hello = socket.until("hello").await;
    assert!(hello.get("ticket").is_none(), "a candidate's hello opens nothing: {hello}");
    // Once it answers, the session knows it.
    socket.say(&json!({ "l": "echo", "id": "known" })).await;
    socket.until("echo").await;
    socket
}

#[tokio::test]
async fn a_higher_link_takes_the_session_and_the_lower_is_told() {
    // spec: M17, S1
    let servers = Servers::suite().one();
    let (mut old, ticket) = opened(&servers, json!({})).await;
    old.say(&json!({ "l": "pong", "count": 0 })).await;
    let mut new = candidate(&servers, &ticket).await;
    new.say(&json!({ "l": "attach", "link": 7, "count": 0 })).await;
    let attached = new.until("attached").await;
    assert_eq!((&attached["link"], &attached["from"]), (&json!(7), &json!(0)));
    assert_eq!(old.until("superseded").await["link"], 7);
    assert_eq!(old.close_code().await, 4443);
}

#[tokio::test]
async fn a_lower_or_equal_link_of_another_connection_is_superseded() {
    // spec: M18
    let servers = Servers::suite().one();
    let (mut first, ticket) = opened(&servers, json!({ "link": 5 })).await;
    first.say(&json!({ "l": "pong", "count": 0 })).await;
    for link in [1, 4, 5] {
        let mut late = candidate(&servers, &ticket).await;
        late.say(&json!({ "l": "attach", "link": link, "count": 0 })).await;
        assert_eq!(late.until("superseded").await["link"], 5);
        assert_eq!(late.close_code().await, 4443);
    }
    first.say(&json!({ "l": "echo", "id": "still" })).await;
    assert_eq!(text(&first.until("echo").await, "id"), "still");
}

#[tokio::test]
async fn an_echo_is_answered_where_it_came_from_or_on_the_connection_that_it_names() {
    let servers = Servers::suite();
    let (mut socket, ticket) = opened(&servers, json!({})).await;
    socket.say(&json!({ "l": "echo", "id": "own" })).await;
    assert_eq!(text(&socket.until("echo").await, "id"), "own");
    let nonce = unique("n");
    let request = Request::upgrade(&format!("/realtime/{nonce}/ws"));
    let mut other = Socket::by(servers.pick(), &request).await;
    other.say(&json!({ "l": "candidate", "v": 1, "ticket": ticket })).await;
    let via = text(&other.until("hello").await, "via").to_owned();
    let body = json!([
        { "l": "attach", "ticket": ticket, "link": 1, "count": 0 },
        { "l": "echo", "id": "named", "via": via },
    ]);
    let answer = servers.send(Request::post("/realtime/n1/x", body.to_string())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(text(&other.until("echo").await, "id"), "named");
}

#[tokio::test]
async fn a_via_that_is_not_here_is_refused() {
    let servers = Servers::suite();
    let (mut socket, ticket) = opened(&servers, json!({})).await;
    let via = text(&json!({ "via": "another-node.n1" }), "via").to_owned();
    let body = json!([{ "l": "attach", "ticket": ticket, "link": 2, "count": 0, "via": via }]);
    let answer = servers.send(Request::post("/realtime/n1/x", body.to_string())).await;
    assert_eq!((answer.status, answer.code()), (400, "bad_request".to_owned()));
    socket.say(&json!({ "l": "echo", "id": "still" })).await;
    assert_eq!(text(&socket.until("echo").await, "id"), "still");
}

#[tokio::test]
async fn an_exchange_beside_a_live_link_is_answered_at_once_with_attached_alone() {
    // spec: M20
    let servers = Servers::suite();
    for transport in [Transport::WebSocket, Transport::Stream, Transport::Sse] {
        let room = unique("chat:");
        let open = json!({ "subs": [{ "ch": room }] });
        let mut client = Client::open(&servers, transport, open, &History::default()).await;
        client.until(|frame| text(frame, "ch") == room).await;
        let body = json!([
            { "l": "attach", "ticket": client.ticket(), "link": 1, "count": 0, "wait": 30000 },
            { "t": "publish", "seq": 1, "ch": room, "data": "beside" },
        ]);
        let answer = servers.send(Request::post("/realtime/n1/x", body.to_string())).await.json();
        assert_eq!(answer.as_array().unwrap().len(), 1, "{transport:?}: {answer}");
        assert_eq!(text(&answer[0], "l"), "attached");
        assert_eq!(client.event(&room).await["data"], "beside");
    }
}

#[tokio::test]
async fn candidates_beyond_the_limit_push_out_the_oldest() {
    let servers = Setup::suite().set("session.candidates", "2").servers();
    let (_socket, ticket) = opened(&servers, json!({})).await;
    let mut first = candidate(&servers, &ticket).await;
    let _second = candidate(&servers, &ticket).await;
    let _third = candidate(&servers, &ticket).await;
    assert_eq!(text(&first.until("error").await, "code"), "too_many");
}

#[tokio::test]
async fn a_bad_count_on_a_websocket_ends_the_session() {
    // spec: M22
    let servers = Servers::suite();
    let (mut socket, ticket) = opened(&servers, json!({})).await;
    socket.say(&json!({ "l": "pong", "count": 99 })).await;
    let error = socket.until("error").await;
    assert_eq!((text(&error, "code"), text(&error, "scope")), ("bad_count", "session"));
    assert_eq!(socket.close_code().await, 4442);
    let mut after = Socket::connect(servers.pick()).await;
    after.say(&json!({ "l": "candidate", "v": 1, "ticket": ticket })).await;
    // Where another node had the session, this one asks for it only when it is to be the link.
    after.say(&json!({ "l": "attach", "link": 2, "count": 0 })).await;
    assert_eq!(text(&after.until("error").await, "code"), "session_gone");
}

#[tokio::test]
async fn a_client_of_twenty_lines_joins_sends_and_receives() {
    // demand: 43
    // spec: M16
    let servers = Servers::suite();
    let room = unique("chat:");
    let open = json!({ "ack": false, "subs": [{ "ch": room }] });
    let mut socket = Socket::open(servers.pick(), open).await;
    socket.until("subscribed").await;
    // More frames at once than the session takes at once: each is applied, in order.
    for seq in 1..=300 {
        socket.say(&json!({ "t": "publish", "seq": seq, "ch": room, "data": seq })).await;
    }
    for seq in 1..=300 {
        let event = socket.until("event").await;
        assert_eq!(event["data"], seq);
    }
}

#[tokio::test]
async fn a_stream_begins_with_its_whole_hello() {
    // spec: M10
    let servers = Servers::suite();
    let open = r#"[{"l":"open","v":1,"filler":true}]"#;
    for (kind, begin) in [("s", "{\"l\":\"hello\""), ("e", "data: {\"l\":\"hello\"")] {
        let request = Request::post(&format!("/realtime/n1/{kind}"), open);
        let (head, mut stream) = request.begin(servers.pick()).await.unwrap();
        assert_eq!(head.header("content-encoding"), Some("identity"));
        let first = String::from_utf8(stream.piece().await.unwrap().unwrap()).unwrap();
        assert!(first.starts_with(begin), "{first}");
        assert!(first.contains("\"ticket\"") && first.ends_with('\n'), "{first}");
        // spec: M27
        let mut rest = first;
        while !rest.contains("filler") {
            let piece = stream.piece().await.unwrap().unwrap();
            rest.push_str(&String::from_utf8(piece).unwrap());
        }
    }
}

#[tokio::test]
async fn a_session_that_is_closed_says_so_and_is_gone() {
    let servers = Servers::suite();
    let (mut socket, ticket) = opened(&servers, json!({})).await;
    socket.say(&json!({ "l": "close" })).await;
    let error = socket.until("error").await;
    assert_eq!((text(&error, "code"), text(&error, "scope")), ("closed", "session"));
    assert_eq!(socket.close_code().await, 1000);
    let body = json!([{ "l": "attach", "ticket": ticket, "link": 2, "count": 0 }]);
    let answer = servers.send(Request::post("/realtime/n1/x", body.to_string())).await;
    assert_eq!(answer.code(), "session_gone");
}
