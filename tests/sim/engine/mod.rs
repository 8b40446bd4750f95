//! What one node sees of the shared store: the operations of an engine, and what the store
//! broadcasts.

mod access;
mod backplane;
mod mend;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use throughline::engine::types::{
    Delivery, EngineError, Entrance, Health, Incarnation, Member, MemberId, NodeStatus, Page,
    PageLimit, ParkedSession, PresenceSnapshot, PresenceState, Publish, Published, Renewal, Seat,
    StateSnapshot, UserPresence,
};
use throughline::engine::{Engine, Op};
use throughline::protocol::channel::Channel;
use throughline::protocol::position::{Position, Since};
use throughline::telemetry::clock::now_ms;
use tokio::sync::mpsc;

pub(crate) use self::access::Access;
use self::backplane::Backplane;
use crate::store::{LEASE_MS, Store};

/// Into how many parts channels are divided.
const PARTS: u16 = 32;

/// The engine of one node.
pub(crate) struct SimEngine {
    access: Arc<Access>,
    backplane: Arc<Backplane>,
    /// Since when the store was reached without a break and with the same mark.
    steady: Mutex<Option<(u64, u64)>>,
}

impl SimEngine {
    /// One that broadcasts into `deliveries`; its task ends with the node.
    pub(crate) fn start(
        access: Access,
        deliveries: mpsc::Sender<Delivery>,
        seed: u64,
    ) -> (Arc<Self>, tokio::task::JoinHandle<()>) {
        let access = Arc::new(access);
        let backplane = Arc::new(Backplane::new(Arc::clone(&access), deliveries, seed));
        let task = tokio::spawn(Arc::clone(&backplane).carry());
        (Arc::new(Self { access, backplane, steady: Mutex::default() }), task)
    }

    fn op<'a, T: Send + 'static>(
        &'a self,
        act: impl FnOnce(&mut Store) -> Result<T, EngineError> + Send + 'static,
    ) -> Op<'a, T> {
        Box::pin(async move { self.access.call(act).await? })
    }

    /// The same for what only reads: nothing can have landed.
    fn read<'a, T: Send + 'static>(
        &'a self,
        act: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Op<'a, T> {
        Box::pin(async move { self.access.call(act).await.map_err(|_| EngineError::Unavailable) })
    }

    fn proves_absence(&self, mark: u64) -> bool {
        let lasts = |since| now_ms() - since >= LEASE_MS;
        self.steady.lock().is_some_and(|(known, since)| known == mark && lasts(since))
    }

    fn renewed(&self, mark: Result<u64, ()>) {
        let mut steady = self.steady.lock();
        match mark {
            Err(()) => *steady = None,
            Ok(mark) if steady.is_none_or(|(known, _)| known != mark) => {
                *steady = Some((mark, now_ms()));
            }
            Ok(_) => {}
        }
    }
}

impl Engine for SimEngine {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn health(&self) -> Health {
        Health::Ready
    }

