//! After the store may have lost changes of presence (a restart, a failover): the members of this node
//! are listed again, and what is listed of this node beside them is withdrawn (contract R1, R5).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, sleep};

use crate::engine::types::{EngineError, Entrance, Incarnation, MemberId};
use crate::protocol::channel::Channel;
use crate::session::input::Effect;

use super::Gateway;
use super::driver::{Driver, first_fence};
use super::listing;
use super::presence::LOOK;

/// After a loss every node has the lists read again that are watched, within this time: a probe finds the
/// loss, and what the nodes list again has come by then.
const READ_AGAIN: Duration = Duration::from_secs(9);
/// For so long members are listed again without a word: every node reads the lists 5 s after it found the
/// loss, which it may have done 2 s before this one.
const SILENT: Duration = Duration::from_secs(3);
/// Members that are listed again, or withdrawn, at once.
const AT_ONCE: usize = 64;

/// Brings presence and this node into line; returns when that is done, or the node goes.
pub(super) async fn audit(gateway: Arc<Gateway>) {
    let loss = Loss::of(&gateway);
    // Below that of whoever comes from here on.
    let fence = first_fence();
    list_all(&gateway, &loss).await;
    // Who could not come back meanwhile has its grace, and leaves in order after it; and who watches has
    // seen by then that the store lists again who had left.
    let grace = gateway.config.session.grace;
    sleep(grace.max(READ_AGAIN)).await;
    while gateway.lease.was_away(grace) && !gateway.is_draining() {
        sleep(LOOK).await;
    }
    if !loss.is_last(&gateway) {
        // What is withdrawn is so after the grace of the last.
        return;
    }
    let _turn = gateway.withdrawing.lock().await;
    withdraw(&gateway, fence).await;
}

/// A loss that was found.
struct Loss {
    number: u64,
    found: Instant,
}

impl Loss {
    fn of(gateway: &Gateway) -> Self {
        Self { number: gateway.losses.fetch_add(1, Relaxed) + 1, found: Instant::now() }
    }

    /// Whether none came after it, whose audit lists every member anew.
    fn is_last(&self, gateway: &Gateway) -> bool {
        gateway.losses.load(Relaxed) == self.number
    }

    /// Nobody is told of who is listed before everyone reads the lists; of who is later, all are who do
    /// not find it there.
    fn entrance(&self) -> Entrance {
        Entrance { again: self.found.elapsed() < SILENT, ..Entrance::default() }
    }
}

/// A session, and of the channels in which it is to be listed those alone where it could not be.
struct Unlisted {
    driver: Arc<Driver>,
    only: Option<HashSet<Channel>>,
}

/// Lists every member again, wherever it is one, until the store has taken all of them.
async fn list_all(gateway: &Arc<Gateway>, loss: &Loss) {
    let all = gateway.registry.all().into_iter();
    let mut left: Vec<_> = all.map(|driver| Unlisted { driver, only: None }).collect();
    loop {
        let listed = futures::stream::iter(left).map(|one| list_again(one, loss));
        left = listed.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
        if left.is_empty() {
            return;
        }
        tracing::warn!(sessions = left.len(), "members could not be listed again yet");
        sleep(LOOK).await;
        if gateway.is_draining() || !loss.is_last(gateway) {
            return;
        }
    }
}

/// Lists a member again wherever it is one still; returns where the store could not be reached.
async fn list_again(Unlisted { driver, only }: Unlisted, loss: &Loss) -> Option<Unlisted> {
    let mut failed = HashSet::new();
    let wanted = |channel: &Channel| only.as_ref().is_none_or(|only| only.contains(channel));
    for (channel, away) in places(&driver).into_iter().filter(|(channel, _)| wanted(channel)) {
        let member = listing::member(&driver, away, driver.next_fence());
        if driver.is_gone() {
            // The node may be another incarnation since, which would keep it listed.
            return None;
        }
        match driver.gateway.engine.join(&channel, member, loss.entrance()).await {
            Ok(()) => {}
            Err(EngineError::Unavailable | EngineError::Unknown) => drop(failed.insert(channel)),
            Err(error) => tracing::warn!(%error, "a member could not be listed again"),
        }
    }
    (!failed.is_empty()).then_some(Unlisted { driver, only: Some(failed) })
}

/// The channels of which a session is a member, with whether it is away.
fn places(driver: &Driver) -> Vec<(Channel, bool)> {
    let joins = driver.with(|session| session.reassert()).into_iter();
    joins
        .filter_map(|effect| match effect {
            Effect::Join { channel, away } => Some((channel, away)),
            _ => None,
        })
        .collect()
}

/// Takes off the lists what this node does not hold, and did not when the audit began, with `fence`.
async fn withdraw(gateway: &Arc<Gateway>, fence: u64) {
    let of = gateway.incarnation();
    let here = Here::of(gateway);
    let mut part = 0;
    while !gateway.is_draining() && of == gateway.incarnation() {
        match gateway.engine.asserted(&of, part).await {
            Ok(None) => return,
            Ok(Some(entries)) => {
                let gone = entries.into_iter().filter_map(|(channel, member)| {
                    let fence = here.gone(&channel, &member, fence)?;
                    Some((channel, member, fence))
                });
                futures::stream::iter(gone)
                    .for_each_concurrent(AT_ONCE, |gone| leave(gateway, gone, &of))
                    .await;
                part += 1;
            }
            // It is read again once the store is there.
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// Whom this node answers for in presence.
struct Here {
    sessions: HashMap<MemberId, Arc<Driver>>,
    /// They are just coming, or have left and are looked after.
    moving: HashSet<MemberId>,
}

impl Here {
    fn of(gateway: &Gateway) -> Self {
        // Who comes is here before it is no longer coming; who leaves is looked after before it is
        // gone, and until it has come back.
        let mut moving: HashSet<_> = gateway.watched.members().collect();
        let coming = gateway.arriving.lock().clone();
        let member = |session| gateway.auth.tickets().member_id(session).ok();
        moving.extend(coming.into_iter().filter_map(member).map(|id| MemberId(id.into())));
        let drivers = gateway.registry.all().into_iter();
        let sessions = drivers.map(|driver| (driver.member.clone(), driver)).collect();
        moving.extend(gateway.watched.members());
        Self { sessions, moving }
    }

    /// The fence with which a member leaves a channel that it is not in; nothing where it stays.
    fn gone(&self, channel: &Channel, member: &MemberId, fence: u64) -> Option<u64> {
        let Some(driver) = self.sessions.get(member) else {
            return (!self.moving.contains(member)).then_some(fence);
        };
        // Below that of a join which comes between.
        let fence = driver.next_fence();
        (!driver.with(|session| session.may_be_in(channel))).then_some(fence)
    }
}

async fn leave(
    gateway: &Gateway,
    (channel, member, fence): (Channel, MemberId, u64),
    of: &Incarnation,
) {
    let mut done = gateway.engine.withdraw(&channel, &member, fence, of).await;
    while matches!(done, Err(EngineError::Unavailable | EngineError::Unknown))
        && !gateway.is_draining()
    {
        sleep(LOOK).await;
        done = gateway.engine.withdraw(&channel, &member, fence, of).await;
    }
}
