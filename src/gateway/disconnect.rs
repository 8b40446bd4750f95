//! Ending sessions from outside, on every node.

use serde::{Deserialize, Serialize};

use crate::engine::types::EngineError;
use crate::protocol::channel::Channel;
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
}

impl Whose {
    /// Whether a session is meant.
    pub(super) fn is_of(&self, driver: &Driver) -> bool {
        match self {
            Self::User(user) => driver.identity().user.as_deref() == Some(user),
            Self::Member(member) => &*driver.member.0 == member,
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
    let own = match &whose {
        Whose::User(user) => Channel::of_user(user).ok(),
        Whose::Member(_) => None,
    };
    let elsewhere = match own {
        Some(own) => gateway.engine.members(&own).await.map_err(failed)?.count,
        None => 0,
    };
    let ended = here(gateway, &whose);
    control::say_disconnect(gateway, whose).await.map_err(failed)?;
    Ok(ended.max(elsewhere))
}

/// Ends those on this node. Returns how many there were.
pub(super) fn here(gateway: &Gateway, whose: &Whose) -> usize {
    let drivers: Vec<_> =
        gateway.registry.all().into_iter().filter(|driver| whose.is_of(driver)).collect();
    for driver in &drivers {
        driver.end(ErrorCode::Disconnected);
    }
    drivers.len()
}
