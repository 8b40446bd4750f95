//! An exchange: frames up in one body, frames down in one complete answer.
//!
//! The request and its answer are plain values, so that another node can be asked to perform it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::auth::tickets::SessionTicket;
use crate::engine::types::Incarnation;
use crate::protocol::body;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::up::{Attach, LinkUp, Numbered, Open, Up};
use crate::session::Session;
use crate::session::input::{AttachInput, ConnId, ConnKind, Input, Target};
use crate::telemetry::labels::Carrier;

use super::driver::Driver;
use super::link::{Flow, LinkPort};
use super::open::Opener;
use super::owner::{self, Owner, Trail};
use super::peers::{self, Peer, Question, Unreachable};
use super::{Gateway, candidates, open, resume};

/// How much longer than its wait an exchange may take on another node.
const SLACK: Duration = Duration::from_secs(8);
/// How long an exchange that sends too fast is held back; beyond it, it is refused.
const PACE_MAX: Duration = Duration::from_secs(2);

/// An exchange as it came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExchangeRequest {
    /// The nonce in its path.
    pub nonce: String,
    /// The body.
    pub body: String,
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

/// Performs an exchange, or has the node do it that has the session, and waits for its answer.
/// # Errors
/// With a code for a body that cannot be read, and for what opening or resuming refuses.
pub async fn exchange(
    gateway: &Arc<Gateway>,
    request: ExchangeRequest,
) -> Result<ExchangeAnswer, Refusal> {
    match read(gateway, &request)? {
        First::Open(head) => {
            let ExchangeRequest { nonce, bearer, .. } = request;
            opens(gateway, &nonce, bearer.as_deref(), *head).await
        }
        First::Attach(attaching) => {
            let ticket = gateway.auth.tickets().open_session(&attaching.ticket)?;
            if let Some(why) = gateway.endings.of(ticket.session) {
                return Ok(ExchangeAnswer::Refused(why, true));
            }
            let mut trail = Trail::new(gateway, &ticket);
            let mut question = Question::Exchange(request);
            let mut came = for_candidate(gateway, &ticket, &attaching.head).await?;
            if came.is_none()
                && let Some(node) = node_of_candidate(gateway, &ticket, &attaching.head).await
                && let Some(peer) = trail.follow(node).await?
            {
                let answer = relay(gateway, &peer, &question, &attaching).await;
                if let Some(answer) = answer.map_err(|Unreachable| owner::kept())? {
                    return Ok(answer);
                }
            }
            let driver = loop {
                if let Some(driver) = came.take() {
                    break driver;
                }
                match trail.next().await? {
                    Owner::Here(driver) => break driver,
                    Owner::There(peer) => {
                        match relay(gateway, &peer, &question, &attaching).await {
                            Ok(Some(answer)) => return Ok(answer),
                            Ok(None) => {}
                            Err(Unreachable) => trail.bring(&peer, None).await?,
                        }
                    }
                }
            };
            // A poll may wait long.
            let nonce = if let Question::Exchange(request) = &mut question {
                std::mem::take(&mut request.nonce)
            } else {
                String::new()
            };
            drop(question);
            resume::admit(&driver, &ticket, attaching.head.token.as_deref())?;
            attaches(&driver, &nonce, *attaching).await
        }
    }
}

/// Performs an exchange for another node; nothing where its session is not here.
/// # Errors
/// As [`exchange`].
pub(super) async fn of_node(
    gateway: &Arc<Gateway>,
    request: ExchangeRequest,
) -> Result<Option<ExchangeAnswer>, Refusal> {
    let First::Attach(attaching) = read(gateway, &request)? else {
        return Err(Refusal::new(ErrorCode::BadFrame).because("only an attach is relayed"));
    };
    let ticket = gateway.auth.tickets().open_session(&attaching.ticket)?;
    let came = match for_candidate(gateway, &ticket, &attaching.head).await? {
        Some(driver) => Some(driver),
        None => owner::here_for(gateway, &ticket).await,
    };
    let Some(driver) = came else {
        let ended = gateway.endings.of(ticket.session);
        return Ok(ended.map(|why| ExchangeAnswer::Refused(why, true)));
    };
    let nonce = request.nonce;
    drop(request.body);
    resume::admit(&driver, &ticket, attaching.head.token.as_deref())?;
    attaches(&driver, &nonce, *attaching).await.map(Some)
}

