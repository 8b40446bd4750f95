//! Nodes of one process over one embedded engine: what it broadcasts comes to each of them, and its
//! clock is the test's, so that leases lapse when the test says so.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use throughline::config::Config;
use throughline::config::load::{Flags, assemble};
use throughline::engine::clock::Clock;
use throughline::engine::memory::{MemoryEngine, MemorySettings};
use throughline::engine::types::{
    Delivery, Entrance, Health, Incarnation, Member, MemberId, NodeStatus, Page, PageLimit,
    ParkedSession, PresenceSnapshot, Publish, Published, Renewal, Seat, StateSnapshot,
    UserPresence,
};
use throughline::engine::{Engine, Op};
use throughline::protocol::channel::Channel;
use throughline::protocol::position::{Position, Since};
use throughline::server::Node;
use throughline::server::engine::Built;
use tokio::sync::mpsc;

use crate::support::server::Servers;

const QUEUE: usize = 4096;

/// The state that the nodes share.
pub(crate) struct Fleet {
    shared: Arc<Shared>,
    pub(crate) nodes: Vec<Option<Node>>,
}

struct Shared {
    engine: Arc<MemoryEngine>,
    queues: Mutex<Vec<mpsc::Sender<Delivery>>>,
    names: Mutex<HashMap<Incarnation, usize>>,
    ahead: Arc<AtomicU64>,
}

/// What one node sees of it.
struct View {
    shared: Arc<Shared>,
    node: usize,
}

fn config() -> Config {
    let file = include_str!("../support/suite.toml");
    let mut config = assemble(Some(("suite.toml", file)), [], &Flags::default()).unwrap();
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.engine.url = "shared:".into();
    config.drain.window = Duration::from_millis(500);
    config
}

impl Fleet {
    /// So many nodes.
    pub(crate) async fn start(many: usize) -> Self {
        let (sender, mut deliveries) = mpsc::channel(QUEUE);
        let ahead = Arc::new(AtomicU64::new(0));
        let by = Arc::clone(&ahead);
        let clock = Clock::from_fn(move || {
            throughline::telemetry::clock::wall_ms() + by.load(Ordering::Relaxed)
        });
        let engine = MemoryEngine::with_clock(&MemorySettings::default(), sender, clock);
        let shared =
            Arc::new(Shared { engine, queues: Mutex::default(), names: Mutex::default(), ahead });
        let all = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                let queues = all.queues.lock().clone();
                for queue in queues {
                    let _ = queue.send(delivery.clone()).await;
                }
            }
        });
        let mut fleet = Self { shared, nodes: Vec::new() };
        for _ in 0..many {
            fleet.add().await;
        }
        fleet
    }

    /// One more node.
    pub(crate) async fn add(&mut self) -> usize {
        let (sender, deliveries) = mpsc::channel(QUEUE);
        let node = self.nodes.len();
        self.shared.queues.lock().push(sender);
        let engine = Arc::new(View { shared: Arc::clone(&self.shared), node });
        let built = Built { engine, deliveries, measure: Box::new(|_| {}) };
        let node_of = Node::with(Arc::new(config()), built).await.expect("a node");
        self.nodes.push(Some(node_of));
        node
    }

    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].as_ref().expect("it runs").address().expect("its address")
    }

    /// One of them, or any.
    pub(crate) fn servers(&self, nodes: &[usize]) -> Servers {
        let addresses: Vec<_> = nodes.iter().map(|node| self.address(*node)).collect();
        Servers::of(&addresses)
    }

    /// So much time goes by for the engine alone.
    pub(crate) fn skip(&self, time: Duration) {
        self.shared.ahead.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// Takes a node down as SIGTERM does.
    pub(crate) async fn stop(&mut self, node: usize) {
        self.nodes[node].take().expect("it runs").stop().await;
    }
}

impl Engine for View {
    fn name(&self) -> &'static str {
        "shared"
    }
    fn health(&self) -> Health {
        Health::Ready
    }
    fn publish(&self, publish: Publish) -> Op<'_, Published> {
        self.shared.engine.publish(publish)
    }
    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: PageLimit) -> Op<'a, Page> {
        self.shared.engine.history(channel, since, limit)
    }
    fn top<'a>(&'a self, channel: &'a Channel) -> Op<'a, Position> {
        self.shared.engine.top(channel)
    }
    fn state<'a>(&'a self, channel: &'a Channel) -> Op<'a, StateSnapshot> {
        self.shared.engine.state(channel)
    }
    fn subscribe<'a>(&'a self, channel: &'a Channel) -> Op<'a, ()> {
        self.shared.engine.subscribe(channel)
    }
    fn unsubscribe<'a>(&'a self, _channel: &'a Channel) -> Op<'a, ()> {
        // Another node may have readers; what comes without any is harmless.
        Box::pin(async { Ok(()) })
    }
    fn join<'a>(&'a self, channel: &'a Channel, member: Member, how: Entrance) -> Op<'a, ()> {
        self.shared.engine.join(channel, member, how)
    }
    fn leave<'a>(
        &'a self,
        channel: &'a Channel,
        member: &'a MemberId,
        fence: u64,
        idle: Duration,
    ) -> Op<'a, ()> {
        self.shared.engine.leave(channel, member, fence, idle)
    }
    fn withdraw<'a>(
        &'a self,
        channel: &'a Channel,
        member: &'a MemberId,
        fence: u64,
        of: &'a Incarnation,
    ) -> Op<'a, ()> {
        self.shared.engine.withdraw(channel, member, fence, of)
    }
    fn asserted<'a>(
        &'a self,
        incarnation: &'a Incarnation,
        part: u16,
    ) -> Op<'a, Option<Vec<(Channel, MemberId)>>> {
        self.shared.engine.asserted(incarnation, part)
    }
    fn members<'a>(&'a self, channel: &'a Channel) -> Op<'a, PresenceSnapshot> {
        self.shared.engine.members(channel)
    }
    fn seats<'a>(&'a self, channel: &'a Channel) -> Op<'a, Vec<Seat>> {
        self.shared.engine.seats(channel)
    }
    fn users<'a>(&'a self, subjects: &'a [String]) -> Op<'a, Vec<UserPresence>> {
        self.shared.engine.users(subjects)
    }
    fn renew<'a>(&'a self, name: &'a Incarnation, address: Option<&'a str>) -> Op<'a, Renewal> {
        self.shared.names.lock().insert(name.clone(), self.node);
        self.shared.engine.renew(name, address)
    }
    fn node<'a>(&'a self, incarnation: &'a Incarnation) -> Op<'a, NodeStatus> {
        self.shared.engine.node(incarnation)
    }
    fn tell<'a>(&'a self, incarnation: &'a Incarnation, message: Bytes) -> Op<'a, bool> {
        let node = self.shared.names.lock().get(incarnation).copied();
        let queue = node.and_then(|node| self.shared.queues.lock().get(node).cloned());
        Box::pin(async move {
            let Some(queue) = queue else { return Ok(false) };
            Ok(queue.send(Delivery::Control(message)).await.is_ok())
        })
    }
    fn park<'a>(&'a self, session: &'a str, parked: ParkedSession, expected: u64) -> Op<'a, ()> {
        self.shared.engine.park(session, parked, expected)
    }
    fn parked<'a>(&'a self, session: &'a str) -> Op<'a, Option<ParkedSession>> {
        self.shared.engine.parked(session)
    }
    fn unpark<'a>(&'a self, session: &'a str, expected: u64) -> Op<'a, ()> {
        self.shared.engine.unpark(session, expected)
    }
}
