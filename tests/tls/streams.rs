//! Requests that share a connection of HTTP/2.

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use serde_json::{Value, json};

use super::client::{exchange, get, http2, post, publish, until, whole};
use super::{Certificate, connect};
use crate::support::server::{Servers, Setup};
use crate::support::{text, unique, wait};

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

#[tokio::test]
async fn a_hundred_feeds_and_the_exchanges_beside_them_share_one_connection_of_http2() {
    // demand: 15
    let (certificate, room) = (Certificate::new(), unique("chat:"));
    let servers = quiet(&certificate).servers();
    let stream = connect(servers.own(), &certificate.der, &["h2"]).await.unwrap();
    let mut client = http2(stream).await;
    let mut feeds = Vec::new();
    for _ in 0..100 {
        let target = format!("/realtime/feed/{}?channel={room}", unique("n"));
        let mut feed = (get(&mut client, &target, "text/event-stream").await, String::new());
        until(&mut feed.0, &mut feed.1, "hello").await;
        feeds.push(feed);
    }
    for n in 0..3 {
        let opened = exchange(&mut client, &json!([{ "l": "open", "v": 1 }])).await;
        assert_eq!(text(&opened[0], "l"), "hello");
        publish(&mut client, &room, &format!("event {n}")).await;
        for (feed, lines) in &mut feeds {
            assert_eq!(until(feed, lines, "event").await["data"], format!("event {n}"));
        }
    }
    // This one connection, and the one that asks.
    assert!(servers.metric("throughline_connections ").await <= 2.0);
}

/// Bytes of an event's padding: of each that is published 64 go into a write at most.
const EVENT_BYTES: usize = 1024;
/// Events of a call of the API.
const BATCH: usize = 50;
/// Bytes that a stream takes before it is read.
const WINDOW: usize = 64 << 10;
/// What waits beside an outbox: the window, and 16 KiB and a write thrice: as they gather, as they were
/// pulled, and within HTTP/2.
const BESIDE: usize = WINDOW + 3 * ((16 << 10) + 64 * (EVENT_BYTES + 256));
/// What an outbox as configured holds at most, in frames, and what waits beside it.
const EVENTS: usize = (1024 + BESIDE / EVENT_BYTES).next_multiple_of(BATCH);
const BEHIND: &str = "throughline_subscriptions_behind_total";

/// A session's stream that does not acknowledge: what it takes is what the client has.
struct Reader {
    body: h2::RecvStream,
    lines: String,
    next: usize,
}

impl Reader {
    async fn open(client: &mut SendRequest<Bytes>, room: &str) -> Self {
        let open = json!([{ "l": "open", "v": 1, "ack": false, "subs": [{ "ch": room }] }]);
        let path = format!("/realtime/{}/s", unique("n"));
        let (mut body, mut lines) = (post(client, &path, &open.to_string()).await, String::new());
        until(&mut body, &mut lines, "subscribed").await;
        Self { body, lines, next: 0 }
    }

    /// Reads as far as the event with this number, each in its turn.
    async fn read(&mut self, end: usize) {
        while self.next < end {
            let event = until(&mut self.body, &mut self.lines, "event").await;
            assert_eq!(event["data"]["n"], self.next);
            self.next += 1;
        }
    }
}

/// Publishes as many events again, each batch read by the neighbour before the next.
async fn publish_beside(servers: &Servers, room: &str, neighbour: &mut Reader) {
    let (begin, padding) = (neighbour.next, "x".repeat(EVENT_BYTES));
    for batch in (begin..begin + EVENTS).step_by(BATCH) {
        let events = (batch..batch + BATCH).map(|n| json!({ "n": n, "padding": padding }));
        servers.publish_many(room, events.collect::<Vec<Value>>()).await;
        neighbour.read(batch + BATCH).await;
    }
}

#[tokio::test]
async fn a_stream_whose_window_is_closed_is_behind_at_its_bound_and_whole_when_it_reads_again() {
    // spec: D8
    // demand: 86
    let (certificate, room) = (Certificate::new(), unique("chat:"));
    let servers = quiet(&certificate).set("namespaces.chat.history.size", "100000").servers();
    let stream = connect(servers.own(), &certificate.der, &["h2"]).await.unwrap();
    // The stream that is not read takes its own window, and leaves the rest of the connection's.
    let mut builder = Builder::new();
    builder.initial_window_size(WINDOW as u32).initial_connection_window_size(1 << 20);
    let (client, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let mut slow = Reader::open(&mut client, &room).await;
    let mut neighbour = Reader::open(&mut client, &room).await;

    // Nothing takes what the outbox cannot hold: the stream is sent back to the log.
    publish_beside(&servers, &room, &mut neighbour).await;
    let behind = async || servers.metric(BEHIND).await >= 1.0;
    wait::until("an outbox is at its bound", behind).await;
    // And once only, whatever comes after: what it holds does not grow.
    publish_beside(&servers, &room, &mut neighbour).await;
    assert_eq!(servers.metric(BEHIND).await, 1.0);
    slow.read(2 * EVENTS).await;
    assert_eq!(servers.metric(BEHIND).await, 1.0);
}
