//! Reading one frame up: one flat object with every member that any frame may have.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::protocol::channel::{BadName, Channel, PublishId, StateKey};
use crate::protocol::down;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::position::{OFFSET_MAX, Position, Since};

use super::{
    Attach, Command, ECHO_BYTES_MAX, HISTORY_LIMIT_DEFAULT, HISTORY_LIMIT_MAX, INFO_BYTES_MAX,
    LinkUp, Numbered, Open, PRESENCE_NAMES_MAX, PublishCommand, Subscribe, Up, VERSION,
};

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    l: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    t: Option<std::borrow::Cow<'a, str>>,
    v: Option<u64>,
    seq: Option<u64>,
    token: Option<String>,
    ticket: Option<String>,
    info: Option<Box<RawValue>>,
    subs: Option<Vec<Subscribe>>,
    link: Option<u64>,
    count: Option<u64>,
    ack: Option<bool>,
    visible: Option<bool>,
    wait: Option<u64>,
    filler: Option<bool>,
    via: Option<String>,
    id: Option<String>,
    ch: Option<Channel>,
    since: Option<Since>,
    presence: Option<bool>,
    #[serde(default, deserialize_with = "any_json")]
    data: Option<Box<RawValue>>,
    key: Option<StateKey>,
    expect: Option<Position>,
    limit: Option<usize>,
    chs: Option<Vec<Channel>>,
    users: Option<Vec<String>>,
    away: Option<bool>,
}

/// A member that is there, `null` included.
fn any_json<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

/// What can still be read of a session frame whose content is wrong.
#[derive(Deserialize)]
struct NumberOnly<'a> {
    #[serde(borrow)]
    t: &'a str,
    seq: u64,
}

/// Reads one frame.
/// # Errors
/// `bad_frame` where it is not one JSON object of a known kind (M3).
pub fn parse(text: &str) -> Result<Up, Refusal> {
    let mut raw: Raw<'_> = match serde_json::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            let refusal = bad(&error.to_string());
            return match serde_json::from_str::<NumberOnly<'_>>(text) {
                Ok(NumberOnly { t, seq }) if !t.is_empty() && in_range(seq) => {
                    Ok(Up::Session(Numbered { seq, command: Err(refusal) }))
                }
                _ => Err(refusal),
            };
        }
    };
    match (raw.l.take(), raw.t.take()) {
        (Some(kind), None) => link(&kind, raw).map(Up::Link),
        (None, Some(kind)) => {
            let seq = raw.seq.filter(|seq| in_range(*seq)).ok_or_else(|| bad("seq is missing"))?;
            let command = command(&kind, raw);
            Ok(Up::Session(Numbered { seq, command }))
        }
        _ => Err(bad("a frame has either l or t")),
    }
}

fn bad(detail: &str) -> Refusal {
    Refusal::new(ErrorCode::BadFrame).because(detail)
}

fn in_range(number: u64) -> bool {
    (1..=OFFSET_MAX).contains(&number)
}

fn link(kind: &str, raw: Raw<'_>) -> Result<LinkUp, Refusal> {
    match kind {
        "open" => open(raw).map(|open| LinkUp::Open(Box::new(open))),
        "candidate" => {
            version(raw.v)?;
            let ticket = raw.ticket.ok_or_else(|| bad("ticket is missing"))?;
            Ok(LinkUp::Candidate { ticket, filler: raw.filler.unwrap_or(false) })
        }
        "attach" => Ok(LinkUp::Attach(Box::new(Attach {
            ticket: raw.ticket,
            link: raw.link.filter(|n| in_range(*n)).ok_or_else(|| bad("link is missing"))?,
            count: raw.count.ok_or_else(|| bad("count is missing"))?,
            via: raw.via,
            token: raw.token,
            visible: raw.visible,
            wait: raw.wait.unwrap_or(0),
        }))),
        "pong" => Ok(LinkUp::Pong { count: raw.count, visible: raw.visible }),
        "echo" => {
            let id = raw.id.filter(|id| (1..=ECHO_BYTES_MAX).contains(&id.len()));
            Ok(LinkUp::Echo { id: id.ok_or_else(|| bad("id has 1 to 64 bytes"))?, via: raw.via })
        }
        "leaving" => Ok(LinkUp::Leaving),
        "close" => Ok(LinkUp::Close),
        _ => Err(bad("this kind of l is not known")),
    }
}

fn version(v: Option<u64>) -> Result<(), Refusal> {
    if v == Some(VERSION) { Ok(()) } else { Err(bad("v must be 1")) }
}

