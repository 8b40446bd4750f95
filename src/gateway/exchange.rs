//! An exchange: frames up in one body, frames down in one complete answer.
//!
//! The request and its answer are plain values, so that another node can be asked to perform it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::protocol::body;
use crate::protocol::down::LinkDown;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::up::{Attach, LinkUp, Numbered, Open, Up};
use crate::session::Session;
use crate::session::input::{AttachInput, ConnId, ConnKind, Input, Target};
use crate::telemetry::labels::Carrier;

use super::driver::Driver;
use super::link::{Flow, LinkPort};
use super::open::Opener;
use super::{Gateway, open, resume};

/// How long an exchange that sends too fast is held back; beyond it, it is refused.
const PACE_MAX: Duration = Duration::from_secs(2);

/// An exchange as it came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExchangeRequest {
    /// The nonce in its path.
    pub nonce: String,
    /// The body.
    pub body: Vec<u8>,
    /// A token that came with the request itself.
    pub bearer: Option<String>,
}

/// What completes an exchange.
#[derive(Debug)]
pub enum ExchangeAnswer {
    /// Frames, in order.
    Frames(Vec<Frame>),
    /// A refusal, and whether the session is over.
    Refused(Refusal, bool),
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Waiting {
    answer: Mutex<Option<oneshot::Sender<ExchangeAnswer>>>,
}

impl Waiting {
    fn complete(&self, answer: ExchangeAnswer) {
        if let Some(to) = self.answer.lock().take() {
            // A client that is gone comes back with another request.
            let _ = to.send(answer);
        }
    }
}

impl LinkPort for Waiting {
    fn carrier(&self) -> Carrier {
        Carrier::Poll
    }

    fn write(&self, _frames: &[Frame]) -> Flow {
        Flow::Blocked
    }

    fn answer(&self, frames: Vec<Frame>) {
        self.complete(ExchangeAnswer::Frames(frames));
    }

    fn close(&self, refusal: Option<&Refusal>, ended: bool) {
        let refusal = refusal.cloned().unwrap_or_else(|| ErrorCode::SessionGone.into());
        self.complete(ExchangeAnswer::Refused(refusal, ended));
    }
}

/// Tells the session when the request is gone before its answer.
struct Gone {
    driver: Arc<Driver>,
    conn: ConnId,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.driver.lost(self.conn);
    }
}

/// Performs an exchange: waits for its answer.
/// # Errors
/// With a code for a body that cannot be read, and for what opening or resuming refuses.
pub async fn exchange(
    gateway: &Arc<Gateway>,
    mut request: ExchangeRequest,
) -> Result<ExchangeAnswer, Refusal> {
    let limits = &gateway.config.limits;
    let body = std::mem::take(&mut request.body);
    let mut frames = body::parse(&body, limits.frames, limits.frame_bytes)?.into_iter();
    // A poll may wait long.
    drop(body);
    match frames.next() {
        Some(Up::Link(LinkUp::Open(head))) => opens(gateway, &request, *head, frames).await,
        Some(Up::Link(LinkUp::Attach(head))) => attaches(gateway, &request, *head, frames).await,
        _ => {
            Err(Refusal::new(ErrorCode::BadFrame).because("an exchange begins with open or attach"))
        }
    }
}

async fn opens(
    gateway: &Arc<Gateway>,
    request: &ExchangeRequest,
    head: Open,
    mut rest: impl Iterator<Item = Up>,
) -> Result<ExchangeAnswer, Refusal> {
    if rest.next().is_some() {
        return Err(Refusal::new(ErrorCode::BadFrame).because("nothing may follow an open"));
    }
    let (conn, port, answer) = waiting(gateway);
    let bearer = request.bearer.as_deref();
    let opener = Opener { conn, nonce: &request.nonce, kind: ConnKind::Poll, bearer, port };
    let (driver, hello) = open::open(gateway, opener, head)?;
    let answer = answered(driver, conn, answer).await;
    Ok(match answer {
        ExchangeAnswer::Frames(mut frames) => {
            frames.insert(0, hello);
            ExchangeAnswer::Frames(frames)
        }
        refused @ ExchangeAnswer::Refused(..) => refused,
    })
}

