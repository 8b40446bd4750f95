//! Where a session lives: here, with another node, with nobody, or nowhere (contract S5: at no time
//! do two nodes act for one session).
//!
//! A session is with the incarnation that its record in the engine names, else with the one that its
//! ticket names. The ticket is asked first, since for most sessions it is right and costs the
//! engine nothing; a node that has let a session go says so, and then the record decides.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use crate::auth::tickets::SessionTicket;
use crate::engine::types::{Incarnation, NodeStatus};
use crate::protocol::error::{ErrorCode, Refusal};

use super::driver::Driver;
use super::peers::{self, Peer};
use super::record::{self, Record};
use super::{Gateway, control, lease, parking};

/// How often a record is read for one request: each reading may find another owner.
const READINGS: usize = 6;
/// How long a session that is just leaving, or just coming, is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks whether it was parked.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a node that is asked over the engine may take to park.
const BROUGHT_WITHIN: Duration = Duration::from_secs(4);
/// When a client tries again whose session's node cannot be reached, in milliseconds.
const KEPT_RETRY_MS: u32 = 1_000;

/// Where a session lives.
#[derive(Debug)]
pub(super) enum Owner {
    /// Here.
    Here(Arc<Driver>),
    /// With another node, perhaps: it is to be asked.
    There(Peer),
}

/// The way to a session's owner, from one hint to the next.
pub(super) struct Trail<'a> {
    gateway: &'a Arc<Gateway>,
    ticket: &'a SessionTicket,
    session: u128,
    /// Incarnations to try, the best last.
    hints: Vec<Incarnation>,
    tried: Vec<Incarnation>,
    readings: usize,
    /// The version of the record whose owner is, or was, the hint.
    followed: u64,
    /// Whether the session may come here without being admitted again.
    admitted: bool,
}

/// The session, if it is on this node; one that is just leaving, or just coming, is waited for.
pub(super) async fn here(gateway: &Arc<Gateway>, session: u128) -> Option<Arc<Driver>> {
    // After a pause others may have it.
    lease::ensure_awake(gateway).await;
    let until = Instant::now() + PATIENCE;
    loop {
        let mut moved = std::pin::pin!(gateway.moves.notified());
        moved.as_mut().enable();
        let is_coming = gateway.arriving.lock().contains(&session);
        let driver = gateway.registry.get(session);
        let waits = is_coming || driver.as_ref().is_some_and(|driver| driver.is_leaving());
        if !waits || timeout_at(until, moved).await.is_err() {
            return driver;
        }
    }
}

/// The same for who shows its ticket, of this session and not of one in whose place it came. One that
/// the ticket proves to be with a later owner, while this node could not learn that it had lost it, is
/// let go, without a leave (contract S5).
pub(super) async fn here_for(
    gateway: &Arc<Gateway>,
    ticket: &SessionTicket,
) -> Option<Arc<Driver>> {
    let driver = here(gateway, ticket.session).await?;
    if ticket.version < driver.born() {
        // A request that is late: its counts would be taken for this session's.
        return None;
    }
    let version = driver.version();
    let is_mine = *ticket.incarnation == *gateway.incarnation().0;
    // Two of one version are of a store that has lost the record between them.
    if ticket.version < version || (ticket.version == version && is_mine) {
        return Some(driver);
    }
    tracing::info!(member = %driver.member.0, "a session went on at another node");
    driver.leftover().watch(gateway);
    driver.depart();
    gateway.moves.notify_waiters();
    None
}

/// Holds the place of a session that is just coming to this node.
#[derive(Debug)]
pub(super) struct Arriving {
    gateway: Arc<Gateway>,
    session: u128,
}

impl Arriving {
    /// Nothing where it is coming already.
    pub(super) fn begin(gateway: &Arc<Gateway>, session: u128) -> Option<Self> {
        let first = gateway.arriving.lock().insert(session);
        first.then(|| Self { gateway: Arc::clone(gateway), session })
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.gateway.arriving.lock().remove(&self.session);
        self.gateway.moves.notify_waiters();
    }
}

/// The refusal of a request whose session's node cannot be asked yet.
pub(super) fn kept() -> Refusal {
    Refusal::new(ErrorCode::SessionKept).retry_in(KEPT_RETRY_MS)
}

impl<'a> Trail<'a> {
    /// Begins with what a ticket says.
    pub(super) fn new(gateway: &'a Arc<Gateway>, ticket: &'a SessionTicket) -> Self {
        let hints = vec![Incarnation(ticket.incarnation.as_str().into())];
        Self {
            gateway,
            ticket,
            session: ticket.session,
            hints,
            tried: Vec::new(),
            readings: 0,
            followed: 0,
            admitted: false,
        }
    }

