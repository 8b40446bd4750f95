//! The time in which a client of HTTP/2 takes an answer: a window that it keeps closed has no limit of
//! its own, where TCP gives up what stays unacknowledged.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::listener::Tracked;

/// Bytes of an answer that are handed over at once.
const PIECE: usize = 16 << 10;

tokio::task_local! {
    /// Of the stream that a task serves.
    static DUE: Due;
}

/// When the piece that was handed over last must have been taken, if one was.
#[derive(Debug, Clone, Default)]
struct Due(Arc<Mutex<Option<Instant>>>);

/// Serves each stream in a task of its own, which ends where an answer is not taken in time: that
/// resets the stream.
#[derive(Debug, Clone)]
pub(super) struct Patient;

impl<F> Executor<F> for Patient
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let due = Due::default();
        tokio::spawn(DUE.scope(due.clone(), in_time(stream, due)));
    }
}

async fn in_time(stream: impl Future<Output = ()>, due: Due) {
    let mut stream = pin!(stream);
    let mut sleep = None;
    poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Some(at) = *due.0.lock() else { return Poll::Pending };
        let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        ready!(sleep.as_mut().poll(context));
        tracing::debug!("an answer was not taken in time");
        Poll::Ready(())
    })
    .await;
}

/// An answer's body: a complete one goes in pieces, each of which must be taken in time. A stream is
/// its session's concern.
pub(super) struct Paced {
    body: Tracked,
    /// Set where the body is complete.
    pace: Option<Pace>,
}

struct Pace {
    due: Due,
    within: Duration,
    /// What of a chunk was not handed over.
    rest: Bytes,
}

impl Paced {
    /// The body of the stream that this task serves.
    pub(super) fn new(body: Tracked, within: Duration) -> Self {
        let is_complete = body.size_hint().exact().is_some();
        let due = DUE.try_with(Due::clone).ok().filter(|_| is_complete);
        let pace = due.map(|due| Pace { due, within, rest: Bytes::new() });
        Self { body, pace }
    }
}

impl Pace {
    /// A copy: a piece that waits does not hold the whole.
    fn next(&mut self) -> Frame<Bytes> {
        *self.due.0.lock() = Some(Instant::now() + self.within);
        let piece = self.rest.split_to(PIECE.min(self.rest.len()));
        Frame::data(Bytes::copy_from_slice(&piece))
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, pace } = self.get_mut();
        let Some(pace) = pace else { return Pin::new(body).poll_frame(context) };
        if !pace.rest.is_empty() {
            return Poll::Ready(Some(Ok(pace.next())));
        }
        *pace.due.0.lock() = None;
        let frame = match ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end),
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                pace.rest = data;
                pace.next()
            }
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.pace.as_ref().is_none_or(|pace| pace.rest.is_empty()) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let Some(pace) = &self.pace else { return self.body.size_hint() };
        let left = self.body.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(left + pace.rest.len() as u64)
    }
}
