//! Signals: SIGTERM with connections of HTTP/2, SIGHUP where there are no certificates.

use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::client::{OPEN, http2, post, until};
use super::frames::{GOAWAY, PREFACE, SETTINGS, next};
use super::{Certificate, connect};
use crate::support::server::Setup;
use crate::support::wait::{self, WITHIN};
use crate::support::{text, unique};

#[tokio::test]
async fn sigterm_ends_the_sessions_of_http2_by_their_code_and_their_connections_by_goaway() {
    let certificate = Certificate::new();
    let mut server = certificate.setup().start();
    let stream = connect(&server, &certificate.der, &["h2"]).await.unwrap();
    let mut client = http2(stream).await;
    let path = format!("/realtime/{}/s", unique("n"));
    let (mut down, mut lines) = (post(&mut client, &path, OPEN).await, String::new());
    until(&mut down, &mut lines, "hello").await;
    // One that never answers what HTTP/2 asks of it.
    let mut idle = connect(&server, &certificate.der, &["h2"]).await.unwrap();
    idle.write_all(PREFACE).await.unwrap();
    assert_eq!(next(&mut idle).await.unwrap().kind, SETTINGS);

    server.signal(Signal::TERM);
    let said = until(&mut down, &mut lines, "error").await;
    assert_eq!(text(&said, "code"), "draining");
    assert!(kinds(&mut idle).await.contains(&GOAWAY));
    assert!(server.ends(WITHIN).await);
}

/// The frames of a connection to its end.
async fn kinds(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some(frame) = next(stream).await {
        kinds.push(frame.kind);
    }
    kinds
}

#[tokio::test]
async fn sighup_without_tls_ends_nothing() {
    let mut server = Setup::suite().start();
    server.signal(Signal::HUP);
    wait::until("the signal is logged", async || {
        assert!(!server.ends(Duration::from_millis(20)).await);
        assert!(TcpStream::connect(server.address).await.is_ok(), "it ended");
        server.log().contains("SIGHUP")
    })
    .await;
    server.signal(Signal::TERM);
    assert!(server.ends(WITHIN).await);
}
