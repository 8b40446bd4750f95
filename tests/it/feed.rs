//! The plain feed: streams for `EventSource`, pages for `curl`.

use serde_json::{Value, json};

use crate::support::http::{Connection, Request};
use crate::support::server::Servers;
use crate::support::{text, token, unique};

/// A feed as `EventSource` reads it (WHATWG HTML, "Interpreting an event stream").
struct Feed {
    connection: Connection,
    buffer: String,
}

/// One event: its id and data.
type Event = (Option<String>, Value);

impl Feed {
    async fn open(servers: &Servers, request: Request) -> Self {
        let request = request.header("accept", "text/event-stream");
        let (head, connection) = request.begin(servers.pick()).await.unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        Self { connection, buffer: String::new() }
    }

    async fn next(&mut self) -> Event {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let event: String = self.buffer.drain(..end + 2).collect();
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
                };
                let Some(data) = field("data: ") else { continue };
                return (field("id: "), serde_json::from_str(&data).unwrap());
            }
            let piece = self.connection.piece().await.unwrap().expect("the feed goes on");
            self.buffer.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The next event of a channel.
    async fn event(&mut self) -> Event {
        loop {
            let (id, frame) = self.next().await;
            if text(&frame, "t") == "event" {
                return (id, frame);
            }
        }
    }
}

fn feed(channel: &str, rest: &str) -> Request {
    Request::get(&format!("/realtime/feed/n1?channel={channel}{rest}"))
}

