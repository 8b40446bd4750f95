//! Coming back to a session: a candidate connection, an `attach`, a fresh token.

use std::sync::Arc;

use crate::auth::tickets::SessionTicket;
use crate::protocol::down::{Hello, LinkDown};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::up::VERSION;
use crate::session::input::{ConnId, ConnKind, Input};
use crate::telemetry::clock::wall_ms;

use super::candidates::{self, Place};
use super::driver::Driver;
use super::link::LinkPort;
use super::owner::{self, Owner, Trail};
use super::peers::{Answer, PARK_WITHIN, Question, Unreachable};
use super::presence::may_see;
use super::rules::Rules;
use super::subscribe::may_read;
use super::{Gateway, open, record, tickets};

/// Lets the client of a ticket go on with its session. A token that comes with it takes effect.
/// # Errors
/// `token_expired` where the ticket's time is over and no token came, and what the token refuses.
pub(super) fn admit(
    driver: &Arc<Driver>,
    ticket: &SessionTicket,
    token: Option<&str>,
) -> Result<(), Refusal> {
    match token {
        Some(token) => renew(driver, token).map(|_| ()),
        None if is_over(ticket) => Err(ErrorCode::TokenExpired.into()),
        None => Ok(()),
    }
}

/// A fresh token for a session: of the same subject. What it no longer allows ends.
/// Returns in how many milliseconds it ends.
///
/// # Errors
/// What the token refuses, and `forbidden` for another subject.
pub fn renew(driver: &Arc<Driver>, token: &str) -> Result<Option<u64>, Refusal> {
    let gateway = &driver.gateway;
    let mut identity = gateway.verify(token)?;
    let before = driver.identity();
    if identity.user != before.user {
        return Err(Refusal::new(ErrorCode::Forbidden).because("the token is another subject's"));
    }
    identity.info = identity.info.or_else(|| before.info.clone());
    let ticket = tickets::session_ticket(gateway, (driver.id, driver.version()), &identity)?.into();
    let expires_ms = identity.expires_at_ms.map(|at| at.saturating_sub(wall_ms()));
    let expires_at = open::expires_at(&identity);
    driver.renewed(Arc::new(identity), Input::Renewed { ticket, expires_at });
    revoke(driver);
    Ok(expires_ms)
}

/// Ends the subscriptions, and the presence of those that stay, that the identity no longer allows.
fn revoke(driver: &Driver) {
    let (identity, config) = (driver.identity(), &driver.gateway.config);
    let code = ErrorCode::Forbidden;
    for (sub, channel) in driver.with(|session| session.subscriptions()) {
        let rules = Rules::of(config, &channel);
        if !rules.as_ref().is_ok_and(|rules| may_read(&identity, rules, &channel)) {
            driver.handle(Input::Revoke { sub, code });
        } else if !rules.is_ok_and(|rules| may_see(&identity, &rules, &channel)) {
            driver.handle(Input::Unwatch { sub, code });
        }
    }
}

/// A connection that showed a ticket begins to prove itself: it gets its hello. Where the session is
/// with another node, it waits here for its `attach`.
/// # Errors
/// `bad_ticket`, `session_gone`, what [`admit`] refuses, and what refuses a session from another node.
pub async fn candidate(
    gateway: &Arc<Gateway>,
    ticket: &str,
    conn: ConnId,
    nonce: &str,
    port: Arc<dyn LinkPort>,
) -> Result<Place, Refusal> {
    let ticket = gateway.auth.tickets().open_session(ticket)?;
    let here = owner::here_for(gateway, &ticket).await;
    let via = gateway.via(nonce);
    let hello = LinkDown::Hello(Hello { v: VERSION, via: &via, nonce, opened: None }).encode();
    if let Some(driver) = here {
        admit(&driver, &ticket, None)?;
        driver.connect(conn, nonce, port);
        driver.greet(conn, &hello, Input::Candidate { conn, kind: ConnKind::Push });
        return Ok(Place::Here(driver));
    }
    if let Some(why) = gateway.endings.of(ticket.session) {
        return Err(why);
    }
    if !gateway.is_shared() {
        return Err(Trail::new(gateway, &ticket).nowhere());
    }
    if is_over(&ticket) {
        return Err(ErrorCode::TokenExpired.into());
    }
    open::admit(gateway)?;
    let waiting = candidates::enter(gateway, ticket, (conn, nonce), port)?;
    waiting.write(&hello);
    Ok(Place::Waits(waiting))
}

fn is_over(ticket: &SessionTicket) -> bool {
    ticket.expires_at_ms.is_some_and(|at| at <= wall_ms())
}

/// What became of a session that was to come.
#[derive(Debug)]
pub(super) enum Brought {
    /// It is here.
    Here(Arc<Driver>),
    /// It stays: it has this link, which is as high.
    Superseded(u64),
}

/// Brings the session of a ticket to this node, which admitted it before, for a link.
/// # Errors
/// `session_gone`, `session_kept`, and what taking it refuses.
pub(super) async fn bring(
    gateway: &Arc<Gateway>,
    ticket: &SessionTicket,
    link: u64,
) -> Result<Brought, Refusal> {
    let mut trail = Trail::new(gateway, ticket).admitted();
    loop {
        let peer = match trail.next().await? {
            Owner::Here(driver) => return Ok(Brought::Here(driver)),
            Owner::There(peer) => peer,
        };
        open::has_place(gateway)?;
        let Some(peers) = &gateway.peers else { return Err(ErrorCode::SessionGone.into()) };
        let question = Question::Park(record::key(ticket.session), link, ticket.version);
        match peers.ask(&peer, &question, PARK_WITHIN).await {
            Ok(Answer::Busy) => return Err(owner::kept()),
            Ok(Answer::Superseded(link)) => return Ok(Brought::Superseded(link)),
            Ok(Answer::Refused { code, detail, retry_ms, .. }) => {
                return Err(Refusal { code, detail, retry_ms });
            }
            Ok(_) => {}
            Err(Unreachable) => trail.bring(&peer, Some(link)).await?,
        }
    }
}
