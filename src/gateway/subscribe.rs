//! Beginning and ending a subscription.
//!
//! Readership is registered before the position is read, so everything above that position comes
//! (contract D6); what comes meanwhile the session keeps.

use std::sync::Arc;

use crate::auth::Identity;
use crate::config::grants::Right;
use crate::engine::types::EngineError;
use crate::protocol::channel::Channel;
use crate::protocol::down;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::position::{Position, Since};
use crate::protocol::up::Subscribe;
use crate::session::input::{ChannelKind, Start, SubId};

use super::driver::Driver;
use super::effects::{PAGE, event_input, lists};
use super::presence;
use super::rules::Rules;

/// A subscription that was asked for.
pub(super) struct Wanted {
    pub(super) sub: SubId,
    pub(super) channel: Channel,
    pub(super) since: Option<Since>,
    pub(super) presence: bool,
}

/// Begins a subscription; the error is encoded for the client.
pub(super) async fn begin(
    driver: &Arc<Driver>,
    wanted: &Wanted,
    re: Option<u64>,
) -> Result<Start, Frame> {
    let channel = &wanted.channel;
    let refused = |refusal: Refusal| down::frame_error(&refusal, re, Some(channel));
    let rules = may(driver, channel, wanted.presence).map_err(refused)?;
    register(driver, wanted.sub, channel).await.map_err(|error| refused(engine_refusal(&error)))?;
    match start(driver, wanted, &rules).await {
        Ok(start) => Ok(start),
        Err(error) => {
            end(driver, wanted.sub, channel).await;
            Err(refused(engine_refusal(&error)))
        }
    }
}

/// Gives a subscription its place in the fan-out: once this returns, what is published comes.
async fn register(driver: &Arc<Driver>, sub: SubId, channel: &Channel) -> Result<(), EngineError> {
    let gateway = &driver.gateway;
    gateway.interest.acquire(&*gateway.engine, channel).await?;
    driver.hold(sub, channel.clone());
    gateway.fanout.subscribe(channel, driver.reader, sub.0, Arc::clone(driver)).await;
    Ok(())
}

/// Gives every subscription of a session that came from another node its place.
pub(super) async fn again(driver: &Arc<Driver>) -> Result<(), EngineError> {
    for (sub, channel) in driver.with(|session| session.subscriptions()) {
        register(driver, sub, &channel).await?;
    }
    Ok(())
}

/// Gives the places back of a session that is gone from this node.
pub(super) async fn end_all(driver: &Driver) {
    while let Some((sub, channel)) = driver.let_one_go() {
        give_back(driver, sub, &channel).await;
    }
}

/// Ends a subscription; one that was refused has nothing to give back.
pub(super) async fn end(driver: &Driver, sub: SubId, channel: &Channel) {
    if driver.let_go(sub) {
        give_back(driver, sub, channel).await;
    }
}

async fn give_back(driver: &Driver, sub: SubId, channel: &Channel) {
    let gateway = &driver.gateway;
    gateway.fanout.unsubscribe(channel, driver.reader, sub.0).await;
    gateway.interest.release(&*gateway.engine, channel).await;
}

/// One that reads a channel sees who is there from here on.
/// # Errors
/// As for a subscription that asks for it at once.
pub(super) fn watch(driver: &Driver, seq: u64, wanted: &Subscribe) -> Result<Frame, Refusal> {
    may(driver, &wanted.ch, true)?;
    let watched = driver.with(|session| session.watch(&wanted.ch, seq));
    watched.ok_or_else(|| ErrorCode::NotSubscribed.into())
}

fn may(driver: &Driver, channel: &Channel, presence: bool) -> Result<Rules, Refusal> {
    let rules = Rules::of(&driver.gateway.config, channel)?;
    let identity = driver.identity();
    if !may_read(&identity, &rules, channel) {
        return Err(ErrorCode::Forbidden.into());
    }
    if presence {
        if !lists(&rules) {
            let detail = "this namespace has no presence";
            return Err(Refusal::new(ErrorCode::NotProvided).because(detail));
        }
        if !presence::may_see(&identity, &rules, channel) {
            return Err(ErrorCode::Forbidden.into());
        }
    }
    Ok(rules)
}

/// Whether an identity may read a channel.
pub(super) fn may_read(identity: &Identity, rules: &Rules, channel: &Channel) -> bool {
    rules.public || identity.caps.allows(channel, Right::Subscribe)
}

/// Whether an identity is there for others once it reads a channel: a user's own lists the user's devices alone.
fn joins(identity: &Identity, channel: &Channel) -> bool {
    channel.user().is_none_or(|subject| identity.user.as_deref() == Some(subject))
}

async fn start(driver: &Driver, wanted: &Wanted, rules: &Rules) -> Result<Start, EngineError> {
    let gateway = &driver.gateway;
    let kind = rules.kind();
    let members = if wanted.presence {
        Some(presence::snapshot_frame(gateway, &wanted.channel).await?)
    } else {
        None
    };
    let read = read(driver, wanted, kind).await?;
    Ok(Start {
        kind,
        member: lists(rules) && !driver.feed && joins(&driver.identity(), &wanted.channel),
        watches: wanted.presence,
        position: read.position,
        gap: read.gap,
        events: read.events,
        top: read.top,
        replays: read.replays,
        members,
    })
}

struct Read {
    position: Position,
    gap: Option<crate::protocol::position::GapReason>,
    events: Vec<crate::session::input::EventInput>,
    top: Position,
    replays: bool,
}

/// Reads where the subscription begins and what follows.
async fn read(driver: &Driver, wanted: &Wanted, kind: ChannelKind) -> Result<Read, EngineError> {
    let (engine, channel) = (&driver.gateway.engine, &wanted.channel);
    match (kind, &wanted.since) {
        (ChannelKind::State, _) => {
            let state = engine.state(channel).await?;
            let events = state.events.into_iter().map(event_input).collect();
            let (position, top) = (state.top.clone(), state.top);
            Ok(Read { position, gap: None, events, top, replays: true })
        }
        (ChannelKind::Durable, Some(since)) => {
            let page = engine.history(channel, since.clone(), PAGE).await?;
            if let Some(reason) = page.gap {
                driver.gateway.metrics.gap(reason);
            }
            let position = match (since, page.events.first()) {
                _ if page.gap.is_some() => page.top.clone(),
                (Since::After(position), _) => position.clone(),
                (Since::Oldest, Some(first)) => Position {
                    epoch: page.top.epoch.clone(),
                    offset: first.offset.saturating_sub(1),
                    tag: first.prev,
                },
                (Since::Oldest, None) => page.top.clone(),
            };
            let events = page.events.into_iter().map(event_input).collect();
            Ok(Read { position, gap: page.gap, events, top: page.top, replays: true })
        }
        (ChannelKind::Durable | ChannelKind::Ephemeral, _) => {
            let top = engine.top(channel).await?;
            let position = top.clone();
            Ok(Read { position, gap: None, events: Vec::new(), top, replays: false })
        }
    }
}

/// What an engine's failure is to a client.
pub fn engine_refusal(error: &EngineError) -> Refusal {
    let code = match error {
        EngineError::Conflict { .. } => ErrorCode::Conflict,
        EngineError::DuplicateId => ErrorCode::DuplicateId,
        EngineError::Full(_) | EngineError::Unavailable => ErrorCode::Unavailable,
        EngineError::Unknown => ErrorCode::UnknownOutcome,
    };
    Refusal::new(code)
}
