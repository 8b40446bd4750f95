//! Frames down, encoded once (PROTOCOL.md sections 5 to 7 have a row for each).

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::channel::{Channel, StateKey};
use super::error::Refusal;
use super::frame::{Frame, FrameTemplate};
use super::position::{GapReason, Position};

/// The number whose content was withdrawn.
pub fn withdrawn() -> Frame {
    Frame::new(b"{}")
}

fn encode<T: Serialize>(value: &T) -> Frame {
    // Serialising these types cannot fail: they hold no map with other than text keys.
    Frame::new(&serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec()))
}

/// A link frame down.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "l", rename_all = "snake_case")]
#[allow(missing_docs, reason = "PROTOCOL.md sections 5, 6 and 8 say what each member means")]
pub enum LinkDown<'a> {
    Hello(Hello<'a>),
    Attached { link: u64, from: u64, up: u64, ticket: &'a str },
    Ping { n: u64, up: u64, next: u64 },
    Echo { id: &'a str },
    Superseded { link: u64 },
    Rotate {},
    Filler {},
    Error(LinkError<'a>),
}

impl LinkDown<'_> {
    /// The encoded frame.
    pub fn encode(&self) -> Frame {
        encode(self)
    }
}

/// The content of a `hello`; a candidate's has the first three members only.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "PROTOCOL.md section 5 says what each member means")]
pub struct Hello<'a> {
    pub v: u64,
    pub via: &'a str,
    pub nonce: &'a str,
    #[serde(flatten)]
    pub opened: Option<Opened<'a>>,
}

/// What a `hello` says of a session that was opened.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "PROTOCOL.md section 5 says what each member means")]
pub struct Opened<'a> {
    pub ticket: &'a str,
    pub me: Me<'a>,
    pub ping_ms: PingMs,
    pub window_ms: u64,
    pub hold_ms: u64,
    pub outbox: OutboxBound,
    pub limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rebuilt: bool,
}

/// Ping intervals, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct PingMs {
    pub visible: u64,
    pub hidden: u64,
}

/// The bound of an outbox.
#[derive(Debug, Clone, Copy, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct OutboxBound {
    pub frames: usize,
    pub bytes: usize,
}

/// What a client may send.
#[derive(Debug, Clone, Copy, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Limits {
    pub frame_bytes: usize,
    pub frames: usize,
    pub subscriptions: usize,
}

/// A member as the wire shows it.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Me<'a> {
    pub id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
}

impl Me<'_> {
    /// The JSON of the member.
    pub fn json(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_else(|_| b"{}".to_vec()).into()
    }
}

/// Whether an error ends the link alone or the session with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The connection.
    Link,
    /// The session.
    Session,
}

/// The content of a link's `error`, and the body of an HTTP refusal.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "PROTOCOL.md section 8 says what each member means")]
pub struct LinkError<'a> {
    pub code: &'static str,
    pub message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u32>,
    pub scope: Scope,
}

/// The `error` frame of a link.
pub fn link_error(refusal: &Refusal, scope: Scope) -> Frame {
    let message = refusal.message();
    let (code, retry_ms) = (refusal.code.as_str(), refusal.retry_ms);
    LinkDown::Error(LinkError { code, message, retry_ms, scope }).encode()
}

/// A session frame down, but for events.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "t", rename_all = "snake_case")]
#[allow(missing_docs, reason = "PROTOCOL.md section 7 says what each member means")]
pub enum SessionDown<'a> {
    Subscribed {
        #[serde(skip_serializing_if = "Option::is_none")]
        re: Option<u64>,
        ch: &'a Channel,
        pos: &'a Position,
        durable: bool,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        state: bool,
    },
    Unsubscribed {
        ch: &'a Channel,
        code: &'static str,
    },
    Unwatched {
        ch: &'a Channel,
        code: &'static str,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        re: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ch: Option<&'a Channel>,
        code: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_ms: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pos: Option<&'a Position>,
    },
    Gap {
        ch: &'a Channel,
        reason: GapReason,
        pos: &'a Position,
    },
    Skipped {
        n: u64,
    },
    CaughtUp {
        #[serde(skip_serializing_if = "Option::is_none")]
        ch: Option<&'a Channel>,
    },
    Count {
        ch: &'a Channel,
        v: u64,
        n: usize,
    },
    Leave {
        ch: &'a Channel,
        v: u64,
        id: &'a str,
    },
}

impl SessionDown<'_> {
    /// The encoded frame.
    pub fn encode(&self) -> Frame {
        encode(self)
    }
}

/// The `error` that settles a frame, or concerns a channel.
pub fn frame_error(refusal: &Refusal, re: Option<u64>, ch: Option<&Channel>) -> Frame {
    conflict(refusal, re, ch, None)
}

/// The same with the new top.
pub fn conflict(
    refusal: &Refusal,
    re: Option<u64>,
    ch: Option<&Channel>,
    pos: Option<&Position>,
) -> Frame {
    let (code, message) = (refusal.code.as_str(), refusal.message());
    SessionDown::Error { re, ch, code, message, retry_ms: refusal.retry_ms, pos }.encode()
}

