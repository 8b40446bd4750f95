//! What a client says.

use serde::Deserialize;
use serde_json::{Value, json};
use throughline::protocol::position::Position;
use throughline::protocol::up::{self, Command, LinkUp, Subscribe, Up};
use throughline::protocol::{body, error::Refusal};

use crate::load;

#[derive(Deserialize)]
struct Fixture {
    name: String,
    text: String,
    frame: Option<Value>,
    error: Option<String>,
    seq: Option<u64>,
}

#[test]
fn every_frame_up_is_read_as_its_fixture_says() {
    // spec: M1, M3, M4, M5, M28
    for fixture in load::<Fixture>("tests/fixtures/protocol/up.json") {
        let read = read(&fixture.text);
        match (&fixture.frame, &fixture.error) {
            (Some(frame), _) => holds(&encode_all(&read.unwrap()), frame, &fixture.name),
            (None, Some(code)) => assert_eq!(refused(read, fixture.seq), *code, "{}", fixture.name),
            (None, None) => assert!(read.is_ok(), "{}", fixture.name),
        }
    }
}

#[test]
fn what_is_read_is_read_the_same_from_what_it_is_written_as() {
    for fixture in load::<Fixture>("tests/fixtures/protocol/up.json") {
        let Ok(frames) = read(&fixture.text) else { continue };
        for frame in frames {
            if matches!(&frame, Up::Session(numbered) if numbered.command.is_err()) {
                continue;
            }
            let once = encode(&frame);
            let again = up::parse(&once.to_string()).unwrap();
            assert_eq!(encode(&again), once, "{}", fixture.name);
        }
    }
}

fn read(text: &str) -> Result<Vec<Up>, Refusal> {
    if text.starts_with("d=") {
        return body::parse(text.as_bytes(), 100, 65_536);
    }
    up::parse(text).map(|frame| vec![frame])
}

/// The code of a refusal: of the whole frame, or of one whose number could be read.
fn refused(read: Result<Vec<Up>, Refusal>, seq: Option<u64>) -> String {
    let refusal = match (read, seq) {
        (Err(refusal), None) => refusal,
        (Ok(frames), Some(seq)) => match frames.into_iter().next() {
            Some(Up::Session(frame)) if frame.seq == seq => frame.command.unwrap_err(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    refusal.code.as_str().to_owned()
}

/// Every member of the fixture stands in what was read; what was read may say defaults too.
fn holds(read: &Value, frame: &Value, name: &str) {
    match (read, frame) {
        (Value::Object(read), Value::Object(frame)) => {
            for (member, value) in frame {
                let read = read.get(member).unwrap_or_else(|| panic!("{name}: {member} is lost"));
                holds(read, value, name);
            }
        }
        (Value::Array(read), Value::Array(frame)) => {
            assert_eq!(read.len(), frame.len(), "{name}");
            read.iter().zip(frame).for_each(|(read, frame)| holds(read, frame, name));
        }
        (read, frame) => assert_eq!(read, frame, "{name}"),
    }
}

fn encode_all(frames: &[Up]) -> Value {
    match frames {
        [one] => encode(one),
        many => many.iter().map(encode).collect(),
    }
}

/// Only the members that are there.
fn object(members: Value) -> Value {
    let Value::Object(members) = members else { panic!("not an object") };
    members.into_iter().filter(|(_, value)| *value != json!({"absent": true})).collect()
}

fn maybe<T: serde::Serialize>(value: Option<T>) -> Value {
    value.map_or(json!({"absent": true}), |value| json!(value))
}

fn raw(json: &serde_json::value::RawValue) -> Value {
    serde_json::from_str(json.get()).unwrap()
}

fn sub(wanted: &Subscribe) -> Value {
    let since = maybe(wanted.since.as_ref());
    object(json!({"ch": wanted.ch, "since": since, "presence": wanted.presence}))
}

fn encode(frame: &Up) -> Value {
    match frame {
        Up::Link(link) => encode_link(link),
        Up::Session(numbered) => {
            let (kind, mut members) = encode_command(numbered.command.as_ref().unwrap());
            members["t"] = json!(kind);
            members["seq"] = json!(numbered.seq);
            members
        }
    }
}

fn encode_link(frame: &LinkUp) -> Value {
    match frame {
        LinkUp::Open(open) => object(json!({
            "l": "open", "v": 1, "token": maybe(open.token.as_ref()),
            "info": maybe(open.info.as_ref().map(|info| raw(info))),
            "subs": open.subs.iter().map(sub).collect::<Vec<_>>(), "link": open.link,
            "ack": open.ack, "visible": open.visible, "filler": open.filler,
        })),
        LinkUp::Candidate { ticket, filler } => {
            json!({"l": "candidate", "v": 1, "ticket": ticket, "filler": filler})
        }
        LinkUp::Attach(attach) => object(json!({
            "l": "attach", "ticket": maybe(attach.ticket.as_ref()), "link": attach.link,
            "count": attach.count, "via": maybe(attach.via.as_ref()),
            "token": maybe(attach.token.as_ref()), "visible": maybe(attach.visible),
            "wait": attach.wait,
        })),
        LinkUp::Pong { count, visible } => {
            object(json!({"l": "pong", "count": maybe(*count), "visible": maybe(*visible)}))
        }
        LinkUp::Echo { id, via } => {
            object(json!({"l": "echo", "id": id, "via": maybe(via.as_ref())}))
        }
        LinkUp::Leaving => json!({"l": "leaving"}),
        LinkUp::Close => json!({"l": "close"}),
    }
}

fn encode_command(command: &Command) -> (&'static str, Value) {
    match command {
        Command::Subscribe(wanted) => ("subscribe", sub(wanted)),
        Command::Unsubscribe(ch) => ("unsubscribe", json!({"ch": ch})),
        Command::Publish(publish) => {
            let expect: Option<&Position> = publish.expect.as_ref();
            let (id, key) = (maybe(publish.id.as_ref()), maybe(publish.key.as_ref()));
            let data = raw(&publish.data);
            let members = json!({"ch": publish.ch, "data": data, "id": id, "key": key, "expect": maybe(expect)});
            ("publish", object(members))
        }
        Command::History { ch, since, limit } => {
            ("history", json!({"ch": ch, "since": since, "limit": limit}))
        }
        Command::Presence { chs, users } => ("presence", json!({"chs": chs, "users": users})),
        Command::Auth(token) => ("auth", json!({"token": token})),
        Command::Away(away) => ("away", json!({"away": away})),
        Command::FeedTicket(chs) => ("feed_ticket", json!({"chs": chs})),
        Command::Noop => ("noop", json!({})),
    }
}
