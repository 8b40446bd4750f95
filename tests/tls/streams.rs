//! Requests that share a connection of HTTP/2.

use serde_json::json;

use super::client::{exchange, get, http2, post, publish, until, whole};
use super::{Certificate, connect};
use crate::support::server::Setup;
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
