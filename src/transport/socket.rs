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
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::telemetry::labels::Refused;
use crate::telemetry::metrics::Metrics;

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
    stream: TcpStream,
    counted: Counted,
    limits: Limits,
    in_flight: InFlight,
    phase: Phase,
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
    pub fn new(stream: TcpStream, counted: Counted, limits: Limits, in_flight: InFlight) -> Self {
        Self { stream, counted, limits, in_flight, phase: Phase::Busy, deadline: None }
    }

    /// The connection itself, after an upgrade, and what counts it.
    pub fn into_parts(self) -> (TcpStream, Counted) {
        (self.stream, self.counted)
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase == phase {
            return;
        }
        self.phase = phase;
        let within = match phase {
            Phase::Idle => Some(self.limits.idle),
            Phase::Head => Some(self.limits.head),
            Phase::Busy => None,
        };
        self.deadline = within.map(|within| Box::pin(sleep_until(Instant::now() + within)));
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
        let got = buf.filled().len() > before;
        if self.in_flight.any(context) {
            self.enter(Phase::Busy);
        } else if got || self.phase == Phase::Head {
            self.enter(Phase::Head);
        } else {
            self.enter(Phase::Idle);
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
