//! Requests that are too large, too slow or malformed.

use std::time::Duration;

use serde_json::json;

use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::http::{Connection, Request};
use crate::support::server::{Servers, Setup};
use crate::support::{text, wait};

const OPEN: &str = r#"[{"l":"open","v":1}]"#;

/// Servers that soon have waited long enough, yet longer than a busy machine takes between two steps.
fn impatient() -> Servers {
    Setup::suite()
        .set("limits.head_timeout", "'3s'")
        .set("limits.body_timeout", "'3s'")
        .set("limits.idle_timeout", "'3s'")
        .servers()
}

/// What comes on a connection on which a client writes this and then waits.
async fn waits(bytes: &[u8]) -> String {
    let servers = impatient();
    let mut connection = Connection::open(servers.pick()).await.unwrap();
    connection.write(bytes).await.unwrap();
    String::from_utf8(connection.rest().await).unwrap()
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_without_a_word() {
    // spec: M11
    assert_eq!(waits(b"").await, "");
}

#[tokio::test]
async fn a_head_that_never_ends_is_closed_without_a_word() {
    // spec: M11
    assert_eq!(waits(b"POST /realtime/n1/x HTTP/1.1\r\nhost: a\r\n").await, "");
}

#[tokio::test]
async fn a_body_that_never_comes_is_answered_and_never_with_408() {
    // spec: M11
    let request = b"POST /realtime/n1/x HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n[";
    let answer = waits(request).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_connection_that_asks_no_more_is_closed() {
    let servers = impatient();
    let mut connection = Connection::open(servers.pick()).await.unwrap();
    for _ in 0..2 {
        connection.write(&Request::post("/realtime/n1/x", OPEN).bytes()).await.unwrap();
        assert_eq!(connection.response().await.unwrap().status, 200);
    }
    assert_eq!(connection.rest().await, b"");
}

#[tokio::test]
async fn a_poll_that_waits_longer_than_a_connection_may_be_idle_is_answered() {
    // spec: M11
    let servers = impatient();
    let mut client = Client::open(&servers, Transport::Poll, json!({}), &History::default()).await;
    client.until_kind("subscribed").await;
    // The first poll waits for 5 s.
    let before = client.link();
    assert_eq!(client.next_within(Duration::from_secs(8)).await, None);
    assert_eq!(client.ended, None);
    let polls = client.link() - before;
    assert!((1..3).contains(&polls), "each poll waited: {polls}");
}

#[tokio::test]
async fn a_head_above_its_limit_is_answered_431() {
    let servers = Servers::suite();
    let many = (0..70).fold(Request::get("/realtime/n1/ws"), |request, index| {
        request.header(&format!("x-{index}"), "1")
    });
    let large = Request::get("/realtime/n1/ws").header("x-large", &"a".repeat(17 << 10));
    for request in [many, large] {
        assert_eq!(servers.send(request).await.status, 431);
    }
}

#[tokio::test]
async fn a_head_within_its_limit_is_read() {
    let request = Request::get("/realtime/n1/ws").header("x-large", &"a".repeat(12 << 10));
    assert_eq!(Servers::suite().send(request).await.status, 426);
}

#[tokio::test]
async fn a_nonce_that_is_not_utf_8_is_refused_with_a_code() {
    // spec: M8, M9
    let servers = Servers::suite();
    for request in [
        Request::post("/realtime/%ff/x", OPEN),
        Request::post("/realtime/%ff/s", OPEN),
        Request::post("/realtime/%ff/e", OPEN),
        Request::upgrade("/realtime/%ff/ws"),
        Request::get("/realtime/feed/%ff?channel=chat:1"),
    ] {
        let answer = servers.send(request.header("origin", "https://app.example")).await;
        assert_eq!((answer.status, answer.code()), (400, "bad_request".to_owned()));
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(answer.header("cache-control"), Some("no-cache, no-store, no-transform"));
    }
}

#[tokio::test]
async fn a_target_above_8_kib_is_refused() {
    let target = format!("/realtime/feed/n1?channel=chat:1&x={}", "a".repeat(8 << 10));
    let answer = Servers::suite().send(Request::get(&target)).await;
    assert_eq!((answer.status, answer.code()), (413, "too_large".to_owned()));
}

#[tokio::test]
async fn a_body_above_its_limit_is_answered_413() {
    let servers = Servers::suite();
    for kind in ["s", "e", "x"] {
        let body = format!("[{}]", " ".repeat(256 << 10));
        let answer = servers.send(Request::post(&format!("/realtime/n1/{kind}"), body)).await;
        assert_eq!((answer.status, answer.code()), (413, "too_large".to_owned()), "{kind}");
    }
    let large = json!({ "channel": "chat:1", "data": "a".repeat(2 << 20) });
    assert_eq!(servers.api("/publish", &large).await.status, 413);
}

#[tokio::test]
async fn a_frame_above_its_limit_is_refused_in_a_body() {
    // spec: M3
    let frame = json!([{ "l": "open", "v": 1, "x": "a".repeat(64 << 10) }]);
    let answer = Servers::suite().send(Request::post("/realtime/n1/x", frame.to_string())).await;
    assert_eq!((answer.status, answer.code()), (413, "too_large".to_owned()));
}

#[tokio::test]
async fn more_frames_than_a_body_may_have_are_refused() {
    let servers = Servers::suite();
    for many in [101, 30_000] {
        let frames = vec![json!({ "l": "pong" }); many];
        let body = serde_json::to_string(&frames).unwrap();
        let answer = servers.send(Request::post("/realtime/n1/x", &body[..])).await;
        assert!(matches!(answer.status, 413 | 429), "{many}: {}", answer.text());
    }
    let lines = Request::post("/realtime/n1/x", vec![b'\n'; 200 << 10]);
    assert_eq!(servers.send(lines).await.status, 400);
}

#[tokio::test]
async fn requests_that_could_be_read_in_two_ways_are_refused() {
    let servers = Servers::suite();
    let head = "POST /realtime/n1/x HTTP/1.1\r\nhost: a\r\n";
    for headers in [
        "content-length: 20\r\ncontent-length: 21\r\n",
        "content-length: +20\r\n",
        "content-length: 20, 20\r\n",
        "content-length: -1\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "content-length : 20\r\n",
        "x: a\r\n folded\r\ncontent-length: 20\r\n",
        "x: a\0b\r\ncontent-length: 20\r\n",
    ] {
        let mut connection = Connection::open(servers.pick()).await.unwrap();
        connection.write(format!("{head}{headers}\r\n{OPEN}").as_bytes()).await.unwrap();
        let answer = String::from_utf8(connection.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{headers:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{headers:?}: {answer}");
    }
}

#[tokio::test]
async fn a_request_with_a_length_and_chunks_is_never_read_twice() {
    let servers = Servers::suite();
    let mut connection = Connection::open(servers.pick()).await.unwrap();
    let smuggled = "GET /realtime/client.js HTTP/1.1\r\nhost: a\r\n\r\n";
    let request = format!(
        "POST /realtime/n1/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        smuggled.len() + 5
    );
    connection.write(request.as_bytes()).await.unwrap();
    let answer = String::from_utf8_lossy(&connection.rest().await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_content_encoding_is_answered_415() {
    let servers = Servers::suite();
    for encoding in ["gzip", "br", "gzip, identity", "deflate"] {
        for kind in ["s", "e", "x"] {
            let request = Request::post(&format!("/realtime/n1/{kind}"), OPEN);
            let answer = servers.send(request.header("content-encoding", encoding)).await;
            assert_eq!((answer.status, answer.code()), (415, "unsupported".to_owned()));
        }
    }
}

#[tokio::test]
async fn bodies_that_are_no_array_of_frames_are_answered_400() {
    // spec: M3, M5, M9
    let servers = Servers::suite();
    let deep = format!("[{}", "[".repeat(100_000));
    let deep_data = format!(r#"[{{"l":"open","v":1,"info":{}}}]"#, "[".repeat(1000));
    for body in [
        "",
        "[]",
        "{}",
        "null",
        "[1]",
        "d=%%%",
        "d=",
        "d=W10",
        "[{\"l\":\"open\",\"v\":1}] x",
        "[{\"l\":\"open\",\"v\":2}]",
        "[{\"l\":\"pong\"}]",
        "\u{feff}[]",
        &deep,
        &deep_data,
        "[{\"l\":\"open\",\"v\":1,\"subs\":[{\"ch\":\"a b\"}]}]",
        "[{\"l\":\"open\",\"v\":1,\"subs\":[{\"ch\":\"chat:1\",\"since\":\"1\"}]}]",
        "[{\"l\":\"open\",\"v\":1,\"link\":0}]",
        "[{\"l\":\"open\",\"v\":1,\"link\":9007199254740993}]",
    ] {
        for kind in ["s", "e", "x"] {
            let answer = servers.send(Request::post(&format!("/realtime/n1/{kind}"), body)).await;
            assert_eq!(answer.status, 400, "{kind} {}", &body[..body.len().min(60)]);
            assert_eq!(text(&answer.json(), "l"), "error");
        }
    }
}

#[tokio::test]
async fn the_three_forms_of_a_body_are_read_alike() {
    use base64::Engine as _;
    let form = format!("d={}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(OPEN));
    for (media_type, body) in [
        ("application/x-www-form-urlencoded", form.as_str()),
        ("text/plain", OPEN),
        ("application/json", OPEN),
    ] {
        let request = Request::post("/realtime/n1/x", body).header("content-type", media_type);
        let answer = Servers::suite().send(request).await;
        assert_eq!(answer.status, 200, "{media_type}");
        assert_eq!(text(&answer.json()[0], "l"), "hello");
    }
}

#[tokio::test]
async fn a_full_node_refuses_with_a_code_and_takes_who_comes_when_a_place_is_free() {
    // demand: 25
    let servers = Setup::suite().set("limits.sessions", "4").servers();
    let history = History::default();
    let mut clients = Vec::new();
    for transport in Transport::ALL {
        clients.push(Client::open(&servers, transport, json!({}), &history).await);
    }
    for transport in Transport::ALL {
        let refused = Client::try_open(&servers, transport, json!({}), &history).await.err();
        let refused = refused.expect("a refusal");
        assert_eq!(text(&refused, "code"), "too_many_sessions", "{transport:?}");
        assert!(refused["retry_ms"].as_u64().is_some(), "{transport:?}");
    }
    let answer = servers.send(Request::post("/realtime/n1/x", OPEN)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    for client in &mut clients {
        let answer = client.call(json!({ "t": "history", "ch": "chat:1" })).await;
        assert_eq!(text(&answer, "t"), "ok");
    }
    clients.remove(0).close().await;
    // Its client is told before its place is free.
    wait::until("a place is free", async || {
        let opened = Client::try_open(&servers, Transport::WebSocket, json!({}), &history).await;
        opened.is_ok()
    })
    .await;
}

#[tokio::test]
async fn websockets_count_against_the_limit_of_connections() {
    let servers = Setup::suite().set("limits.connections", "16").servers();
    let mut sockets = Vec::new();
    for _ in 0..15 {
        let mut socket = crate::support::websocket::Socket::open(servers.pick(), json!({})).await;
        socket.until("attached").await;
        sockets.push(socket);
    }
    assert!(servers.metric("throughline_connections ").await >= 15.0);
}
