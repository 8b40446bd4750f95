//! A session that no node has any more, mostly because its node was lost: any node opens another in
//! its place (contract S5).
//!
//! The client is told `session_gone` and opens again, as always, with its positions; where that
//! `open` shows the old ticket, the same session and the same member go on, so that presence sees
//! neither a leave nor a join. Of two nodes that are shown the same ticket one raises the record.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Identity;
use crate::auth::tickets::SessionTicket;
use crate::engine::types::{Incarnation, NodeStatus};
use crate::protocol::up::Open;

use super::owner::{self, Arriving};
use super::peers::{self, Answer, Peer, Question};
use super::record::{self, Record};
use super::{Gateway, open, parking};

/// How long the last owner may take to say whether it has the session.
const ASK_WITHIN: Duration = Duration::from_secs(2);

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
pub(super) async fn claim(
    gateway: &Arc<Gateway>,
    head: &Open,
    bearer: Option<&str>,
) -> Option<Again> {
    let shown = head.ticket.as_deref()?;
    let ticket = gateway.auth.tickets().open_session(shown).ok()?;
    let token = head.token.as_deref().or(bearer);
    let identity = open::identify(gateway, token, None).ok()?;
    let (session, tickets) = (ticket.session, gateway.auth.tickets());
    let ended = gateway.endings.of(session).is_some();
    if ended || !is_subject(&ticket, &identity) || is_here(gateway, &ticket).await {
        return None;
    }
    let arriving = Arriving::begin(gateway, session)?;
    let (expected, name) = match gateway.engine.parked(&record::key(session)).await.ok()? {
        None => (0, ticket.incarnation.clone()),
        Some(found) => match Record::open(tickets, session, &found.state)? {
            Record::Owned(name) => (found.version, name),
            // It is resumed, not opened again.
            Record::Parked(_) => return None,
        },
    };
    // Above what it had at the last owner that the client knows, though the record were lost.
    let version = expected.max(ticket.version) + 1;
    // Who has it would have raised the version since.
    if !has_let_go(gateway, &Incarnation(name.into()), session).await
        || !parking::claim(gateway, session, expected, version).await.ok()?
    {
        return None;
    }
    gateway.metrics.sessions_rebuilt.inc();
    Some(Again { session, version, _arriving: arriving })
}

/// Whether this node has it, or what came in its place.
async fn is_here(gateway: &Arc<Gateway>, ticket: &SessionTicket) -> bool {
    owner::here_for(gateway, ticket).await.is_some()
        || owner::here(gateway, ticket.session).await.is_some()
}

fn is_subject(ticket: &SessionTicket, identity: &Identity) -> bool {
    ticket.user.as_deref() == identity.user.as_deref()
}

/// Whether its last owner is dead, or says that it does not have the session.
async fn has_let_go(gateway: &Gateway, owner: &Incarnation, session: u128) -> bool {
    if *owner == gateway.incarnation() || gateway.lease.is_retired(&owner.0) {
        return true;
    }
    match peers::status(gateway, owner).await {
        Ok(NodeStatus::Dead) => true,
        Ok(NodeStatus::Alive { address }) => {
            let Some(peers) = &gateway.peers else { return false };
            let peer = Peer { incarnation: owner.clone(), address };
            let answer = peers.ask(&peer, &Question::Holds(record::key(session)), ASK_WITHIN).await;
            matches!(answer, Ok(Answer::NotHere))
        }
        Ok(NodeStatus::Unknown) | Err(_) => false,
    }
}