async fn page(servers: &Servers, request: Request) -> Value {
    let answer = servers.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn data(page: &Value) -> Vec<Value> {
    page["events"].as_array().unwrap().iter().map(|event| event["data"].clone()).collect()
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}

#[tokio::test]
async fn a_feed_prints_hello_and_then_each_publish_as_it_happens() {
    // demand: 5
    let (servers, channel) = (Servers::suite(), unique("scores:"));
    let mut feed = Feed::open(&servers, feed(&channel, "")).await;
    assert_eq!(text(&feed.next().await.1, "l"), "hello");
    for score in 1..=3 {
        let body = json!({ "channel": channel, "key": "home", "data": score });
        let receipt = servers.api("/publish", &body).await.json();
        let (id, event) = feed.event().await;
        assert_eq!(event["data"], score);
        assert_eq!(id.as_deref(), receipt["pos"].as_str());
    }
}

#[tokio::test]
async fn a_feed_of_a_state_channel_begins_with_the_latest_of_each_key() {
    // demand: 103
    // spec: M32
    let (servers, channel) = (Servers::suite(), unique("scores:"));
    for (key, score) in [("home", 1), ("away", 2), ("home", 3)] {
        let body = json!({ "channel": channel, "key": key, "data": score });
        servers.api("/publish", &body).await;
    }
    let mut feed = Feed::open(&servers, feed(&channel, "")).await;
    assert_eq!(feed.event().await.1["data"], 2);
    assert_eq!(feed.event().await.1["data"], 3);
}

#[tokio::test]
async fn a_feed_resumes_after_the_last_event_id() {
    // demand: 78
    let (servers, channel) = (Servers::suite(), unique("chat:"));
    let mut positions = Vec::new();
    for number in 1..=5 {
        positions.push(text(&servers.publish(&channel, number).await, "pos").to_owned());
    }
    let request = feed(&channel, "&since=0").header("last-event-id", &positions[2]);
    let mut resumed = Feed::open(&servers, request).await;
    assert_eq!(resumed.event().await.1["data"], 4);
    assert_eq!(resumed.event().await.1["data"], 5);
    servers.publish(&channel, 6).await;
    assert_eq!(resumed.event().await.1["data"], 6);
}

#[tokio::test]
async fn an_empty_last_event_id_is_none() {
    let (servers, channel) = (Servers::suite(), unique("chat:"));
    servers.publish(&channel, 1).await;
    let request = feed(&channel, "&since=0&wait=0").header("last-event-id", "");
    assert_eq!(data(&page(&servers, request).await), numbers(1..=1));
}

#[tokio::test]
async fn pages_of_a_thousand_hold_2500_events() {
    // demand: 81
    // spec: M37
    let (servers, channel) = (Servers::suite(), unique("chat:"));
    servers.publish_many(&channel, numbers(1..=2500)).await;
    let (mut all, mut cursor, mut sizes) = (Vec::new(), "0".to_owned(), Vec::new());
    loop {
        let page = page(&servers, feed(&channel, &format!("&since={cursor}&wait=0"))).await;
        let events = data(&page);
        sizes.push(events.len());
        all.extend(events);
        text(&page, "cursor").clone_into(&mut cursor);
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(all, numbers(1..=2500));
    assert_eq!(sizes, [1000, 1000, 500]);
    let next = page(&servers, feed(&channel, &format!("&since={cursor}&wait=0"))).await;
    assert_eq!((data(&next), &next["more"]), (vec![], &json!(false)));
}

#[tokio::test]
async fn a_page_holds_at_most_a_mebibyte() {
    // spec: M37
    let (servers, channel) = (Servers::suite(), unique("chat:"));
    servers.publish_many(&channel, vec![json!("x".repeat(60_000)); 15]).await;
    servers.publish_many(&channel, vec![json!("x".repeat(60_000)); 15]).await;
    let answer = servers.send(feed(&channel, "&since=0&wait=0")).await;
    assert!(answer.body.len() < (1 << 20) + 70_000, "{}", answer.body.len());
    assert_eq!(answer.json()["more"], true);
}

#[tokio::test]
async fn a_page_that_waits_is_answered_at_the_event() {
    // demand: 7
    let (servers, channel) = (Servers::suite(), unique("chat:"));
    let cursor = page(&servers, feed(&channel, "&wait=0")).await["cursor"].clone();
    let request = feed(&channel, &format!("&wait=30000&since={}", cursor.as_str().unwrap()));
    let (waits, _) = tokio::join!(page(&servers, request), async {
        // The page is asked for before or after: by its position it comes either way.
        servers.publish(&channel, 1).await
    });
    assert_eq!(data(&waits), numbers(1..=1));
}

#[tokio::test]
async fn a_page_of_several_channels_resumes_by_its_cursor() {
    let (servers, a, b) = (Servers::suite(), unique("chat:"), unique("chat:"));
    servers.publish(&a, 1).await;
    servers.publish(&b, 2).await;
    let both = format!("{a}&channel={b}");
    let first = page(&servers, feed(&both, "&since=0&wait=0")).await;
    assert_eq!(data(&first).len(), 2);
    servers.publish(&b, 3).await;
    let rest = format!("&since={}&wait=0", text(&first, "cursor"));
    assert_eq!(data(&page(&servers, feed(&both, &rest)).await), numbers(3..=3));
}

#[tokio::test]
async fn a_page_that_cannot_be_proven_names_the_gap() {
    // spec: D5
    let (servers, channel) = (Servers::suite(), unique("chat:"));
    servers.publish(&channel, 1).await;
    let lost = page(&servers, feed(&channel, "&since=other.7.00000000000000ff&wait=0")).await;
    assert_eq!(text(&lost["notes"][0], "reason"), "epoch", "{lost}");
    assert_eq!(text(&lost["notes"][0], "ch"), channel);
    assert_eq!(text(&lost, "cursor"), text(&lost["notes"][0], "pos"));
}

#[tokio::test]
async fn a_feed_needs_a_channel_that_is_open_a_token_or_a_ticket() {
    // demand: 24
    // spec: M36
    let (servers, room) = (Servers::suite(), unique("room:"));
    servers.publish(&room, 1).await;
    let ask = || feed(&room, "&since=0&wait=0");
    let refused = servers.send(ask()).await;
    assert_eq!((refused.status, refused.code()), (401, "unauthorized".to_owned()));
    let bearer = |token: &str| ask().header("authorization", &format!("Bearer {token}"));
    assert_eq!(data(&page(&servers, bearer(&token::user("alice"))).await), numbers(1..=1));
    let other = token::with("alice", &json!({ "room:other": ["subscribe"] }));
    assert_eq!(servers.send(bearer(&other)).await.status, 403);
    assert_eq!(servers.send(bearer("rubbish")).await.status, 401);
}

#[tokio::test]
async fn a_feed_ticket_opens_its_own_channels_until_it_expires() {
    // demand: 24
    // spec: M36
    let (servers, room, other) = (Servers::suite(), unique("room:"), unique("room:"));
    servers.publish(&room, 1).await;
    let body = json!({ "channels": [room], "ttl_ms": 60_000 });
    let made = servers.api("/feed-ticket", &body).await.json();
    let ask = |ticket: &str, channel: &str| {
        Request::get(&format!("/realtime/feed/{ticket}?channel={channel}&since=0&wait=0"))
    };
    let ticket = text(&made, "ticket");
    assert_eq!(data(&page(&servers, ask(ticket, &room)).await), numbers(1..=1));
    assert_eq!(servers.send(ask(ticket, &other)).await.status, 403);
    assert_eq!(servers.send(ask(&format!("{ticket}x"), &room)).await.status, 410);
    let over = json!({ "channels": [room], "ttl_ms": 0 });
    let over = servers.api("/feed-ticket", &over).await.json();
    let answer = servers.send(ask(text(&over, "ticket"), &room)).await;
    assert!(matches!(answer.status, 401 | 410), "{}", answer.text());
}

#[tokio::test]
async fn questions_that_cannot_be_read_are_refused() {
    // spec: M5
    let servers = Servers::suite();
    for (target, code) in [
        ("?wait=0", "too_many"),
        ("?channel=", "bad_channel"),
        ("?channel=a%20b", "bad_channel"),
        ("?channel=a%0d%0ab", "bad_channel"),
        ("?channel=%ff", "bad_request"),
        ("?channel=%zz", "bad_request"),
        ("?channel=chat:1&since=x&wait=0", "bad_position"),
        ("?channel=chat:1&since=e.1.zz&wait=0", "bad_position"),
        ("?channel=chat:1&since=e.-1.00000000000000ff&wait=0", "bad_position"),
        ("?channel=chat:1&wait=soon", "bad_request"),
        ("?channel=@secret:1&wait=0", "bad_channel"),
        ("?channel=nowhere:1&wait=0", "unknown_channel"),
    ] {
        let answer = servers.send(Request::get(&format!("/realtime/feed/n1{target}"))).await;
        assert_eq!(answer.code(), code, "{target}");
    }
}
