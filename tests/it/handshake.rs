//! Handshakes: what is answered before a session begins.

use serde_json::json;

use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::http::Request;
use crate::support::server::{Servers, Setup};
use crate::support::websocket::{Got, Socket};
use crate::support::{text, token};

const BEARER: &str = "authorization";

fn upgrade() -> Request {
    Request::upgrade("/realtime/n1/ws")
}

#[tokio::test]
async fn an_upgrade_is_answered_with_101_and_the_accept_of_the_rfc() {
    // demand: 1
    // spec: M6
    let (head, _) = upgrade().begin(Servers::suite().pick()).await.unwrap();
    assert_eq!(head.status, 101);
    // RFC 6455 section 1.3.
    assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert_eq!(head.header("sec-websocket-extensions"), None);
}

#[tokio::test]
async fn what_is_no_upgrade_of_version_13_is_answered_426() {
    // demand: 1, 2
    // spec: M6, M9
    let servers = Servers::suite();
    let old = Request::get("/realtime/n1/ws")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "12")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for request in [Request::get("/realtime/n1/ws"), old] {
        let answer = servers.send(request).await;
        assert_eq!(answer.status, 426);
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        assert_eq!(answer.code(), "upgrade_required");
    }
}

#[tokio::test]
async fn a_malformed_key_is_answered_400() {
    // spec: M6
    let servers = Servers::suite();
    for key in ["", "AAA=", "dGhlIHNhbXBsZSBub25jZQ", "****************************", "\u{7f}"] {
        let request = Request::get("/realtime/n1/ws")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", key);
        assert_eq!(servers.send(request).await.status, 400, "{key:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_base64_is_answered_400() {
    // spec: M6
    let request = Request::get("/realtime/n1/ws")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "!!!!!!!!!!!!!!!!!!!!!!==");
    assert_eq!(Servers::suite().send(request).await.status, 400);
}

#[tokio::test]
async fn a_bad_token_is_answered_401_before_101() {
    // demand: 19
    // spec: M7
    let servers = Servers::suite();
    let expired = token::expiring("alice", 0);
    let forged = format!("{}x", token::user("alice"));
    for header in ["Bearer rubbish", "Basic YTpi", "Bearer", &format!("Bearer {expired}")] {
        let answer = servers.send(upgrade().header(BEARER, header)).await;
        assert_eq!(answer.status, 401, "{header}");
    }
    let cookie = format!("theme=dark; session={forged}");
    let request = upgrade().header("cookie", &cookie).header("origin", "https://app.example");
    let answer = servers.send(request).await;
    assert_eq!((answer.status, answer.code()), (401, "unauthorized".to_owned()));
}

#[tokio::test]
async fn a_good_token_in_a_header_or_a_cookie_is_whom_the_session_is() {
    // demand: 19
    let servers = Servers::suite();
    let bearer = upgrade().header(BEARER, &format!("Bearer {}", token::user("alice")));
    let cookie = upgrade()
        .header("cookie", &format!("session={}", token::user("alice")))
        .header("origin", "https://app.example");
    for request in [bearer, cookie] {
        let mut socket = Socket::by(servers.pick(), &request).await;
        socket.say(&json!({ "l": "open", "v": 1 })).await;
        let hello = socket.until("hello").await;
        assert_eq!(text(&hello["me"], "user"), "alice");
    }
}

#[tokio::test]
async fn a_cookie_of_a_foreign_or_absent_origin_does_nothing() {
    // demand: 19
    // spec: M7
    let servers = Servers::suite();
    let cookie = format!("session={}", token::user("alice"));
    let request = upgrade().header("cookie", &cookie).header("origin", "https://evil.example");
    assert_eq!(servers.send(request).await.status, 403);
    let mut socket = Socket::by(servers.pick(), &upgrade().header("cookie", &cookie)).await;
    socket.say(&json!({ "l": "open", "v": 1 })).await;
    assert_eq!(text(&socket.until("hello").await["me"], "user"), "");
}

#[tokio::test]
async fn the_frames_token_wins_over_the_headers() {
    // demand: 20
    let servers = Servers::suite();
    let request = upgrade().header(BEARER, &format!("Bearer {}", token::user("alice")));
    let mut socket = Socket::by(servers.pick(), &request).await;
    socket.say(&json!({ "l": "open", "v": 1, "token": token::user("bob") })).await;
    assert_eq!(text(&socket.until("hello").await["me"], "user"), "bob");
}

#[tokio::test]
async fn a_token_in_the_first_frame_opens_on_every_transport() {
    // demand: 20
    let (servers, history) = (Servers::suite(), History::default());
    for transport in Transport::ALL {
        let open = json!({ "token": token::user("alice") });
        let client = Client::open(&servers, transport, open, &history).await;
        assert_eq!(text(&client.hello["me"], "user"), "alice", "{transport:?}");
        let bad = json!({ "token": "rubbish" });
        let refused = Client::try_open(&servers, transport, bad, &history).await.err();
        let refused = refused.expect("a refusal");
        assert_eq!(text(&refused, "code"), "unauthorized", "{transport:?}");
        assert_eq!(text(&refused, "scope"), "link", "{transport:?}");
    }
}

#[tokio::test]
async fn where_anonymous_sessions_are_off_a_token_is_needed_on_every_transport() {
    // demand: 20
    let servers = Setup::suite().set("auth.anonymous", "false").servers();
    for transport in Transport::ALL {
        let opened = Client::try_open(&servers, transport, json!({}), &History::default()).await;
        let refused = opened.err().expect("a refusal");
        assert_eq!(text(&refused, "code"), "unauthorized", "{transport:?}");
    }
}

#[tokio::test]
async fn a_websocket_that_says_nothing_is_closed() {
    // demand: 20
    // spec: M13
    let servers = Setup::suite().set("session.open_timeout", "'1s'").servers();
    let mut socket = Socket::connect(servers.pick()).await;
    let Got::Text(error) = socket.next().await else { panic!("no error came") };
    assert_eq!(text(&error, "code"), "open_timeout");
    assert_eq!(socket.close_code().await, 4444);
}

#[tokio::test]
async fn a_websocket_that_only_pings_is_closed_too() {
    // demand: 20
    // spec: M13
    use crate::support::websocket::{FIN, PING, frame};
    // The ping comes within it, on a busy machine too.
    let servers = Setup::suite().set("session.open_timeout", "'4s'").servers();
    let mut socket = Socket::connect(servers.pick()).await;
    socket.write(&frame(FIN | PING, b"hi")).await;
    assert_eq!(socket.next().await, Got::Pong(b"hi".to_vec()));
    assert_eq!(socket.close_code().await, 4444);
}

#[tokio::test]
async fn no_token_is_in_the_log_or_the_metrics() {
    // demand: 21
    let servers = Setup::suite().set("telemetry.log", "'trace'").servers();
    let token = token::user("alice");
    for transport in Transport::ALL {
        let open = json!({ "token": token });
        Client::open(&servers, transport, open, &History::default()).await.close().await;
    }
    servers.send(upgrade().header(BEARER, &format!("Bearer {token}.x"))).await;
    let signature = token.rsplit('.').next().unwrap();
    let metrics = Request::get("/metrics").send(servers.pick()).await.unwrap().text();
    assert!(!servers.own().log().contains(signature), "the log holds a token");
    assert!(!metrics.contains(signature), "the metrics hold a token");
}
