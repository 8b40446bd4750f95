//! The other nodes: where they are, and what they are asked. How a question travels is the
//! transport's ([`Carry`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::engine::types::{EngineError, Incarnation, NodeStatus};
use crate::protocol::down::LinkDown;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::telemetry::clock::now_ms;

use super::driver::Taker;
use super::exchange::{ExchangeAnswer, ExchangeRequest};
use super::sessions::{self, Connected};
use super::{Gateway, candidates, exchange, owner, parking, record};

/// How long what is known of a node is used, in milliseconds.
const KNOWN_MS: u64 = 1_000;
/// Nodes that are known at once; beyond it all are asked for again.
const KNOWN_MAX: usize = 1024;
/// How long a node may take to park a session.
pub const PARK_WITHIN: Duration = Duration::from_secs(5);

/// A question of one node to another.
#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    /// Perform this exchange, if its session is there.
    Exchange(ExchangeRequest),
    /// Park this session, if it is there: its id, in hexadecimal digits, the link for which it is
    /// taken, and the version of the ticket that was shown.
    Park(String, u64, u64),
    /// Have a connection that waits there for a session answer an echo.
    Echo {
        /// The session's id, in hexadecimal digits.
        session: String,
        /// The connection's nonce.
        nonce: String,
        /// What it answers.
        id: String,
    },
    /// Whether this session is there.
    Holds(String),
    /// How the sessions of this user that are there are connected.
    Sessions(String),
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The exchange was answered with these frames.
    Frames(Vec<Box<RawValue>>),
    /// It was refused.
    Refused {
        /// The code.
        code: ErrorCode,
        /// What is more exact than the table's sentence.
        detail: Option<Box<str>>,
        /// When to try again, in milliseconds.
        retry_ms: Option<u32>,
        /// Whether the session is over.
        ended: bool,
    },
    /// The session is not there, or no longer: its record says where it is.
    NotHere,
    /// The user's sessions that are there.
    Sessions(Vec<Connected>),
    /// It is there; where it was to be parked, that was not possible now.
    Busy,
    /// It is there, and has this link, as high as the one for which it was to be parked.
    Superseded(u64),
    /// The connection answered, if it is there.
    Echoed,
}

/// The node did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreachable;

/// Carries questions to other nodes.
pub trait Carry: Send + Sync {
    /// Asks the node at an address. A question that is dropped is withdrawn.
    fn ask<'a>(
        &'a self,
        address: &'a str,
        question: &'a Question,
        within: Duration,
    ) -> BoxFuture<'a, Result<Answer, Unreachable>>;
}

/// The way to the other nodes.
pub struct Peers {
    /// Where this one is reached.
    pub(super) address: Arc<str>,
    carry: Box<dyn Carry>,
    known: Mutex<HashMap<Incarnation, (Arc<str>, u64)>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Another node that lives.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) incarnation: Incarnation,
    pub(super) address: Option<Arc<str>>,
}

impl Peers {
    /// A node that is reached at an address, with what carries its questions.
    pub fn new(address: Arc<str>, carry: Box<dyn Carry>) -> Self {
        Self { address, carry, known: Mutex::default() }
    }

    /// Asks a node. One that does not answer is looked up again the next time.
    pub(super) async fn ask(
        &self,
        peer: &Peer,
        question: &Question,
        within: Duration,
    ) -> Result<Answer, Unreachable> {
        let address = peer.address.as_deref().ok_or(Unreachable)?;
        let answer = self.carry.ask(address, question, within).await;
        if answer.is_err() {
            self.known.lock().remove(&peer.incarnation);
        }
        answer
    }

    fn recall(&self, incarnation: &Incarnation) -> Option<Arc<str>> {
        let known = self.known.lock();
        let (address, at) = known.get(incarnation)?;
        (now_ms().saturating_sub(*at) < KNOWN_MS).then(|| Arc::clone(address))
    }
}

/// What is known of a node; of one that lives, a moment ago is as good as now.
pub(super) async fn status(
    gateway: &Gateway,
    incarnation: &Incarnation,
) -> Result<NodeStatus, EngineError> {
    let recalled = gateway.peers.as_ref().and_then(|peers| peers.recall(incarnation));
    if let Some(address) = recalled {
        return Ok(NodeStatus::Alive { address: Some(address) });
    }
    let status = gateway.engine.node(incarnation).await?;
    if let (NodeStatus::Alive { address: Some(address) }, Some(peers)) = (&status, &gateway.peers) {
        let mut known = peers.known.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(incarnation.clone(), (Arc::clone(address), now_ms()));
    }
    Ok(status)
}

/// Answers what another node asks of this one.
pub async fn answer(gateway: &Arc<Gateway>, question: Question) -> Answer {
    match question {
        Question::Exchange(request) => match exchange::of_node(gateway, request).await {
            Ok(Some(answer)) => told(answer),
            Ok(None) => Answer::NotHere,
            Err(refusal) => told(ExchangeAnswer::Refused(refusal, false)),
        },
        Question::Park(session, link, shown) => match record::session_of(&session) {
            Some(session) => {
                match parking::park(gateway, session, Taker::Link(link), Some(shown)).await {
                    parking::Outcome::Gone => match gateway.endings.of(session) {
                        Some(why) => told(ExchangeAnswer::Refused(why, true)),
                        None => Answer::NotHere,
                    },
                    parking::Outcome::Stays => Answer::Busy,
                    parking::Outcome::Superseded(link) => Answer::Superseded(link),
                }
            }
            None => Answer::NotHere,
        },
        Question::Echo { session, nonce, id } => {
            if let Some(session) = record::session_of(&session) {
                let frame = LinkDown::Echo { id: &id }.encode();
                candidates::echo_here(gateway, session, &nonce, &frame);
            }
            Answer::Echoed
        }
        Question::Sessions(user) => Answer::Sessions(sessions::here(gateway, &user)),
        Question::Holds(session) => match record::session_of(&session) {
            Some(session) if gateway.endings.of(session).is_some() => Answer::Busy,
            Some(session) if owner::here(gateway, session).await.is_some() => Answer::Busy,
            Some(_) | None => Answer::NotHere,
        },
    }
}

fn told(answer: ExchangeAnswer) -> Answer {
    match answer {
        ExchangeAnswer::Frames(frames) => Answer::Frames(frames.iter().filter_map(raw).collect()),
        ExchangeAnswer::Refused(Refusal { code, detail, retry_ms }, ended) => {
            Answer::Refused { code, detail, retry_ms, ended }
        }
    }
}

fn raw(frame: &Frame) -> Option<Box<RawValue>> {
    RawValue::from_string(std::str::from_utf8(frame.json()).ok()?.to_owned()).ok()
}

/// The answer to an exchange that another node performed; nothing where it did not.
pub(super) fn heard(answer: Answer) -> Option<ExchangeAnswer> {
    match answer {
        Answer::Frames(frames) => {
            let frames = frames.iter().map(|frame| Frame::new(frame.get().as_bytes())).collect();
            Some(ExchangeAnswer::Frames(frames))
        }
        Answer::Refused { code, detail, retry_ms, ended } => {
            Some(ExchangeAnswer::Refused(Refusal { code, detail, retry_ms }, ended))
        }
        Answer::NotHere
        | Answer::Busy
        | Answer::Superseded(_)
        | Answer::Echoed
        | Answer::Sessions(_) => None,
    }
}
