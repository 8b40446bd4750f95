//! Tickets: what a client shows to come back to its session, and what opens a plain feed.

use crate::auth::Identity;
use crate::auth::tickets::{FEED_CHANNELS_MAX, FeedTicket, SessionTicket};
use crate::config::grants::Right;
use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::telemetry::clock::wall_ms;

use super::Gateway;
use super::rules::Rules;

/// How long a feed ticket opens its channels at most: an hour, in milliseconds.
pub const FEED_TICKET_MS: u64 = 3_600_000;

/// A session's ticket, bound to its subject and to the end of its token. `version`: of its record.
pub(super) fn session_ticket(
    gateway: &Gateway,
    (session, version): (u128, u64),
    identity: &Identity,
) -> Result<String, ErrorCode> {
    gateway.auth.tickets().seal_session(&SessionTicket {
        session,
        incarnation: gateway.incarnation().0.to_string(),
        version,
        user: identity.user.as_deref().map(str::to_owned),
        expires_at_ms: identity.expires_at_ms,
        issued_ms: wall_ms(),
    })
}

/// A feed ticket for channels that the identity may read (any, for the backend), until `until` or
/// an hour from now. Returns it with how long it is good for, in milliseconds.
/// # Errors
/// `too_many` above 100 channels or with none, `forbidden`, and what the channels' rules refuse.
pub fn feed_ticket(
    gateway: &Gateway,
    identity: Option<&Identity>,
    channels: Vec<Channel>,
    until: Option<u64>,
) -> Result<(String, u64), Refusal> {
    if channels.is_empty() || channels.len() > FEED_CHANNELS_MAX {
        return Err(Refusal::new(ErrorCode::TooMany).because("a feed has 1 to 100 channels"));
    }
    for channel in &channels {
        let rules = Rules::of(&gateway.config, channel)?;
        let may =
            identity.is_none_or(|who| rules.public || who.caps.allows(channel, Right::Subscribe));
        if !may {
            return Err(ErrorCode::Forbidden.into());
        }
    }
    let now = wall_ms();
    let end = until.unwrap_or(u64::MAX).min(now + FEED_TICKET_MS);
    let ticket = gateway.auth.tickets().seal_feed(&FeedTicket { channels, expires_at_ms: end })?;
    Ok((ticket, end.saturating_sub(now)))
}
