//! Sessions that leave this node and sessions that come to it, as values under their record in the
//! engine. Who raises the record's version has the session: of two takers one wins.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::auth::Identity;
use crate::engine::types::{EngineError, MemberId, ParkedSession};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::session::Session;
use crate::session::input::Input;
use crate::telemetry::clock::{now_ms, wall_ms};

use super::driver::{Begins, Begun, Driver, Taker};
use super::owner::Arriving;
use super::record::{self, Record, Whole};
use super::{Gateway, control, open, owner, subscribe, tickets, unsettled};

/// How long what is in flight may take to settle before a session is parked.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries to learn whether a record was stored.
const RETRY: Duration = Duration::from_millis(250);

/// What became of a session that was to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is not here, or no longer.
    Gone,
    /// It stays: it did not settle in time, or the engine took no record.
    Stays,
    /// It stays: it has this link, as high as the one for which it was to leave.
    Superseded(u64),
}

/// Has a session leave this node; `shown` is the version of the ticket that asks for it, if one does:
/// one of before the session came in another's place does not move it (M44). Goes on to its end though
/// the caller gives up.
pub(super) async fn park(
    gateway: &Arc<Gateway>,
    session: u128,
    taker: Taker,
    shown: Option<u64>,
) -> Outcome {
    let (to, outcome) = oneshot::channel();
    let node = Arc::clone(gateway);
    gateway.spawn(async move {
        let _ = to.send(leave(&node, session, taker, shown).await);
    });
    outcome.await.unwrap_or(Outcome::Stays)
}

async fn leave(gateway: &Arc<Gateway>, session: u128, taker: Taker, shown: Option<u64>) -> Outcome {
    let Some(driver) = owner::here(gateway, session).await else { return Outcome::Gone };
    if shown.is_some_and(|version| version < driver.born()) {
        // The one that is asked for was lost, and this came in its place.
        return Outcome::Gone;
    }
    let settled = match driver.begin_leaving(taker) {
        Begins::Now(settled) => settled,
        Begins::Superseded(link) => return Outcome::Superseded(link),
        Begins::Not => {
            // Somebody else has just begun.
            let stays = owner::here(gateway, session).await.is_some();
            return if stays { Outcome::Stays } else { Outcome::Gone };
        }
    };
    let outcome = match timeout(SETTLE_WITHIN, settled).await {
        Ok(Ok(())) if unsettled::settle(&driver, None).await => store(gateway, &driver).await,
        Ok(_) | Err(_) => Outcome::Stays,
    };
    match outcome {
        Outcome::Gone => driver.depart(),
        Outcome::Stays | Outcome::Superseded(_) => driver.stay(),
    }
    gateway.moves.notify_waiters();
    outcome
}

/// Writes the record of a session that is settled.
async fn store(gateway: &Arc<Gateway>, driver: &Driver) -> Outcome {
    let Some((whole, version)) = driver.freeze(gateway.control.position()) else {
        // It ended meanwhile, or something came in flight again.
        return if driver.is_over() { Outcome::Gone } else { Outcome::Stays };
    };
    let Ok(state) = Record::Parked(Box::new(whole)).seal(gateway.auth.tickets(), driver.id) else {
        return Outcome::Stays;
    };
    let left = driver.leftover();
    let parked = ParkedSession {
        version: version + 1,
        state,
        ttl: Duration::from_millis(gateway.settings.window),
    };
    match write(gateway, driver.id, &parked, version).await {
        Written::Yes => {
            gateway.metrics.sessions_parked.inc();
            left.watch(gateway);
            Outcome::Gone
        }
        // Another node has raised the version: it has the session.
        Written::Lost => {
            left.watch(gateway);
            Outcome::Gone
        }
        Written::No => Outcome::Stays,
    }
}

enum Written {
    Yes,
    No,
    Lost,
}

/// Raises a record. Where the outcome is unknown it is read until it is known, since a session that
/// is stored must not go on here; after the window nobody can come for it.
async fn write(
    gateway: &Gateway,
    session: u128,
    record: &ParkedSession,
    mut expected: u64,
) -> Written {
    let (engine, key) = (&gateway.engine, record::key(session));
    let until = Instant::now() + Duration::from_millis(gateway.settings.window);
    let mut unknown = false;
    while Instant::now() < until {
        match engine.park(&key, record.clone(), expected).await {
            Ok(()) => return Written::Yes,
            Err(EngineError::Conflict { .. }) => match engine.parked(&key).await {
                Ok(Some(found)) if is_same(&found, record) => return Written::Yes,
                Ok(Some(found)) if found.version != expected => return Written::Lost,
                // Its time was over.
                Ok(None) => expected = 0,
                Ok(Some(_)) | Err(_) => sleep(RETRY).await,
            },
            Err(EngineError::Unknown) => {
                unknown = true;
                sleep(RETRY).await;
            }
            Err(EngineError::Unavailable) if unknown => sleep(RETRY).await,
            Err(_) => return Written::No,
        }
    }
    Written::Lost
}

