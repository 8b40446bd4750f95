//! A session whose node is lost with its state: any node opens another in its place (contract S5).
//!
//! The client is told `session_gone` and opens again, as always, with its positions; where that
//! `open` shows the old ticket, the same session and the same member go on, so that presence sees
//! neither a leave nor a join. Of two nodes that are shown the same ticket one raises the record.

use std::sync::Arc;

use crate::auth::Identity;
use crate::auth::tickets::SessionTicket;
use crate::engine::types::{Incarnation, NodeStatus};
use crate::protocol::up::Open;

use super::record::{self, Record};
use super::{Gateway, open, parking, peers};

/// A session whose place an `open` takes.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// Its id.
    pub(super) session: u128,
    /// The version of the record that names this node.
    pub(super) version: u64,
}

/// The session that an `open` goes on with: where it shows the ticket of one of the same subject,
/// whose owner is dead. Anything else opens a session of its own.
pub async fn claim(gateway: &Arc<Gateway>, head: &Open, bearer: Option<&str>) -> Option<Again> {
    let shown = head.ticket.as_deref()?;
    open::admit(gateway).ok()?;
    let ticket = gateway.auth.tickets().open_session(shown).ok()?;
    let token = head.token.as_deref().or(bearer);
    let identity = open::identify(gateway, token, None).ok()?;
    if !is_subject(&ticket, &identity) || gateway.registry.get(ticket.session).is_some() {
        return None;
    }
    let key = record::key(ticket.session);
    let (version, owner) = match gateway.engine.parked(&key).await.ok()? {
        None => (0, ticket.incarnation),
        Some(found) => {
            let record = Record::open(gateway.auth.tickets(), ticket.session, &found.state)?;
            // One that is parked is resumed, not opened again.
            let Record::Owned(owner) = record else { return None };
            (found.version, owner)
        }
    };
    if !is_dead(gateway, &owner).await {
        return None;
    }
    let claimed = parking::claim(gateway, ticket.session, version).await.ok()?;
    claimed.then(|| {
        gateway.metrics.sessions_rebuilt.inc();
        Again { session: ticket.session, version: version + 1 }
    })
}

fn is_subject(ticket: &SessionTicket, identity: &Identity) -> bool {
    ticket.user.as_deref() == identity.user.as_deref()
}

async fn is_dead(gateway: &Gateway, owner: &str) -> bool {
    let owner = Incarnation(owner.into());
    if owner == gateway.incarnation() {
        return false;
    }
    gateway.lease.is_retired(&owner.0)
        || matches!(peers::status(gateway, &owner).await, Ok(NodeStatus::Dead))
}