/// The session of the candidate that an `attach` names, if that waits here: it comes to it. Nothing
/// where the session has a link as high: whoever has it says so.
async fn for_candidate(
    gateway: &Gateway,
    ticket: &SessionTicket,
    head: &Attach,
) -> Result<Option<Arc<Driver>>, Refusal> {
    let nonce = head.via.as_deref().and_then(|via| nonce_of(gateway, via));
    let named = nonce.and_then(|nonce| gateway.candidates.named(ticket.session, nonce));
    let Some(waiting) = named else { return Ok(None) };
    match waiting.take(ticket, head.link).await {
        Ok(driver) => Ok(Some(driver)),
        Err(refusal) if refusal.code == ErrorCode::Superseded => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// The node of the candidate that an `attach` names, where that is another one: the session comes
/// there, unless the link is the one there is.
async fn node_of_candidate(
    gateway: &Arc<Gateway>,
    ticket: &SessionTicket,
    head: &Attach,
) -> Option<Incarnation> {
    let (node, _) = head.via.as_deref()?.split_once('.')?;
    let here = owner::here_for(gateway, ticket).await;
    let link = here.map(|driver| driver.with(|session| session.link_number()));
    let is_new = link.is_none_or(|link| link < head.link);
    (is_new && *node != *gateway.incarnation().0).then(|| Incarnation(node.into()))
}

async fn relay(
    gateway: &Gateway,
    peer: &Peer,
    question: &Question,
    attaching: &Attaching,
) -> Result<Option<ExchangeAnswer>, Unreachable> {
    let Some(peers) = &gateway.peers else { return Ok(None) };
    let wait = Duration::from_millis(attaching.head.wait).min(gateway.config.session.hold_max);
    let answer = peers::heard(peers.ask(peer, question, wait + SLACK).await?);
    if answer.is_some() {
        gateway.metrics.exchanges_relayed.inc();
    }
    Ok(answer)
}

/// What an exchange begins with.
enum First {
    Open(Box<Open>),
    Attach(Box<Attaching>),
}

/// An `attach` and what follows it.
struct Attaching {
    head: Attach,
    ticket: String,
    sorted: Sorted,
}

fn read(gateway: &Gateway, request: &ExchangeRequest) -> Result<First, Refusal> {
    let limits = &gateway.config.limits;
    let frames = body::parse(request.body.as_bytes(), limits.frames, limits.frame_bytes)?;
    let mut frames = frames.into_iter();
    match frames.next() {
        Some(Up::Link(LinkUp::Open(_))) if frames.next().is_some() => {
            Err(Refusal::new(ErrorCode::BadFrame).because("nothing may follow an open"))
        }
        Some(Up::Link(LinkUp::Open(head))) => Ok(First::Open(head)),
        Some(Up::Link(LinkUp::Attach(mut head))) => {
            let no_ticket = || Refusal::new(ErrorCode::BadFrame).because("ticket is missing");
            let ticket = head.ticket.take().ok_or_else(no_ticket)?;
            let sorted = Sorted::of(frames)?;
            Ok(First::Attach(Box::new(Attaching { head: *head, ticket, sorted })))
        }
        _ => {
            Err(Refusal::new(ErrorCode::BadFrame).because("an exchange begins with open or attach"))
        }
    }
}

async fn opens(
    gateway: &Arc<Gateway>,
    nonce: &str,
    bearer: Option<&str>,
    head: Open,
) -> Result<ExchangeAnswer, Refusal> {
    let (conn, port, answer) = waiting(gateway);
    let opener = Opener { conn, nonce, kind: ConnKind::Poll, bearer, port };
    let (driver, hello) = open::open(gateway, opener, head).await?;
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
    driver: &Arc<Driver>,
    nonce: &str,
    Attaching { head, sorted, .. }: Attaching,
) -> Result<ExchangeAnswer, Refusal> {
    let gateway = &driver.gateway;
    let late = driver.pace(sorted.numbered.len() + sorted.echoes.len());
    if late > PACE_MAX {
        return Err(rate_limited(late));
    }
    if !late.is_zero() {
        sleep(late).await;
    }
    // No connection has a nonce of no characters: one of another node is none of the session's.
    let via = head.via.as_deref().map(|via| nonce_of(gateway, via).unwrap_or_default());
    let (conn, port, answer) = waiting(gateway);
    driver.connect(conn, nonce, port);
    let attach = AttachInput {
        link: head.link,
        count: head.count,
        target: Target::Own,
        visible: head.visible,
        wait: head.wait,
    };
    driver.exchange(conn, attach, via, sorted.numbered);
    for (id, via) in &sorted.echoes {
        if let Some(via) = via {
            candidates::echo(driver, via, id);
        }
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
    Ok(answered(Arc::clone(driver), conn, answer).await)
}

fn rate_limited(late: Duration) -> Refusal {
    let ms = u32::try_from(late.as_millis()).unwrap_or(u32::MAX);
    Refusal::new(ErrorCode::RateLimited).retry_in(ms)
}

/// What follows an `attach`.
#[derive(Default)]
struct Sorted {
    numbered: Vec<Numbered>,
    /// Ids, each with the connection that answers.
    echoes: Vec<(String, Option<String>)>,
    leaving: bool,
    closes: bool,
}

impl Sorted {
    fn of(rest: impl Iterator<Item = Up>) -> Result<Self, Refusal> {
        let mut sorted = Self::default();
        for frame in rest {
            match frame {
                Up::Session(numbered) => sorted.numbered.push(numbered),
                Up::Link(LinkUp::Echo { id, via }) => sorted.echoes.push((id, via)),
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
fn nonce_of<'a>(gateway: &Gateway, via: &'a str) -> Option<&'a str> {
    let (incarnation, nonce) = via.split_once('.')?;
    (*incarnation == *gateway.incarnation().0).then_some(nonce)
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
