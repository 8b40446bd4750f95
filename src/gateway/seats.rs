//! How many sessions a user may have, over all nodes: a session takes its seat in the presence of
//! `@user:<subject>` once its client has answered, in one step with the count of those there.
//!
//! One that only resumes or moves has its seat; one opened again in the place of a lost one has it
//! while presence lists its member. While the engine cannot be reached nobody is refused.

use std::sync::Arc;
use std::time::Duration;

use crate::config::limits::Over;
use crate::engine::types::{EngineError, Entrance, Seat};
use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};

use super::disconnect::{self, Whose};
use super::driver::Driver;
use super::listing;

/// How often room is made for one session, as others may take it meanwhile.
const TRIES: usize = 16;
/// When a client tries again whose user has too many sessions, in milliseconds.
const RETRY_MS: u32 = 30_000;

/// Whether a session has its user's seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It goes on.
    Yes,
    /// It is over: its user has too many.
    Refused,
    /// The engine is away.
    NotYet,
}

/// A session is to be listed in presence: it takes its user's seat first.
pub(super) async fn take(driver: &Arc<Driver>, away: bool) -> Taken {
    let Some((user, own)) = seat_of(driver) else { return Taken::Yes };
    let limits = &driver.gateway.config.limits;
    let how = Entrance { again: false, most: limits.sessions_per_user };
    for _ in 0..TRIES {
        match listing::enter(driver, &own, away, how).await {
            Ok(()) => {
                driver.take_seat();
                return Taken::Yes;
            }
            Err(EngineError::Full(_)) if is_full(driver, &user).await => {}
            Err(EngineError::Unavailable | EngineError::Unknown) => return Taken::NotYet,
            // It is counted when it is listed the next time.
            Err(_) => return Taken::Yes,
        }
        let made = match limits.sessions_per_user_over {
            Over::Refuse => false,
            Over::Oldest => make_room(driver, &user, &own).await,
        };
        if !made {
            break;
        }
    }
    driver.gateway.metrics.session_refused(ErrorCode::TooManySessions);
    let why = "this user has as many sessions as one may have";
    driver.end(Refusal::new(ErrorCode::TooManySessions).because(why).retry_in(RETRY_MS));
    Taken::Refused
}

/// The channel in which a session is still to take its seat.
pub(super) fn wanted(driver: &Driver) -> Option<Channel> {
    seat_of(driver).map(|(_, own)| own)
}

/// Whose seat a session must take, and the channel that lists it; nothing where it has one already,
/// or needs none.
fn seat_of(driver: &Driver) -> Option<(String, Channel)> {
    let user = driver.user.as_deref().filter(|_| !driver.feed && !driver.has_seat())?;
    Some((user.to_owned(), Channel::of_user(user).ok()?))
}

/// Whether it is the user's bound that was met, and not one of the engine.
async fn is_full(driver: &Driver, user: &str) -> bool {
    let gateway = &driver.gateway;
    let found = gateway.engine.users(&[user.to_owned()]).await;
    let most = gateway.config.limits.sessions_per_user;
    found.is_ok_and(|found| found.first().is_some_and(|user| user.sessions >= most))
}

/// Ends the oldest of a user's sessions, wherever it is. Returns whether there was another one.
async fn make_room(driver: &Driver, user: &str, own: &Channel) -> bool {
    let gateway = &driver.gateway;
    let Ok(seats) = gateway.engine.seats(own).await else { return false };
    let others = seats.into_iter().filter(|seat| seat.id != driver.member);
    let Some(Seat { id, fence, .. }) =
        others.min_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)))
    else {
        return false;
    };
    let whose = Whose::Seat { user: user.to_owned(), member: id.0.to_string() };
    // The seat is free at once, though its node were gone.
    disconnect::disconnect(gateway, whose).await.is_ok()
        && gateway.engine.leave(own, &id, fence, Duration::ZERO).await.is_ok()
}
