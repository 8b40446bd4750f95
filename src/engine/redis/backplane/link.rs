//! The task of one server's link: connects, hears the names that are its own, hands on what comes,
//! probes, and begins again after a break.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};

use crate::engine::redis::keys::PARTITIONS;
use crate::engine::redis::outage::Outage;
use crate::engine::redis::route::Server;
use crate::engine::types::{Delivery, EngineError, Event};
use crate::protocol::channel::Channel;
use crate::protocol::position::{Epoch, Position};

use super::Shared;
use super::known::Change;
use super::message::Message;
use super::names::{Kind, Stand, Target};
use super::wire::{Push, Wire};

/// Between two probes. One that has not come back by the next means a break (contract F5).
const PROBE: Duration = Duration::from_secs(2);
/// How long a probe may take to be written and answered.
const PROBED: Duration = Duration::from_secs(2);
/// Names that are heard and checked at once; between two such steps what came is handed on.
const STEP: usize = 256;
/// The first delay before connecting again, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Why a connection is given up.
#[derive(Debug)]
struct Broken(&'static str);

/// Carries what one server broadcasts, over one connection after the other.
pub(super) async fn carry(shared: Arc<Shared>, server: Arc<Server>, look: Arc<Notify>) {
    let (mut delay, mut members_at) = (BACKOFF.0, None);
    let mut outage = Outage::new(&server.name, "backplane");
    loop {
        match Wire::open(&server.finder, shared.store.caller.router.is_cluster()).await {
            Ok(wire) => {
                delay = BACKOFF.0;
                outage.is_over();
                let mut link = Carried::new(&shared, &server, &look, wire, members_at);
                let Broken(why) = link.run().await;
                members_at = link.members_at;
                shared.breaks.fetch_add(1, Relaxed);
                tracing::info!(server = %server.name, why, "a link to the backplane broke");
            }
            Err(error) => outage.goes_on(&error),
        }
        sleep(delay.mul_f64(rand::random_range(0.5..1.0))).await;
        delay = (delay * 2).min(BACKOFF.1);
    }
}

/// One connection.
struct Carried<'a> {
    shared: &'a Arc<Shared>,
    server: &'a Arc<Server>,
    look: &'a Notify,
    /// Changes of the map of servers.
    moves: watch::Receiver<u64>,
    wire: Wire,
    /// Names that are heard.
    held: HashSet<Arc<str>>,
    /// Names that are to be heard.
    wanted: VecDeque<Arc<str>>,
    /// Names whose position is to be checked.
    doubted: VecDeque<Arc<str>>,
    probe: Probe,
    /// When the lists of members are to be read again after a loss of data.
    members_at: Option<Instant>,
}

struct Probe {
    /// That of its name and of the mark.
    partition: u16,
    name: Arc<str>,
    mark: String,
    sent: u64,
    came: u64,
}

