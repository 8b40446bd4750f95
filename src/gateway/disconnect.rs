//! Ending sessions from outside, on every node.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::types::EngineError;
use crate::protocol::error::{ErrorCode, Refusal};

use super::driver::Driver;
use super::subscribe::engine_refusal;
use super::{Gateway, control};

/// Whose sessions to end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// A user's.
    User(String),
    /// The one of a member.
    Member(String),
    /// A member's, which gives its user's seat to a newer session.
    Seat {
        /// Of which user.
        user: String,
        /// Which.
        member: String,
    },
}

impl Whose {
    /// Whether a session is meant.
    pub(super) fn is_of(&self, driver: &Driver) -> bool {
        match self {
            Self::User(user) => driver.identity().user.as_deref() == Some(user),
            Self::Member(member) | Self::Seat { member, .. } => &*driver.member.0 == member,
        }
    }

    /// What its client is told.
    pub(super) fn why(&self) -> Refusal {
        match self {
            Self::User(_) | Self::Member(_) => ErrorCode::Disconnected.into(),
            Self::Seat { .. } => Refusal::new(ErrorCode::Superseded)
                .because("this user has too many sessions, and this was the oldest"),
        }
    }

    /// The sessions of this node that may be meant.
    fn among(&self, gateway: &Gateway) -> Vec<Arc<Driver>> {
        match self {
            Self::User(user) | Self::Seat { user, .. } => {
                let of_user = gateway.users.of(user).into_iter();
                of_user.filter_map(|session| gateway.registry.get(session)).collect()
            }
            Self::Member(_) => gateway.registry.all(),
        }
    }
}

/// Ends the sessions of a user or member, on this node at once and on the others as they are told.
/// Returns how many there were: of a user over all nodes as presence knows them, of a member here.
/// # Errors
/// Those of the engine, where the other nodes could not be told.
pub async fn disconnect(gateway: &Gateway, whose: Whose) -> Result<usize, Refusal> {
    if !gateway.is_shared() {
        return Ok(here(gateway, &whose));
    }
    let failed = |error: EngineError| engine_refusal(&error);
    let elsewhere = match &whose {
        Whose::User(user) => {
            let found = gateway.engine.users(std::slice::from_ref(user)).await.map_err(failed)?;
            found.first().map_or(0, |user| user.sessions)
        }
        Whose::Member(_) | Whose::Seat { .. } => 0,
    };
    let ended = here(gateway, &whose);
    control::say_disconnect(gateway, whose).await.map_err(failed)?;
    Ok(ended.max(elsewhere))
}

/// Ends those on this node. Returns how many there were.
pub(super) fn here(gateway: &Gateway, whose: &Whose) -> usize {
    let among = whose.among(gateway).into_iter();
    let drivers: Vec<_> = among.filter(|driver| whose.is_of(driver)).collect();
    for driver in &drivers {
        driver.end(whose.why());
    }
    drivers.len()
}
