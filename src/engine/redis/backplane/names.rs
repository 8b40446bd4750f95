//! The Pub/Sub names that this node hears or wants to hear, and where each channel stands.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::protocol::channel::Channel;
use crate::protocol::position::Position;

/// How long a name is heard after its last reader: readers come back, and Redis is spared.
const LINGER: Duration = Duration::from_secs(5);

/// What a name is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// What is published to a channel.
    Channel(Channel),
    /// What is sent to this node.
    Control,
}

/// What a channel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Nothing,
    Log,
    State,
}

/// Where this node stands in a channel.
#[derive(Debug, Clone)]
pub(super) struct Stand {
    pub(super) at: Position,
    pub(super) kind: Kind,
    /// The version of the presence that was seen last.
    pub(super) members: u64,
}

#[derive(Debug)]
struct Name {
    partition: u16,
    target: Target,
    /// Since when nobody wants it.
    left: Option<Instant>,
    /// Whether it was confirmed once: from then on a break is mended.
    confirmed: bool,
    waiting: Vec<oneshot::Sender<()>>,
    stand: Option<Stand>,
}

/// The names. Bounded by the subscriptions of the node's sessions.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    names: HashMap<Arc<str>, Name>,
    /// Names that no link has taken up.
    fresh: Vec<(Arc<str>, u16)>,
}

/// What is known of a name when a message comes under it.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) target: Target,
    /// Whether anyone wants it now.
    pub(super) wanted: bool,
    pub(super) stand: Option<Stand>,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.0.lock().names.len()
    }

    /// Wants a name. `None` where it is heard already, else what tells when it is.
    pub(super) fn want(
        &self,
        name: &Arc<str>,
        partition: u16,
        target: Target,
    ) -> Option<oneshot::Receiver<()>> {
        let mut inner = self.0.lock();
        let (tell, confirmed) = oneshot::channel();
        if let Some(known) = inner.names.get_mut(name) {
            known.left = None;
            if known.confirmed {
                return None;
            }
            known.waiting.push(tell);
        } else {
            let (left, stand, waiting) = (None, None, vec![tell]);
            let fresh = Name { partition, target, left, confirmed: false, waiting, stand };
            inner.names.insert(Arc::clone(name), fresh);
            inner.fresh.push((Arc::clone(name), partition));
        }
        Some(confirmed)
    }

    /// Nobody wants a name any more.
    pub(super) fn leave(&self, name: &str) {
        if let Some(known) = self.0.lock().names.get_mut(name) {
            known.left = Some(Instant::now());
        }
    }

    /// Names that no link has taken up, of the partitions that `mine` says.
    pub(super) fn take_fresh(&self, mine: impl Fn(u16) -> bool) -> Vec<Arc<str>> {
        let mut inner = self.0.lock();
        let (taken, rest) = inner.fresh.drain(..).partition(|(_, at)| mine(*at));
        inner.fresh = rest;
        let taken: Vec<(Arc<str>, u16)> = taken;
        taken.into_iter().map(|(name, _)| name).collect()
    }

    /// All names of the partitions that `mine` says.
    pub(super) fn all(&self, mine: impl Fn(u16) -> bool) -> Vec<Arc<str>> {
        let inner = self.0.lock();
        let of = inner.names.iter().filter(|(_, name)| mine(name.partition));
        of.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Takes out the names that nobody has wanted for a while.
    pub(super) fn take_left(&self, mine: impl Fn(u16) -> bool) -> Vec<Arc<str>> {
        let now = Instant::now();
        let mut inner = self.0.lock();
        let over = |name: &Name| {
            mine(name.partition) && name.left.is_some_and(|left| now - left >= LINGER)
        };
        let of = inner.names.iter().filter(|(_, name)| over(name));
        let taken: Vec<_> = of.map(|(name, _)| Arc::clone(name)).collect();
        for name in &taken {
            inner.names.remove(name);
        }
        inner.fresh.retain(|(name, _)| !taken.contains(name));
        taken
    }

    pub(super) fn heard(&self, name: &str) -> Option<Heard> {
        let inner = self.0.lock();
        let known = inner.names.get(name)?;
        let (target, stand) = (known.target.clone(), known.stand.clone());
        Some(Heard { target, wanted: known.left.is_none(), stand })
    }

    /// Where this node stands now.
    pub(super) fn stand(&self, name: &str, stand: Option<Stand>) {
        if let Some(known) = self.0.lock().names.get_mut(name) {
            known.stand = stand;
        }
    }

    /// The name is heard from here on.
    pub(super) fn confirm(&self, name: &str) {
        let mut inner = self.0.lock();
        let Some(known) = inner.names.get_mut(name) else { return };
        known.confirmed = true;
        for waiting in known.waiting.drain(..) {
            // Who waited no longer has left.
            let _ = waiting.send(());
        }
    }
}
