//! What is broadcast, and what this node hears of it.
//!
//! One link a server carries the Pub/Sub channels of the partitions it has. Redis writes a link in
//! order, so a probe that comes back proves that nothing before it was lost. Only after a break
//! (link lost, probe late, queue overflowed, unsubscribed by the server, generation or mark of the
//! data changed) are the positions of that link's channels checked and filled from the log, once
//! for the node.

mod known;
mod link;
mod mend;
mod message;
mod names;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::engine::types::{Delivery, EngineError, Incarnation};
use crate::protocol::channel::Channel;

use super::RedisStats;
use super::keys::partition;
use super::route::Server;
use super::store::Store;

use self::known::Known;
use self::names::{Names, Target};

/// How long a subscription may take to be confirmed (contract F3).
const CONFIRM: Duration = Duration::from_millis(1900);
/// How long after a loss of data nodes have to list their members again (contract R5).
const SETTLE: Duration = Duration::from_secs(5);

/// What links share.
pub(super) struct Shared {
    store: Arc<Store>,
    names: Names,
    known: Mutex<Known>,
    deliveries: mpsc::Sender<Delivery>,
    settles: Mutex<Option<Instant>>,
    breaks: AtomicU64,
    received: AtomicU64,
}

impl Shared {
    /// A server lost its data, or may have lost the last of it: nodes list their members again.
    async fn lost(&self) {
        *self.settles.lock() = Some(Instant::now() + SETTLE);
        self.deliver(Delivery::Lost).await;
    }

    fn is_settling(&self) -> bool {
        self.settles.lock().is_some_and(|until| Instant::now() < until)
    }

    async fn deliver(&self, delivery: Delivery) {
        // Without a reader the engine is about to end.
        let _ = self.deliveries.send(delivery).await;
    }
}

/// A task that carries what one server broadcasts.
struct Link {
    server: Arc<Server>,
    /// There may be names to hear, or to hear no longer.
    look: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The links of this node.
pub(super) struct Backplane {
    shared: Arc<Shared>,
    links: Mutex<Vec<Link>>,
}

impl Backplane {
    pub(super) fn new(store: Arc<Store>, deliveries: mpsc::Sender<Delivery>) -> Arc<Self> {
        let shared = Arc::new(Shared {
            store,
            names: Names::default(),
            known: Mutex::default(),
            deliveries,
            settles: Mutex::new(None),
            breaks: AtomicU64::new(0),
            received: AtomicU64::new(0),
        });
        let backplane = Arc::new(Self { shared, links: Mutex::new(Vec::new()) });
        backplane.arrange();
        backplane
    }

    /// Keeps one link a server as the map changes; ends with the engine.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut changes = self.shared.store.caller.router.changes();
        while changes.changed().await.is_ok() {
            self.arrange();
        }
    }

    /// Ends every link.
    pub(super) fn end(&self) {
        self.links.lock().clear();
    }

    /// Gives each server that has a partition a link, and takes it from the others.
    fn arrange(&self) {
        let servers = self.shared.store.caller.router.all();
        let mut links = self.links.lock();
        links.retain(|link| servers.iter().any(|(server, _)| Arc::ptr_eq(server, &link.server)));
        for (server, _) in servers {
            if !links.iter().any(|link| Arc::ptr_eq(&link.server, &server)) {
                let look = Arc::new(Notify::new());
                let carry =
                    link::carry(Arc::clone(&self.shared), Arc::clone(&server), Arc::clone(&look));
                links.push(Link { server, look, task: tokio::spawn(carry) });
            }
        }
        for link in links.iter() {
            link.look.notify_one();
        }
    }

    /// Whether nodes still list their members after a loss of data.
    pub(super) fn is_settling(&self) -> bool {
        self.shared.is_settling()
    }

    pub(super) fn stats(&self) -> RedisStats {
        RedisStats {
            breaks: self.shared.breaks.load(Relaxed),
            channels: self.shared.names.len(),
            received: self.shared.received.load(Relaxed),
        }
    }

    /// Hears a channel: once this returns, whatever is above the then top comes.
    pub(super) async fn subscribe(&self, channel: &Channel) -> Result<(), EngineError> {
        let name = self.shared.store.keys.broadcast(channel);
        let at = partition(channel.as_str());
        self.hear(name, at, Target::Channel(channel.clone())).await
    }

    /// Hears what is sent to an incarnation.
    pub(super) async fn listen_for(&self, incarnation: &Incarnation) -> Result<(), EngineError> {
        let (at, name) = self.shared.store.keys.control(incarnation);
        self.hear(name, at, Target::Control).await
    }

    async fn hear(&self, name: Arc<str>, at: u16, target: Target) -> Result<(), EngineError> {
        let Some(confirmed) = self.shared.names.want(&name, at, target) else { return Ok(()) };
        if let Some(server) = self.shared.store.caller.router.of(at) {
            let links = self.links.lock();
            if let Some(link) = links.iter().find(|link| Arc::ptr_eq(&link.server, &server)) {
                link.look.notify_one();
            }
        }
        if let Ok(Ok(())) = timeout(CONFIRM, confirmed).await {
            return Ok(());
        }
        self.shared.names.leave(&name);
        Err(EngineError::Unavailable)
    }

    /// Hears a channel no longer; at once for the reader, later for Redis.
    pub(super) fn unsubscribe(&self, channel: &Channel) {
        self.shared.names.leave(&self.shared.store.keys.broadcast(channel));
    }
}
