//! What the server says.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use throughline::protocol::channel::{Channel, StateKey};
use throughline::protocol::down::{
    self, EventParts, Hello, Limits, LinkDown, Me, Opened, OutboxBound, PingMs, Scope, SessionDown,
};
use throughline::protocol::error::{ErrorCode, Refusal};
use throughline::protocol::frame::Frame;
use throughline::protocol::position::{GapReason, Position};
use throughline::protocol::sse;

use crate::{agree, load};

#[derive(Serialize)]
struct Row {
    name: &'static str,
    must: &'static str,
    from: &'static str,
    text: String,
    /// What the text parses to; absent for a number whose content was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<Box<RawValue>>,
}

fn row(name: &'static str, must: &'static str, frame: &Frame) -> Row {
    let text = String::from_utf8(frame.json().to_vec()).unwrap();
    let frame = (text != "{}").then(|| RawValue::from_string(text.clone()).unwrap());
    Row { name, must, from: "server", text, frame }
}

fn link(name: &'static str, must: &'static str, frame: &LinkDown<'_>) -> Row {
    row(name, must, &frame.encode())
}

fn session(name: &'static str, must: &'static str, frame: &SessionDown<'_>) -> Row {
    row(name, must, &frame.encode())
}

fn position() -> Position {
    "5f3a.12.00000000000000ff".parse().unwrap()
}

