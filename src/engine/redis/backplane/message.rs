//! What comes under a name: a short head, then the untouched bytes of a frame.

use bytes::Bytes;

use crate::engine::types::{Event, MemberId, PresenceChange};
use crate::protocol::position::Epoch;

use super::names::Kind;
use crate::engine::redis::reply;

/// What was broadcast under a channel's name.
#[derive(Debug)]
pub(super) enum Message {
    /// An event: `E`, its kind, the epoch, then as [`reply::event`] reads.
    Event { epoch: Epoch, kind: Kind, event: Event },
    /// A change of presence: `P`, version, count, `J`, `U` or `L`, a line feed, JSON or id.
    Presence { version: u64, count: usize, change: PresenceChange },
}

impl Message {
    /// `None` for what this version does not understand.
    pub(super) fn read(raw: &Bytes) -> Option<Self> {
        match raw.first()? {
            b'E' => event(raw),
            b'P' => presence(raw),
            _ => None,
        }
    }
}

/// The kind of a channel, as scripts write it.
pub(super) fn kind(letter: u8) -> Option<Kind> {
    match letter {
        b'n' => Some(Kind::Nothing),
        b'l' => Some(Kind::Log),
        b's' => Some(Kind::State),
        _ => None,
    }
}

fn event(raw: &Bytes) -> Option<Message> {
    let kind = kind(*raw.get(1)?)?;
    let rest = raw.get(3..)?;
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let epoch = Epoch::parse(std::str::from_utf8(rest.get(..end)?).ok()?).ok()?;
    let event = reply::event(&raw.slice(3 + end + 1..))?;
    Some(Message::Event { epoch, kind, event })
}

fn presence(raw: &Bytes) -> Option<Message> {
    let end = raw.iter().position(|byte| *byte == b'\n')?;
    let mut words = std::str::from_utf8(raw.get(..end)?).ok()?.split(' ').skip(1);
    let version = words.next()?.parse().ok()?;
    let count = words.next()?.parse().ok()?;
    let body = raw.slice(end + 1..);
    let change = match words.next()? {
        "J" => PresenceChange::Join(body),
        "U" => PresenceChange::Update(body),
        "L" => PresenceChange::Leave(MemberId(std::str::from_utf8(&body).ok()?.into())),
        _ => return None,
    };
    Some(Message::Presence { version, count, change })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_message_is_read() {
        let raw = "El abc 7 00000000000000ff 0000000000000001 1700 0\n{\"t\":\"event\"}";
        let Some(Message::Event { epoch, kind, event }) = Message::read(&Bytes::from(raw)) else {
            panic!("no event");
        };
        assert_eq!((epoch.as_str(), kind, event.offset), ("abc", Kind::Log, 7));
        let leave = Message::read(&Bytes::from_static(b"P 9 3 L\nm1"));
        let Some(Message::Presence { version: 9, count: 3, change }) = leave else {
            panic!("no leave");
        };
        assert_eq!(change, PresenceChange::Leave(MemberId("m1".into())));
    }

    #[test]
    fn what_is_not_understood_is_none() {
        for raw in ["", "E", "El", "El abc", "P 1\n", "P 1 2 X\n", "Q 1 2"] {
            assert!(Message::read(&Bytes::from(raw)).is_none(), "{raw}");
        }
    }
}
