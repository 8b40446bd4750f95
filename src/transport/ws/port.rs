//! The port of a WebSocket: written to from wherever input comes, in one system call where nothing
//! is queued; what the socket does not take waits for the connection's task.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::gateway::link::{Flow, LinkPort};
use crate::protocol::down::{self, Scope};
use crate::protocol::error::Refusal;
use crate::protocol::frame::Frame;
use crate::telemetry::labels::Carrier;

use super::codec::{Failure, close_frame};

/// Buffers written in one system call at most.
const SLICES: usize = 64;

/// A connection that is written to.
pub(super) struct WsPort {
    pub(super) stream: TcpStream,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the socket did not take.
    queue: VecDeque<Bytes>,
    /// A writer was told to wait until the queue is empty, whoever empties it.
    blocked: bool,
    /// Nothing is written after what is queued.
    closing: bool,
    failed: bool,
    waker: Option<Waker>,
}

/// What the connection's task finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nobody waits.
    Idle,
    /// What was queued has been written, and a writer waits to be told.
    Done,
    /// The connection is to be ended: everything has been written.
    Closing,
}

impl WsPort {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, state: Mutex::default() }
    }

    /// Writes bytes that are no session's: a pong, a close.
    pub(super) fn control(&self, frame: Vec<u8>) {
        let mut state = self.state.lock();
        if !state.closing {
            state.queue.push_back(frame.into());
            self.flush(&mut state);
        }
    }

    /// Fails the connection: a close frame, and nothing after.
    pub(super) fn fail(&self, failure: Failure) {
        self.control(close_frame(failure.close_code(), &failure.to_string()));
        self.finish();
    }

    /// Nothing more is written.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        wake(&mut state);
    }

    /// Writes what is queued as the socket takes it.
    pub(super) fn poll_drain(&self, context: &mut Context<'_>) -> Poll<io::Result<Drained>> {
        let mut state = self.state.lock();
        if state.failed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while !state.queue.is_empty() {
            if self.stream.poll_write_ready(context)?.is_pending() {
                state.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            self.flush(&mut state);
            if state.failed {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
        state.queue = VecDeque::new();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        let blocked = std::mem::take(&mut state.blocked);
        Poll::Ready(Ok(match (state.closing, blocked) {
            (true, _) => Drained::Closing,
            (false, true) => Drained::Done,
            (false, false) => Drained::Idle,
        }))
    }

    /// Writes as much as the socket takes now; what is left waits for the task.
    fn flush(&self, state: &mut State) {
        while !state.queue.is_empty() && !state.failed {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let many = state.queue.len().min(SLICES);
            for (slice, bytes) in slices.iter_mut().zip(&state.queue) {
                *slice = IoSlice::new(bytes);
            }
            match self.stream.try_write_vectored(slices.get(..many).unwrap_or_default()) {
                Ok(written) => advance(&mut state.queue, written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => state.failed = true,
            }
        }
        if state.failed || !state.queue.is_empty() {
            wake(state);
        }
    }

    /// Writes frames past an empty queue. Returns whether everything was written.
    fn write_through(&self, state: &mut State, frames: &[Frame]) -> bool {
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, frame) in slices.iter_mut().zip(frames) {
            *slice = IoSlice::new(frame.websocket_bytes());
        }
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let many = frames.len().min(SLICES);
        let mut written =
            match self.stream.try_write_vectored(slices.get(..many).unwrap_or_default()) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => {
                    state.failed = true;
                    0
                }
            };
        if written == total && many == frames.len() {
            return true;
        }
        for frame in frames {
            let mut bytes = frame.websocket();
            let skipped = written.min(bytes.len());
            written -= skipped;
            bytes.advance(skipped);
            if !bytes.is_empty() {
                state.queue.push_back(bytes);
            }
        }
        wake(state);
        false
    }
}

fn wake(state: &mut State) {
    if let Some(waker) = state.waker.take() {
        waker.wake();
    }
}

fn advance(queue: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(front) = queue.front_mut() {
        if written < front.len() {
            front.advance(written);
            return;
        }
        written -= front.len();
        queue.pop_front();
    }
}

impl LinkPort for WsPort {
    fn carrier(&self) -> Carrier {
        Carrier::WebSocket
    }

    fn write(&self, frames: &[Frame]) -> Flow {
        let mut state = self.state.lock();
        if state.closing {
            return Flow::Open;
        }
        if !state.queue.is_empty() {
            state.queue.extend(frames.iter().map(Frame::websocket));
        } else if self.write_through(&mut state, frames) {
            return Flow::Open;
        }
        state.blocked = true;
        Flow::Blocked
    }

    fn answer(&self, _frames: Vec<Frame>) {}

    fn close(&self, refusal: Option<&Refusal>, ended: bool) {
        if let Some(refusal) = refusal {
            let scope = if ended { Scope::Session } else { Scope::Link };
            let _ = self.write(&[down::link_error(refusal, scope)]);
            self.control(close_frame(refusal.code.row().close, refusal.code.as_str()));
        }
        self.finish();
    }
}
