//! The port of a WebSocket: written to from wherever input comes, in one system call where nothing
//! is queued; what the socket does not take waits for the connection's task.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;

use crate::gateway::link::{Flow, LinkPort};
use crate::protocol::down::{self, Scope};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::telemetry::labels::Carrier;
use crate::telemetry::metrics::Metrics;
use crate::transport::port::ANSWERS_BYTES_MAX;

use super::codec::{Failure, close_frame};
use super::direct::Direct;

/// Buffers written in one system call at most.
const SLICES: usize = 64;

/// Bytes of answers that wait before the connection is left unread (PROTOCOL.md M40). What asks for
/// them may come another way too: at [`ANSWERS_BYTES_MAX`] the connection is ended.
const ANSWERS_BYTES: usize = 16 << 10;

/// A connection that is written to.
pub(super) struct WsPort {
    pub(super) stream: Direct,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the socket did not take.
    queue: VecDeque<Bytes>,
    /// Bytes of link and control frames that wait behind what the socket did not take. Session frames
    /// are not among them: the session stops where it is blocked.
    answers: usize,
    /// Nothing is written after what is queued.
    closing: bool,
    failed: bool,
    /// The session was told that this takes no more, and not yet that it does again.
    blocked: bool,
    waker: Option<Waker>,
}

impl State {
    fn push_answer(&mut self, bytes: Bytes) {
        if !self.queue.is_empty() {
            self.answers += bytes.len();
        }
        self.queue.push_back(bytes);
    }

    /// Ends a connection whose peer asks and does not read.
    fn end_flood(&mut self) {
        let refusal = Refusal::new(ErrorCode::Flood).because("answers are not read");
        self.queue.push_back(down::link_error(&refusal, Scope::Link).websocket());
        let (code, reason) = (refusal.code.row().close, refusal.code.as_str());
        self.queue.push_back(close_frame(code, reason).into());
        self.closing = true;
        wake(self);
    }
}

/// What the connection's task finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// There is nothing to write.
    Idle,
    /// The session was blocked, and everything has been written.
    Done,
    /// The connection is to be ended: everything has been written.
    Closing,
}

impl WsPort {
    pub(super) fn new(stream: Direct, metrics: Arc<Metrics>) -> Self {
        Self { stream, metrics, state: Mutex::default() }
    }

    /// Writes bytes that are no session's: a pong, a close.
    pub(super) fn control(&self, frame: Vec<u8>) {
        let mut state = self.state.lock();
        if !state.closing {
            state.push_answer(frame.into());
            self.flush(&mut state);
        }
    }

    /// Whether so many answers wait that no more should be asked for.
    pub(super) fn is_full(&self) -> bool {
        self.state.lock().answers >= ANSWERS_BYTES
    }

    /// Fails the connection: a close frame, and nothing after.
    pub(super) fn fail(&self, failure: Failure) {
        if failure == Failure::Flood {
            self.metrics.floods.inc();
        }
        self.control(close_frame(failure.close_code(), &failure.to_string()));
        self.finish();
    }

    /// Nothing more is written.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        wake(&mut state);
    }

    /// Whether nothing is to be written after what is queued.
    pub(super) fn is_closing(&self) -> bool {
        self.state.lock().closing
    }

    /// Writes what is queued as the socket takes it.
    pub(super) fn poll_drain(&self, context: &mut Context<'_>) -> Poll<io::Result<Drained>> {
        let mut state = self.state.lock();
        if state.failed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while !state.queue.is_empty() || self.stream.holds() {
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
        // Whoever wrote the last of it: a pong may have taken the session's frames with it.
        let unblocked = std::mem::take(&mut state.blocked);
        Poll::Ready(Ok(match (state.closing, unblocked) {
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
        if state.queue.is_empty() {
            state.answers = 0;
        }
        if !state.failed && self.stream.try_flush().is_err() {
            state.failed = true;
        }
        if state.failed || !state.queue.is_empty() || self.stream.holds() {
            wake(state);
        }
    }

    /// Writes frames past an empty queue. Returns whether everything was written.
    fn write_through(&self, state: &mut State, frames: &[Frame]) -> bool {
        let result = match frames {
            // The common one: writev(2) would copy its list in and out for nothing.
            [frame] => self.stream.try_write(frame.websocket_bytes()),
            _ => self.write_vectored(frames),
        };
        let mut written = match result {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                state.failed = true;
                0
            }
        };
        let total: usize = frames.iter().map(|frame| frame.websocket_bytes().len()).sum();
        if written == total && !self.stream.holds() {
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

    fn write_vectored(&self, frames: &[Frame]) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, frame) in slices.iter_mut().zip(frames) {
            *slice = IoSlice::new(frame.websocket_bytes());
        }
        let many = frames.len().min(SLICES);
        self.stream.try_write_vectored(slices.get(..many).unwrap_or_default())
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
        if state.queue.is_empty() {
            state.blocked = !self.write_through(&mut state, frames);
            return if state.blocked { Flow::Blocked } else { Flow::Open };
        }
        if std::mem::replace(&mut state.blocked, true) {
            for frame in frames {
                state.push_answer(frame.websocket());
            }
        } else {
            // The session's own, which it did not know to be blocked.
            state.queue.extend(frames.iter().map(Frame::websocket));
        }
        if state.answers > ANSWERS_BYTES_MAX {
            self.metrics.floods.inc();
            state.end_flood();
        }
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
