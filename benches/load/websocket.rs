//! A WebSocket client that reads frames, answers pings and acknowledges, as the bundled one does.

use super::{Client, Tally, count};

/// Frames without an acknowledgement at most: a quarter of the server's outbox.
const ACK_FRAMES: u64 = 256;

/// One reader. Without channels it only shakes hands, as the floor wants it.
pub(crate) struct WebSocket {
    open: Option<String>,
    /// Channels whose `subscribed` has not come.
    awaited: usize,
    upgraded: bool,
    partial: Vec<u8>,
    /// Session frames, and how many of them were acknowledged.
    count: u64,
    acknowledged: u64,
}

impl WebSocket {
    /// A reader that sends `open`, which names so many channels.
    pub(crate) fn new(open: Option<String>, channels: usize) -> Self {
        Self {
            open,
            awaited: channels,
            upgraded: false,
            partial: Vec::new(),
            count: 0,
            acknowledged: 0,
        }
    }

    fn frame(&mut self, frame: &[u8], out: &mut Vec<u8>, tally: &mut Tally) {
        if frame.starts_with(br#"{"l":"ping""#) {
            return self.pong(out);
        }
        if !frame.starts_with(br#"{"t":"#) {
            return;
        }
        self.count += 1;
        count(frame, tally);
        if frame.starts_with(br#"{"t":"subscribed""#) {
            self.awaited -= 1;
            if self.awaited == 0 {
                tally.ready += 1;
                self.pong(out);
            }
        }
        if self.count - self.acknowledged >= ACK_FRAMES {
            self.pong(out);
        }
    }

    fn pong(&mut self, out: &mut Vec<u8>) {
        self.acknowledged = self.count;
        text(format!(r#"{{"l":"pong","count":{}}}"#, self.count).as_bytes(), out);
    }

    fn frames(&mut self, mut bytes: &[u8], out: &mut Vec<u8>, tally: &mut Tally) -> usize {
        let before = bytes.len();
        while let Some((frame, rest)) = split(bytes) {
            self.frame(frame, out, tally);
            bytes = rest;
        }
        before - bytes.len()
    }
}

impl Client for WebSocket {
    fn begin(&mut self) -> Vec<u8> {
        let request = "GET /realtime/n/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        request.as_bytes().to_vec()
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>, tally: &mut Tally) {
        let joined;
        let mut bytes = bytes;
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.partial);
            bytes = &joined;
        }
        if !self.upgraded {
            let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
                return self.partial.extend_from_slice(bytes);
            };
            assert!(bytes.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(bytes));
            self.upgraded = true;
            bytes = &bytes[at + 4..];
            match &self.open {
                Some(open) => text(open.as_bytes(), out),
                None => tally.ready += 1,
            }
        }
        let taken = self.frames(bytes, out, tally);
        self.partial.extend_from_slice(&bytes[taken..]);
    }

    fn go_on(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.pong(&mut out);
        out
    }
}

/// The payload of the frame at the front and what is after it; none while it is not whole.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, at) = match *bytes.get(1)? {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    Some((bytes.get(at..at + len)?, &bytes[at + len..]))
}

/// One unmasked text frame, as a server sends it (RFC 6455 section 5.2).
pub(crate) fn server_text(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => frame.push(short),
        _ => {
            frame.push(126);
            frame.extend(u16::try_from(payload.len()).expect("a small frame").to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// One text frame with a mask of zeros, which leaves the payload as it is.
fn text(payload: &[u8], out: &mut Vec<u8>) {
    let mut frame = server_text(payload);
    frame[1] |= 0x80;
    let mask_at = if frame[1] & 0x7f == 126 { 4 } else { 2 };
    frame.splice(mask_at..mask_at, [0; 4]);
    out.extend_from_slice(&frame);
}
