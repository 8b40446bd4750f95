//! Connections that wait on this node for a session that another node has: each proves itself here,
//! and only the `attach` brings the session (PROTOCOL.md section 6). Until then the session, and
//! whatever carries it, goes on where it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::auth::tickets::SessionTicket;
use crate::engine::types::{Incarnation, NodeStatus};
use crate::protocol::down::LinkDown;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::up::Attach;
use crate::session::Millis;
use crate::session::input::{AttachInput, ConnId, ConnKind, Input, Target};
use crate::telemetry::clock::now_ms;

use super::driver::Driver;
use super::link::LinkPort;
use super::peers::{self, Peer, Question};
use super::rate::Meter;
use super::resume::{self, Brought};
use super::{Gateway, record};

/// How long a node may take to write an echo for another.
const ECHO_WITHIN: Duration = Duration::from_secs(2);
/// When a candidate for which there is no place may come again, in milliseconds.
const FULL_RETRY_MS: u32 = 5_000;

/// Where a connection belongs.
#[derive(Debug)]
pub enum Place {
    /// To a session of this node.
    Here(Arc<Driver>),
    /// To one of another node: it waits.
    Waits(Arc<Waiting>),
}

impl Place {
    /// The session, once it is here.
    pub fn driver(&self) -> Option<Arc<Driver>> {
        match self {
            Self::Here(driver) => Some(Arc::clone(driver)),
            Self::Waits(waiting) => waiting.driver(),
        }
    }

    /// The connection is gone.
    pub fn lost(&self, conn: ConnId) {
        match self {
            Self::Here(driver) => driver.lost(conn),
            Self::Waits(waiting) => waiting.lost(),
        }
    }
}

/// A connection that waits.
pub struct Waiting {
    gateway: Arc<Gateway>,
    ticket: SessionTicket,
    conn: ConnId,
    nonce: Box<str>,
    port: Arc<dyn LinkPort>,
    since: Millis,
    stage: Mutex<Stage>,
    pace: Mutex<Meter>,
}

enum Stage {
    /// Its session was admitted to this node, and has not come.
    Waits,
    /// It belongs to the session, which has come.
    Here(Arc<Driver>),
    Over,
}

/// All that wait on this node.
#[derive(Default)]
pub(super) struct Candidates(Mutex<Room>);

#[derive(Default)]
struct Room {
    /// By age: the numbers of connections rise.
    all: BTreeMap<ConnId, Arc<Waiting>>,
    of: HashMap<u128, Vec<ConnId>>,
}

impl Room {
    fn remove(&mut self, conn: ConnId) -> Option<Arc<Waiting>> {
        let waiting = self.all.remove(&conn)?;
        if let Some(known) = self.of.get_mut(&waiting.ticket.session) {
            known.retain(|known| *known != conn);
            if known.is_empty() {
                self.of.remove(&waiting.ticket.session);
            }
        }
        Some(waiting)
    }

    /// Those of a session, the oldest first.
    fn of(&self, session: u128) -> impl DoubleEndedIterator<Item = &Arc<Waiting>> {
        self.of.get(&session).into_iter().flatten().filter_map(|conn| self.all.get(conn))
    }
}

impl Candidates {
    /// The one of a session that has this nonce; of two the newest.
    pub(super) fn named(&self, session: u128, nonce: &str) -> Option<Arc<Waiting>> {
        let room = self.0.lock();
        room.of(session).rfind(|waiting| *waiting.nonce == *nonce).map(Arc::clone)
    }

    /// Ends those that have waited too long.
    pub(super) fn turn(&self, now: Millis, age: Millis) {
        loop {
            let mut room = self.0.lock();
            let oldest = room.all.first_key_value();
            let Some((conn, _)) = oldest.filter(|(_, oldest)| oldest.since + age <= now) else {
                return;
            };
            let conn = *conn;
            let old = room.remove(conn);
            drop(room);
            if let Some(old) = old {
                old.end(ErrorCode::OpenTimeout);
            }
        }
    }

    /// Ends all.
    pub(super) fn end_all(&self, why: ErrorCode) {
        let all = std::mem::take(&mut *self.0.lock()).all;
        for waiting in all.into_values() {
            waiting.end(why);
        }
    }
}

/// A connection begins to wait. Its session was admitted to this node.
/// # Errors
/// `too_many_sessions` where as many wait as sessions may be here.
pub(super) fn enter(
    gateway: &Arc<Gateway>,
    ticket: SessionTicket,
    (conn, nonce): (ConnId, &str),
    port: Arc<dyn LinkPort>,
) -> Result<Arc<Waiting>, Refusal> {
    let session = ticket.session;
    let mut room = gateway.candidates.0.lock();
    if room.all.len() >= gateway.config.limits.sessions {
        gateway.metrics.session_refused(ErrorCode::TooManySessions);
        gateway.admission.give_back(gateway.config.limits.admission);
        return Err(Refusal::new(ErrorCode::TooManySessions).retry_in(FULL_RETRY_MS));
    }
    let waiting = Arc::new(Waiting {
        gateway: Arc::clone(gateway),
        ticket,
        conn,
        nonce: nonce.into(),
        port,
        since: now_ms(),
        stage: Mutex::new(Stage::Waits),
        pace: Mutex::default(),
    });
    let full = room.of(session).count() >= gateway.settings.candidates.max(1);
    let oldest = room.of(session).next().map(|oldest| oldest.conn).filter(|_| full);
    let oldest = oldest.and_then(|oldest| room.remove(oldest));
    room.all.insert(conn, Arc::clone(&waiting));
    room.of.entry(session).or_default().push(conn);
    drop(room);
    gateway.metrics.candidates.inc();
    if let Some(oldest) = oldest {
        oldest.end(ErrorCode::TooMany);
    }
    Ok(waiting)
}

