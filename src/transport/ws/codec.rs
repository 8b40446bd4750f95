//! Frames of a WebSocket from a client (RFC 6455 section 5), decoded from any chunking.
//!
//! Holds bytes only while a frame or a message is incomplete. Why this is ours and not
//! tungstenite's, whose client side it is tested against: docs/adr/0003.

use std::str;

/// Fragments of one message at most.
const FRAGMENTS_MAX: u32 = 1024;
/// Bytes of a control frame's payload at most (section 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// What a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A control ping; its payload comes back in a pong.
    Ping(&'a [u8]),
    /// A control pong.
    Pong,
    /// The close handshake begins, or is answered.
    Close,
}

/// What becomes of the bytes after a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// They are decoded.
    Decode,
    /// They are kept until the next [`Decoder::feed`].
    Keep,
    /// They are dropped.
    Drop,
}

/// Why a connection fails (sections 7.1.7, 7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// 1002: unmasked, reserved bits, a bad opcode, a bad control frame, a bad sequence.
    #[error("protocol error")]
    Protocol,
    /// 1003: a binary message.
    #[error("binary message")]
    Binary,
    /// 1007: text that is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// 1008: too many fragments.
    #[error("too many fragments")]
    Flood,
    /// 1009: over the limit.
    #[error("message over the limit")]
    TooLarge,
}

impl Failure {
    /// The close code.
    pub fn close_code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Binary => 1003,
            Self::Utf8 => 1007,
            Self::Flood => 1008,
            Self::TooLarge => 1009,
        }
    }
}

/// The state between two reads.
#[derive(Debug)]
pub struct Decoder {
    /// The beginning of a frame that is not whole.
    partial: Vec<u8>,
    /// The payload of a message that is not whole.
    message: Vec<u8>,
    fragments: u32,
    message_bytes_max: usize,
}

struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Bytes of the header.
    len: usize,
    payload: usize,
}

impl Decoder {
    /// A decoder with the limit of a message.
    pub fn new(message_bytes_max: usize) -> Self {
        Self { partial: Vec::new(), message: Vec::new(), fragments: 0, message_bytes_max }
    }

    /// Decodes what was kept and what came; `on` gets every message and says what becomes of the
    /// rest. Bytes that are kept are as many as were fed.
    /// # Errors
    /// [`Failure`] at the first byte that cannot be.
    pub fn feed(
        &mut self,
        bytes: &mut [u8],
        on: &mut dyn FnMut(Message<'_>) -> Next,
    ) -> Result<(), Failure> {
        if self.partial.is_empty() {
            let left = self.frames(bytes, on)?;
            if let Some(rest) = bytes.get(left..) {
                self.partial.extend_from_slice(rest);
            }
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(bytes);
        let left = self.frames(&mut whole, on)?;
        whole.drain(..left.min(whole.len()));
        if !whole.is_empty() {
            self.partial = whole;
        }
        Ok(())
    }

    /// Decodes the whole frames at the front. Returns how many bytes they are.
    fn frames(
        &mut self,
        mut bytes: &mut [u8],
        on: &mut dyn FnMut(Message<'_>) -> Next,
    ) -> Result<usize, Failure> {
        let before = bytes.len();
        while let Some(header) = self.header(bytes)? {
            let total = header.len + header.payload;
            if bytes.len() < total {
                break;
            }
            let (frame, rest) = std::mem::take(&mut bytes).split_at_mut(total);
            bytes = rest;
            let payload = frame.get_mut(header.len..).unwrap_or_default();
            unmask(payload, header.mask);
            match self.frame(&header, payload, on)? {
                Next::Decode => {}
                Next::Keep => break,
                Next::Drop => return Ok(before),
            }
        }
        Ok(before - bytes.len())
    }

    /// The header at the front, if it is whole; what cannot be fails before its payload comes.
    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, Failure> {
        let &[first, second, ..] = bytes else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        let control = opcode & 0x08 != 0;
        if first & 0x70 != 0 || second & 0x80 == 0 || !matches!(opcode, 0..=2 | 8..=10) {
            return Err(Failure::Protocol);
        }
        if opcode == 2 {
            return Err(Failure::Binary);
        }
        let (payload, at) = match second & 0x7f {
            126 => match bytes.get(2..4).and_then(|b| b.try_into().ok()) {
                Some(len) => (usize::from(u16::from_be_bytes(len)), 4),
                None => return Ok(None),
            },
            127 => match bytes.get(2..10).and_then(|b| b.try_into().ok()) {
                // Over any limit where it does not fit.
                Some(len) => (usize::try_from(u64::from_be_bytes(len)).unwrap_or(usize::MAX), 10),
                None => return Ok(None),
            },
            short => (usize::from(short), 2),
        };
        if control && (!fin || payload > CONTROL_BYTES_MAX) {
            return Err(Failure::Protocol);
        }
        let limit = self.message_bytes_max;
        if !control && payload > limit.saturating_sub(self.message.len()) {
            return Err(Failure::TooLarge);
        }
        let Some(mask) = bytes.get(at..at + 4).and_then(|b| b.try_into().ok()) else {
            return Ok(None);
        };
        Ok(Some(Header { fin, opcode, mask, len: at + 4, payload }))
    }

    fn frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        on: &mut dyn FnMut(Message<'_>) -> Next,
    ) -> Result<Next, Failure> {
        match header.opcode {
            8 => Ok(on(Message::Close)),
            9 => Ok(on(Message::Ping(payload))),
            10 => Ok(on(Message::Pong)),
            // A continuation without a beginning, or a beginning within a message.
            opcode if (opcode == 0) != (self.fragments > 0) => Err(Failure::Protocol),
            _ if header.fin && self.fragments == 0 => text(payload, on),
            _ => self.fragment(header.fin, payload, on),
        }
    }

    fn fragment(
        &mut self,
        fin: bool,
        payload: &[u8],
        on: &mut dyn FnMut(Message<'_>) -> Next,
    ) -> Result<Next, Failure> {
        self.fragments += 1;
        if self.fragments > FRAGMENTS_MAX {
            return Err(Failure::Flood);
        }
        self.message.extend_from_slice(payload);
        if !fin {
            return Ok(Next::Decode);
        }
        self.fragments = 0;
        text(&std::mem::take(&mut self.message), on)
    }
}

fn text(payload: &[u8], on: &mut dyn FnMut(Message<'_>) -> Next) -> Result<Next, Failure> {
    let text = str::from_utf8(payload).map_err(|_| Failure::Utf8)?;
    Ok(on(Message::Text(text)))
}

/// Section 5.3.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (chunks, rest) = payload.as_chunks_mut::<4>();
    for chunk in chunks {
        *chunk = (u32::from_ne_bytes(*chunk) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

/// A close frame to a client (section 5.5.1). The reason is cut to what fits, at a character.
pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let end = reason.floor_char_boundary(CONTROL_BYTES_MAX - 2);
    control_frame(
        8,
        &[&code.to_be_bytes(), reason.get(..end).unwrap_or_default().as_bytes()].concat(),
    )
}

/// A pong to a client (section 5.5.3).
pub fn pong_frame(payload: &[u8]) -> Vec<u8> {
    control_frame(10, payload)
}

/// An empty ping to a client (section 5.5.2).
pub fn ping_frame() -> Vec<u8> {
    control_frame(9, &[])
}

fn control_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload);
    let mut frame = vec![0x80 | opcode, u8::try_from(payload.len()).unwrap_or_default()];
    frame.extend_from_slice(payload);
    frame
}
