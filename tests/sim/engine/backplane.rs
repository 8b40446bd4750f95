//! What the store broadcasts, as it comes to one node: over one connection after the other, probed,
//! and mended after a break. It does what the backplane on Redis does, over a wire that a fault can
//! cut, and in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use throughline::engine::types::{Delivery, EngineError, Event, Incarnation};
use throughline::protocol::channel::Channel;
use throughline::protocol::position::{Epoch, Position};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::Access;
use crate::life::Way;
use crate::store::{Mutant, Push, Pushes};

const PROBE: Duration = Duration::from_secs(2);
const CONFIRM: Duration = Duration::from_millis(1_900);
const LINGER: Duration = Duration::from_secs(5);
/// How long after a loss of data nodes have to list their members again.
const SETTLE: Duration = Duration::from_secs(5);

/// Where this node stands in a channel.
#[derive(Debug, Clone)]
pub(super) struct Stand {
    pub(super) at: Position,
    pub(super) durable: bool,
    pub(super) members: u64,
}

/// A channel that this node hears, or wants to hear.
#[derive(Debug, Default)]
pub(super) struct Name {
    left: Option<Instant>,
    confirmed: bool,
    waiting: Vec<oneshot::Sender<()>>,
    pub(super) stand: Option<Stand>,
}

impl Name {
    pub(super) fn is_wanted(&self) -> bool {
        self.left.is_none()
    }
}

/// Why a connection is given up.
pub(super) struct Broken;

pub(super) struct Backplane {
    pub(super) access: Arc<Access>,
    pub(super) names: Mutex<BTreeMap<Channel, Name>>,
    own: Mutex<BTreeSet<Arc<str>>>,
    look: Notify,
    deliveries: mpsc::Sender<Delivery>,
    settles: Mutex<Option<Instant>>,
    rng: Mutex<StdRng>,
    drops: bool,
}

/// One connection.
struct Carried {
    pushes: Pushes,
    held: BTreeSet<Channel>,
    doubted: Vec<Channel>,
    sent: u64,
    came: u64,
    members_at: Option<Instant>,
}

impl Backplane {
    pub(super) fn new(access: Arc<Access>, to: mpsc::Sender<Delivery>, seed: u64) -> Self {
        let drops = access.store.lock().is(Mutant::DropsAfterTheCheck);
        Self {
            access,
            names: Mutex::default(),
            own: Mutex::default(),
            look: Notify::new(),
            deliveries: to,
            settles: Mutex::default(),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            drops,
        }
    }

    pub(super) async fn subscribe(&self, channel: &Channel) -> Result<(), EngineError> {
        let confirmed = {
            let mut names = self.names.lock();
            let name = names.entry(channel.clone()).or_default();
            name.left = None;
            if name.confirmed {
                return Ok(());
            }
            let (tell, confirmed) = oneshot::channel();
            name.waiting.push(tell);
            confirmed
        };
        self.look.notify_one();
        if let Ok(Ok(())) = timeout(CONFIRM, confirmed).await {
            return Ok(());
        }
        self.unsubscribe(channel);
        Err(EngineError::Unavailable)
    }

    pub(super) fn unsubscribe(&self, channel: &Channel) {
        if let Some(name) = self.names.lock().get_mut(channel) {
            name.left = Some(Instant::now());
        }
    }

    pub(super) async fn listen_for(&self, name: &Incarnation) {
        self.own.lock().insert(Arc::clone(&name.0));
        self.look.notify_one();
    }

    pub(super) async fn deliver(&self, delivery: Delivery) {
        let event = matches!(&delivery, Delivery::Event { .. });
        if event && self.drops && self.rng.lock().random_bool(0.05) {
            return;
        }
        let _ = self.deliveries.send(delivery).await;
    }

    pub(super) fn is_settling(&self) -> bool {
        self.settles.lock().is_some_and(|until| Instant::now() < until)
    }

    /// Carries what is broadcast, over one connection after the other.
    pub(super) async fn carry(self: Arc<Self>) {
        let mut known = None;
        loop {
            self.access.running.gate().await;
            if self.access.way.now() == Way::Open {
                let pushes = self.access.store.lock().connect(self.access.node);
                let mut carried = Carried {
                    pushes,
                    held: BTreeSet::new(),
                    doubted: Vec::new(),
                    sent: 0,
                    came: 0,
                    members_at: None,
                };
                let Err(Broken) = self.serve(&mut carried, &mut known).await;
            }
            let rest = self.rng.lock().random_range(25..=200);
            sleep(Duration::from_millis(rest)).await;
        }
    }

