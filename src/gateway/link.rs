//! The port that transports plug into: one connection, or one request, of a session.

use crate::protocol::error::Refusal;
use crate::protocol::frame::Frame;
use crate::telemetry::labels::Carrier;

/// Whether a connection takes more now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Open,
    /// It does not; the transport says [`crate::gateway::driver::Driver::writable`] when it does again.
    Blocked,
}

/// One connection or request of a session. Called under the session's lock: must neither block nor call back.
pub trait LinkPort: Send + Sync {
    /// What it is, for the metrics.
    fn carrier(&self) -> Carrier;

    /// Writes frames in order, at once where the connection takes them. What it cannot take it
    /// keeps, and answers [`Flow::Blocked`].
    fn write(&self, frames: &[Frame]) -> Flow;

    /// Completes a request. A connection that is pushed to ignores it.
    fn answer(&self, frames: Vec<Frame>);

    /// Ends the connection, or completes the request with a refusal. `ended`: the session is over too.
    fn close(&self, refusal: Option<&Refusal>, ended: bool);
}
