//! A session is listed in presence: by its effects where the engine is there, else by a task of its
//! own that waits for the engine, so that nothing else of the session has to (contract F3).
//!
//! That task lists the session only where it still is a member, and as what it is by then. It is no
//! effect: what follows a join may overtake it, so it takes back what it did where the session has
//! left meanwhile.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::sleep;

use crate::engine::types::{EngineError, Entrance, Member, PresenceState};
use crate::protocol::channel::Channel;
use crate::protocol::down::Me;

use super::driver::{Driver, Unlisted};
use super::lease;
use super::presence::{self, LOOK};
use super::seats::{self, Taken};

/// Lists a session in a channel's presence, now or once the engine is there.
pub(super) async fn begin(driver: &Arc<Driver>, channel: &Channel, away: bool) {
    let waits = driver.is_listing() || driver.gateway.lease.is_away();
    let done = !waits && join(driver, channel, away).await;
    if !done && driver.list_later(channel) {
        // Not a task that the end of the node waits for: it ends with the session.
        tokio::spawn(run(Arc::downgrade(driver)));
    }
}

async fn run(session: Weak<Driver>) {
    // At first at once: the engine may just be back.
    let mut every = Duration::ZERO;
    loop {
        let Some(driver) = session.upgrade() else { return };
        if lease::ensure_back(&driver.gateway, every).await {
            // Unwind safe: what was performed is the session's, which is over then.
            match AssertUnwindSafe(list_all(&driver)).catch_unwind().await {
                Ok(false) => {}
                Ok(true) => return,
                Err(_) => return driver.fail(),
            }
        }
        drop(driver);
        every = LOOK;
        sleep(LOOK).await;
    }
}

/// Whether nothing is left to be listed.
async fn list_all(driver: &Arc<Driver>) -> bool {
    loop {
        match driver.next_unlisted() {
            Unlisted::Nothing => return true,
            Unlisted::NotNow => return false,
            Unlisted::Place { channel, away } => {
                if !list(driver, &channel, away).await {
                    driver.list_later(&channel);
                    return false;
                }
            }
        }
    }
}

/// Lists it there; where it has left meanwhile, it leaves once more, as this may have come after its
/// leave. Whether that is done.
async fn list(driver: &Arc<Driver>, channel: &Channel, away: bool) -> bool {
    let seat = seats::wanted(driver);
    let done = join(driver, channel, away).await;
    for place in seat.as_ref().into_iter().chain([channel]) {
        if let Some((fence, seen)) = driver.left_place(place) {
            presence::leave_below(driver, place.clone(), fence, seen).await;
        }
    }
    done
}

/// Lists the session in a channel's presence, once it has its user's seat. False where the engine is
/// away, so that it is to be tried again.
async fn join(driver: &Arc<Driver>, channel: &Channel, away: bool) -> bool {
    let had_seat = driver.has_seat();
    match seats::take(driver, away).await {
        Taken::Yes => {}
        Taken::Refused => return true,
        Taken::NotYet => return false,
    }
    let is_listed = !had_seat && driver.has_seat() && driver.is_own(channel);
    is_listed || !is_away(&enter(driver, channel, away, Entrance::default()).await)
}

/// Whether the engine was away, or did not answer. The fence makes a repeat harmless.
pub(super) fn is_away(done: &Result<(), EngineError>) -> bool {
    matches!(done, Err(EngineError::Unavailable | EngineError::Unknown))
}

/// Lists the session in a channel's presence.
/// # Errors
/// As [`Engine::join`](crate::engine::Engine::join).
pub(super) async fn enter(
    driver: &Driver,
    channel: &Channel,
    away: bool,
    how: Entrance,
) -> Result<(), EngineError> {
    // What is written already, or gone, has its last fence: the next is its taker's.
    let Some(fence) = driver.fence_here() else { return Err(EngineError::Unavailable) };
    let member = member(driver, away, fence);
    if driver.is_gone() {
        // Since it was asked for: the node may be another incarnation, which would keep it listed.
        return Err(EngineError::Conflict { top: None });
    }
    driver.gateway.engine.join(channel, member, how).await.inspect_err(|error| {
        tracing::debug!(%error, "a member could not be listed");
    })
}

/// The session as a member, asserted with this fence.
pub(super) fn member(driver: &Driver, away: bool, fence: u64) -> Member {
    let identity = driver.identity();
    let state = if away { PresenceState::Away } else { PresenceState::Online };
    let me = Me {
        id: &driver.member.0,
        user: identity.user.as_deref(),
        info: identity.info.as_deref(),
        state: Some(if away { "away" } else { "online" }),
    };
    Member {
        id: driver.member.clone(),
        user: identity.user.clone(),
        incarnation: driver.gateway.incarnation(),
        fence,
        state,
        json: me.json(),
    }
}
