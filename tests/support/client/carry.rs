//! Connections: each is a task that brings what it reads to the client's one queue.

use std::io;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::Message;

use super::super::http::Request;
use super::target::Takes;
use super::{Target, Transport};

/// What a connection brings.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A frame.
    Frame(Value),
    /// The answer to an exchange; its refusal, or `None` where no answer came.
    Answer(Result<Vec<Value>, Option<Value>>),
    /// It is over.
    Gone,
}

/// What a connection is to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    /// A WebSocket.
    WebSocket,
    /// A stream, of lines or of events.
    Stream,
    /// An exchange that is the link.
    Poll,
    /// An exchange beside the link.
    Side,
}

/// A connection.
pub(super) struct Conn {
    pub(super) carried: Carried,
    /// The link that it is or was.
    pub(super) link: Option<u64>,
    /// The number of the last frame it brought.
    pub(super) at: u64,
    /// What its hello said.
    pub(super) via: Option<String>,
    pub(super) out: Option<mpsc::UnboundedSender<String>>,
    pub(super) task: AbortHandle,
}

impl Conn {
    /// Whether it is a request that is answered once.
    pub(super) fn is_request(&self) -> bool {
        matches!(self.carried, Carried::Poll | Carried::Side)
    }

    pub(super) fn abort(&self) {
        self.task.abort();
    }
}

pub(super) type Sender = mpsc::UnboundedSender<(u64, Incoming)>;

fn target(kind: &str) -> String {
    format!("/realtime/{}/{kind}", super::super::unique("n"))
}

/// The body that the SDK sends.
pub(super) fn body(frames: &[Value]) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let json = serde_json::to_string(frames).expect("frames are JSON");
    format!("d={}", URL_SAFE_NO_PAD.encode(json))
}

/// A WebSocket; what is sent to `out` is written once it is there.
pub(super) fn websocket(to: &Target, id: u64, sender: &Sender) -> Conn {
    let (to, sender) = (to.clone(), sender.clone());
    let (out, lines) = mpsc::unbounded_channel();
    if let Target::Wires(wires) = &to {
        let task = carried(wires.websocket(lines, takes(id, &sender)), id, sender);
        return conn(Carried::WebSocket, Some(out), task);
    }
    let task = tokio::spawn(async move {
        rest_after(&carry_websocket(&to, lines, id, &sender).await).await;
        let _ = sender.send((id, Incoming::Gone));
    });
    conn(Carried::WebSocket, Some(out), task.abort_handle())
}

async fn carry_websocket(
    to: &Target,
    mut lines: mpsc::UnboundedReceiver<String>,
    id: u64,
    sender: &Sender,
) -> io::Result<()> {
    let stream = TcpStream::connect(to.pick()).await?;
    stream.set_nodelay(true)?;
    let address = format!("ws://app.example{}", target("ws"));
    let shaken = tokio_tungstenite::client_async(address, stream).await;
    let (mut writes, mut reads) = shaken.map_err(io::Error::other)?.0.split();
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some(line) = line else { return writes.close().await.map_err(io::Error::other) };
                writes.send(Message::text(line)).await.map_err(io::Error::other)?;
            }
            message = reads.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).map_err(io::Error::other)?;
                    let _ = sender.send((id, Incoming::Frame(frame)));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(()),
            },
        }
    }
}

/// A stream, of lines or of events, that begins with `first`.
pub(super) fn stream(
    to: &Target,
    transport: Transport,
    first: &Value,
    id: u64,
    sender: &Sender,
) -> Conn {
    if let Target::Wires(wires) = to {
        let stream = wires.stream(first.clone(), takes(id, sender));
        return conn(Carried::Stream, None, carried(stream, id, sender.clone()));
    }
    let kind = if transport == Transport::Sse { "e" } else { "s" };
    let request = Request::post(&target(kind), body(std::slice::from_ref(first)));
    let (to, sender) = (to.clone(), sender.clone());
    let task = tokio::spawn(async move {
        rest_after(&carry_stream(&to, &request, id, &sender).await).await;
        let _ = sender.send((id, Incoming::Gone));
    });
    conn(Carried::Stream, None, task.abort_handle())
}

async fn carry_stream(to: &Target, request: &Request, id: u64, sender: &Sender) -> io::Result<()> {
    let (head, mut connection) = request.begin(to.pick()).await?;
    let lines = head.status == 200;
    let mut buffer = Vec::new();
    while let Some(piece) = connection.piece().await? {
        buffer.extend(piece);
        while let Some(end) = buffer.iter().position(|byte| lines && *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = line.strip_prefix(b"data: ").unwrap_or(&line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            let frame = serde_json::from_slice(line).map_err(io::Error::other)?;
            let _ = sender.send((id, Incoming::Frame(frame)));
        }
    }
    if !lines {
        let refusal = serde_json::from_slice(&buffer).map_err(io::Error::other)?;
        let _ = sender.send((id, Incoming::Frame(refusal)));
    }
    Ok(())
}

/// An exchange.
pub(super) fn exchange(
    to: &Target,
    carried_as: Carried,
    frames: &[Value],
    id: u64,
    sender: &Sender,
) -> Conn {
    if let Target::Wires(wires) = to {
        let (answer, sender) = (wires.exchange(frames.to_vec()), sender.clone());
        let task = tokio::spawn(async move {
            let _ = sender.send((id, Incoming::Answer(answer.await)));
        });
        return conn(carried_as, None, task.abort_handle());
    }
    let request = Request::post(&target("x"), body(frames));
    let (to, sender) = (to.clone(), sender.clone());
    let task = tokio::spawn(async move {
        let answer = carry_exchange(&to, &request).await;
        rest_after(&answer).await;
        let answer = answer.unwrap_or(Err(None));
        let _ = sender.send((id, Incoming::Answer(answer)));
    });
    conn(carried_as, None, task.abort_handle())
}

/// A connection of this process, as a task.
fn carried(connection: BoxFuture<'static, ()>, id: u64, sender: Sender) -> AbortHandle {
    let task = tokio::spawn(async move {
        connection.await;
        let _ = sender.send((id, Incoming::Gone));
    });
    task.abort_handle()
}

fn takes(id: u64, sender: &Sender) -> Takes {
    let sender = sender.clone();
    Box::new(move |frame| {
        let _ = sender.send((id, Incoming::Frame(frame)));
    })
}

async fn carry_exchange(
    to: &Target,
    request: &Request,
) -> io::Result<Result<Vec<Value>, Option<Value>>> {
    let response = request.send(to.pick()).await?;
    if response.status == 200 {
        return Ok(Ok(serde_json::from_slice(&response.body).map_err(io::Error::other)?));
    }
    Ok(Err(Some(serde_json::from_slice(&response.body).map_err(io::Error::other)?)))
}

/// Who finds nobody does not ask again at once.
async fn rest_after<T>(result: &io::Result<T>) {
    if result.is_err() {
        tokio::time::sleep(Duration::from_millis(rand::random_range(10..60))).await;
    }
}

fn conn(carried: Carried, out: Option<mpsc::UnboundedSender<String>>, task: AbortHandle) -> Conn {
    Conn { carried, link: None, at: 0, via: None, out, task }
}
