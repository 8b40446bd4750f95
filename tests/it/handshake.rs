//! Handshakes: what is answered before a session begins.

use serde_json::json;

use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::http::Request;
use crate::support::server::{Servers, Setup};
use crate::support::websocket::{Got, Socket};
use crate::support::{text, token};

#[tokio::test]
async fn an_upgrade_is_answered_with_101_and_the_accept_of_the_rfc() {
    // demand: 1, spec: M6
    let servers = Servers::suite();
    let (head, _) = Request::upgrade("/realtime/n1/ws").begin(servers.pick()).await.unwrap();
    assert_eq!(head.status, 101);
    // RFC 6455 section 1.3.
    assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert_eq!(head.header("sec-websocket-extensions"), None);
}

#[tokio::test]
async fn every_transport_opens_a_session() {
    let (servers, history) = (Servers::suite(), History::default());
    for transport in Transport::ALL {
        let client =
            Client::open(&servers, transport, json!({ "token": token::user("alice") }), &history)
                .await;
        assert_eq!(text(&client.hello["me"], "user"), "alice", "{transport:?}");
    }
}

#[tokio::test]
async fn what_is_no_upgrade_of_version_13_is_answered_426() {
    // demand: 1, 2, spec: M6
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
async fn a_websocket_that_says_nothing_is_closed() {
    // demand: 20, spec: M13
    let servers = Setup::suite().set("session.open_timeout", "'1s'").servers();
    let mut socket = Socket::connect(servers.pick()).await;
    let Got::Text(error) = socket.next().await else { panic!("no error came") };
    assert_eq!(text(&error, "code"), "open_timeout");
    assert_eq!(socket.close_code().await, 4444);
}