fn open(raw: Raw<'_>) -> Result<Open, Refusal> {
    version(raw.v)?;
    if raw.info.as_ref().is_some_and(|info| info.get().len() > INFO_BYTES_MAX) {
        return Err(Refusal::new(ErrorCode::TooLarge).because("info has at most 1024 bytes"));
    }
    let info = raw.info.map(|info| down::one_line(info.get()).into_owned());
    let info = info.map(RawValue::from_string).transpose().map_err(|_| bad("info is not JSON"))?;
    let link = raw.link.unwrap_or(1);
    if !in_range(link) {
        return Err(bad("link is a whole number from 1"));
    }
    Ok(Open {
        token: raw.token,
        ticket: raw.ticket,
        info,
        subs: raw.subs.unwrap_or_default(),
        link,
        ack: raw.ack.unwrap_or(true),
        visible: raw.visible.unwrap_or(true),
        filler: raw.filler.unwrap_or(false),
    })
}

fn command(kind: &str, raw: Raw<'_>) -> Result<Command, Refusal> {
    let ch = || raw.ch.clone().ok_or_else(|| bad("ch is missing"));
    Ok(match kind {
        "subscribe" => Command::Subscribe(Subscribe {
            ch: ch()?,
            since: raw.since.clone(),
            presence: raw.presence.unwrap_or(false),
        }),
        "unsubscribe" => Command::Unsubscribe(ch()?),
        "publish" => Command::Publish(Box::new(PublishCommand {
            ch: ch()?,
            data: raw.data.ok_or_else(|| bad("data is missing"))?,
            id: raw.id.as_deref().map(PublishId::parse).transpose().map_err(name)?,
            key: raw.key,
            expect: raw.expect,
        })),
        "history" => {
            let limit = raw.limit.unwrap_or(HISTORY_LIMIT_DEFAULT);
            if !(1..=HISTORY_LIMIT_MAX).contains(&limit) {
                return Err(bad("limit is 1 to 1000"));
            }
            Command::History { ch: ch()?, since: raw.since.clone().unwrap_or(Since::Oldest), limit }
        }
        "presence" => {
            let (chs, users) = (raw.chs.unwrap_or_default(), raw.users.unwrap_or_default());
            if chs.len() + users.len() > PRESENCE_NAMES_MAX {
                return Err(Refusal::new(ErrorCode::TooMany).because("at most 1000 names"));
            }
            Command::Presence { chs, users }
        }
        "auth" => Command::Auth(raw.token.ok_or_else(|| bad("token is missing"))?),
        "away" => Command::Away(raw.away.ok_or_else(|| bad("away is missing"))?),
        "feed_ticket" => Command::FeedTicket(raw.chs.ok_or_else(|| bad("chs is missing"))?),
        "noop" => Command::Noop,
        _ => return Err(bad("this kind of t is not known")),
    })
}

fn name(error: BadName) -> Refusal {
    bad(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> ErrorCode {
        parse(text).expect_err(text).code
    }

    #[test]
    fn refuses_what_is_not_a_frame() {
        // spec: M3
        for text in ["", "[]", "1", "{}", "null", r#"{"l":"x"}"#, r#"{"l":"pong","t":"noop"}"#] {
            assert_eq!(refusal(text), ErrorCode::BadFrame, "{text}");
        }
        assert_eq!(refusal(r#"{"t":"noop"}"#), ErrorCode::BadFrame);
        assert_eq!(refusal(r#"{"l":"open","v":2}"#), ErrorCode::BadFrame);
    }

    #[test]
    fn a_numbered_frame_with_wrong_content_keeps_its_number() {
        // spec: M4
        for text in [
            r#"{"t":"publish","seq":7,"ch":5}"#,
            r#"{"t":"publish","seq":7,"ch":"a b","data":1}"#,
            r#"{"t":"fly","seq":7}"#,
            r#"{"t":"publish","seq":7,"ch":"a"}"#,
        ] {
            match parse(text) {
                Ok(Up::Session(Numbered { seq: 7, command: Err(_) })) => {}
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn members_that_are_not_known_are_ignored() {
        // spec: M1, M30
        let text = r#"{"t":"publish","seq":1,"ch":"a","data":{"b":[1]},"user":"eve","x":{}}"#;
        let Ok(Up::Session(Numbered { command: Ok(Command::Publish(publish)), .. })) = parse(text)
        else {
            panic!("not read")
        };
        assert_eq!(publish.data.get(), r#"{"b":[1]}"#);
    }

    #[test]
    fn a_line_break_in_info_does_not_reach_a_line_of_a_stream() {
        let text = "{\"l\":\"open\",\"v\":1,\"info\":{\n\"a\":1}}";
        let Ok(Up::Link(LinkUp::Open(open))) = parse(text) else { panic!("not read") };
        assert_eq!(open.info.unwrap().get(), "{ \"a\":1}");
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow() {
        let text = format!(r#"{{"t":"publish","seq":1,"ch":"a","data":{}"#, "[".repeat(100_000));
        assert!(parse(&text).is_err());
    }
}