fn is_same(found: &ParkedSession, record: &ParkedSession) -> bool {
    found.version == record.version && found.state == record.state
}

/// Takes a session that nobody has; nothing where another was first. Goes on to its end though the
/// caller gives up: what the record says is then true.
/// # Errors
/// `draining`, `too_many_sessions` and, unless it was `admitted` before, `rate_limited`, and
/// `session_kept` where the engine cannot be reached.
pub(super) async fn take(
    gateway: &Arc<Gateway>,
    session: u128,
    version: u64,
    whole: Whole,
    admitted: bool,
) -> Result<Option<Arc<Driver>>, Refusal> {
    if admitted { open::has_place(gateway) } else { open::admit(gateway) }?;
    let (to, taken) = oneshot::channel();
    let node = Arc::clone(gateway);
    gateway.spawn(async move {
        let _ = to.send(come(&node, session, version, whole).await);
    });
    taken.await.unwrap_or_else(|_| Err(owner::kept()))
}

async fn come(
    gateway: &Arc<Gateway>,
    session: u128,
    version: u64,
    whole: Whole,
) -> Result<Option<Arc<Driver>>, Refusal> {
    let Some(_arriving) = Arriving::begin(gateway, session) else { return Ok(None) };
    let since = (whole.control.clone(), whole.at);
    let driver = revive(gateway, session, version + 1, whole)?;
    // Before the first input, so that what is published from here on comes.
    let taken = match subscribe::again(&driver).await {
        Ok(()) => claim(gateway, session, version, version + 1).await,
        Err(_) => Err(owner::kept()),
    };
    if !matches!(taken, Ok(true)) {
        driver.depart();
        return taken.map(|_| None);
    }
    gateway.remember(&driver);
    gateway.metrics.sessions_taken.inc();
    driver.arrive();
    control::obey_since(gateway, &driver, since).await;
    Ok(Some(driver))
}

/// Writes this node as the owner into a record of version `expected`, which becomes `version`. False
/// where it has another.
/// # Errors
/// `session_kept` where the engine cannot be reached.
pub(super) async fn claim(
    gateway: &Gateway,
    session: u128,
    expected: u64,
    version: u64,
) -> Result<bool, Refusal> {
    let owned = Record::Owned(gateway.incarnation().0.to_string());
    let state: Bytes = owned.seal(gateway.auth.tickets(), session)?;
    let ttl = record::owner_ttl(&gateway.settings);
    let record = ParkedSession { version, state, ttl };
    let key = record::key(session);
    match gateway.engine.park(&key, record.clone(), expected).await {
        Ok(()) => Ok(true),
        Err(EngineError::Conflict { .. }) => Ok(false),
        Err(EngineError::Unknown) => match gateway.engine.parked(&key).await {
            Ok(found) => Ok(found.is_some_and(|found| is_same(&found, &record))),
            Err(_) => Err(owner::kept()),
        },
        Err(_) => Err(owner::kept()),
    }
}

/// The session out of its value.
fn revive(
    gateway: &Arc<Gateway>,
    id: u128,
    version: u64,
    whole: Whole,
) -> Result<Arc<Driver>, ErrorCode> {
    let identity = Identity::from(whole.identity);
    let ticket = tickets::session_ticket(gateway, (id, version), &identity)?;
    let parked = whole.session.aged(wall_ms().saturating_sub(whole.at));
    let mut session = Session::restore(Arc::clone(&gateway.settings), parked, now_ms());
    let expires_at = open::expires_at(&identity);
    session.handle(Input::Renewed { ticket: ticket.into(), expires_at }, now_ms());
    let member = MemberId(gateway.auth.tickets().member_id(id)?.into());
    let (fence, has_seat, born) = (whole.fence, whole.has_seat, whole.born);
    let begun = Begun::new((id, member), Arc::new(identity), session);
    let begun = Begun { version, born, fence, has_seat, ..begun };
    Ok(Driver::new(Arc::clone(gateway), begun))
}

/// Lets go of every session, without a leave: their clients come back by their tickets.
pub(super) fn let_all_go(gateway: &Gateway) {
    for driver in gateway.registry.all() {
        if driver.feed {
            driver.end(ErrorCode::Draining);
        } else {
            driver.depart();
        }
    }
    gateway.moves.notify_waiters();
}
