//! Which nodes live. Here that is one, but the meaning is that of a fleet.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::clock::millis;
use crate::engine::types::{EngineError, Incarnation, NodeStatus, Renewal, WallMs};

use super::settings::MemorySettings;

/// Incarnations at most, and swept incarnations remembered: far beyond what one process has.
const INCARNATIONS_MAX: usize = 1024;

/// The leases, and the incarnations that lost theirs.
#[derive(Debug)]
pub(super) struct Leases {
    inner: Mutex<Inner>,
    lease: WallMs,
    grace: WallMs,
}

#[derive(Debug)]
struct Lease {
    until: WallMs,
    address: Option<Arc<str>>,
    /// Whether it ever lapsed.
    late: bool,
}

#[derive(Debug, Default)]
struct Inner {
    until: HashMap<Incarnation, Lease>,
    swept: VecDeque<Incarnation>,
}

impl Leases {
    pub(super) fn new(settings: &MemorySettings) -> Self {
        let (lease, grace) = (millis(settings.lease), millis(settings.grace));
        Self { inner: Mutex::default(), lease, grace }
    }

    /// Extends a lease. A late renewal is as good as one in time, until the sweep.
    pub(super) fn renew(
        &self,
        incarnation: &Incarnation,
        address: Option<&str>,
        now: WallMs,
    ) -> Result<Renewal, EngineError> {
        let mut inner = self.inner.lock();
        if inner.swept.contains(incarnation) {
            return Err(EngineError::Conflict { top: None });
        }
        if inner.until.len() >= INCARNATIONS_MAX && !inner.until.contains_key(incarnation) {
            return Err(EngineError::Full("leases"));
        }
        let before = inner.until.get(incarnation);
        let late = before.is_some_and(|lease| lease.late || lease.until < now);
        let until = now.saturating_add(self.lease);
        let lease = Lease { until, address: address.map(Arc::from), late };
        inner.until.insert(incarnation.clone(), lease);
        Ok(Renewal { late })
    }

    /// What is known of an incarnation. Here nothing is ever lost.
    pub(super) fn status(&self, incarnation: &Incarnation, now: WallMs) -> NodeStatus {
        match self.inner.lock().until.get(incarnation) {
            Some(lease) if lease.until >= now => {
                NodeStatus::Alive { address: lease.address.clone() }
            }
            Some(_) | None => NodeStatus::Dead,
        }
    }

    /// Whether an incarnation holds a lease.
    pub(super) fn is_here(&self, incarnation: &Incarnation, now: WallMs) -> bool {
        matches!(self.status(incarnation, now), NodeStatus::Alive { .. })
    }

    /// The incarnations whose lease and grace are over, which are never used again from here on.
    /// Each is answered until it is `forget`ten.
    pub(super) fn lapsed(&self, now: WallMs) -> Vec<Incarnation> {
        let mut inner = self.inner.lock();
        let over = |until: WallMs| until.saturating_add(self.grace) < now;
        let lapsed = inner.until.iter().filter(|(_, lease)| over(lease.until));
        let lapsed: Vec<_> = lapsed.map(|(incarnation, _)| incarnation.clone()).collect();
        for incarnation in &lapsed {
            if !inner.swept.contains(incarnation) {
                inner.swept.push_back(incarnation.clone());
            }
        }
        while inner.swept.len() > INCARNATIONS_MAX {
            inner.swept.pop_front();
        }
        lapsed
    }

    /// Ends a lease whose members are gone.
    pub(super) fn forget(&self, incarnation: &Incarnation) {
        self.inner.lock().until.remove(incarnation);
    }

    /// Whether an incarnation is never used again.
    pub(super) fn is_swept(&self, incarnation: &Incarnation) -> bool {
        self.inner.lock().swept.contains(incarnation)
    }
}
