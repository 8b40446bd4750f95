//! What the store broadcasts, on its way to one node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use throughline::engine::types::{Event, PresenceChange};
use throughline::protocol::channel::Channel;
use throughline::protocol::position::Epoch;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What comes over a connection to the store.
#[derive(Debug, Clone)]
pub(crate) enum Push {
    Event { channel: Channel, epoch: Epoch, durable: bool, event: Event },
    Presence { channel: Channel, version: u64, count: usize, change: PresenceChange },
    Control(Bytes),
    Probe(u64),
}

/// What comes, in order. With the connection what is on its way is lost.
#[derive(Debug)]
pub(crate) struct Pushes {
    from: mpsc::UnboundedReceiver<(Instant, Push)>,
    next: Option<(Instant, Push)>,
    open: Arc<AtomicBool>,
}

impl Pushes {
    /// What comes next, when it comes; nothing when the connection is over.
    pub(crate) async fn next(&mut self) -> Option<Push> {
        if self.next.is_none() {
            self.next = Some(self.from.recv().await?);
        }
        if let Some((at, _)) = &self.next {
            sleep_until(*at).await;
        }
        let (_, push) = self.next.take()?;
        self.open.load(Relaxed).then_some(push)
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    heard: BTreeSet<Channel>,
    names: BTreeSet<Arc<str>>,
    to: mpsc::UnboundedSender<(Instant, Push)>,
    last: Instant,
    open: Arc<AtomicBool>,
    /// Whether it brings nothing any more, and nobody was told.
    silent: bool,
}

impl Wire {
    pub(super) fn open() -> (Self, Pushes) {
        let (to, from) = mpsc::unbounded_channel();
        let (heard, names) = (BTreeSet::new(), BTreeSet::new());
        let open = Arc::new(AtomicBool::new(true));
        let pushes = Pushes { from, next: None, open: Arc::clone(&open) };
        (Self { heard, names, to, last: Instant::now(), open, silent: false }, pushes)
    }

    pub(super) fn hear(&mut self, channels: &[Channel], names: &[Arc<str>]) {
        self.heard.extend(channels.iter().cloned());
        self.names.extend(names.iter().cloned());
    }

    pub(super) fn leave(&mut self, channels: &[Channel]) {
        self.heard.retain(|heard| !channels.contains(heard));
    }

    pub(super) fn hears(&self, channel: &Channel) -> bool {
        self.heard.contains(channel)
    }

    pub(super) fn is_of(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn fall_silent(&mut self) {
        self.silent = true;
    }

    /// In order, each after so long.
    pub(super) fn send(&mut self, push: Push, lag: Duration) {
        self.last = self.last.max(Instant::now() + lag);
        if !self.silent {
            let _ = self.to.send((self.last, push));
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.open.store(false, Relaxed);
    }
}
