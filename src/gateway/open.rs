//! Opening a session.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::auth::Identity;
use crate::engine::types::MemberId;
use crate::protocol::channel::Channel;
use crate::protocol::down::{Hello, Limits, LinkDown, Me, Opened, OutboxBound, PingMs};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::position::Since;
use crate::protocol::up::{Open, Subscribe, VERSION};
use crate::session::input::{ConnId, ConnKind, Input};
use crate::session::{Begin, Millis, Session};
use crate::telemetry::clock::{now_ms, wall_ms};

use super::driver::{Begun, Driver};
use super::link::LinkPort;
use super::rebuild::{self, Again};
use super::{Gateway, lease, tickets};

/// A connection or request that opens a session.
pub struct Opener<'a> {
    /// Its name.
    pub conn: ConnId,
    /// Its nonce.
    pub nonce: &'a str,
    /// How it carries frames.
    pub kind: ConnKind,
    /// A token that came with the request itself; the frame's wins.
    pub bearer: Option<&'a str>,
    /// The connection.
    pub port: Arc<dyn LinkPort>,
}

/// Opens a session, or goes on with the one whose ticket it shows where that is with no node any
/// more, and makes the connection its link. The hello is returned for an exchange, which puts it
/// before the answer, and written at once to anything else.
/// # Errors
/// `draining`, `too_many_sessions` and `rate_limited` before anything is looked at, `session_kept` where
/// the node of the session whose ticket it shows cannot be asked yet, then what the token refuses.
pub async fn open(
    gateway: &Arc<Gateway>,
    opener: Opener<'_>,
    open: Open,
) -> Result<(Arc<Driver>, Frame), Refusal> {
    admit(gateway)?;
    // Its ticket names the node that will have it still.
    lease::ensure_awake(gateway).await;
    let again = rebuild::claim(gateway, &open, opener.bearer).await;
    // It comes again, and is admitted then.
    let again = again.inspect_err(|_| {
        gateway.admission.give_back(gateway.config.limits.admission);
    })?;
    begin(gateway, opener, open, again.as_ref())
}

/// The same for one that was admitted. `again`: the session in whose place it comes.
pub(super) fn begin(
    gateway: &Arc<Gateway>,
    opener: Opener<'_>,
    open: Open,
    again: Option<&Again>,
) -> Result<(Arc<Driver>, Frame), Refusal> {
    let identity = identify(gateway, open.token.as_deref().or(opener.bearer), open.info)?;
    let id = again.map_or_else(rand::random, |again| again.session);
    let member = MemberId(gateway.auth.tickets().member_id(id)?.into());
    let version = again.map_or(0, |again| again.version);
    let ticket = tickets::session_ticket(gateway, (id, version), &identity)?;
    let hello = hello(gateway, opener.nonce, &ticket, (&member, &identity), again.is_some());
    let begin = Begin {
        ticket: ticket.into(),
        acks: open.ack,
        visible: open.visible,
        expires_at: expires_at(&identity),
    };
    let session = Session::open(Arc::clone(&gateway.settings), begin, now_ms());
    let identity = Arc::new(identity);
    let begun = Begun { version, born: version, ..Begun::new((id, member), identity, session) };
    let driver = Driver::new(Arc::clone(gateway), begun);
    register(gateway, &driver);
    if again.is_some() {
        driver.with(Session::inherits_presence);
    }
    let Opener { conn, kind, .. } = opener;
    driver.connect(conn, opener.nonce, opener.port);
    subscribe_first(gateway, &driver, open.subs);
    let input = Input::Opened { conn, kind, link: open.link };
    match kind {
        ConnKind::Push => driver.greet(conn, &hello, input),
        ConnKind::Poll => driver.handle(input),
    }
    Ok((driver, hello))
}

/// Adds a session to this node.
pub(super) fn register(gateway: &Gateway, driver: &Arc<Driver>) {
    gateway.remember(driver);
    gateway.metrics.sessions_opened.inc();
}

