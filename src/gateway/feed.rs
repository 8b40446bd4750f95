//! The plain feed: a read-only session that lives as long as its one connection.

use std::sync::Arc;

use crate::auth::Identity;
use crate::auth::capabilities::Capabilities;
use crate::config::grants::{Pattern, Right};
use crate::engine::types::MemberId;
use crate::protocol::channel::Channel;
use crate::protocol::down::{Hello, LinkDown};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::position::Since;
use crate::protocol::up::{Subscribe, VERSION};
use crate::session::input::{ConnId, ConnKind, Input};
use crate::session::{Begin, Session};
use crate::telemetry::clock::{now_ms, wall_ms};

use super::Gateway;
use super::driver::{Begun, Driver};
use super::link::LinkPort;
use super::open;
use super::rules::Rules;

/// What a feed reads, and by what right.
#[derive(Debug)]
pub struct FeedRequest {
    /// The channels, each with where to read on.
    pub channels: Vec<(Channel, Option<Since>)>,
    /// The nonce or feed ticket of the path.
    pub path: String,
    /// A token that came with the request.
    pub bearer: Option<String>,
}

/// Opens a feed over a connection.
/// # Errors
/// What the channels' rules, the token or the ticket refuse, before anything is written.
pub fn open_feed(
    gateway: &Arc<Gateway>,
    request: FeedRequest,
    conn: ConnId,
    port: Arc<dyn LinkPort>,
) -> Result<Arc<Driver>, Refusal> {
    open::has_place(gateway)?;
    let identity = identify(gateway, &request)?;
    for (channel, _) in &request.channels {
        let rules = Rules::of(&gateway.config, channel)?;
        let anyones = rules.public && rules.feed;
        if !anyones && !identity.caps.allows(channel, Right::Subscribe) {
            let anyone = request.bearer.is_none() && !is_ticket(&request.path);
            let code = if anyone { ErrorCode::Unauthorized } else { ErrorCode::Forbidden };
            return Err(code.into());
        }
    }
    let begin = Begin {
        ticket: "".into(),
        acks: false,
        visible: false,
        expires_at: open::expires_at(&identity),
    };
    let session = Session::open(Arc::clone(&gateway.settings), begin, now_ms());
    let member = MemberId(format!("{:016x}", rand::random::<u64>()).into());
    let (id, identity) = (rand::random(), Arc::new(identity));
    let begun = Begun { feed: true, ..Begun::new((id, member), identity, session) };
    let driver = Driver::new(Arc::clone(gateway), begun);
    open::register(gateway, &driver);
    // The path may be a ticket, which is not for showing again.
    let via = gateway.via("feed");
    let hello = Hello { v: VERSION, via: &via, nonce: "feed", opened: None };
    let hello = LinkDown::Hello(hello).encode();
    driver.connect(conn, "feed", port);
    driver.with(|session| {
        for (ch, since) in request.channels {
            session.subscribe(Subscribe { ch, since, presence: false });
        }
    });
    driver.greet(conn, &hello, Input::Opened { conn, kind: ConnKind::Push, link: 1 });
    Ok(driver)
}

/// Sealed tickets are longer than any nonce.
fn is_ticket(path: &str) -> bool {
    path.len() > crate::protocol::channel::NONCE_BYTES_MAX
}

fn identify(gateway: &Gateway, request: &FeedRequest) -> Result<Identity, Refusal> {
    if let Some(token) = &request.bearer {
        return Ok(gateway.verify(token)?);
    }
    let (grants, expires_at_ms) = if is_ticket(&request.path) {
        let ticket = gateway.auth.tickets().open_feed(&request.path, wall_ms())?;
        let grant = |channel| (Pattern::Exact(channel), vec![Right::Subscribe]);
        (ticket.channels.into_iter().map(grant).collect(), Some(ticket.expires_at_ms))
    } else {
        Default::default()
    };
    Ok(Identity { user: None, info: None, caps: Capabilities::new(grants, None), expires_at_ms })
}
