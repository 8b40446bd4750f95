//! One WebSocket after its handshake: a small task that reads, and writes what could not be written
//! at once.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::{Sleep, sleep, timeout};

use crate::gateway::Gateway;
use crate::gateway::candidates::{Place, Waiting};
use crate::gateway::driver::Driver;
use crate::gateway::link::LinkPort;
use crate::gateway::rate::Meter;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::up::{self, LinkUp, Up};
use crate::session::input::{ConnId, Input};
use crate::telemetry::clock::now_ms;
use crate::transport::socket::Counted;

use super::codec::{Decoder, Failure, Message, Next, ping_frame, pong_frame};
use super::direct::Direct;
use super::frames;
use super::opening::{Coming, Opening};
use super::port::{Drained, WsPort};

/// Bytes read at once at most, into a buffer that all connections of a thread share.
const READ_BYTES: usize = 64 << 10;
/// How long a connection that takes no more frames up is left unread.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the last frames and the peer's close may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Serves a connection in a new task, so that nothing of the handshake's stays allocated.
pub(super) fn serve(
    gateway: Arc<Gateway>,
    (stream, counted): (Direct, Counted),
    read: &[u8],
    nonce: String,
    bearer: Option<String>,
) {
    let port = Arc::new(WsPort::new(stream, Arc::clone(&gateway.metrics)));
    let conn = gateway.next_conn();
    let timer = Some(Box::pin(sleep(gateway.config.session.open_timeout)));
    let opening = Box::new(Opening { nonce, bearer });
    let decoder = Decoder::new(gateway.config.limits.frame_bytes);
    let (stage, waiting) = (Stage::Opening(opening), None);
    let (controls, pings) = (Meter::default(), None);
    let kept = false;
    let mut served =
        Connection { gateway, port, conn, stage, waiting, decoder, timer, pings, kept, controls };
    let mut first = read.to_vec();
    let going = served.decode(&mut first);
    let gateway = Arc::clone(&served.gateway);
    gateway.spawn(async move {
        if going {
            let steps = async { while poll_fn(|context| served.poll(context)).await {} };
            // Unwind safe: nothing is done after it but to end the connection.
            if AssertUnwindSafe(steps).catch_unwind().await.is_err() {
                served.gateway.metrics.panics.inc();
                tracing::error!("a panic ended a connection");
                served.port.close(Some(&ErrorCode::Internal.into()), false);
            }
        }
        served.lost();
        close(served.port).await;
        drop(counted);
    });
}

struct Connection {
    gateway: Arc<Gateway>,
    port: Arc<WsPort>,
    conn: ConnId,
    stage: Stage,
    /// Where it began to wait for its session.
    waiting: Option<Arc<Waiting>>,
    decoder: Decoder,
    /// While opening, its end; later the end of a pause in reading.
    timer: Option<Pin<Box<Sleep>>>,
    /// Where the client does not acknowledge, when the next control ping is due (M16).
    pings: Option<Pin<Box<Sleep>>>,
    /// Whether the decoder holds whole frames that the session did not take yet.
    kept: bool,
    controls: Meter,
}

enum Stage {
    Opening(Box<Opening>),
    /// It is being opened, or its session comes here for it; until then nothing is read.
    Coming(Coming),
    /// Its session is at another node.
    Waiting(Arc<Waiting>),
    Open(Arc<Driver>),
}