/// Refuses a session cheaply, before its token is looked at: where there is no place, and at the
/// node's rate.
pub(super) fn admit(gateway: &Gateway) -> Result<(), Refusal> {
    has_place(gateway)?;
    let admitted = gateway.admission.admit(gateway.config.limits.admission, now_ms());
    admitted.map_err(|wait_ms| {
        gateway.metrics.session_refused(ErrorCode::RateLimited);
        let why = "the node admits sessions at a rate; come back in retry_ms";
        Refusal::new(ErrorCode::RateLimited).because(why).retry_in(wait_ms)
    })
}

/// Refuses a session where there is no place.
pub(super) fn has_place(gateway: &Gateway) -> Result<(), Refusal> {
    let (code, retry_ms) = if !gateway.is_known() {
        (ErrorCode::Unavailable, 1_000)
    } else if gateway.is_draining() {
        (ErrorCode::Draining, 1_000)
    } else if gateway.sessions() >= gateway.config.limits.sessions {
        (ErrorCode::TooManySessions, 5_000)
    } else {
        return Ok(());
    };
    gateway.metrics.session_refused(code);
    Err(Refusal::new(code).retry_in(retry_ms))
}

/// Who a token says that this is, or anonymous.
pub(super) fn identify(
    gateway: &Gateway,
    token: Option<&str>,
    info: Option<Box<RawValue>>,
) -> Result<Identity, Refusal> {
    match token {
        Some(token) => Ok(gateway.verify(token)?),
        None => {
            let mut identity = gateway.auth.anonymous()?;
            identity.info = identity.info.or(info);
            Ok(identity)
        }
    }
}

/// When a token ends, on the monotonic clock.
pub(super) fn expires_at(identity: &Identity) -> Option<Millis> {
    identity.expires_at_ms.map(|at| now_ms() + at.saturating_sub(wall_ms()))
}

fn hello(
    gateway: &Gateway,
    nonce: &str,
    ticket: &str,
    (member, identity): (&MemberId, &Identity),
    rebuilt: bool,
) -> Frame {
    let settings = &gateway.settings;
    let me = Me {
        id: &member.0,
        user: identity.user.as_deref(),
        info: identity.info.as_deref(),
        state: None,
    };
    let opened = Opened {
        ticket,
        me,
        ping_ms: PingMs { visible: settings.ping_visible, hidden: settings.ping_hidden },
        window_ms: settings.window,
        hold_ms: u64::try_from(gateway.config.session.hold.as_millis()).unwrap_or_default(),
        outbox: OutboxBound { frames: settings.outbox_frames, bytes: settings.outbox_bytes },
        limits: Limits {
            frame_bytes: gateway.config.limits.frame_bytes,
            frames: gateway.config.limits.frames,
            subscriptions: settings.subscriptions,
        },
        expires_ms: identity.expires_at_ms.map(|at| at.saturating_sub(wall_ms())),
        rebuilt,
    };
    let via = gateway.via(nonce);
    LinkDown::Hello(Hello { v: VERSION, via: &via, nonce, opened: Some(opened) }).encode()
}

/// The user's own channel is an inbox: a device without a position there gets what is retained.
fn retained(driver: &Driver, channel: &Channel) -> Option<Since> {
    driver.is_own(channel).then_some(Since::Oldest)
}

/// The user's own channel, those that everyone joins, and those that the `open` named.
fn subscribe_first(gateway: &Gateway, driver: &Driver, asked: Vec<Subscribe>) {
    let own = driver.identity().user.as_deref().and_then(|user| Channel::of_user(user).ok());
    let everyones = gateway.config.auto_subscribe.iter().cloned();
    // What the client names comes first: its positions count.
    let asked_for = |ch: &Channel| asked.iter().any(|sub| sub.ch == *ch);
    let more: Vec<_> = own.into_iter().chain(everyones).filter(|ch| !asked_for(ch)).collect();
    driver.with(|session| {
        for mut sub in asked {
            sub.since = sub.since.or_else(|| retained(driver, &sub.ch));
            session.subscribe(sub);
        }
        for ch in more {
            let since = retained(driver, &ch);
            session.subscribe(Subscribe { ch, since, presence: false });
        }
    });
}
