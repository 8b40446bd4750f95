//! The record of a session in the engine: who has it, or its whole state while nobody has. Sealed,
//! so that the store learns nothing and a record cannot stand for another session's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::auth::Identity;
use crate::auth::capabilities::Capabilities;
use crate::auth::tickets::Tickets;
use crate::config::grants::{Pattern, Right};
use crate::engine::types::WallMs;
use crate::protocol::channel::Channel;
use crate::protocol::error::ErrorCode;
use crate::protocol::position::Position;
use crate::session::park::Parked;
use crate::session::settings::Settings;

/// What a record says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Record {
    /// This incarnation has the session.
    Owned(String),
    /// Nobody has it; whoever raises the version does.
    Parked(Box<Whole>),
}

/// A session as a value, with what its driver knew.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Whole {
    pub(super) session: Parked,
    /// When it was parked.
    pub(super) at: WallMs,
    /// The highest fence that was used.
    pub(super) fence: u64,
    /// Whether it counts among its user's sessions.
    pub(super) has_seat: bool,
    /// The version with which its client began to count.
    pub(super) born: u64,
    /// Up to where the control channel was obeyed.
    pub(super) control: Option<Position>,
    pub(super) identity: ParkedIdentity,
}

/// Who the session is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ParkedIdentity {
    user: Option<Arc<str>>,
    info: Option<Box<RawValue>>,
    caps: BTreeMap<Pattern, Vec<Right>>,
    expires_at_ms: Option<u64>,
}

impl From<&Identity> for ParkedIdentity {
    fn from(identity: &Identity) -> Self {
        Self {
            user: identity.user.clone(),
            info: identity.info.clone(),
            caps: identity.caps.grants(),
            expires_at_ms: identity.expires_at_ms,
        }
    }
}

impl From<ParkedIdentity> for Identity {
    fn from(parked: ParkedIdentity) -> Self {
        let own = parked.user.as_deref().and_then(|user| Channel::of_user(user).ok());
        Self {
            caps: Capabilities::new(parked.caps, own),
            user: parked.user,
            info: parked.info,
            expires_at_ms: parked.expires_at_ms,
        }
    }
}

impl Record {
    /// Seals it.
    pub(super) fn seal(&self, tickets: &Tickets, session: u128) -> Result<Bytes, ErrorCode> {
        let json = serde_json::to_vec(self).map_err(|_| ErrorCode::Internal)?;
        Ok(tickets.seal_record(session, &json)?.into())
    }

    /// Opens it; nothing where it is not this session's, or of another version of the program.
    pub(super) fn open(tickets: &Tickets, session: u128, sealed: &[u8]) -> Option<Self> {
        serde_json::from_slice(&tickets.open_record(session, sealed)?).ok()
    }
}

/// The key of a session's record.
pub(super) fn key(session: u128) -> String {
    format!("{session:032x}")
}

/// The session whose record has this key.
pub(super) fn session_of(key: &str) -> Option<u128> {
    u128::from_str_radix(key, 16).ok()
}

/// How long the record of an owner is kept: until the client must have taken the ticket that names
/// it, or is gone. That is the time until a silent link is dead, and the window, and once more.
pub(super) fn owner_ttl(settings: &Settings) -> Duration {
    let silent = settings.ping_hidden.saturating_mul(3);
    Duration::from_millis(settings.window.saturating_mul(2).saturating_add(silent))
}