impl Connection {
    /// One step. Ready with whether the connection goes on.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        self.poll_pings(context);
        if let Stage::Coming(session) = &mut self.stage
            && let Poll::Ready(came) = session.as_mut().poll(context)
        {
            self.came(came);
            return Poll::Ready(true);
        }
        if self.port.is_closing() {
            // Nothing more is read; what is queued has a time of its own.
            return Poll::Ready(false);
        }
        match self.port.poll_drain(context) {
            Poll::Ready(Ok(Drained::Closing) | Err(_)) => return Poll::Ready(false),
            Poll::Ready(Ok(Drained::Done)) => {
                if let Stage::Open(driver) = &self.stage {
                    driver.writable(self.conn);
                }
                return Poll::Ready(true);
            }
            Poll::Ready(Ok(Drained::Idle)) | Poll::Pending => {}
        }
        if let Some(timer) = &mut self.timer {
            let due = timer.as_mut().poll(context).is_ready();
            match &self.stage {
                Stage::Opening(_) | Stage::Coming(_) if due => {
                    self.port.close(Some(&ErrorCode::OpenTimeout.into()), false);
                    return Poll::Ready(true);
                }
                Stage::Open(_) | Stage::Waiting(_) if due => {
                    self.timer = None;
                    self.pause();
                    if self.timer.is_none() {
                        // What was read before the pause.
                        self.decode(&mut []);
                    }
                    return Poll::Ready(true);
                }
                // Paused: the peer's window fills.
                Stage::Open(_) | Stage::Waiting(_) | Stage::Coming(_) => return Poll::Pending,
                Stage::Opening(_) => {}
            }
        }
        if self.port.is_full() {
            // Until its answers are read, no more are asked for.
            return Poll::Pending;
        }
        if self.kept && self.timer.is_none() {
            self.decode(&mut []);
            return Poll::Ready(true);
        }
        let read = ready!(self.poll_read(context));
        Poll::Ready(read.unwrap_or(false))
    }

    fn poll_pings(&mut self, context: &mut Context<'_>) {
        let Some(pings) = &mut self.pings else { return };
        while pings.as_mut().poll(context).is_ready() {
            self.port.control(ping_frame());
            pings.set(sleep(self.gateway.config.session.ping_visible));
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let ready = self.port.stream.poll_read_ready(context)?;
            if ready.is_pending() && !self.port.stream.has_read() {
                return Poll::Pending;
            }
            let result = BUFFER.with_borrow_mut(|buffer| match self.port.stream.try_read(buffer) {
                Ok(0) => Some(Ok(false)),
                Ok(n) => Some(Ok(self.decode(buffer.get_mut(..n).unwrap_or_default()))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(error) => Some(Err(error)),
            });
            if let Some(result) = result {
                return Poll::Ready(result);
            }
        }
    }

    /// Takes what was read. Returns whether the connection goes on: what it ends with is queued.
    fn decode(&mut self, bytes: &mut [u8]) -> bool {
        self.feed(bytes);
        // The session may take frames again by the time that reading would be paused: then nothing
        // else would come back for what was kept.
        while self.kept && self.timer.is_none() && !self.port.is_full() && !self.is_coming() {
            self.feed(&mut []);
        }
        true
    }

    fn feed(&mut self, bytes: &mut [u8]) {
        self.kept = false;
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(0));
        let result = decoder.feed(bytes, &mut |message| self.message(message));
        self.decoder = decoder;
        if let Err(failure) = result {
            self.port.fail(failure);
        }
        self.pause();
    }

    /// Leaves the socket unread while the session takes no more frames up.
    fn pause(&mut self) {
        if let Stage::Open(driver) = &self.stage
            && self.timer.is_none()
            && !driver.takes_up()
        {
            self.timer = Some(Box::pin(sleep(PAUSE)));
        }
    }

    fn message(&mut self, message: Message<'_>) -> Next {
        let goes_on = match message {
            Message::Text(text) => self.text(text),
            Message::Ping(payload) => {
                self.port.control(pong_frame(payload));
                self.control()
            }
            Message::Pong => self.control(),
            Message::Close => {
                self.port.control(super::codec::close_frame(1000, ""));
                self.port.finish();
                false
            }
        };
        match &self.stage {
            _ if !goes_on => Next::Drop,
            Stage::Open(driver)
                if self.timer.is_some() || self.port.is_full() || !driver.takes_up() =>
            {
                self.kept = true;
                Next::Keep
            }
            Stage::Waiting(_) if self.timer.is_some() || self.port.is_full() => {
                self.kept = true;
                Next::Keep
            }
            Stage::Coming(_) => {
                self.kept = true;
                Next::Keep
            }
            Stage::Opening(_) | Stage::Waiting(_) | Stage::Open(_) => Next::Decode,
        }
    }

    /// A control frame proves life, never receipt; a flood of them ends the connection.
    fn control(&mut self) -> bool {
        if let Stage::Open(driver) = &self.stage {
            driver.handle(Input::Life { conn: self.conn });
        }
        let late = self.controls.count(self.gateway.config.limits.control_rate, now_ms());
        if late > 0 {
            self.port.fail(Failure::Flood);
        }
        late == 0
    }

    fn text(&mut self, text: &str) -> bool {
        let late = match &self.stage {
            Stage::Open(driver) => driver.pace(1),
            Stage::Waiting(waiting) => waiting.pace(),
            Stage::Opening(_) | Stage::Coming(_) => Duration::ZERO,
        };
        if !late.is_zero() {
            self.timer = Some(Box::pin(sleep(late)));
        }
        let result = up::parse(text).and_then(|frame| match &self.stage {
            Stage::Opening(_) => self.open(frame),
            // Nothing is decoded before it is there.
            Stage::Coming(_) => Ok(()),
            Stage::Waiting(waiting) => self.wait(Arc::clone(waiting), frame),
            Stage::Open(driver) => frames::up(driver, self.conn, frame),
        });
        if let Err(refusal) = &result {
            self.port.close(Some(refusal), false);
        }
        result.is_ok()
    }

    /// The first frame brings a session: at once, or in its time where other nodes are asked.
    fn open(&mut self, frame: Up) -> Result<(), Refusal> {
        let Stage::Opening(opening) = &mut self.stage else { return Ok(()) };
        if matches!(&frame, Up::Link(LinkUp::Open(head)) if !head.ack) {
            let first = sleep(self.gateway.config.session.ping_visible);
            self.pings = Some(Box::pin(first));
        }
        let port = Arc::clone(&self.port) as Arc<dyn LinkPort>;
        let opening = std::mem::take(&mut **opening);
        let mut place = opening.begin(Arc::clone(&self.gateway), (self.conn, port), frame)?;
        // Mostly nobody else is asked.
        match place.as_mut().now_or_never() {
            Some(came) => self.belong(came?),
            None => self.stage = Stage::Coming(place),
        }
        Ok(())
    }

    fn belong(&mut self, place: Place) {
        self.timer = None;
        self.stage = match place {
            Place::Here(driver) => Stage::Open(driver),
            Place::Waits(waiting) => {
                self.waiting = Some(Arc::clone(&waiting));
                Stage::Waiting(waiting)
            }
        };
    }

    /// A frame of a candidate whose session is at another node.
    fn wait(&mut self, waiting: Arc<Waiting>, frame: Up) -> Result<(), Refusal> {
        if let Some(coming) = frames::waits(waiting, frame)? {
            self.timer = Some(Box::pin(sleep(self.gateway.config.session.open_timeout)));
            self.stage = Stage::Coming(coming);
        }
        Ok(())
    }

    fn is_coming(&self) -> bool {
        matches!(self.stage, Stage::Coming(_))
    }

    /// The session has come, or is refused; then what was read meanwhile is taken.
    fn came(&mut self, came: Result<Place, Refusal>) {
        match came {
            Ok(place) => {
                self.belong(place);
                if self.kept {
                    self.decode(&mut []);
                }
            }
            Err(refusal) => {
                self.timer = None;
                self.stage = Stage::Opening(Box::default());
                self.port.close(Some(&refusal), false);
            }
        }
    }

    fn lost(&self) {
        match (&self.waiting, &self.stage) {
            (Some(waiting), _) => waiting.lost(),
            (None, Stage::Open(driver)) => driver.lost(self.conn),
            (None, _) => {}
        }
    }
}

/// Writes what is left, then waits for the peer to close, so that it sees why (section 7.1.1).
async fn close(port: Arc<WsPort>) {
    port.finish();
    let last = async {
        while let Ok(Drained::Done | Drained::Idle) =
            poll_fn(|context| port.poll_drain(context)).await
        {}
        let Some(mut port) = Arc::into_inner(port) else { return };
        let _ = port.stream.shutdown().await;
        loop {
            let readable = port.stream.readable().await;
            let ended = BUFFER.with_borrow_mut(|buffer| match port.stream.try_read(buffer) {
                Ok(n) => n == 0,
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            });
            if ended || readable.is_err() {
                return;
            }
        }
    };
    let _ = timeout(CLOSE_WITHIN, last).await;
}