    fn publish(&self, publish: Publish) -> Op<'_, Published> {
        self.op(move |store| store.publish(&publish))
    }

    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: PageLimit) -> Op<'a, Page> {
        let channel = channel.clone();
        self.read(move |store| store.page(&channel, since, limit))
    }

    fn top<'a>(&'a self, channel: &'a Channel) -> Op<'a, Position> {
        let channel = channel.clone();
        self.read(move |store| store.top(&channel))
    }

    fn state<'a>(&'a self, channel: &'a Channel) -> Op<'a, StateSnapshot> {
        let channel = channel.clone();
        self.read(move |store| StateSnapshot { events: Vec::new(), top: store.top(&channel) })
    }

    fn subscribe<'a>(&'a self, channel: &'a Channel) -> Op<'a, ()> {
        Box::pin(self.backplane.subscribe(channel))
    }

    fn unsubscribe<'a>(&'a self, channel: &'a Channel) -> Op<'a, ()> {
        self.backplane.unsubscribe(channel);
        Box::pin(async { Ok(()) })
    }

    fn join<'a>(&'a self, channel: &'a Channel, member: Member, how: Entrance) -> Op<'a, ()> {
        let channel = channel.clone();
        self.op(move |store| store.join(&channel, member, how))
    }

    fn leave<'a>(
        &'a self,
        channel: &'a Channel,
        member: &'a MemberId,
        fence: u64,
        _ago: Duration,
    ) -> Op<'a, ()> {
        let (channel, member) = (channel.clone(), member.clone());
        self.op(move |store| {
            store.leave(&channel, &member, fence);
            Ok(())
        })
    }

    fn withdraw<'a>(
        &'a self,
        channel: &'a Channel,
        member: &'a MemberId,
        fence: u64,
        of: &'a Incarnation,
    ) -> Op<'a, ()> {
        let (channel, member, of) = (channel.clone(), member.clone(), of.clone());
        self.op(move |store| {
            store.withdraw(&channel, &member, fence, &of);
            Ok(())
        })
    }

    fn asserted<'a>(
        &'a self,
        incarnation: &'a Incarnation,
        part: u16,
    ) -> Op<'a, Option<Vec<(Channel, MemberId)>>> {
        let incarnation = incarnation.clone();
        self.read(move |store| (part < PARTS).then(|| store.asserted(&incarnation, part, PARTS)))
    }

    fn members<'a>(&'a self, channel: &'a Channel) -> Op<'a, PresenceSnapshot> {
        let channel = channel.clone();
        self.read(move |store| store.snapshot(&channel))
    }

    fn seats<'a>(&'a self, channel: &'a Channel) -> Op<'a, Vec<Seat>> {
        let channel = channel.clone();
        self.read(move |store| store.seats(&channel))
    }

    fn users<'a>(&'a self, subjects: &'a [String]) -> Op<'a, Vec<UserPresence>> {
        let channels = subjects.iter().map(|subject| Channel::of_user(subject).expect("a subject"));
        let channels: Vec<_> = channels.collect();
        self.read(move |store| {
            let user = |channel: &Channel| {
                let sessions = store.snapshot(channel).count;
                let state =
                    if sessions > 0 { PresenceState::Online } else { PresenceState::Offline };
                UserPresence { state, sessions, last_seen: None }
            };
            channels.iter().map(user).collect()
        })
    }

    fn renew<'a>(
        &'a self,
        incarnation: &'a Incarnation,
        address: Option<&'a str>,
    ) -> Op<'a, Renewal> {
        let (name, address) = (incarnation.clone(), address.map(str::to_owned));
        Box::pin(async move {
            self.backplane.listen_for(&name).await;
            let renewed = self
                .access
                .call(move |store| (store.renew(&name, address.as_deref()), store.known().1));
            let renewed = renewed.await.inspect_err(|_| self.renewed(Err(())))?;
            let (renewal, mark) = (renewed.0?, renewed.1);
            self.renewed(Ok(mark));
            Ok(renewal)
        })
    }

    fn node<'a>(&'a self, incarnation: &'a Incarnation) -> Op<'a, NodeStatus> {
        let name = incarnation.clone();
        Box::pin(async move {
            let (lease, mark) =
                self.access.call(move |store| (store.lease_of(&name), store.known().1)).await?;
            Ok(match lease {
                Some(address) => NodeStatus::Alive { address },
                None if self.proves_absence(mark) => NodeStatus::Dead,
                None => NodeStatus::Unknown,
            })
        })
    }

    fn tell<'a>(&'a self, incarnation: &'a Incarnation, message: Bytes) -> Op<'a, bool> {
        let name = incarnation.clone();
        self.op(move |store| Ok(store.tell(&name, &message)))
    }

    fn park<'a>(&'a self, session: &'a str, parked: ParkedSession, expected: u64) -> Op<'a, ()> {
        let session = session.to_owned();
        self.op(move |store| store.park(&session, parked, expected))
    }

    fn parked<'a>(&'a self, session: &'a str) -> Op<'a, Option<ParkedSession>> {
        let session = session.to_owned();
        self.read(move |store| store.parked(&session))
    }

    fn unpark<'a>(&'a self, session: &'a str, expected: u64) -> Op<'a, ()> {
        let session = session.to_owned();
        self.op(move |store| store.unpark(&session, expected))
    }
}
