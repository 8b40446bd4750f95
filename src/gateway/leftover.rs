//! What presence still lists of a session that has left this node. Mostly another node has listed it
//! anew by then, under a higher fence; where none has, the member leaves in its time, though the
//! session is nowhere (contract R1).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::engine::types::{EngineError, MemberId};
use crate::protocol::channel::Channel;
use crate::telemetry::clock::{now_ms, wall_ms};

use super::driver::Driver;
use super::record::{self, Record};
use super::{Gateway, parking};

/// Between two tries while the engine is away.
const AGAIN: Duration = Duration::from_secs(2);

/// Members whose sessions have left this node and are looked after; how often each.
#[derive(Debug, Default)]
pub(super) struct Watched(Mutex<HashMap<MemberId, usize>>);

impl Watched {
    pub(super) fn members(&self) -> impl Iterator<Item = MemberId> {
        self.0.lock().keys().cloned().collect::<Vec<_>>().into_iter()
    }

    fn begin(&self, member: &MemberId) {
        *self.0.lock().entry(member.clone()).or_default() += 1;
    }

    fn end(&self, member: &MemberId) {
        let mut watched = self.0.lock();
        if let Some(count) = watched.get_mut(member) {
            *count -= 1;
            if *count == 0 {
                watched.remove(member);
            }
        }
    }
}

/// A session that was here.
#[derive(Debug)]
pub(super) struct Left {
    session: u128,
    /// The version of its record while it was here: parked, it has the next.
    version: u64,
    member: MemberId,
    channels: Vec<Channel>,
    /// What it was listed with here at most, below what any later owner lists it with.
    fence: u64,
}

impl Left {
    /// Of a session that is about to be gone, with the version of its record then, the channels that
    /// may list it, and its highest fence.
    pub(super) fn new(driver: &Driver, version: u64, channels: Vec<Channel>, fence: u64) -> Self {
        let (session, member) = (driver.id, driver.member.clone());
        Self { session, version, member, channels, fence }
    }

    /// Looks after it once its grace is over; after the engine was away that is anew, as another node
    /// may have it that could not list it (contract R2). The end of the node does not wait for that:
    /// then the members go with its lease.
    pub(super) fn watch(self, gateway: &Arc<Gateway>) {
        gateway.watched.begin(&self.member);
        let node = Arc::clone(gateway);
        tokio::spawn(async move {
            let grace = Duration::from_millis(node.settings.grace);
            sleep(grace).await;
            while !node.is_draining()
                && (node.lease.was_away(grace) || !self.is_settled(&node).await)
            {
                sleep(AGAIN).await;
            }
            node.watched.end(&self.member);
        });
    }

    /// Takes the session back that nobody came for, else says that it has left wherever no later
    /// owner lists it. False where that is to be tried again.
    async fn is_settled(&self, gateway: &Arc<Gateway>) -> bool {
        let Ok(found) = gateway.engine.parked(&record::key(self.session)).await else {
            return false;
        };
        if let Some(found) = found.filter(|found| found.version == self.version + 1)
            && let Some(Record::Parked(whole)) =
                Record::open(gateway.auth.tickets(), self.session, &found.state)
        {
            let lay = wall_ms().saturating_sub(whole.at);
            let detached = whole.session.detached(lay, &gateway.settings);
            let taken = parking::take(gateway, self.session, self.version + 1, *whole, true).await;
            if let Ok(Some(driver)) = &taken {
                driver.with(|session| session.unclaimed(detached, now_ms()));
            }
            return taken.is_ok();
        }
        self.leave(gateway).await.is_ok()
    }

    async fn leave(&self, gateway: &Gateway) -> Result<(), EngineError> {
        let ago = Duration::from_millis(gateway.settings.grace);
        for channel in &self.channels {
            gateway.engine.leave(channel, &self.member, self.fence, ago).await?;
        }
        Ok(())
    }
}
