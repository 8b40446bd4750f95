//! A response body that is pushed to: the way down of a stream or a feed.
//!
//! hyper pulls it: what gathered since the last pull goes out in one write. What is not pulled
//! stays, up to a bound, at which the session is told that the connection is blocked.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame as BodyFrame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::gateway::candidates::Place;
use crate::gateway::link::{Flow, LinkPort};
use crate::protocol::down::{self, LinkDown, Scope};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::sse;
use crate::session::input::{ConnId, Input};
use crate::telemetry::labels::Carrier;
use crate::telemetry::metrics::Metrics;

use super::feed_cursor::FeedFormat;

/// Bytes that gather before the session stops handing frames out.
const GATHER_BYTES: usize = 16 << 10;
/// Bytes of link frames that wait behind session frames at most: whoever asks for more and does not
/// read is ended with `flood` (PROTOCOL.md M40).
pub(super) const ANSWERS_BYTES_MAX: usize = 64 << 10;
/// How long after a write its filler follows (PROTOCOL.md M27).
const FILLER_AFTER: Duration = Duration::from_millis(30);
/// How long a stream that was told to rotate goes on.
const ROTATE_GRACE: Duration = Duration::from_secs(15);

/// How frames are framed.
pub(super) enum Format {
    /// One a line.
    Lines,
    /// One a `data:`.
    Events,
    /// One a `data:`, with a cursor as its id.
    Feed(FeedFormat),
}

/// The port of a stream or feed.
pub(super) struct StreamPort {
    state: Mutex<State>,
    carrier: Carrier,
    metrics: Arc<Metrics>,
}

struct State {
    format: Format,
    gathered: BytesMut,
    blocked: bool,
    /// Bytes of link frames that came while the session was blocked.
    answers: usize,
    closed: bool,
    waker: Option<Waker>,
}

impl StreamPort {
    pub(super) fn new(format: Format, metrics: Arc<Metrics>) -> Self {
        let carrier = if matches!(format, Format::Lines) { Carrier::Stream } else { Carrier::Sse };
        let (gathered, waker) = (BytesMut::new(), None);
        let state = State { format, gathered, blocked: false, answers: 0, closed: false, waker };
        Self { state: Mutex::new(state), carrier, metrics }
    }
}

impl State {
    fn put(&mut self, frame: &Frame) {
        match &mut self.format {
            Format::Lines => self.gathered.put_slice(&frame.line()),
            Format::Events => sse::put(&mut self.gathered, frame, None),
            Format::Feed(feed) => feed.put(&mut self.gathered, frame),
        }
    }