fn links() -> Vec<Row> {
    let info = RawValue::from_string(r#"{"name":"Zoë"}"#.to_owned()).unwrap();
    let opened = Opened {
        ticket: "tk",
        me: Me { id: "m1", user: Some("bob"), info: Some(&info), state: None },
        ping_ms: PingMs { visible: 7_000, hidden: 25_000 },
        window_ms: 120_000,
        hold_ms: 20_000,
        outbox: OutboxBound { frames: 1_024, bytes: 1_048_576 },
        limits: Limits { frame_bytes: 65_536, frames: 100, subscriptions: 128 },
        expires_ms: Some(3_600_000),
        rebuilt: false,
    };
    let again = Opened { rebuilt: true, ..opened.clone() };
    let hello = |opened| LinkDown::Hello(Hello { v: 1, via: "i.n", nonce: "n", opened });
    let later = Refusal::new(ErrorCode::RateLimited).retry_in(250);
    vec![
        link("hello of an open", "M10", &hello(Some(opened))),
        link("hello of a session that goes on", "S5", &hello(Some(again))),
        link("hello of a candidate", "M10", &hello(None)),
        link("attached", "M17", &LinkDown::Attached { link: 2, from: 5, up: 1, ticket: "tk" }),
        link("ping", "M25", &LinkDown::Ping { n: 7, up: 2, next: 7_000 }),
        link("echo", "M2", &LinkDown::Echo { id: "e1" }),
        link("superseded", "M17", &LinkDown::Superseded { link: 3 }),
        link("rotate", "M2", &LinkDown::Rotate {}),
        link("filler", "M27", &LinkDown::Filler {}),
        row("an error of the link", "M9", &down::link_error(&later, Scope::Link)),
        row(
            "an error of the session",
            "M24",
            &down::link_error(&ErrorCode::SessionGone.into(), Scope::Session),
        ),
    ]
}

fn sessions() -> Vec<Row> {
    let (ch, pos) = (&Channel::parse("chat:lobby").unwrap(), &position());
    let conflict = Refusal::new(ErrorCode::Conflict);
    let member = r#"{"id":"m1","user":"bob","state":"online"}"#;
    let subscribed = |re, durable, state| SessionDown::Subscribed { re, ch, pos, durable, state };
    vec![
        session("subscribed", "M31", &subscribed(Some(4), true, false)),
        session("subscribed by an open", "M31", &subscribed(None, false, false)),
        session("subscribed to state", "M32", &subscribed(Some(4), false, true)),
        session("unsubscribed", "S6", &SessionDown::Unsubscribed { ch, code: "forbidden" }),
        session("unwatched", "M39", &SessionDown::Unwatched { ch, code: "forbidden" }),
        session("a gap", "D1", &SessionDown::Gap { ch, reason: GapReason::Tag, pos }),
        session("skipped", "D7", &SessionDown::Skipped { n: 3 }),
        session("caught up", "M33", &SessionDown::CaughtUp { ch: None }),
        session("caught up on a channel", "M34", &SessionDown::CaughtUp { ch: Some(ch) }),
        session("count", "R6", &SessionDown::Count { ch, v: 8, n: 1_200 }),
        session("leave", "M35", &SessionDown::Leave { ch, v: 9, id: "m1" }),
        row("join", "M35", &down::member_change("join", ch, 7, member.as_bytes())),
        row("update", "M35", &down::member_change("update", ch, 8, member.as_bytes())),
        row("members", "M35", &down::members(ch, 6, &[member.into(), member.into()])),
        row("no members", "M35", &down::members(ch, 1, &[])),
        row("ok", "M28", &down::ok_empty(5)),
        row("ok with members", "P1", &down::ok(5, &serde_json::json!({"id": "p-1", "pos": pos}))),
        row("an error of a frame", "M4", &down::frame_error(&conflict, Some(5), None)),
        row("a conflict", "P7", &down::conflict(&conflict, Some(5), Some(ch), Some(pos))),
        row("withdrawn", "M2", &down::withdrawn()),
    ]
}

fn events() -> Vec<Row> {
    let ch = &Channel::parse("chat:lobby").unwrap();
    let key = StateKey::parse("k:1").unwrap();
    let data = RawValue::from_string("{\"text\":\n \"<b>\\u2028'\\\"ü\"}".to_owned()).unwrap();
    let least = EventParts { ch, id: "i1", at: 1, user: None, by: None, key: None, data: &data };
    let (user, by, id) = (Some("bob \"b\""), Some("m1"), "i\"1");
    let all = EventParts { id, user, by, key: Some(&key), ..least.clone() };
    let event = |parts: &EventParts<'_>| parts.template().with_position(&position());
    vec![row("an event", "D1", &event(&least)), row("an event, everything", "M32", &event(&all))]
}

#[test]
fn every_frame_down_is_written_as_its_fixture_says() {
    // spec: M2, M9, M10, M17, M25, M31, M33, M35
    let rows: Vec<_> = links().into_iter().chain(sessions()).chain(events()).collect();
    agree("tests/fixtures/protocol/down.json", &rows);
}

#[derive(Serialize)]
struct SseRow {
    name: &'static str,
    json: &'static str,
    id: Option<&'static str>,
    text: String,
}

#[test]
fn a_frame_as_a_server_sent_event_is_one_data_field() {
    let row = |name, json: &'static str, id| {
        let mut out = bytes::BytesMut::new();
        sse::put(&mut out, &Frame::new(json.as_bytes()), id);
        SseRow { name, json, id, text: String::from_utf8(out.to_vec()).unwrap() }
    };
    let rows = [
        row("a frame", r#"{"t":"caught_up"}"#, None),
        row("a frame with an id", r#"{"t":"event"}"#, Some("5f3a.12.00000000000000ff")),
        row("an id that would add a field", "{}", Some("a\ndata: x")),
        row("an id with NUL", "{}", Some("a\0")),
    ];
    agree("tests/fixtures/wire/sse.json", &rows);
}

#[derive(Deserialize)]
struct PositionRow {
    name: String,
    text: String,
    position: Option<Parts>,
    error: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Parts {
    epoch: String,
    offset: u64,
    tag: String,
}

#[test]
fn a_position_is_read_and_written_as_its_fixture_says() {
    // spec: M5
    for row in load::<PositionRow>("tests/fixtures/wire/positions.json") {
        let read: Option<Position> = row.text.parse().ok();
        assert_eq!(read.is_none(), row.error.is_some(), "{}", row.name);
        if let Some(read) = &read {
            assert_eq!(read.to_string(), row.text, "{}", row.name);
        }
        let parts = read.map(|read| Parts {
            epoch: read.epoch.as_str().to_owned(),
            offset: read.offset,
            tag: read.tag.to_string(),
        });
        assert_eq!(parts, row.position, "{}", row.name);
    }
}