/// The `ok` that settles frame `re`, with more members given as a serialisable struct.
pub fn ok<T: Serialize>(re: u64, rest: &T) -> Frame {
    let rest = serde_json::to_vec(rest).unwrap_or_default();
    let members = rest.strip_prefix(b"{").and_then(|r| r.strip_suffix(b"}")).unwrap_or(&[]);
    let comma: &[u8] = if members.is_empty() { b"" } else { b"," };
    let head = format!(r#"{{"t":"ok","re":{re}"#);
    Frame::of_parts(&[head.as_bytes(), comma, members, b"}"])
}

/// The `ok` of a frame whose row in PROTOCOL.md has no members.
pub fn ok_empty(re: u64) -> Frame {
    Frame::new(format!(r#"{{"t":"ok","re":{re}}}"#).as_bytes())
}

/// A `join` or `update` of a member whose JSON is given.
pub fn member_change(kind: &'static str, ch: &Channel, version: u64, member: &[u8]) -> Frame {
    let head = format!(r#"{{"t":"{kind}","ch":"{ch}","v":{version},"member":"#);
    Frame::of_parts(&[head.as_bytes(), member, b"}"])
}

/// The whole list of members.
pub fn members(ch: &Channel, version: u64, members: &[Bytes]) -> Frame {
    let head = format!(r#"{{"t":"members","ch":"{ch}","v":{version},"members":["#);
    let mut parts: Vec<&[u8]> = vec![head.as_bytes()];
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            parts.push(b",");
        }
        parts.push(member);
    }
    parts.push(b"]}");
    Frame::of_parts(&parts)
}

/// JSON without raw line breaks, which are white space there (RFC 8259 section 2) but would end a
/// line of a stream.
pub fn one_line(json: &str) -> std::borrow::Cow<'_, str> {
    if json.contains(['\r', '\n']) { json.replace(['\r', '\n'], " ").into() } else { json.into() }
}

/// What an event's frame is made of.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "PROTOCOL.md section 7 says what each member means")]
pub struct EventParts<'a> {
    pub ch: &'a Channel,
    pub id: &'a str,
    pub at: u64,
    pub user: Option<&'a str>,
    pub by: Option<&'a str>,
    pub key: Option<&'a StateKey>,
    pub data: &'a RawValue,
}

impl EventParts<'_> {
    /// The frame without its position.
    pub fn template(&self) -> FrameTemplate {
        // A channel's and a key's alphabet need no escape in JSON; an id's and a user's may.
        let before = format!(r#"{{"t":"event","ch":"{}","pos":""#, self.ch);
        let mut after = String::with_capacity(self.data.get().len() + 96);
        let text = |raw: &str| serde_json::to_string(raw).unwrap_or_default();
        let _ = write!(after, r#"","id":{},"at":{}"#, text(self.id), self.at);
        if let Some(user) = self.user {
            let _ = write!(after, r#","user":{}"#, text(user));
        }
        if let Some(by) = self.by {
            let _ = write!(after, r#","by":"{by}""#);
        }
        if let Some(key) = self.key {
            let _ = write!(after, r#","key":"{key}""#);
        }
        after.push_str(r#","data":"#);
        after.push_str(&one_line(self.data.get()));
        after.push('}');
        FrameTemplate { before: before.into(), after: after.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_whole_once_its_position_is_spliced_in() {
        let ch = Channel::parse("chat:1").unwrap();
        let data = RawValue::from_string(r#"{"a":"b"}"#.to_owned()).unwrap();
        let parts = EventParts {
            ch: &ch,
            id: "i\"1",
            at: 5,
            user: Some("bob"),
            by: Some("m1"),
            key: None,
            data: &data,
        };
        let frame = parts.template().with_position(&"e.1.00000000000000ff".parse().unwrap());
        let value: serde_json::Value = serde_json::from_slice(frame.json()).unwrap();
        let expected = serde_json::json!({"t":"event","ch":"chat:1","pos":"e.1.00000000000000ff",
            "id":"i\"1","at":5,"user":"bob","by":"m1","data":{"a":"b"}});
        assert_eq!(value, expected);
    }

    #[test]
    fn a_line_break_between_tokens_does_not_end_a_line() {
        assert_eq!(one_line("{\r\n\"a\":\"\\n\"}"), "{  \"a\":\"\\n\"}");
    }

    #[test]
    fn a_candidates_hello_has_three_members() {
        let hello = LinkDown::Hello(Hello { v: 1, via: "n.x", nonce: "x", opened: None });
        assert_eq!(hello.encode().json(), br#"{"l":"hello","v":1,"via":"n.x","nonce":"x"}"#);
    }

    #[test]
    fn an_answer_takes_the_members_of_a_struct() {
        #[derive(Serialize)]
        struct Rest {
            more: bool,
        }
        assert_eq!(ok(3, &Rest { more: true }).json(), br#"{"t":"ok","re":3,"more":true}"#);
        assert_eq!(ok_empty(3).json(), br#"{"t":"ok","re":3}"#);
    }
}