    /// What has gathered, and whether the session waits for that.
    fn take_gathered(&mut self) -> (Bytes, bool) {
        self.answers = 0;
        (std::mem::take(&mut self.gathered).freeze(), std::mem::take(&mut self.blocked))
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl LinkPort for StreamPort {
    fn carrier(&self) -> Carrier {
        self.carrier
    }

    fn write(&self, frames: &[Frame]) -> Flow {
        let mut state = self.state.lock();
        if state.closed {
            return Flow::Open;
        }
        for frame in frames {
            state.put(frame);
        }
        if state.blocked {
            state.answers += frames.iter().map(Frame::len).sum::<usize>();
        }
        if state.answers > ANSWERS_BYTES_MAX {
            self.metrics.floods.inc();
            let refusal = Refusal::new(ErrorCode::Flood).because("answers are not read");
            state.put(&down::link_error(&refusal, Scope::Link));
            state.closed = true;
        }
        state.wake();
        state.blocked = state.gathered.len() >= GATHER_BYTES;
        if state.blocked { Flow::Blocked } else { Flow::Open }
    }

    fn answer(&self, _frames: Vec<Frame>) {}

    fn close(&self, refusal: Option<&Refusal>, ended: bool) {
        let mut state = self.state.lock();
        if let Some(refusal) = refusal {
            let scope = if ended { Scope::Session } else { Scope::Link };
            state.put(&down::link_error(refusal, scope));
        }
        state.closed = true;
        state.wake();
    }
}

/// The body: ends the connection's part in the session when it is dropped.
pub(super) struct StreamBody {
    port: Arc<StreamPort>,
    place: Place,
    conn: ConnId,
    /// Set where each write is followed by a filler.
    filler: Option<Filler>,
    /// When the stream is told to rotate, then when it ends.
    age: Option<Pin<Box<Sleep>>>,
    rotating: bool,
}

struct Filler {
    due: Option<Pin<Box<Sleep>>>,
}

impl StreamBody {
    pub(super) fn new(
        port: Arc<StreamPort>,
        place: Place,
        conn: ConnId,
        filler: bool,
        age: Duration,
    ) -> Self {
        let filler = filler.then_some(Filler { due: None });
        let age = (!age.is_zero()).then(|| Box::pin(sleep(age)));
        Self { port, place, conn, filler, age, rotating: false }
    }

    fn handle(&self, input: Input) {
        if let Some(driver) = self.place.driver() {
            driver.handle(input);
        }
    }

    /// What has gathered, if anything has.
    fn take(&mut self, context: &Context<'_>) -> Option<Poll<Option<Bytes>>> {
        let mut state = self.port.state.lock();
        if state.gathered.is_empty() {
            if state.closed {
                return Some(Poll::Ready(None));
            }
            state.waker = Some(context.waker().clone());
            return None;
        }
        let (bytes, was_blocked) = state.take_gathered();
        let feeds = matches!(state.format, Format::Feed(_));
        drop(state);
        if was_blocked {
            self.handle(Input::Writable { conn: self.conn });
        }
        if feeds {
            // Nothing comes up a feed: that it is pulled is its sign of life.
            self.handle(Input::Life { conn: self.conn });
        }
        if let Some(filler) = &mut self.filler {
            filler.due = Some(Box::pin(sleep(FILLER_AFTER)));
        }
        Some(Poll::Ready(Some(bytes)))
    }

    fn poll_filler(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let Some(Filler { due: Some(due) }) = &mut self.filler else { return Poll::Pending };
        if due.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.filler = Some(Filler { due: None });
        let mut state = self.port.state.lock();
        state.put(&LinkDown::Filler {}.encode());
        let (bytes, was_blocked) = state.take_gathered();
        drop(state);
        if was_blocked {
            self.handle(Input::Writable { conn: self.conn });
        }
        Poll::Ready(bytes)
    }

    /// Told to rotate at its age, and ended a grace later.
    fn poll_age(&mut self, context: &mut Context<'_>) {
        let Some(age) = &mut self.age else { return };
        if age.as_mut().poll(context).is_pending() {
            return;
        }
        if self.rotating {
            self.age = None;
            self.port.close(None, false);
        } else {
            self.rotating = true;
            age.set(sleep_until(Instant::now() + ROTATE_GRACE));
            let _ = age.as_mut().poll(context);
            let _ = self.port.write(&[LinkDown::Rotate {}.encode()]);
        }
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Self::Error>>> {
        self.poll_age(context);
        if let Some(taken) = self.take(context) {
            return taken.map(|bytes| bytes.map(|bytes| Ok(BodyFrame::data(bytes))));
        }
        self.poll_filler(context).map(|bytes| Some(Ok(BodyFrame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.place.lost(self.conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_asked_for_answers_and_not_read_is_ended_at_a_bound() {
        // spec: M40, B1
        let port = StreamPort::new(Format::Lines, Arc::default());
        let echo = LinkDown::Echo { id: &"x".repeat(64) }.encode();
        for _ in 0..10_000 {
            let _ = port.write(std::slice::from_ref(&echo));
        }
        let state = port.state.lock();
        assert!(state.closed);
        assert_eq!(port.metrics.floods.get(), 1);
        let bound = GATHER_BYTES + ANSWERS_BYTES_MAX + 1024;
        assert!((ANSWERS_BYTES_MAX..bound).contains(&state.gathered.len()));
        assert!(std::str::from_utf8(&state.gathered).unwrap().contains(r#""code":"flood""#));
    }

    #[test]
    fn session_frames_of_any_size_do_not_end_a_stream() {
        let port = StreamPort::new(Format::Lines, Arc::default());
        let large = Frame::new(&vec![b'x'; 200 << 10]);
        assert_eq!(port.write(&[large]), Flow::Blocked);
        assert!(!port.state.lock().closed);
    }
}