    async fn serve(
        &self,
        carried: &mut Carried,
        known: &mut Option<(u64, u64)>,
    ) -> Result<std::convert::Infallible, Broken> {
        let mut probes = interval(PROBE);
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.hear(carried).await?;
        loop {
            tokio::select! {
                biased;
                push = carried.pushes.next() => {
                    self.access.running.gate().await;
                    self.push(carried, push.ok_or(Broken)?).await?;
                }
                _ = probes.tick() => {
                    self.access.running.gate().await;
                    self.tick(carried, known).await?;
                }
                () = self.look.notified() => self.hear(carried).await?,
            }
            let doubted = std::mem::take(&mut carried.doubted);
            self.settle(&doubted).await?;
        }
    }

    /// Hears what is wanted and not heard yet.
    async fn hear(&self, carried: &mut Carried) -> Result<(), Broken> {
        let fresh: Vec<_> = {
            let names = self.names.lock();
            names.keys().filter(|name| !carried.held.contains(*name)).cloned().collect()
        };
        let (node, own) = (self.access.node, self.own.lock().iter().cloned().collect::<Vec<_>>());
        let channels = fresh.clone();
        let heard = self.access.call(move |store| store.hear(node, &channels, &own));
        heard.await.map_err(|_| Broken)?;
        carried.held.extend(fresh.iter().cloned());
        self.settle(&fresh).await?;
        let mut names = self.names.lock();
        for channel in &fresh {
            let Some(name) = names.get_mut(channel) else { continue };
            name.confirmed = true;
            for waiting in name.waiting.drain(..) {
                let _ = waiting.send(());
            }
        }
        Ok(())
    }

    async fn tick(
        &self,
        carried: &mut Carried,
        known: &mut Option<(u64, u64)>,
    ) -> Result<(), Broken> {
        if carried.came < carried.sent {
            return Err(Broken);
        }
        if carried.members_at.is_some_and(|at| Instant::now() >= at) {
            carried.members_at = None;
            for channel in &carried.held {
                self.missed(channel, false, true).await;
            }
        }
        let gone: Vec<_> = {
            let mut names = self.names.lock();
            let over = |name: &Name| name.left.is_some_and(|left| left.elapsed() >= LINGER);
            let gone = names.iter().filter(|(_, name)| over(name)).map(|(name, _)| name.clone());
            let gone: Vec<_> = gone.collect();
            names.retain(|name, _| !gone.contains(name));
            gone
        };
        carried.held.retain(|name| !gone.contains(name));
        carried.sent += 1;
        let (node, sent) = (self.access.node, carried.sent);
        let probed = self.access.call(move |store| {
            store.unhear(node, &gone);
            store.probe(node, sent)
        });
        let found = probed.await.map_err(|_| Broken)?;
        if let Some(before) = known.replace(found)
            && before != found
        {
            carried.members_at = Some(Instant::now() + SETTLE);
            *self.settles.lock() = carried.members_at;
            self.deliver(Delivery::Lost).await;
            carried.doubted = carried.held.iter().cloned().collect();
        }
        Ok(())
    }

    async fn push(&self, carried: &mut Carried, push: Push) -> Result<(), Broken> {
        match push {
            Push::Probe(count) => carried.came = carried.came.max(count),
            Push::Control(message) => self.deliver(Delivery::Control(message)).await,
            Push::Presence { channel, version, count, change } => {
                let wanted = {
                    let mut names = self.names.lock();
                    let Some(name) = names.get_mut(&channel) else { return Ok(()) };
                    name.stand.iter_mut().for_each(|stand| stand.members = version);
                    name.is_wanted()
                };
                if wanted {
                    self.deliver(Delivery::Presence { channel, version, count, change }).await;
                }
            }
            Push::Event { channel, epoch, durable, event } => {
                return self.event(channel, epoch, durable, event).await;
            }
        }
        Ok(())
    }

    async fn event(
        &self,
        channel: Channel,
        epoch: Epoch,
        durable: bool,
        event: Event,
    ) -> Result<(), Broken> {
        let at = Position { epoch: epoch.clone(), offset: event.offset, tag: event.tag };
        let by_tag = !self.access.store.lock().is(Mutant::ForgetsTheTag);
        let taken = {
            let mut names = self.names.lock();
            let Some(name) = names.get_mut(&channel) else { return Ok(()) };
            let wanted = name.is_wanted();
            name.stand.as_mut().map_or(Some(wanted), |stand| {
                if stand.at.epoch == epoch && event.offset <= stand.at.offset {
                    return Some(false);
                }
                let next = event.offset == stand.at.offset + 1;
                let follows = next && (!by_tag || event.prev == stand.at.tag);
                (!durable || follows).then(|| {
                    (stand.at, stand.durable) = (at, durable);
                    wanted
                })
            })
        };
        let Some(wanted) = taken else { return self.fill(&channel).await };
        if wanted {
            self.deliver(Delivery::Event { channel, epoch, event }).await;
        }
        Ok(())
    }
}