async fn attaches(
    gateway: &Arc<Gateway>,
    request: &ExchangeRequest,
    head: Attach,
    rest: impl Iterator<Item = Up>,
) -> Result<ExchangeAnswer, Refusal> {
    let no_ticket = || Refusal::new(ErrorCode::BadFrame).because("ticket is missing");
    let ticket = head.ticket.as_deref().ok_or_else(no_ticket)?;
    let sorted = Sorted::of(gateway, rest)?;
    let driver = resume::find(gateway, ticket, head.token.as_deref())?;
    let late = driver.pace(sorted.numbered.len() + sorted.echoes.len());
    if late > PACE_MAX {
        return Err(rate_limited(late));
    }
    if !late.is_zero() {
        sleep(late).await;
    }
    let via = head.via.as_deref().map(|via| nonce_of(gateway, via)).transpose()?;
    let (conn, port, answer) = waiting(gateway);
    driver.connect(conn, &request.nonce, port);
    let attach = AttachInput {
        link: head.link,
        count: head.count,
        target: Target::Own,
        visible: head.visible,
        wait: head.wait,
    };
    driver.exchange(conn, attach, via, sorted.numbered);
    for (id, nonce) in &sorted.echoes {
        driver.echo(None, nonce.as_deref(), &LinkDown::Echo { id }.encode());
    }
    if !sorted.echoes.is_empty() {
        driver.with(Session::stays);
    }
    // What a page says at its end may come after it has come back.
    let current = driver.with(|session| session.link_number()) <= head.link;
    if sorted.leaving && current {
        driver.handle(Input::Leaving);
    }
    if sorted.closes && current {
        driver.end(ErrorCode::Closed);
    }
    Ok(answered(driver, conn, answer).await)
}

fn rate_limited(late: Duration) -> Refusal {
    let ms = u32::try_from(late.as_millis()).unwrap_or(u32::MAX);
    Refusal::new(ErrorCode::RateLimited).retry_in(ms)
}

/// What follows an `attach`.
#[derive(Default)]
struct Sorted {
    numbered: Vec<Numbered>,
    /// Ids, each with the nonce of the connection that answers.
    echoes: Vec<(String, Option<String>)>,
    leaving: bool,
    closes: bool,
}

impl Sorted {
    fn of(gateway: &Gateway, rest: impl Iterator<Item = Up>) -> Result<Self, Refusal> {
        let mut sorted = Self::default();
        for frame in rest {
            match frame {
                Up::Session(numbered) => sorted.numbered.push(numbered),
                Up::Link(LinkUp::Echo { id, via }) => {
                    let nonce = via.as_deref().map(|via| nonce_of(gateway, via)).transpose()?;
                    sorted.echoes.push((id, nonce.map(str::to_owned)));
                }
                Up::Link(LinkUp::Leaving) => sorted.leaving = true,
                Up::Link(LinkUp::Close) => sorted.closes = true,
                // The attach itself has counted.
                Up::Link(LinkUp::Pong { .. }) => {}
                Up::Link(LinkUp::Open(_) | LinkUp::Candidate { .. } | LinkUp::Attach(_)) => {
                    let why = "only the first frame opens or attaches";
                    return Err(Refusal::new(ErrorCode::BadFrame).because(why));
                }
            }
        }
        Ok(sorted)
    }
}

/// The nonce that a `via` of this incarnation names.
fn nonce_of<'a>(gateway: &Gateway, via: &'a str) -> Result<&'a str, Refusal> {
    match via.split_once('.') {
        Some((incarnation, nonce)) if incarnation == &*gateway.incarnation.0 => Ok(nonce),
        _ => Err(Refusal::new(ErrorCode::BadRequest).because("via is not of this node")),
    }
}

type Answered = oneshot::Receiver<ExchangeAnswer>;

fn waiting(gateway: &Gateway) -> (ConnId, Arc<dyn LinkPort>, Answered) {
    let (to, answer) = oneshot::channel();
    (gateway.next_conn(), Arc::new(Waiting { answer: Mutex::new(Some(to)) }), answer)
}

async fn answered(driver: Arc<Driver>, conn: ConnId, answer: Answered) -> ExchangeAnswer {
    let gone = Gone { driver, conn };
    let answer = answer.await;
    drop(gone);
    answer.unwrap_or_else(|_| ExchangeAnswer::Refused(ErrorCode::SessionGone.into(), true))
}
