//! HTTP/1.1 over a bare socket (RFC 9112), so that a test can cut, delay and malform.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::wait::WITHIN;

/// How long a whole answer may take: longer than any poll waits.
const ANSWER_WITHIN: Duration = Duration::from_secs(45);

/// A request to write.
#[derive(Debug, Clone)]
pub struct Request {
    head: String,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, target: &str) -> Self {
        Self { head: format!("{method} {target} HTTP/1.1\r\nhost: app.example\r\n"), body: None }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST with its body.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut request = Self::new("POST", target);
        let body = body.into();
        let _ = write!(request.head, "content-length: {}\r\n", body.len());
        request.body = Some(body);
        request
    }

    /// A handshake of WebSocket, with the key of RFC 6455 section 1.2.
    pub fn upgrade(target: &str) -> Self {
        Self::get(target)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    /// The same with one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.head, "{name}: {value}\r\n");
        self
    }

    /// Its method.
    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    /// Its target: path and query.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Its path.
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// Its query, or "".
    pub fn query(&self) -> &str {
        self.target().split_once('?').map_or("", |(_, query)| query)
    }

    /// Its body, or nothing.
    pub fn body(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// The bytes of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.head).into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// Sends it on a connection of its own and reads the whole answer.
    pub async fn send(&self, to: SocketAddr) -> io::Result<Response> {
        let answer = async {
            let mut connection = Connection::open(to).await?;
            // What the server refuses it may refuse, and close, before it is whole.
            let wrote = connection.write(&self.bytes()).await;
            let answer = connection.response().await;
            if answer.is_err() { wrote.and(answer) } else { answer }
        };
        timeout(ANSWER_WITHIN, answer).await?
    }

    /// Sends it on a connection of its own and reads the head of the answer.
    pub async fn begin(&self, to: SocketAddr) -> io::Result<(Head, Connection)> {
        let mut connection = Connection::open(to).await?;
        connection.write(&self.bytes()).await?;
        Ok((connection.head().await?, connection))
    }
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The head.
    pub head: Head,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The code in a refusal's body.
    pub fn code(&self) -> String {
        super::text(&self.json(), "code").to_owned()
    }
}

/// A connection that a test writes to as it likes.
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    buffer: Vec<u8>,
    left: Body,
}

/// What is left of the answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Length(usize),
    Chunked,
    UntilClose,
    Done,
}

impl Connection {
    /// Connects.
    pub async fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), left: Body::Done })
    }

    /// Writes bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads on. False at the end.
    async fn more(&mut self) -> io::Result<bool> {
        Ok(timeout(WITHIN, self.stream.read_buf(&mut self.buffer)).await?? > 0)
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(io::Error::other);
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads the head of an answer.
    pub async fn head(&mut self) -> io::Result<Head> {
        let status = self.line().await?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        let mut head = Head { status, headers: Vec::new() };
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { break };
            head.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        self.left = match (head.header("content-length"), head.header("transfer-encoding")) {
            _ if matches!(status, 100..=199 | 204 | 304) => Body::Done,
            (Some(length), _) => Body::Length(length.parse().map_err(io::Error::other)?),
            (None, Some("chunked")) => Body::Chunked,
            (None, _) => Body::UntilClose,
        };
        Ok(head)
    }

    /// The next piece of the body: a chunk, or what came at once. `None` at its end.
    pub async fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.left {
            Body::Done => Ok(None),
            Body::Chunked => self.chunk().await,
            Body::Length(0) => {
                self.left = Body::Done;
                Ok(None)
            }
            Body::Length(left) => {
                if self.buffer.is_empty() && !self.more().await? {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let take = left.min(self.buffer.len());
                self.left = Body::Length(left - take);
                Ok(Some(self.buffer.drain(..take).collect()))
            }
            Body::UntilClose => {
                if self.buffer.is_empty() && !self.more().await? {
                    self.left = Body::Done;
                    return Ok(None);
                }
                Ok(Some(std::mem::take(&mut self.buffer)))
            }
        }
    }

    async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let size = self.line().await?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        while self.buffer.len() < size + 2 {
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let chunk: Vec<u8> = self.buffer.drain(..size).collect();
        self.buffer.drain(..2);
        if size == 0 {
            self.left = Body::Done;
            return Ok(None);
        }
        Ok(Some(chunk))
    }

    /// Reads a whole answer.
    pub async fn response(&mut self) -> io::Result<Response> {
        let head = self.head().await?;
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend(piece);
        }
        Ok(Response { status: head.status, head, body })
    }

    /// Everything until the peer closes: what was buffered and what comes.
    pub async fn rest(mut self) -> Vec<u8> {
        // A reset after the last byte ends it too.
        while self.more().await.unwrap_or(false) {}
        self.buffer
    }

    /// The socket, and what was read of it.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.buffer)
    }
}
