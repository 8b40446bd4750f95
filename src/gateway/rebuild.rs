//! A session that no node has any more, mostly because its node was lost: any node opens another in
//! its place (contract S5).
//!
//! The client is told `session_gone` and opens again, as always, with its positions; where that
//! `open` shows the old ticket, the same session and the same member go on, so that presence sees
//! neither a leave nor a join. Of two nodes that are shown the same ticket one raises the record.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::tickets::SessionTicket;
use crate::engine::types::{Incarnation, NodeStatus};
use crate::protocol::error::Refusal;
use crate::protocol::up::Open;

use super::owner::{self, Arriving};
use super::peers::{self, Answer, Peer, Question};
use super::record::{self, Record};
use super::{Gateway, open, parking};

/// How long the last owner may take to say whether it has the session.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// By how much the version rises: above what it has at an owner that the client does not know of, where the
/// record was lost.
const MOVES: u64 = 1 << 16;

/// A session whose place an `open` takes.
#[derive(Debug)]
pub struct Again {
    /// Its id.
    pub(super) session: u128,
    /// The version of the record that names this node.
    pub(super) version: u64,
    _arriving: Arriving,
}

/// The session that an `open` goes on with: where it shows the ticket of one of the same subject
/// that no node has any more. Anything else opens a session of its own.
/// # Errors
/// `session_kept` where it cannot be known yet whether a node has it: a session of its own would be
/// another member, and the one that goes on would be seen to leave.
pub(super) async fn claim(
    gateway: &Arc<Gateway>,
    head: &Open,
    bearer: Option<&str>,
) -> Result<Option<Again>, Refusal> {
    let Some(ticket) = shown(gateway, head, bearer) else { return Ok(None) };
    let session = ticket.session;
    let ended = gateway.endings.of(session).is_some();
    if ended || is_here(gateway, &ticket).await {
        return Ok(None);
    }
    let Some(arriving) = Arriving::begin(gateway, session) else { return Ok(None) };
    let found = gateway.engine.parked(&record::key(session)).await.map_err(|_| owner::kept())?;
    let (expected, name) = match found {
        None => (0, ticket.incarnation.clone()),
        Some(found) => match Record::open(gateway.auth.tickets(), session, &found.state) {
            Some(Record::Owned(name)) => (found.version, name),
            // It is resumed, not opened again.
            Some(Record::Parked(_)) | None => return Ok(None),
        },
    };
    let version = expected.max(ticket.version) + MOVES;
    // Who has it would have raised the version since.
    if !has_let_go(gateway, &Incarnation(name.into()), session).await?
        || !parking::claim(gateway, session, expected, version).await?
    {
        return Ok(None);
    }
    gateway.metrics.sessions_rebuilt.inc();
    Ok(Some(Again { session, version, _arriving: arriving }))
}

/// The ticket that an `open` shows, where it is of the subject that opens.
fn shown(gateway: &Gateway, head: &Open, bearer: Option<&str>) -> Option<SessionTicket> {
    let ticket = gateway.auth.tickets().open_session(head.ticket.as_deref()?).ok()?;
    let token = head.token.as_deref().or(bearer);
    let identity = open::identify(gateway, token, None).ok()?;
    (ticket.user.as_deref() == identity.user.as_deref()).then_some(ticket)
}

/// Whether this node has it, or what came in its place.
async fn is_here(gateway: &Arc<Gateway>, ticket: &SessionTicket) -> bool {
    owner::here_for(gateway, ticket).await.is_some()
        || owner::here(gateway, ticket.session).await.is_some()
}

/// Whether its last owner is dead, or says that it does not have the session.
/// # Errors
/// `session_kept` where that cannot be known yet.
async fn has_let_go(
    gateway: &Gateway,
    owner: &Incarnation,
    session: u128,
) -> Result<bool, Refusal> {
    if *owner == gateway.incarnation() || gateway.lease.is_retired(&owner.0) {
        return Ok(true);
    }
    let status = peers::status(gateway, owner).await;
    if matches!(status, Ok(NodeStatus::Dead)) {
        return Ok(true);
    }
    // A node that shares nothing knows no other, now or later.
    let Some(peers) = &gateway.peers else { return Ok(false) };
    match status {
        Ok(NodeStatus::Alive { address }) => {
            let peer = Peer { incarnation: owner.clone(), address };
            let answer = peers.ask(&peer, &Question::Holds(record::key(session)), ASK_WITHIN).await;
            // Who does not answer may have died since it was seen; its lease will tell.
            answer.map(|answer| matches!(answer, Answer::NotHere)).map_err(|_| owner::kept())
        }
        Ok(NodeStatus::Dead | NodeStatus::Unknown) | Err(_) => Err(owner::kept()),
    }
}
