//! The socket of a connection, with the time limits that hyper's one timer cannot tell apart: 75 s
//! between requests, 10 s from a head's first byte (SECURITY: never a 408, browsers repeat such
//! POSTs; the connection is closed). The time of a body is its reader's.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::telemetry::clock::now_ms;
use crate::telemetry::labels::Refused;
use crate::telemetry::metrics::Metrics;

use super::frames::Frames;
use super::wire::Wire;

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Between requests.
    pub idle: Duration,
    /// From the first byte of a head to its end.
    pub head: Duration,
}

/// Requests of a connection that are not answered whole.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Requests>);

#[derive(Debug, Default)]
struct Requests {
    many: AtomicUsize,
    /// The task of the connection: it reads on once the last answer is whole.
    reader: AtomicWaker,
}

impl InFlight {
    /// One more, until the guard is dropped.
    pub fn begin(&self) -> InFlightGuard {
        self.0.many.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(self.clone())
    }

    /// Whether there are any; if so the task is woken when there are none.
    fn any(&self, context: &Context<'_>) -> bool {
        self.0.reader.register(context.waker());
        self.0.many.load(Ordering::Acquire) > 0
    }
}

/// A request that is not answered whole.
#[derive(Debug)]
pub struct InFlightGuard(InFlight);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.0.0.many.fetch_sub(1, Ordering::Release) == 1 {
            self.0.0.reader.wake();
        }
    }
}

/// Counts a connection while it lives, whatever it becomes.
#[derive(Debug)]
pub struct Counted(Arc<Metrics>);

impl Counted {
    /// One more.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connections.inc();
        Self(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

/// A socket with its time limits.
#[derive(Debug)]
pub struct Socket {
    stream: Wire,
    counted: Counted,
    limits: Limits,
    in_flight: InFlight,
    /// Of HTTP/2: there requests are in flight while others, and frames of none, come.
    frames: Option<Box<Frames>>,
    phase: Phase,
    /// When the last answer was whole: what comes and is no request does not count.
    idle_from: Instant,
    deadline: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Busy,
}

impl Socket {
    /// Wraps an accepted connection.
    pub fn new(stream: Wire, counted: Counted, limits: Limits, in_flight: InFlight) -> Self {
        let (phase, idle_from) = (Phase::Busy, Instant::now());
        let (frames, deadline) = (None, None);
        Self { stream, counted, limits, in_flight, frames, phase, idle_from, deadline }
    }

    /// The same for a connection that speaks HTTP/2.
    #[must_use]
    pub fn with_frames(self) -> Self {
        Self { frames: Some(Box::default()), ..self }
    }

    /// The connection itself, after an upgrade, and what counts it.
    pub fn into_parts(self) -> (Wire, Counted) {
        (self.stream, self.counted)
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase == phase {
            return;
        }
        if self.phase == Phase::Busy {
            self.idle_from = Instant::now();
        }
        self.phase = phase;
        let until = match phase {
            Phase::Idle => Some(self.idle_from + self.limits.idle),
            Phase::Head => Some(Instant::now() + self.limits.head),
            Phase::Busy => None,
        };
        self.deadline = until.map(|until| Box::pin(sleep_until(until)));
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        ready!(deadline.as_mut().poll(context));
        if self.phase == Phase::Head {
            self.counted.0.connection_refused(Refused::HeadTimeout);
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buf);
        let got = buf.filled().get(before..).unwrap_or_default();
        let begun = match &mut self.frames {
            None => !got.is_empty() || self.phase == Phase::Head,
            Some(frames) => {
                if let Err(flood) = frames.read(got, now_ms()) {
                    self.counted.0.connection_refused(Refused::HttpFlood);
                    return Poll::Ready(Err(io::Error::other(flood)));
                }
                frames.is_partial()
            }
        };
        let busy = self.in_flight.any(context);
        match (begun, busy) {
            // Of HTTP/2 a head that does not end holds up all requests.
            (true, true) if self.frames.is_some() => self.enter(Phase::Head),
            (_, true) => self.enter(Phase::Busy),
            (true, false) => self.enter(Phase::Head),
            (false, false) => self.enter(Phase::Idle),
        }
        if read.is_pending() { self.poll_deadline(context) } else { read }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
