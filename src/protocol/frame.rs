//! One encoded session or link frame, shared by every reader.
//!
//! The bytes are laid out so that each transport takes a slice and copies nothing: a WebSocket
//! header (RFC 6455 section 5.2, unmasked text, final), the JSON, and a line feed.

use bytes::{BufMut, Bytes, BytesMut};

use super::position::Position;

/// One encoded frame. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    json_at: u8,
}

impl Frame {
    /// Lays out one JSON object.
    pub fn new(json: &[u8]) -> Self {
        Self::of_parts(&[json])
    }

    /// Lays out one JSON object given in pieces, which are copied once.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut bytes = BytesMut::with_capacity(len + 11);
        put_text_header(&mut bytes, len);
        let json_at = u8::try_from(bytes.len()).unwrap_or_default();
        for part in parts {
            bytes.put_slice(part);
        }
        bytes.put_u8(b'\n');
        Self { bytes: bytes.freeze(), json_at }
    }

    /// The frame as one WebSocket text message.
    pub fn websocket(&self) -> Bytes {
        self.bytes.slice(..self.bytes.len().saturating_sub(1))
    }

    /// The bytes of [`Frame::websocket`], borrowed.
    pub fn websocket_bytes(&self) -> &[u8] {
        self.bytes.get(..self.bytes.len().saturating_sub(1)).unwrap_or(&[])
    }

    /// The frame as one line, with its terminator.
    pub fn line(&self) -> Bytes {
        self.bytes.slice(usize::from(self.json_at)..)
    }

    /// The JSON alone.
    pub fn json(&self) -> &[u8] {
        self.bytes.get(usize::from(self.json_at)..self.bytes.len().saturating_sub(1)).unwrap_or(&[])
    }

    /// Bytes of the JSON: what counts against the bounds.
    pub fn len(&self) -> usize {
        self.json().len()
    }

    /// Whether the JSON is empty; never so for a frame that an encoder made.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn put_text_header(to: &mut BytesMut, len: usize) {
    to.put_u8(0x81);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short), _) if short < 126 => to.put_u8(short),
        (_, Ok(medium)) => {
            to.put_u8(126);
            to.put_u16(medium);
        }
        _ => {
            to.put_u8(127);
            to.put_u64(len as u64);
        }
    }
}

/// An event's frame without its position, which only the engine knows when it appends: the engine
/// splices the position between the two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameTemplate {
    /// The JSON up to and including the `"` that opens the position.
    pub before: Bytes,
    /// The JSON from the `"` that closes the position.
    pub after: Bytes,
}

impl FrameTemplate {
    /// The whole frame.
    pub fn with_position(&self, position: &Position) -> Frame {
        Frame::of_parts(&[&self.before, position.to_string().as_bytes(), &self.after])
    }

    /// Bytes of both parts.
    pub fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// Whether both parts are empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_holds_the_same_json() {
        for len in [2usize, 125, 126, 65_535, 65_536] {
            let json = vec![b'x'; len];
            let frame = Frame::new(&json);
            assert_eq!(frame.json(), json);
            assert_eq!(frame.line().as_ref(), [json.as_slice(), b"\n"].concat());
            assert!(frame.websocket().ends_with(&json));
            let header = if len < 126 {
                2
            } else if len < 65_536 {
                4
            } else {
                10
            };
            assert_eq!(frame.websocket().len(), len + header);
        }
    }
}