    /// The session was admitted to this node before.
    pub(super) fn admitted(self) -> Self {
        Self { admitted: true, ..self }
    }

    /// Where to go next. A session that nobody has is taken.
    /// # Errors
    /// `session_gone` where it is nowhere, `session_kept` where that cannot be known yet, and what
    /// taking it refuses.
    pub(super) async fn next(&mut self) -> Result<Owner, Refusal> {
        loop {
            if let Some(driver) = here_for(self.gateway, self.ticket).await {
                return Ok(Owner::Here(driver));
            }
            if let Some(why) = self.gateway.endings.of(self.session) {
                return Err(why);
            }
            if !self.gateway.is_shared() {
                return Err(self.nowhere());
            }
            if let Some(hint) = self.hints.pop() {
                if let Some(peer) = self.follow(hint).await? {
                    return Ok(Owner::There(peer));
                }
            } else if let Some(driver) = self.read().await? {
                return Ok(Owner::Here(driver));
            }
        }
    }

    /// What is answered where there is no other node.
    pub(super) fn nowhere(&self) -> Refusal {
        if self.hints.iter().any(|hint| *hint != self.gateway.incarnation()) {
            self.gateway.metrics.foreign_tickets.inc();
        }
        ErrorCode::SessionGone.into()
    }

    /// The node of a hint, if it is another one, lives and was not tried.
    /// # Errors
    /// `session_kept` where that cannot be known yet.
    pub(super) async fn follow(&mut self, hint: Incarnation) -> Result<Option<Peer>, Refusal> {
        let own = hint == self.gateway.incarnation() || self.gateway.lease.is_retired(&hint.0);
        if own || self.tried.contains(&hint) {
            return Ok(None);
        }
        self.tried.push(hint.clone());
        match peers::status(self.gateway, &hint).await {
            Ok(NodeStatus::Alive { address }) => Ok(Some(Peer { incarnation: hint, address })),
            Ok(NodeStatus::Dead) => Ok(None),
            Ok(NodeStatus::Unknown) | Err(_) => Err(kept()),
        }
    }

    /// What the record says: a new hint, or a session to take.
    async fn read(&mut self) -> Result<Option<Arc<Driver>>, Refusal> {
        if self.readings >= READINGS {
            // It moves faster than it can be followed.
            return Err(kept());
        }
        self.readings += 1;
        let gateway = self.gateway;
        let found = gateway.engine.parked(&record::key(self.session)).await.map_err(|_| kept())?;
        let found = found.ok_or(ErrorCode::SessionGone)?;
        match Record::open(gateway.auth.tickets(), self.session, &found.state) {
            Some(Record::Parked(whole)) if self.ticket.version < whole.born => {
                Err(ErrorCode::SessionGone.into())
            }
            Some(Record::Parked(whole)) => {
                parking::take(gateway, self.session, found.version, *whole, self.admitted).await
            }
            // Whom it names does not have it, and has not parked it since: it is over.
            Some(Record::Owned(_)) if self.followed == found.version => {
                Err(ErrorCode::SessionGone.into())
            }
            Some(Record::Owned(name)) => {
                self.followed = found.version;
                let owner = Incarnation(name.into());
                self.tried.retain(|tried| *tried != owner);
                self.hints.push(owner);
                Ok(None)
            }
            None => Err(ErrorCode::SessionGone.into()),
        }
    }

    /// Has an owner park the session that can be reached through the engine alone: for a link, or
    /// for a request.
    /// # Errors
    /// `session_kept` where that did not happen in time.
    pub(super) async fn bring(&mut self, peer: &Peer, link: Option<u64>) -> Result<(), Refusal> {
        let message = Bytes::from(control::park_message(self.session, link, self.ticket.version));
        let told = self.gateway.engine.tell(&peer.incarnation, message).await.unwrap_or(false);
        let until = Instant::now() + BROUGHT_WITHIN;
        loop {
            if self.has_left(peer).await? {
                return Ok(());
            }
            // A node that hears nothing is gone; what it parked before it went is there.
            if !told || Instant::now() >= until {
                return Err(kept());
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether the record says that an owner has the session no more.
    async fn has_left(&self, peer: &Peer) -> Result<bool, Refusal> {
        let engine = &self.gateway.engine;
        let found = engine.parked(&record::key(self.session)).await.map_err(|_| kept())?;
        let record = found.and_then(|found| {
            Record::open(self.gateway.auth.tickets(), self.session, &found.state)
        });
        Ok(match record {
            Some(Record::Parked(_)) => true,
            Some(Record::Owned(name)) => *name != *peer.incarnation.0,
            None => false,
        })
    }
}
