//! `GET …/feed/…`: the plain feed, as an `EventSource` stream or, with `wait`, as one JSON answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::auth::tickets::FEED_CHANNELS_MAX;
use crate::gateway::Gateway;
use crate::gateway::candidates::Place;
use crate::gateway::driver::Driver;
use crate::gateway::feed::{FeedRequest, open_feed};
use crate::gateway::link::{Flow, LinkPort};
use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::position::Since;
use crate::session::input::ConnId;
use crate::telemetry::labels::Carrier;

use super::feed_cursor::{Cursor, FeedFormat, Head};
use super::negotiate::{Refused, Segment, bearer};
use super::port::{Format, StreamBody, StreamPort};
use super::stream::response;

/// Events in one JSON answer at most (M37).
const EVENTS_MAX: usize = 1000;
/// Bytes in one JSON answer at most (M37).
const BYTES_MAX: usize = 1 << 20;
/// How long a JSON answer waits for the engine at most.
const ENGINE_WAIT: Duration = Duration::from_secs(5);

struct Query {
    channels: Vec<Channel>,
    since: Option<String>,
    wait: Option<u64>,
}

/// The feed.
pub(super) async fn feed(
    State(gateway): State<Arc<Gateway>>,
    Segment(path): Segment,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let query = Query::parse(raw.as_deref().unwrap_or_default())?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    // A browser sends an empty one after a stream without ids.
    let cursor = last.filter(|id| !id.is_empty()).or(query.since.as_deref());
    let channels = Cursor::decode(cursor, &query.channels)?;
    let request = FeedRequest { channels, path, bearer: bearer(&gateway, &headers)? };
    // They are views of the connection's buffer, and the answer may wait long.
    drop(headers);
    let conn = gateway.next_conn();
    let Some(wait) = query.wait else {
        let format = Format::Feed(FeedFormat::new(Cursor::new(&request.channels)));
        let port = Arc::new(StreamPort::new(format, Arc::clone(&gateway.metrics)));
        let driver = open_feed(&gateway, request, conn, Arc::clone(&port) as Arc<dyn LinkPort>)?;
        let body = StreamBody::new(port, Place::Here(driver), conn, false, Duration::ZERO);
        return Ok(response(body, "text/event-stream"));
    };
    let waits = Duration::from_millis(wait).min(gateway.config.session.hold_max);
    let collector = Arc::new(Collector::new(&request.channels));
    let port = Arc::clone(&collector) as Arc<dyn LinkPort>;
    let reading = Reading { driver: open_feed(&gateway, request, conn, port)?, conn };
    let _ = timeout(ENGINE_WAIT, collector.until(Page::begun)).await;
    let _ = timeout(waits, collector.until(|page| page.begun() && !page.is_empty())).await;
    drop(reading);
    collector.answer()
}

impl Query {
    fn parse(raw: &str) -> Result<Self, Refusal> {
        let mut query = Self { channels: Vec::new(), since: None, wait: None };
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode(value)?;
            match key {
                "channel" => {
                    let channel = channel(&value)?;
                    if !query.channels.contains(&channel) {
                        query.channels.push(channel);
                    }
                }
                "since" => query.since = Some(value),
                "wait" => {
                    let bad = || Refusal::new(ErrorCode::BadRequest).because("wait is in ms");
                    query.wait = Some(value.parse().map_err(|_| bad())?);
                }
                // What a cache buster adds is not ours.
                _ => {}
            }
        }
        if query.channels.is_empty() || query.channels.len() > FEED_CHANNELS_MAX {
            return Err(Refusal::new(ErrorCode::TooMany).because("a feed has 1 to 100 channels"));
        }
        Ok(query)
    }
}

fn channel(raw: &str) -> Result<Channel, Refusal> {
    Channel::parse(raw).map_err(|e| Refusal::new(ErrorCode::BadChannel).because(e.to_string()))
}

/// A value of a query (WHATWG URL, "application/x-www-form-urlencoded parsing"), but that `+`
/// stands for itself: channels may hold it.
fn percent_decode(raw: &str) -> Result<String, Refusal> {
    let bad = || Refusal::new(ErrorCode::BadRequest).because("the query cannot be decoded");
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(bad()) };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

/// Gathers a JSON answer.
struct Collector {
    page: Mutex<Page>,
    changed: Notify,
}

/// What has come so far.
#[derive(Default)]
struct Page {
    events: Vec<Frame>,
    /// Gaps and counts of what was skipped.
    notes: Vec<Frame>,
    bytes: usize,
    cursor: Cursor,
    /// Channels that have not begun, or whose replay is not over.
    replaying: usize,
    /// Channels that are read on from a position.
    resumed: Vec<String>,
    full: bool,
    closed: bool,
    /// Why there is no page.
    refusal: Option<Refusal>,
}