impl<'a> Carried<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        server: &'a Arc<Server>,
        look: &'a Notify,
        wire: Wire,
        members_at: Option<Instant>,
    ) -> Self {
        let servers = shared.store.caller.router.all();
        let of = servers.iter().find(|(other, _)| Arc::ptr_eq(other, server));
        let partition = of.map_or(0, |(_, partition)| *partition);
        let link = format!("{:016x}", rand::random::<u64>());
        let name = shared.store.keys.probe(partition, &link);
        let mark = shared.store.keys.mark(partition);
        Self {
            shared,
            server,
            look,
            moves: shared.store.caller.router.changes(),
            wire,
            held: HashSet::new(),
            wanted: VecDeque::new(),
            doubted: VecDeque::new(),
            probe: Probe { partition, name, mark, sent: 0, came: 0 },
            members_at,
        }
    }

    fn mine(&self, partition: u16) -> bool {
        let of = self.shared.store.caller.router.of(partition);
        of.is_some_and(|server| Arc::ptr_eq(&server, self.server))
    }

    async fn run(&mut self) -> Broken {
        let mut probes = interval(PROBE);
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        match self.serve(&mut probes).await {
            Ok(never) => match never {},
            Err(broken) => broken,
        }
    }

    async fn serve(&mut self, probes: &mut Interval) -> Result<std::convert::Infallible, Broken> {
        let probe = [Arc::clone(&self.probe.name)];
        self.wire.subscribe(&probe).await.map_err(|_| Broken("no subscription"))?;
        self.reconcile();
        loop {
            tokio::select! {
                biased;
                push = self.wire.pushes.recv() => self.push(push).await?,
                _ = probes.tick() => self.tick().await?,
                () = self.look.notified() => self.take_up(),
                () = std::future::ready(()), if !self.wanted.is_empty() => self.hear_some().await?,
                () = std::future::ready(()), if !self.doubted.is_empty() => self.check_some().await?,
            }
        }
    }

    /// Takes up the names that are new; all of them where the map of servers is another than before.
    fn take_up(&mut self) {
        if self.moves.has_changed().unwrap_or(false) {
            return self.reconcile();
        }
        let fresh = self.shared.names.take_fresh(|partition| self.mine(partition));
        self.wanted.extend(fresh);
    }

    /// Compares what is heard with what is to be heard.
    fn reconcile(&mut self) {
        self.moves.mark_unchanged();
        let names = &self.shared.names;
        // They are among all.
        drop(names.take_fresh(|partition| self.mine(partition)));
        let all = names.all(|partition| self.mine(partition));
        self.wanted = all.into_iter().filter(|name| !self.held.contains(name)).collect();
    }

    async fn hear_some(&mut self) -> Result<(), Broken> {
        let some: Vec<_> = self.wanted.drain(..STEP.min(self.wanted.len())).collect();
        self.wire.subscribe(&some).await.map_err(|_| Broken("no subscription"))?;
        self.held.extend(some.iter().map(Arc::clone));
        self.check(&some).await?;
        for name in &some {
            self.shared.names.confirm(name);
        }
        Ok(())
    }

    async fn check_some(&mut self) -> Result<(), Broken> {
        let some: Vec<_> = self.doubted.drain(..STEP.min(self.doubted.len())).collect();
        self.check(&some).await
    }

    async fn check(&mut self, names: &[Arc<str>]) -> Result<(), Broken> {
        self.shared.settle(names).await.map_err(|_| Broken("no position"))
    }

    /// Whatever was seen before may be wrong: every position is checked.
    fn doubt(&mut self) {
        self.doubted = self.held.iter().map(Arc::clone).collect();
    }

    async fn tick(&mut self) -> Result<(), Broken> {
        if self.probe.came < self.probe.sent {
            return Err(Broken("a probe did not come back"));
        }
        if self.members_at.is_some_and(|at| Instant::now() >= at) {
            self.members_at = None;
            // Those too that a connection which just began does not hear yet.
            let all = self.shared.names.all(|partition| self.mine(partition));
            self.shared.members_missed(&all).await;
        }
        let left = self.shared.names.take_left(|partition| self.mine(partition));
        let moved = self.held.iter().filter(|name| self.shared.names.heard(name).is_none());
        let gone: Vec<_> = moved.chain(&left).map(Arc::clone).collect();
        for name in &gone {
            self.held.remove(name);
        }
        self.wanted.retain(|name| !gone.contains(name));
        for some in gone.chunks(STEP) {
            self.wire.unsubscribe(some).await.map_err(|_| Broken("no answer"))?;
        }
        self.send_probe().await
    }

    async fn send_probe(&mut self) -> Result<(), Broken> {
        self.probe.sent += 1;
        let (name, sent) = (Arc::clone(&self.probe.name), self.probe.sent);
        let probed = timeout(PROBED, self.wire.probe(&name, sent, &self.probe.mark)).await;
        let Ok(Ok(found)) = probed else { return Err(Broken("a probe was not answered")) };
        if !self.shared.store.caller.router.is_read() {
            // Which partitions are those of this server is not known yet.
            return Ok(());
        }
        let own: Vec<_> = (0..PARTITIONS).filter(|partition| self.mine(*partition)).collect();
        let change = self.shared.known.lock().take(&own, self.probe.partition, found);
        if change == Some(Change::Data) {
            tracing::warn!(server = %self.server.name, "Redis lost its data");
        }
        if change.is_some() {
            // A restart or a failover may have lost the last changes.
            self.members_at = Some(Instant::now() + super::SETTLE);
            self.shared.lost().await;
            self.doubt();
        }
        Ok(())
    }

    async fn push(&mut self, push: Option<Push>) -> Result<(), Broken> {
        match push {
            Some(Push::Message(name, body)) => self.message(&name, &body).await?,
            Some(Push::TakenAway) => return Err(Broken("a subscription was taken away")),
            Some(Push::Gone) | None => return Err(Broken("the connection is gone")),
        }
        if self.wire.take_overflowed() {
            tracing::warn!(server = %self.server.name, "more was broadcast than this node reads");
            self.shared.breaks.fetch_add(1, Relaxed);
            self.doubt();
        }
        Ok(())
    }

    async fn message(&mut self, name: &Arc<str>, body: &Bytes) -> Result<(), Broken> {
        if *name == self.probe.name {
            let count = std::str::from_utf8(body).ok().and_then(|text| text.parse().ok());
            self.probe.came = self.probe.came.max(count.unwrap_or(0));
            return Ok(());
        }
        self.shared.received.fetch_add(1, Relaxed);
        let Some(heard) = self.shared.names.heard(name) else { return Ok(()) };
        let channel = match heard.target {
            Target::Channel(channel) => channel,
            Target::Control => {
                self.shared.deliver(Delivery::Control(body.clone())).await;
                return Ok(());
            }
        };
        match Message::read(body) {
            Some(Message::Event { epoch, kind, event }) => {
                let came = Came { name, channel, epoch, kind, event, wanted: heard.wanted };
                self.event(came, heard.stand).await.map_err(|_| Broken("no log"))
            }
            Some(Message::Presence { version, count, change }) => {
                if let Some(stand) = heard.stand {
                    self.shared.names.stand(name, Some(Stand { members: version, ..stand }));
                }
                if heard.wanted {
                    let presence = Delivery::Presence { channel, version, count, change };
                    self.shared.deliver(presence).await;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn event(&mut self, came: Came<'_>, stand: Option<Stand>) -> Result<(), EngineError> {
        let Came { name, channel, epoch, kind, event, wanted } = came;
        let at = Position { epoch: epoch.clone(), offset: event.offset, tag: event.tag };
        let Some(stand) = stand else {
            // It came while the name was taken up: what it stands at is not known yet.
            if wanted {
                self.shared.event(&channel, &epoch, event).await;
            }
            return Ok(());
        };
        if stand.at.epoch == epoch && event.offset <= stand.at.offset {
            return Ok(());
        }
        let follows = event.offset == stand.at.offset + 1 && event.prev == stand.at.tag;
        if kind == Kind::Log && !follows {
            return self.shared.fill(name, &channel).await;
        }
        self.shared.names.stand(name, Some(Stand { at, kind, ..stand }));
        if wanted {
            self.shared.event(&channel, &epoch, event).await;
        }
        Ok(())
    }
}

/// An event that came under a name.
struct Came<'a> {
    name: &'a Arc<str>,
    channel: Channel,
    epoch: Epoch,
    kind: Kind,
    event: Event,
    wanted: bool,
}
