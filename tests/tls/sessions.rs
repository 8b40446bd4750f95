//! Sessions over TLS, by each way.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::client::{OPEN, http2, post, until};
use super::{Certificate, connect};
use crate::support::http::Request;
use crate::support::server::{Servers, Setup};
use crate::support::websocket::{FIN, TEXT, frame};
use crate::support::{unique, wait};

fn start(certificate: &Certificate, path: fn(Setup) -> Setup) -> Servers {
    path(certificate.setup()).servers()
}

#[tokio::test]
async fn a_stream_and_its_exchanges_share_one_connection_of_http2() {
    let certificate = Certificate::new();
    let servers = start(&certificate, |setup| setup);
    let stream = connect(servers.own(), &certificate.der, &["h2"]).await.unwrap();
    let mut client = http2(stream).await;
    let nonce = unique("n");
    let mut down = post(&mut client, &format!("/realtime/{nonce}/s"), OPEN).await;
    let mut lines = String::new();
    let open = until(&mut down, &mut lines, "hello").await;
    let attach = json!([{ "l": "attach", "ticket": open["ticket"], "link": 1, "count": 0,
        "via": open["via"], "visible": true }]);
    let exchange = format!("/realtime/{}/x", unique("n"));
    let mut answer = post(&mut client, &exchange, &attach.to_string()).await;
    let said = answer.data().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&said).contains("attached"), "{said:?}");
    // This one connection, and the one that asks.
    assert!(servers.metric("throughline_connections ").await <= 2.0);
    servers.publish("announcements:all", "hello").await;
    let event = until(&mut down, &mut lines, "event").await;
    assert!(event.to_string().contains("hello"), "{event}");
}

#[tokio::test]
async fn a_websocket_opens_a_session_over_tls() {
    let certificate = Certificate::new();
    let servers = start(&certificate, |setup| setup);
    let mut stream = connect(servers.own(), &certificate.der, &["http/1.1"]).await.unwrap();
    let request = Request::upgrade(&format!("/realtime/{}/ws", unique("n")));
    // The first frame with the handshake: TLS has read it before the upgrade.
    let open = frame(FIN | TEXT, br#"{"l":"open","v":1}"#);
    stream.write_all(&[request.bytes(), open].concat()).await.unwrap();
    let mut got = Vec::new();
    read_until(&mut stream, &mut got, "\"ticket\"").await;
    assert!(String::from_utf8_lossy(&got).starts_with("HTTP/1.1 101 "));
    let attach = br#"{"l":"attach","link":1,"count":0,"visible":true}"#;
    stream.write_all(&frame(FIN | TEXT, attach)).await.unwrap();
    // Within what may be unacknowledged.
    for n in 0..20 {
        let words = format!("{n}-{}", "x".repeat(30_000));
        servers.publish("announcements:all", words).await;
    }
    read_until(&mut stream, &mut got, "\"19-").await;
}

async fn read_until(stream: &mut TlsStream<TcpStream>, got: &mut Vec<u8>, word: &str) {
    let mut at = 0;
    loop {
        let from = at.max(got.len().saturating_sub(word.len()));
        let found = got.windows(word.len()).skip(at).any(|part| part == word.as_bytes());
        if found {
            return;
        }
        at = from.saturating_sub(word.len());
        let read = wait::in_time(word, stream.read_buf(got)).await;
        assert!(read.unwrap() > 0, "the connection ended");
    }
}
