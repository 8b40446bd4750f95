//! What publishes: the application's HTTP API, or the floor's control.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// Publishes to whoever reads.
pub(crate) enum Publisher {
    /// Through `POST /api/publish` and `POST /api/batch`.
    Api { connection: TcpStream, channel: &'static str, data: String },
    /// Through the floor's control, the frame as it goes to readers.
    Floor { control: TcpStream, frame: Vec<u8> },
}

impl Publisher {
    /// Publishes events of that many bytes of data.
    pub(crate) fn api(server: SocketAddr, channel: &'static str, bytes: usize) -> io::Result<Self> {
        let data = format!("\"{}\"", "x".repeat(bytes - 2));
        Ok(Self::Api { connection: connect(server)?, channel, data })
    }

    /// Publishes that frame.
    pub(crate) fn floor(control: SocketAddr, frame: Vec<u8>) -> io::Result<Self> {
        Ok(Self::Floor { control: connect(control)?, frame })
    }

    /// Publishes, and waits for the answer.
    pub(crate) fn publish(&mut self, many: usize) -> io::Result<()> {
        match self {
            Self::Api { connection, channel, data } if many == 1 => {
                let body = format!(r#"{{"channel":"{channel}","data":{data}}}"#);
                post(connection, "/api/publish", &body)
            }
            Self::Api { connection, channel, data } => {
                let events = vec![format!(r#"{{"data":{data}}}"#); many].join(",");
                let batch = format!(r#"{{"channel":"{channel}","events":[{events}]}}"#);
                post(connection, "/api/batch", &format!(r#"{{"batches":[{batch}]}}"#))
            }
            Self::Floor { control, frame } => {
                let lens = [many, frame.len()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
                let mut message = lens.map(u32::to_be_bytes).concat();
                message.extend_from_slice(frame);
                control.write_all(&message)?;
                let mut missed = [0; 4];
                control.read_exact(&mut missed)?;
                match u32::from_be_bytes(missed) {
                    0 => Ok(()),
                    n => Err(io::Error::other(format!("{n} writes of the floor were not whole"))),
                }
            }
        }
    }
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request with the key, and its answer, which must be a success.
fn post(connection: &mut TcpStream, path: &str, body: &str) -> io::Result<()> {
    request(connection, path, "Authorization: Bearer the key of the benchmark\r\n", body)
}

/// An exchange that need not be answered with anything in particular.
pub(crate) fn exchange(connection: &mut TcpStream, body: &str) -> io::Result<()> {
    request(connection, "/realtime/n/x", "", body)
}

fn request(connection: &mut TcpStream, path: &str, head: &str, body: &str) -> io::Result<()> {
    let kind = if head.is_empty() { "text/plain" } else { "application/json" };
    let len = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}Content-Type: {kind}\r\nContent-Length: {len}\r\n\r\n{body}"
    );
    connection.write_all(request.as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 16_384]);
    loop {
        let n = connection.read(&mut buffer)?;
        answer.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            len.and_then(|len| len.parse().ok()) == Some(body.len())
        });
        match (whole, text.starts_with("http/1.1 200")) {
            (true, true) => return Ok(()),
            (true, false) => return Err(io::Error::other(text)),
            (false, _) if n == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            (false, _) => {}
        }
    }
}
