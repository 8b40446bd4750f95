//! What a connection may have, and where TLS is spoken.

use std::net::SocketAddr;
use std::process::Stdio;

use http::{HeaderMap, HeaderName, HeaderValue, Request as HttpRequest, StatusCode};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::client::{get, http2, uri, whole};
use super::frames::{POST, PREFACE, RST_STREAM, SETTINGS, frame, next};
use super::{Certificate, connect, connect_to};
use crate::support::http::{Connection, Request};
use crate::support::server::program;
use crate::support::wait;

/// Streams of a connection at once.
const STREAMS: u32 = 128;
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
/// `SETTINGS_MAX_CONCURRENT_STREAMS` with its value.
const SAYS_STREAMS: [u8; 6] = [0, 3, 0, 0, 0, 128];

#[tokio::test]
async fn a_stream_beyond_the_bound_is_refused_alone() {
    let certificate = Certificate::new();
    let servers = certificate.setup().servers();
    let mut stream = connect(servers.own(), &certificate.der, &["h2"]).await.unwrap();
    // Requests whose bodies do not come.
    let begun = |n: u32| frame(1, 4, 2 * n + 1, POST);
    let begun: Vec<u8> = (0..=STREAMS).flat_map(begun).collect();
    stream.write_all(&[PREFACE, &begun].concat()).await.unwrap();
    let settings = next(&mut stream).await.unwrap();
    assert_eq!(settings.kind, SETTINGS);
    assert!(settings.payload.chunks(6).any(|setting| setting == SAYS_STREAMS));
    let reset = loop {
        let frame = next(&mut stream).await.expect("the connection goes on");
        if frame.kind == RST_STREAM {
            break frame;
        }
    };
    assert_eq!((reset.stream, reset.payload), (2 * STREAMS + 1, REFUSED_STREAM.to_vec()));
}

#[tokio::test]
async fn headers_that_are_too_many_or_too_large_are_refused_and_the_connection_goes_on() {
    let certificate = Certificate::new();
    let servers = certificate.setup().servers();
    let stream = connect(servers.own(), &certificate.der, &["h2"]).await.unwrap();
    let mut client = http2(stream).await;
    let named = |n: u32, value: &str| {
        let name = HeaderName::try_from(format!("x-{n}")).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    let many: HeaderMap = (0..200).map(|n| named(n, "")).collect();
    let large: HeaderMap = (0..4).map(|n| named(n, &"a".repeat(8000))).collect();
    for headers in [many, large] {
        let mut request = HttpRequest::get(uri("/health")).body(()).unwrap();
        *request.headers_mut() = headers;
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    whole(&mut get(&mut client, "/health", "*/*").await).await;
}

#[tokio::test]
async fn a_handshake_beyond_the_bound_waits_for_its_turn() {
    let certificate = Certificate::new();
    let setup = certificate.setup().set("tls.handshakes", "1").set("limits.head_timeout", "'60s'");
    let servers = setup.servers();
    let secure = servers.own().secure.unwrap();
    let first = TcpStream::connect(secure).await.unwrap();
    // The one that asks is a connection too: always the same, so that none lingers that is counted.
    let mut asks = Connection::open(servers.pick()).await.unwrap();
    wait::until("the first is a connection", async || {
        asks.write(&Request::get("/metrics").bytes()).await.unwrap();
        let metrics = asks.response().await.unwrap().text();
        metrics.lines().any(|line| line == "throughline_connections 2")
    })
    .await;
    let trusted = certificate.der.clone();
    let second = tokio::spawn(async move { connect_to(secure, &trusted, &["h2"]).await });
    for _ in 0..50 {
        assert_eq!(servers.send(Request::get("/health")).await.status, 200);
        assert!(!second.is_finished());
    }
    drop(first);
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_options_of_the_command_line_have_the_main_listener_speak_tls() {
    let certificate = Certificate::new();
    let mut command = Command::from(program());
    command.args(["serve", "--config", "config/dev.toml", "--listen", "127.0.0.1:0"]);
    command.arg("--tls-cert").arg(&certificate.cert).arg("--tls-key").arg(&certificate.key);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    let address: SocketAddr =
        first.strip_prefix("listening on https://").expect(&first).parse().unwrap();
    let mut client = http2(connect_to(address, &certificate.der, &["h2"]).await.unwrap()).await;
    whole(&mut get(&mut client, "/health", "*/*").await).await;
    child.kill().await.unwrap();
}

#[tokio::test]
async fn an_option_of_the_pair_alone_is_refused() {
    for (given, missing) in [("--tls-cert", "--tls-key"), ("--tls-key", "--tls-cert")] {
        let mut command = Command::from(program());
        let out = command.args(["serve", given, "some.pem"]).output().await.unwrap();
        assert!(!out.status.success());
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(said.contains(missing), "{said}");
    }
}