/// Ends the feed's session with the request.
struct Reading {
    driver: Arc<Driver>,
    conn: ConnId,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.driver.lost(self.conn);
    }
}

impl Page {
    /// Whether everything that was there is here, or a page of it.
    fn begun(&self) -> bool {
        self.replaying == 0 || self.full || self.closed
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.notes.is_empty() && !self.closed
    }

    fn take(&mut self, frame: &Frame) {
        let head = Head::of(frame);
        if self.full && head.t == Some("event") {
            return;
        }
        self.cursor.follow(&head);
        match head.t {
            Some("event") => {
                self.bytes += frame.len();
                self.events.push(frame.clone());
                self.full = self.events.len() >= EVENTS_MAX || self.bytes >= BYTES_MAX;
            }
            Some("gap" | "skipped") => self.notes.push(frame.clone()),
            Some("error") => {
                self.refusal = Some(head.code.unwrap_or(ErrorCode::Internal).into());
                self.closed = true;
            }
            Some("subscribed") if !self.replays(&head) => self.begun_one(),
            Some("caught_up") if head.ch.is_some() => self.begun_one(),
            _ => {}
        }
    }

    /// Whether a `caught_up` follows what a channel begins with.
    fn replays(&self, head: &Head<'_>) -> bool {
        let resumed = head.ch.is_some_and(|ch| self.resumed.iter().any(|known| known == ch));
        head.state || (head.durable && resumed)
    }

    fn begun_one(&mut self) {
        self.replaying = self.replaying.saturating_sub(1);
    }
}

impl Collector {
    fn new(channels: &[(Channel, Option<Since>)]) -> Self {
        let resumed = channels.iter().filter(|(_, since)| since.is_some());
        let resumed = resumed.map(|(channel, _)| channel.to_string()).collect();
        let cursor = Cursor::new(channels);
        let page = Page { replaying: channels.len(), resumed, cursor, ..Page::default() };
        Self { page: Mutex::new(page), changed: Notify::new() }
    }

    async fn until(&self, enough: impl Fn(&Page) -> bool) {
        loop {
            let changed = self.changed.notified();
            if enough(&self.page.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn answer(&self) -> Result<Response, Refused> {
        #[derive(serde::Serialize)]
        struct Answer {
            events: Vec<Box<RawValue>>,
            cursor: String,
            more: bool,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            notes: Vec<Box<RawValue>>,
        }
        let page = self.page.lock();
        if let Some(refusal) = &page.refusal {
            return Err(refusal.clone().into());
        }
        let answer = Answer {
            events: page.events.iter().filter_map(raw).collect(),
            cursor: page.cursor.encode(),
            more: page.full,
            notes: page.notes.iter().filter_map(raw).collect(),
        };
        let json = serde_json::to_vec(&answer).unwrap_or_default();
        let mut response = Body::from(json).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

fn raw(frame: &Frame) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(frame.json().to_vec()).ok()?).ok()
}

impl LinkPort for Collector {
    fn carrier(&self) -> Carrier {
        Carrier::Poll
    }

    fn write(&self, frames: &[Frame]) -> Flow {
        let mut page = self.page.lock();
        for frame in frames {
            page.take(frame);
        }
        self.changed.notify_waiters();
        if page.full { Flow::Blocked } else { Flow::Open }
    }

    fn answer(&self, _frames: Vec<Frame>) {}

    fn close(&self, refusal: Option<&Refusal>, _ended: bool) {
        let mut page = self.page.lock();
        if page.events.is_empty() && !page.closed {
            page.refusal = refusal.cloned();
        }
        page.closed = true;
        drop(page);
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribed(kind: &str) -> Frame {
        Frame::new(format!(r#"{{"t":"subscribed","ch":"a","pos":"e.0.0",{kind}}}"#).as_bytes())
    }

    #[test]
    fn a_page_waits_for_a_replay_only_where_one_follows() {
        let channel = || Channel::parse("a").unwrap();
        for (since, kind, replays) in [
            (None, r#""durable":true"#, false),
            (None, r#""durable":false"#, false),
            (Some(Since::Oldest), r#""durable":false"#, false),
            (Some(Since::Oldest), r#""durable":true"#, true),
            (None, r#""durable":false,"state":true"#, true),
        ] {
            let collector = Collector::new(&[(channel(), since)]);
            let _ = collector.write(&[subscribed(kind)]);
            assert_eq!(collector.page.lock().begun(), !replays, "{kind}");
            let _ = collector.write(&[Frame::new(br#"{"t":"caught_up","ch":"a"}"#)]);
            assert!(collector.page.lock().begun(), "{kind}");
        }
    }
}