/// Has the connection that a `via` names answer an echo of a session: here, or on its node.
pub(super) fn echo(driver: &Driver, via: &str, id: &str) {
    let gateway = &driver.gateway;
    let Some((node, nonce)) = via.split_once('.') else { return };
    if *node == *gateway.incarnation().0 {
        let frame = LinkDown::Echo { id }.encode();
        if !driver.echo(None, Some(nonce), &frame) {
            echo_here(gateway, driver.id, nonce, &frame);
        }
        return;
    }
    let question = Question::Echo {
        session: record::key(driver.id),
        nonce: nonce.to_owned(),
        id: id.to_owned(),
    };
    let (asker, node) = (Arc::clone(gateway), Incarnation(node.into()));
    gateway.spawn(async move {
        let Ok(NodeStatus::Alive { address }) = peers::status(&asker, &node).await else { return };
        let Some(peers) = &asker.peers else { return };
        // One that gets no answer is not proven: its client goes on with the link it has.
        let _ = peers.ask(&Peer { incarnation: node, address }, &question, ECHO_WITHIN).await;
    });
}

/// Writes an echo to a connection that waits here.
pub(super) fn echo_here(gateway: &Gateway, session: u128, nonce: &str, frame: &Frame) {
    if let Some(waiting) = gateway.candidates.named(session, nonce) {
        waiting.write(frame);
    }
}

impl Waiting {
    /// The session, once it is here.
    pub fn driver(&self) -> Option<Arc<Driver>> {
        match &*self.stage.lock() {
            Stage::Here(driver) => Some(Arc::clone(driver)),
            Stage::Waits | Stage::Over => None,
        }
    }

    /// Writes a link frame.
    pub fn write(&self, frame: &Frame) {
        // What the connection does not take it keeps, within its own bound.
        let _ = self.port.write(std::slice::from_ref(frame));
    }

    /// Counts a frame up. Returns how long to wait before more are taken.
    pub fn pace(&self) -> Duration {
        let rate = self.gateway.config.limits.frame_rate;
        Duration::from_millis(self.pace.lock().count(rate, now_ms()))
    }

    /// The connection is gone.
    pub fn lost(&self) {
        self.gateway.candidates.0.lock().remove(self.conn);
        match std::mem::replace(&mut *self.stage.lock(), Stage::Over) {
            Stage::Waits => self.left(),
            Stage::Here(driver) => driver.lost(self.conn),
            Stage::Over => {}
        }
    }

    /// The connection, a WebSocket, is to be the link: the session comes to it.
    /// # Errors
    /// As [`resume::bring`], and what the token refuses.
    pub async fn attach(self: Arc<Self>, attach: Attach) -> Result<Arc<Driver>, Refusal> {
        let driver = self.take(&self.ticket, attach.link).await?;
        resume::admit(&driver, &self.ticket, attach.token.as_deref())?;
        let Attach { link, count, visible, .. } = attach;
        let attach = AttachInput { link, count, target: Target::Own, visible, wait: 0 };
        driver.handle(Input::Attach { conn: self.conn, attach });
        Ok(driver)
    }

    /// Brings the session, of which this becomes a candidate, for an `attach` with this link.
    /// # Errors
    /// As [`resume::bring`]; `superseded` where the session has a link as high, which is told here.
    pub(super) async fn take(
        &self,
        ticket: &SessionTicket,
        link: u64,
    ) -> Result<Arc<Driver>, Refusal> {
        if let Some(driver) = self.driver() {
            return Ok(driver);
        }
        match resume::bring(&self.gateway, ticket, link).await? {
            Brought::Here(driver) => {
                self.belong(&driver);
                Ok(driver)
            }
            Brought::Superseded(link) => {
                self.write(&LinkDown::Superseded { link }.encode());
                self.gateway.candidates.0.lock().remove(self.conn);
                self.end(ErrorCode::Superseded);
                Err(ErrorCode::Superseded.into())
            }
        }
    }

    fn belong(&self, driver: &Arc<Driver>) {
        self.gateway.candidates.0.lock().remove(self.conn);
        let mut stage = self.stage.lock();
        if matches!(*stage, Stage::Waits) {
            self.gateway.metrics.candidates.dec();
            driver.connect(self.conn, &self.nonce, Arc::clone(&self.port));
            driver.handle(Input::Candidate { conn: self.conn, kind: ConnKind::Push });
            *stage = Stage::Here(Arc::clone(driver));
        }
    }

    fn end(&self, why: ErrorCode) {
        let mut stage = self.stage.lock();
        if matches!(*stage, Stage::Waits) {
            *stage = Stage::Over;
            drop(stage);
            self.left();
            self.port.close(Some(&why.into()), false);
        }
    }

    /// It waits no more, and its session has not come.
    fn left(&self) {
        self.gateway.metrics.candidates.dec();
        self.gateway.admission.give_back(self.gateway.config.limits.admission);
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("conn", &self.conn).finish_non_exhaustive()
    }
}
