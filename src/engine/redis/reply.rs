//! What scripts answer, read without trust: another program may write to the same Redis.

use bytes::Bytes;
use redis::Value;

use crate::engine::types::{EngineError, Event};
use crate::protocol::channel::StateKey;
use crate::protocol::frame::Frame;
use crate::protocol::position::{Epoch, Position, Tag};

/// The parts of an answer, taken one after the other.
pub(super) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    /// # Errors
    /// [`EngineError::Unavailable`] where it is not a list, as everywhere here.
    pub(super) fn of(value: Value) -> Result<Self, EngineError> {
        match value {
            Value::Array(parts) => Ok(Self(parts.into_iter())),
            _ => Err(EngineError::Unavailable),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, EngineError> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes.into()),
            Some(Value::SimpleString(text)) => Ok(text.into()),
            Some(Value::Int(number)) => Ok(number.to_string().into()),
            _ => Err(EngineError::Unavailable),
        }
    }

    pub(super) fn text(&mut self) -> Result<String, EngineError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| EngineError::Unavailable)
    }

    pub(super) fn number(&mut self) -> Result<u64, EngineError> {
        self.text()?.parse().map_err(|_| EngineError::Unavailable)
    }

    pub(super) fn tag(&mut self) -> Result<Tag, EngineError> {
        tag(&self.text()?).ok_or(EngineError::Unavailable)
    }

    pub(super) fn position(&mut self) -> Result<Position, EngineError> {
        let epoch = Epoch::parse(&self.text()?).map_err(|_| EngineError::Unavailable)?;
        Ok(Position { epoch, offset: self.number()?, tag: self.tag()? })
    }

    /// How many parts are left.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }
}

fn tag(text: &str) -> Option<Tag> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Tag)).flatten()
}

/// An event as it is broadcast, and kept by key: `offset tag prev at length-of-key`, a line feed,
/// the key, the frame.
pub(super) fn event(message: &Bytes) -> Option<Event> {
    let end = message.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(message.get(..end)?).ok()?;
    let mut words = head.split(' ');
    let offset = words.next()?.parse().ok()?;
    let (own, prev) = (tag(words.next()?)?, tag(words.next()?)?);
    let at = words.next()?.parse().ok()?;
    let key: usize = words.next()?.parse().ok()?;
    let body = message.slice(end + 1..);
    let (key, frame) = (body.get(..key)?, body.get(key..)?);
    let key = match std::str::from_utf8(key).ok()? {
        "" => None,
        key => Some(StateKey::parse(key).ok()?),
    };
    Some(Event { offset, tag: own, prev, at, key, frame: Frame::new(frame) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_it_was_broadcast() {
        let raw =
            Bytes::from_static(b"7 00000000000000ff 0000000000000001 1700 3\nkey{\"t\":\"event\"}");
        let event = event(&raw).unwrap();
        assert_eq!((event.offset, event.tag, event.prev, event.at), (7, Tag(255), Tag(1), 1700));
        assert_eq!(event.key.unwrap().as_str(), "key");
        assert_eq!(event.frame.json(), b"{\"t\":\"event\"}");
    }

    #[test]
    fn what_is_no_event_is_none() {
        for raw in ["", "\n", "1 2 3 4 5\n", "1 00000000000000ff 0000000000000001 1 9\nabc"] {
            assert!(event(&Bytes::from(raw)).is_none(), "{raw}");
        }
    }
}
