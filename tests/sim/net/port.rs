//! A connection as a node sees it: what it writes is on its way down, as far as there is room.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use throughline::gateway::link::{Flow, LinkPort};
use throughline::protocol::down::{Scope, link_error};
use throughline::protocol::error::Refusal;
use throughline::protocol::frame::Frame;
use throughline::telemetry::labels::Carrier;
use tokio::sync::mpsc;

/// Frames on their way before the connection takes no more.
const ROOM: usize = 16;

/// What comes down a connection.
#[derive(Debug)]
pub(super) enum Down {
    Frame(Frame),
    Closed,
}

/// The node's end of it.
#[derive(Debug)]
pub(super) struct Port {
    to: mpsc::UnboundedSender<Down>,
    waiting: AtomicUsize,
    blocked: AtomicBool,
}

impl Port {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Down>) {
        let (to, down) = mpsc::unbounded_channel();
        (Self { to, waiting: AtomicUsize::new(0), blocked: AtomicBool::new(false) }, down)
    }

    /// One frame arrived. True where the node is to be told that there is room again.
    pub(super) fn arrived(&self) -> bool {
        self.waiting.fetch_sub(1, Relaxed) == 1 && self.blocked.swap(false, Relaxed)
    }
}

impl LinkPort for Port {
    fn carrier(&self) -> Carrier {
        Carrier::WebSocket
    }

    fn write(&self, frames: &[Frame]) -> Flow {
        for frame in frames {
            self.waiting.fetch_add(1, Relaxed);
            let _ = self.to.send(Down::Frame(frame.clone()));
        }
        if self.waiting.load(Relaxed) < ROOM {
            return Flow::Open;
        }
        self.blocked.store(true, Relaxed);
        Flow::Blocked
    }

    fn answer(&self, _frames: Vec<Frame>) {}

    fn close(&self, refusal: Option<&Refusal>, ended: bool) {
        if let Some(refusal) = refusal {
            let scope = if ended { Scope::Session } else { Scope::Link };
            self.write(&[link_error(refusal, scope)]);
        }
        let _ = self.to.send(Down::Closed);
    }
}
