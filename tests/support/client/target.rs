//! Where a client connects, and by what.

use std::net::SocketAddr;

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

/// Where a client connects.
#[derive(Clone)]
pub enum Target {
    /// To one of these, for each request.
    Servers(Servers),
    /// To this address, always: a shim.
    Address(SocketAddr),
}

impl Target {
    pub(super) fn pick(&self) -> SocketAddr {
        match self {
            Self::Servers(servers) => servers.pick(),
            Self::Address(address) => *address,
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
