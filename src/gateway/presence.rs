//! Who is there: in channels, and users over all their sessions. A hint, within stated bounds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::sleep;

use crate::auth::Identity;
use crate::config::grants::Right;
use crate::config::namespaces::Presence;
use crate::engine::types::{EngineError, MemberId, PresenceSnapshot, PresenceState};
use crate::protocol::channel::Channel;
use crate::protocol::down::{self, SessionDown};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::session::Millis;
use crate::telemetry::clock::now_ms;

use super::Gateway;
use super::driver::Driver;
use super::effects::lists;
use super::rules::Rules;
use super::subscribe::engine_refusal;
use super::{lease, listing};

/// Above so many members a channel gives counts only.
pub const MEMBERS_MAX: usize = 1000;

/// Who is in a channel, as a client gets it.
#[derive(Debug, serde::Serialize)]
pub struct ChannelPresence {
    /// How many.
    pub n: usize,
    /// Who, where the channel's rules say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Box<RawValue>>>,
}

/// A user's state, as a client gets it.
#[derive(Debug, serde::Serialize)]
pub struct UserState {
    /// Over all sessions.
    pub state: PresenceState,
    /// How many sessions: devices, tabs.
    pub sessions: usize,
    /// When the user was last there, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<u64>,
}

/// The answer to a presence query.
#[derive(Debug, Default, serde::Serialize)]
pub struct PresenceAnswer {
    /// By channel.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<String, ChannelPresence>,
    /// By user.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, UserState>,
}

/// Whether an identity may see who is in a channel.
pub(super) fn may_see(identity: &Identity, rules: &Rules, channel: &Channel) -> bool {
    rules.public || identity.caps.allows(channel, Right::Presence)
}

/// Answers a session's query. What it may not see refuses the whole.
pub(super) async fn of_session(
    driver: &Driver,
    channels: &[Channel],
    users: &[String],
) -> Result<PresenceAnswer, Refusal> {
    let identity = driver.identity();
    for channel in channels {
        let rules = Rules::of(&driver.gateway.config, channel)?;
        if !may_see(&identity, &rules, channel) {
            return Err(ErrorCode::Forbidden.into());
        }
    }
    for user in users {
        let channel = Channel::of_user(user).map_err(|_| ErrorCode::BadChannel)?;
        let own = identity.user.as_deref() == Some(user);
        if !own && !identity.caps.allows(&channel, Right::Presence) {
            return Err(ErrorCode::Forbidden.into());
        }
    }
    query(&driver.gateway, channels, users).await
}

/// Answers a query.
/// # Errors
/// `not_provided` where a channel has no presence, and the engine's.
pub async fn query(
    gateway: &Gateway,
    channels: &[Channel],
    users: &[String],
) -> Result<PresenceAnswer, Refusal> {
    let failed = |error: EngineError| engine_refusal(&error);
    let mut answer = PresenceAnswer::default();
    for channel in channels {
        let rules = Rules::of(&gateway.config, channel)?;
        if !lists(&rules) {
            let why = "this namespace has no presence";
            return Err(Refusal::new(ErrorCode::NotProvided).because(why));
        }
        let snapshot = gateway.engine.members(channel).await.map_err(failed)?;
        let shows = rules.presence == Presence::Members && snapshot.count <= MEMBERS_MAX;
        let members = shows.then(|| snapshot.members.iter().filter_map(raw).collect());
        let presence = ChannelPresence { n: snapshot.count, members };
        answer.channels.insert(channel.to_string(), presence);
    }
    if !users.is_empty() {
        let states = gateway.engine.users(users).await.map_err(failed)?;
        for (user, found) in users.iter().zip(states) {
            let state = UserState {
                state: found.state,
                sessions: found.sessions,
                last_seen: found.last_seen,
            };
            answer.users.insert(user.clone(), state);
        }
    }
    Ok(answer)
}

fn raw(json: &Bytes) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(json.to_vec()).ok()?).ok()
}

/// The encoded list of members, or the count, of a channel that is watched.
pub(super) async fn snapshot_frame(
    gateway: &Arc<Gateway>,
    channel: &Channel,
) -> Result<Frame, EngineError> {
    let node = Arc::clone(gateway);
    let read = move |channel| read_snapshot(Arc::clone(&node), channel);
    gateway.snapshots.get(&gateway.tasks, channel, read).await
}

async fn read_snapshot(gateway: Arc<Gateway>, channel: Channel) -> Result<Frame, EngineError> {
    let snapshot = gateway.engine.members(&channel).await?;
    let counts = Rules::of(&gateway.config, &channel)
        .is_ok_and(|rules| counts_only(rules.presence, snapshot.count));
    Ok(if counts { count_frame(&channel, &snapshot) } else { members_frame(&channel, &snapshot) })
}

/// Whether a channel gives counts.
pub(super) fn counts_only(presence: Presence, count: usize) -> bool {
    presence == Presence::Count || count > MEMBERS_MAX
}

fn members_frame(channel: &Channel, snapshot: &PresenceSnapshot) -> Frame {
    down::members(channel, snapshot.version, &snapshot.members)
}

fn count_frame(ch: &Channel, snapshot: &PresenceSnapshot) -> Frame {
    SessionDown::Count { ch, v: snapshot.version, n: snapshot.count }.encode()
}

/// Between two looks at an engine that is away.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Takes a session off a channel's list, whose client was seen last at `seen`. Whose client could not
/// come back because the engine was away has its grace anew once it is there again (contract R2).
pub(super) async fn leave(driver: &Arc<Driver>, channel: Channel, seen: Millis) {
    let fence = driver.next_fence();
    leave_below(driver, channel, fence, seen).await;
}

/// The same, unless it is listed there with a higher fence.
pub(super) async fn leave_below(driver: &Arc<Driver>, channel: Channel, fence: u64, seen: Millis) {
    let gateway = &driver.gateway;
    let leaving = Leaving { channel, member: driver.member.clone(), fence, seen };
    let grace = gateway.config.session.grace;
    if !gateway.lease.was_away(grace) && leaving.is_done(gateway).await {
        return;
    }
    let (node, session) = (Arc::downgrade(gateway), Arc::downgrade(driver));
    // Not a task that the end of the node waits for: what is not done then, its lease's end does.
    tokio::spawn(async move {
        loop {
            sleep(LOOK).await;
            let Some(gateway) = node.upgrade().filter(|node| !node.is_draining()) else { return };
            let is_back = lease::ensure_back(&gateway, LOOK).await;
            if session.upgrade().is_some_and(|driver| driver.is_member(&leaving.channel)) {
                // It is back: its join may still wait for the engine too, and nothing of it may be
                // seen to leave meanwhile.
                return;
            }
            if is_back && !gateway.lease.was_away(grace) && leaving.is_done(&gateway).await {
                return;
            }
        }
    });
}

/// A member that is to leave. Its fence makes a leave harmless that comes after its return.
struct Leaving {
    channel: Channel,
    member: MemberId,
    fence: u64,
    seen: Millis,
}

impl Leaving {
    /// Whether nothing more is to be done.
    async fn is_done(&self, gateway: &Gateway) -> bool {
        let idle = Duration::from_millis(now_ms().saturating_sub(self.seen));
        let done = gateway.engine.leave(&self.channel, &self.member, self.fence, idle).await;
        !listing::is_away(&done)
    }
}
