//! Clients that begin and do not go on.

use h2::Reason;
use h2::client::Builder;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::{get, post, publish, until};
use super::frames::PREFACE;
use super::{Certificate, connect};
use crate::support::server::{Servers, Setup};
use crate::support::{unique, wait};

fn impatient(certificate: &Certificate) -> Servers {
    let setup: Setup = certificate.setup();
    setup.set("limits.head_timeout", "'4s'").set("limits.idle_timeout", "'4s'").servers()
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_ended() {
    let certificate = Certificate::new();
    let servers = impatient(&certificate);
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(servers.own().secure.unwrap()).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let read = wait::in_time("it is ended", stream.read(&mut [0; 64])).await;
        assert!(matches!(read, Ok(0) | Err(_)));
    }
    let name = "throughline_connections_refused_total{reason=\"tls_timeout\"}";
    let counted = async || servers.metric(name).await >= 2.0;
    wait::until("both are counted", counted).await;
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
        let _ = wait::in_time(&format!("{begun:?} is ended"), stream.read_to_end(&mut said)).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_reset_and_a_stream_and_the_connection_go_on() {
    let (certificate, room) = (Certificate::new(), unique("chat:"));
    let servers = impatient(&certificate);
    let stream = connect(servers.own(), &certificate.der, &["h2"]).await.unwrap();
    let mut builder = Builder::new();
    // Less than a piece of the client's script, more than a stream's hello.
    builder.initial_window_size(10_000);
    let (client, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let open = json!([{ "l": "open", "v": 1, "subs": [{ "ch": room }] }]).to_string();
    let path = format!("/realtime/{}/s", unique("n"));
    let (mut down, mut lines) = (post(&mut client, &path, &open).await, String::new());
    let mut script = get(&mut client, "/realtime/client.js", "*/*").await;
    let reset = async {
        loop {
            // What was read is not given back.
            match script.data().await.expect("it is not the whole") {
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    };
    let error = wait::in_time("it is ended", reset).await;
    assert_eq!(error.reason(), Some(Reason::CANCEL), "{error}");
    publish(&mut client, &room, "after").await;
    assert_eq!(until(&mut down, &mut lines, "event").await["data"], "after");
}
