//! A client of HTTP/2.

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::server::API_KEY;
use crate::support::{text, unique, wait};

pub(super) const OPEN: &str = r#"[{"l":"open","v":1}]"#;

pub(super) async fn http2(stream: TlsStream<TcpStream>) -> SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

/// Sends a request; its answer must be 200.
async fn ask(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
    body: Option<&str>,
) -> h2::RecvStream {
    let (answer, mut send) = client.send_request(request, body.is_none()).unwrap();
    if let Some(body) = body {
        send.send_data(Bytes::from(body.to_owned()), true).unwrap();
    }
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

pub(super) fn uri(path: &str) -> String {
    format!("https://localhost{path}")
}

pub(super) async fn post(
    client: &mut SendRequest<Bytes>,
    path: &str,
    body: &str,
) -> h2::RecvStream {
    ask(client, Request::post(uri(path)).body(()).unwrap(), Some(body)).await
}

pub(super) async fn get(
    client: &mut SendRequest<Bytes>,
    path: &str,
    accept: &str,
) -> h2::RecvStream {
    let request = Request::get(uri(path)).header("accept", accept).body(()).unwrap();
    ask(client, request, None).await
}

/// An exchange; the frames of its answer.
pub(super) async fn exchange(client: &mut SendRequest<Bytes>, frames: &Value) -> Vec<Value> {
    let path = format!("/realtime/{}/x", unique("n"));
    let mut answer = post(client, &path, &frames.to_string()).await;
    serde_json::from_slice(&whole(&mut answer).await).unwrap()
}

/// Publishes by the API.
pub(super) async fn publish(client: &mut SendRequest<Bytes>, channel: &str, data: &str) {
    let request = Request::post(uri("/api/publish"))
        .header("authorization", format!("Bearer {API_KEY}"))
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    let event = json!({ "channel": channel, "data": data }).to_string();
    whole(&mut ask(client, request, Some(&event)).await).await;
}

/// A body to its end.
pub(super) async fn whole(body: &mut h2::RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = wait::in_time("the body goes on", body.data()).await {
        let bytes = bytes.unwrap();
        body.flow_control().release_capacity(bytes.len()).unwrap();
        all.extend(bytes);
    }
    all
}

/// Reads lines, of a stream or of events, until one has this kind.
pub(super) async fn until(body: &mut h2::RecvStream, lines: &mut String, kind: &str) -> Value {
    loop {
        while let Some((line, rest)) = lines.split_once('\n') {
            let line = line.strip_prefix("data: ").unwrap_or(line);
            let frame: Value = serde_json::from_str(line).unwrap_or_default();
            *lines = rest.to_owned();
            if text(&frame, "l") == kind || text(&frame, "t") == kind {
                return frame;
            }
        }
        let data = wait::in_time("a line comes", body.data()).await;
        let bytes = data.expect("the stream goes on").unwrap();
        body.flow_control().release_capacity(bytes.len()).unwrap();
        lines.push_str(std::str::from_utf8(&bytes).unwrap());
    }
}
