//! Requests that share a connection of HTTP/2.

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use serde_json::{Value, json};

use super::client::{exchange, get, http2, post, publish, until, whole};
use super::{Certificate, connect};
use crate::support::server::{Servers, Setup};
use crate::support::{text, unique};

/// A server that says nothing by itself: no ping follows an event and pushes it out.
fn quiet(certificate: &Certificate) -> Setup {
    certificate.setup().set("session.ping_visible", "'60s'").set("session.ping_hidden", "'60s'")
}

#[tokio::test]
async fn events_polls_the_feed_the_api_and_the_client_share_one_connection_of_http2() {
    // demand: 16
    let (certificate, room) = (Certificate::new(), unique("chat:"));
    let servers = quiet(&certificate).servers();
    let stream = connect(servers.own(), &certificate.der, &["h2"]).await.unwrap();
    let mut client = http2(stream).await;
    let script = whole(&mut get(&mut client, "/realtime/client.js", "*/*").await).await;
    assert!(!script.is_empty());

    let opens = json!([{ "l": "open", "v": 1, "subs": [{ "ch": room }] }]);
    let path = format!("/realtime/{}/e", unique("n"));
    let (mut events, mut lines) =
        (post(&mut client, &path, &opens.to_string()).await, String::new());
    let open = until(&mut events, &mut lines, "hello").await;
    let attach = json!([{ "l": "attach", "ticket": open["ticket"], "link": 1, "count": 0,
        "via": open["via"], "visible": true }]);
    assert_eq!(text(&exchange(&mut client, &attach).await[0], "l"), "attached");

    let target = format!("/realtime/feed/{}?channel={room}", unique("n"));
    let (mut feed, mut fed) = (get(&mut client, &target, "text/event-stream").await, String::new());
    until(&mut feed, &mut fed, "hello").await;

    let opened = exchange(&mut client, &opens).await;
    let count = opened.iter().filter(|frame| frame.get("t").is_some()).count();
    let poll = json!([{ "l": "attach", "ticket": opened[0]["ticket"], "link": 1, "count": count,
        "visible": true, "wait": 20_000 }]);
    let mut other = client.clone();
    let poll = tokio::spawn(async move { exchange(&mut other, &poll).await });

    // One event, and nothing after it.
    publish(&mut client, &room, "alone").await;
    assert_eq!(until(&mut events, &mut lines, "event").await["data"], "alone");
    assert_eq!(until(&mut feed, &mut fed, "event").await["data"], "alone");
    let polled = poll.await.unwrap();
    assert!(polled.iter().any(|frame| frame["data"] == "alone"), "{polled:?}");
    // This one connection, and the one that asks.
    assert!(servers.metric("throughline_connections ").await <= 2.0);
}

const EVENTS: usize = 2000;
const EVENT_BYTES: usize = 10_000;
/// Events of a call of the API.
const BATCH: usize = 50;
/// A log that holds both runs.
const LOG: &str = "'60MiB'";
/// What is published, which the log holds, an outbox as configured, and what else a run may cost.
const GROWTH: u64 = (EVENTS * EVENT_BYTES) as u64 + (1 << 20) + (8 << 20);

/// Opens a session that does not acknowledge: what its stream takes is what it has.
async fn reader(client: &mut SendRequest<Bytes>, room: &str) -> (h2::RecvStream, String) {
    let open = json!([{ "l": "open", "v": 1, "ack": false, "subs": [{ "ch": room }] }]);
    let path = format!("/realtime/{}/s", unique("n"));
    let (mut body, mut lines) = (post(client, &path, &open.to_string()).await, String::new());
    until(&mut body, &mut lines, "subscribed").await;
    (body, lines)
}

async fn reads_all((mut body, mut lines): (h2::RecvStream, String)) {
    for n in 0..EVENTS {
        let event = until(&mut body, &mut lines, "event").await;
        assert_eq!(event["data"]["n"], n);
    }
}

/// Publishes to a room, beside one who reads it on the same connection.
async fn run(servers: &Servers, client: &mut SendRequest<Bytes>, room: &str) {
    let neighbour = tokio::spawn(reads_all(reader(client, room).await));
    let padding = "x".repeat(EVENT_BYTES);
    for batch in (0..EVENTS).step_by(BATCH) {
        let events = (batch..batch + BATCH).map(|n| json!({ "n": n, "padding": padding }));
        servers.publish_many(room, events.collect::<Vec<Value>>()).await;
    }
    neighbour.await.unwrap();
}

#[tokio::test]
async fn a_stream_whose_window_is_closed_costs_bounded_memory_and_is_whole_when_it_reads_again() {
    // demand: 86
    let certificate = Certificate::new();
    let servers = quiet(&certificate)
        .set("engine.memory.log_bytes", LOG)
        .set("namespaces.chat.history.size", "100000")
        .servers();
    let stream = connect(servers.own(), &certificate.der, &["h2"]).await.unwrap();
    // The stream that is not read takes its own window, and leaves the rest of the connection's.
    let mut builder = Builder::new();
    builder.initial_window_size(64 << 10).initial_connection_window_size(1 << 20);
    let (client, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    // The first run allocates what every connection and publish needs.
    run(&servers, &mut client, &unique("chat:")).await;
    let room = unique("chat:");
    let slow = reader(&mut client, &room).await;
    let before = servers.own().private_memory();
    run(&servers, &mut client, &room).await;
    let grown = servers.own().private_memory().saturating_sub(before);
    println!("a stream that is not read: grown by {} KiB of {} KiB", grown >> 10, GROWTH >> 10);
    assert!(grown < GROWTH, "{grown} bytes");
    reads_all(slow).await;
}
