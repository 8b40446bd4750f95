//! Where a client connects, and by what.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::mpsc;

use super::super::server::Servers;

/// What carries the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `GET …/ws`.
    WebSocket,
    /// `POST …/s`.
    Stream,
    /// `POST …/e`.
    Sse,
    /// `POST …/x`.
    Poll,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::WebSocket, Self::Stream, Self::Sse, Self::Poll];
}

/// What a connection does with each frame that comes down.
pub type Takes = Box<dyn Fn(Value) + Send + Sync>;

/// The answer to an exchange; its refusal, or `None` where no answer came.
pub type Answer = Result<Vec<Value>, Option<Value>>;

/// Carries what a client sends and gets where there is no network. What is dropped is cut.
pub trait Wires: Send + Sync {
    /// A WebSocket, until it ends.
    fn websocket(
        &self,
        lines: mpsc::UnboundedReceiver<String>,
        takes: Takes,
    ) -> BoxFuture<'static, ()>;

    /// A stream that begins with this frame, until it ends.
    fn stream(&self, first: Value, takes: Takes) -> BoxFuture<'static, ()>;

    /// An exchange of these frames.
    fn exchange(&self, frames: Vec<Value>) -> BoxFuture<'static, Answer>;
}

/// Where a client connects.
#[derive(Clone)]
pub enum Target {
    /// To one of these, for each request.
    Servers(Servers),
    /// To this address, always: a shim.
    Address(SocketAddr),
    /// To nodes of this process.
    Wires(Arc<dyn Wires>),
}

impl Target {
    pub(super) fn pick(&self) -> SocketAddr {
        match self {
            Self::Servers(servers) => servers.pick(),
            Self::Address(address) => *address,
            Self::Wires(_) => panic!("it has no address"),
        }
    }
}

impl From<&Servers> for Target {
    fn from(servers: &Servers) -> Self {
        Self::Servers(servers.clone())
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}
