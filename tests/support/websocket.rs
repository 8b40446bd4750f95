//! A WebSocket whose every bit the test decides (RFC 6455 section 5.2).

use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, BytesMut};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::http::Request;
use super::wait;

/// The bit of a frame that ends its message.
pub const FIN: u8 = 0x80;
/// A continuation.
pub const CONTINUATION: u8 = 0x0;
/// A text message.
pub const TEXT: u8 = 0x1;
/// A binary message.
pub const BINARY: u8 = 0x2;
/// A close.
pub const CLOSE: u8 = 0x8;
/// A ping.
pub const PING: u8 = 0x9;
/// A pong.
pub const PONG: u8 = 0xA;

/// A frame from a client: first byte, payload, mask.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The header of a masked frame that claims so many bytes.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(0x80 | u8::try_from(length).expect("below 126")),
        126..=0xffff => {
            bytes.push(0x80 | 0x7e);
            bytes.extend(u16::try_from(length).expect("two bytes").to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 0x7f);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

/// What a server sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Got {
    /// A text message.
    Text(Value),
    /// A ping.
    Ping,
    /// A pong and its payload.
    Pong(Vec<u8>),
    /// A close, its code and reason.
    Close(u16, String),
    /// The connection is gone.
    Gone,
}

/// A connection after its handshake.
pub struct Socket {
    /// The socket.
    pub stream: TcpStream,
    buffer: BytesMut,
}

impl Socket {
    /// Connects to a nonce of its own.
    pub async fn connect(to: SocketAddr) -> Self {
        let request = Request::upgrade(&format!("/realtime/{}/ws", super::unique("n")));
        Self::by(to, &request).await
    }

    /// Connects with this request.
    pub async fn by(to: SocketAddr, request: &Request) -> Self {
        let (head, connection) = request.begin(to).await.expect("a handshake");
        assert_eq!(head.status, 101);
        let (stream, buffer) = connection.into_parts();
        Self { stream, buffer: BytesMut::from(&buffer[..]) }
    }

    /// Connects and opens a session with more members of the `open`.
    pub async fn open(to: SocketAddr, members: Value) -> Self {
        let mut socket = Self::connect(to).await;
        let mut open = json!({ "l": "open", "v": 1 });
        for (key, value) in members.as_object().into_iter().flatten() {
            open[key] = value.clone();
        }
        socket.say(&open).await;
        socket
    }

    /// Writes bytes.
    pub async fn write(&mut self, bytes: &[u8]) {
        // What the server refuses it may refuse before it is whole.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Writes a text message.
    pub async fn say(&mut self, frame: &Value) {
        self.write(&self::frame(FIN | TEXT, frame.to_string().as_bytes())).await;
    }

    /// What comes next.
    pub async fn next(&mut self) -> Got {
        loop {
            if let Some(got) = self.take() {
                return got;
            }
            if self.more().await == 0 {
                return Got::Gone;
            }
        }
    }

    /// Reads on; nothing where the connection is gone.
    async fn more(&mut self) -> usize {
        let read = self.stream.read_buf(&mut self.buffer);
        wait::in_time("the server says something", read).await.unwrap_or(0)
    }

    /// The next frame, if it is whole: its first byte and its payload.
    fn take_raw(&mut self) -> Option<(u8, BytesMut)> {
        let [first, second, ..] = *self.buffer.as_ref() else { return None };
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (length, at) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().ok()?)), 4),
            127 => {
                let length = u64::from_be_bytes(self.buffer.get(2..10)?.try_into().ok()?);
                (usize::try_from(length).ok()?, 10)
            }
            short => (usize::from(short), 2),
        };
        self.buffer.get(..at + length)?;
        let mut payload = self.buffer.split_to(at + length);
        payload.advance(at);
        assert_eq!(first & 0x70, 0, "no reserved bits");
        assert_ne!(first & FIN, 0, "the server does not fragment");
        Some((first, payload))
    }

    fn take(&mut self) -> Option<Got> {
        let (first, payload) = self.take_raw()?;
        Some(match first & 0x0f {
            TEXT => Got::Text(serde_json::from_slice(&payload).expect("a frame is JSON")),
            PING => Got::Ping,
            PONG => Got::Pong(payload.to_vec()),
            CLOSE => {
                let code = payload.get(..2).map_or(1005, |b| u16::from_be_bytes([b[0], b[1]]));
                let reason = payload.get(2..).unwrap_or_default();
                Got::Close(code, String::from_utf8_lossy(reason).into_owned())
            }
            other => panic!("opcode {other}"),
        })
    }

    /// The next message of any kind, as it came; nothing where the connection is gone.
    pub async fn raw(&mut self) -> Option<BytesMut> {
        loop {
            if let Some((_, payload)) = self.take_raw() {
                return Some(payload);
            }
            self.buffer.reserve(64 << 10);
            if self.more().await == 0 {
                return None;
            }
        }
    }

    /// The next text message that is no ping: those come whenever a test takes long.
    pub async fn text(&mut self) -> Value {
        loop {
            let frame = self.frame().await;
            if super::text(&frame, "l") != "ping" {
                return frame;
            }
        }
    }

    async fn frame(&mut self) -> Value {
        loop {
            match self.next().await {
                Got::Text(frame) => return frame,
                Got::Ping | Got::Pong(_) => {}
                other => panic!("{other:?} instead of a frame"),
            }
        }
    }

    /// The next text message that has this kind.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if super::text(&frame, "l") == kind || super::text(&frame, "t") == kind {
                return frame;
            }
        }
    }

    /// What the server closes with: the code of its close frame, 1006 where there is none.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match self.next().await {
                Got::Close(code, _) => return code,
                Got::Gone => return 1006,
                Got::Text(_) | Got::Ping | Got::Pong(_) => {}
            }
        }
    }

    /// Whether the server has ended the connection when it said that it would.
    pub async fn is_gone(&mut self) -> io::Result<bool> {
        Ok(self.next().await == Got::Gone)
    }
}
