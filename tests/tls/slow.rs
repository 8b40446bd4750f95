//! Clients that begin and do not go on.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frames::PREFACE;
use super::{Certificate, connect};
use crate::support::server::{Servers, Setup};

/// Longer than any of the limits, shorter than a wait for ever.
const ENOUGH: Duration = Duration::from_secs(30);

fn impatient(certificate: &Certificate) -> Servers {
    let setup: Setup = certificate.setup();
    setup.set("limits.head_timeout", "'1s'").set("limits.idle_timeout", "'2s'").servers()
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_ended() {
    let certificate = Certificate::new();
    let servers = impatient(&certificate);
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(servers.own().secure.unwrap()).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let read = timeout(ENOUGH, stream.read(&mut [0; 64])).await.expect("it is ended");
        assert!(matches!(read, Ok(0) | Err(_)));
    }
    let name = "throughline_connections_refused_total{reason=\"tls_timeout\"}";
    assert!(servers.metric(name).await >= 2.0);
}

#[tokio::test]
async fn a_preface_a_block_of_headers_and_an_idle_connection_are_ended() {
    let certificate = Certificate::new();
    let servers = impatient(&certificate);
    let block = [PREFACE, b"\0\0\x01\x01\0\0\0\0\x01\x82"].concat();
    for begun in [&b"PRI * HT"[..], &block, PREFACE] {
        let mut stream = connect(servers.own(), &certificate.der, &["h2"]).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut said = Vec::new();
        let ended = timeout(ENOUGH, stream.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "{begun:?}");
    }
}
