//! Which nodes live. Here that is one, but the meaning is that of a fleet.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::engine::clock::millis;
use crate::engine::types::{EngineError, Incarnation, WallMs};

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

#[derive(Debug, Default)]
struct Inner {
    until: HashMap<Incarnation, WallMs>,
    swept: VecDeque<Incarnation>,
}

impl Leases {
    pub(super) fn new(settings: &MemorySettings) -> Self {
        let (lease, grace) = (millis(settings.lease), millis(settings.grace));
        Self { inner: Mutex::default(), lease, grace }
    }

    /// Extends a lease. A late renewal is as good as one in time, until the sweep.
    pub(super) fn renew(&self, incarnation: &Incarnation, now: WallMs) -> Result<(), EngineError> {
        let mut inner = self.inner.lock();
        if inner.swept.contains(incarnation) {
            return Err(EngineError::Conflict { top: None });
        }
        if inner.until.len() >= INCARNATIONS_MAX && !inner.until.contains_key(incarnation) {
            return Err(EngineError::Full("leases"));
        }
        inner.until.insert(incarnation.clone(), now.saturating_add(self.lease));
        Ok(())
    }

    /// The incarnations whose lease and grace are over, which are never used again from here on.
    /// Each is answered until it is `forget`ten.
    pub(super) fn lapsed(&self, now: WallMs) -> Vec<Incarnation> {
        let mut inner = self.inner.lock();
        let over = |until: &WallMs| until.saturating_add(self.grace) < now;
        let lapsed = inner.until.iter().filter(|(_, until)| over(until));
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
