//! The cursor of a plain feed: the position of its one channel, or an opaque string for several.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut, BytesMut};
use serde::Deserialize;

use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::position::Since;
use crate::protocol::sse;

/// Where a feed stands in each of its channels.
#[derive(Debug, Clone, Default)]
pub(super) struct Cursor {
    positions: BTreeMap<String, String>,
    /// How many channels the feed has; one needs no more than its position.
    channels: usize,
}

/// What a feed must know of a frame.
#[derive(Default, Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow)]
    pub(super) t: Option<&'a str>,
    #[serde(borrow)]
    pub(super) l: Option<&'a str>,
    #[serde(borrow)]
    pub(super) ch: Option<&'a str>,
    #[serde(borrow)]
    pub(super) pos: Option<&'a str>,
    #[serde(default)]
    pub(super) durable: bool,
    #[serde(default)]
    pub(super) state: bool,
    pub(super) code: Option<ErrorCode>,
}

impl<'a> Head<'a> {
    pub(super) fn of(frame: &'a Frame) -> Self {
        serde_json::from_slice(frame.json()).unwrap_or_default()
    }
}

impl Cursor {
    /// Where a feed begins: a channel of which nothing comes keeps its place.
    pub(super) fn new(channels: &[(Channel, Option<Since>)]) -> Self {
        let known = channels.iter().filter_map(|(channel, since)| {
            since.as_ref().map(|since| (channel.to_string(), since.to_string()))
        });
        Self { positions: known.collect(), channels: channels.len() }
    }

    /// Takes the position that a frame names.
    pub(super) fn follow(&mut self, head: &Head<'_>) {
        if let (Some(channel), Some(position)) = (head.ch, head.pos) {
            match self.positions.get_mut(channel) {
                Some(known) => position.clone_into(known),
                None => {
                    self.positions.insert(channel.to_owned(), position.to_owned());
                }
            }
        }
    }

    /// The cursor as text.
    pub(super) fn encode(&self) -> String {
        match self.positions.values().next() {
            only if self.channels == 1 => only.cloned().unwrap_or_default(),
            _ => URL_SAFE_NO_PAD.encode(serde_json::to_vec(&self.positions).unwrap_or_default()),
        }
    }

    /// Where to read on in each channel, out of a cursor.
    /// # Errors
    /// `bad_position` where it is none, or names no channel of the feed.
    pub(super) fn decode(
        raw: Option<&str>,
        channels: &[Channel],
    ) -> Result<Vec<(Channel, Option<Since>)>, Refusal> {
        let bad = || Refusal::new(ErrorCode::BadPosition);
        let all = |since: Option<Since>| {
            Ok(channels.iter().map(|channel| (channel.clone(), since.clone())).collect())
        };
        match raw {
            None | Some("") => all(None),
            Some("0") => all(Some(Since::Oldest)),
            Some(raw) if channels.len() == 1 => all(Some(raw.parse().map_err(|_| bad())?)),
            Some(raw) => {
                let json = URL_SAFE_NO_PAD.decode(raw).map_err(|_| bad())?;
                let known: BTreeMap<String, Since> =
                    serde_json::from_slice(&json).map_err(|_| bad())?;
                let since = |channel: &Channel| known.get(channel.as_str()).cloned();
                Ok(channels.iter().map(|ch| (ch.clone(), since(ch))).collect())
            }
        }
    }
}

/// How a feed's frames are framed: as events with the cursor as their id.
#[derive(Debug)]
pub(super) struct FeedFormat {
    cursor: Cursor,
}

impl FeedFormat {
    pub(super) fn new(cursor: Cursor) -> Self {
        Self { cursor }
    }

    pub(super) fn put(&mut self, out: &mut BytesMut, frame: &Frame) {
        let head = Head::of(frame);
        self.cursor.follow(&head);
        match (head.l, head.t) {
            // A comment keeps the connection; `EventSource` shows it to nobody.
            (Some("ping"), _) => out.put_slice(b":\n\n"),
            (Some("attached"), _) | (_, Some("subscribed")) => {}
            (_, Some("event" | "gap")) => sse::put(out, frame, Some(&self.cursor.encode())),
            _ => sse::put(out, frame, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(names: &[&str]) -> Vec<Channel> {
        names.iter().map(|name| Channel::parse(name).unwrap()).collect()
    }

    const POS: &str = "e.1.00000000000000ff";

    fn begun(names: &[&str], since: Option<&Since>) -> Cursor {
        let channels: Vec<_> = channels(names).into_iter().map(|ch| (ch, since.cloned())).collect();
        Cursor::new(&channels)
    }

    #[test]
    fn a_cursor_of_one_channel_is_its_position() {
        let mut cursor = begun(&["a"], None);
        assert_eq!(cursor.encode(), "");
        cursor.follow(&Head { ch: Some("a"), pos: Some(POS), ..Head::default() });
        assert_eq!(cursor.encode(), POS);
    }

    #[test]
    fn a_cursor_of_several_channels_keeps_the_place_of_those_of_which_nothing_came() {
        // spec: D1
        let mut cursor = begun(&["a", "b"], Some(&Since::Oldest));
        cursor.follow(&Head { ch: Some("a"), pos: Some(POS), ..Head::default() });
        let read = Cursor::decode(Some(&cursor.encode()), &channels(&["a", "b", "c"])).unwrap();
        let since: Vec<_> =
            read.iter().map(|(_, since)| since.as_ref().map(ToString::to_string)).collect();
        assert_eq!(since, [Some(POS.to_owned()), Some("0".to_owned()), None]);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for raw in ["x", "e.1", "1", "%"] {
            assert!(Cursor::decode(Some(raw), &channels(&["a"])).is_err(), "{raw}");
            assert!(Cursor::decode(Some(raw), &channels(&["a", "b"])).is_err(), "{raw}");
        }
    }
}
