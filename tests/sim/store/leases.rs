//! Which nodes live, and the records of sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use throughline::engine::types::{EngineError, Incarnation, ParkedSession, Renewal};
use throughline::telemetry::clock::now_ms;

use super::{Mutant, Store};

/// How long a lease lasts after its renewal, and its incarnation's members after that (contract L,
/// g).
pub(crate) const LEASE_MS: u64 = 8_000;
const GRACE_MS: u64 = 10_000;

#[derive(Debug, Clone, Default)]
pub(super) struct Leases {
    /// Until when, and where it is reached.
    until: BTreeMap<Arc<str>, (u64, Option<Arc<str>>)>,
    /// Those that lapsed once.
    late: BTreeSet<Arc<str>>,
    swept: BTreeSet<Arc<str>>,
    /// When anyone renewed last.
    last: Option<u64>,
    records: BTreeMap<String, (ParkedSession, u64)>,
}

impl Leases {
    pub(super) fn is_swept(&self, name: &str) -> bool {
        self.swept.contains(name)
    }

    fn record(&self, session: &str) -> Option<&ParkedSession> {
        let (record, until) = self.records.get(session)?;
        (now_ms() <= *until).then_some(record)
    }
}

impl Store {
    pub(crate) fn renew(
        &mut self,
        name: &Incarnation,
        address: Option<&str>,
    ) -> Result<Renewal, EngineError> {
        let (now, leases) = (now_ms(), &mut self.data.leases);
        if leases.is_swept(&name.0) {
            return Err(EngineError::Conflict { top: None });
        }
        if leases.last.is_some_and(|last| now - last > LEASE_MS / 2) {
            // Nobody renewed: it was the store that was away.
            for (until, _) in leases.until.values_mut() {
                *until = (*until).max(now + LEASE_MS);
            }
        }
        leases.last = Some(now);
        let renewed = (now + LEASE_MS, address.map(Arc::from));
        let before = leases.until.insert(Arc::clone(&name.0), renewed);
        if before.is_some_and(|(until, _)| until < now) {
            leases.late.insert(Arc::clone(&name.0));
        }
        let late = leases.late.contains(&name.0);
        self.sweep(now);
        Ok(Renewal { late })
    }

    fn sweep(&mut self, now: u64) {
        let leases = &mut self.data.leases;
        let over = |until: u64| until + GRACE_MS < now;
        let lapsed = leases.until.iter().filter(|(_, (until, _))| over(*until));
        let lapsed: Vec<_> = lapsed.map(|(name, _)| Arc::clone(name)).collect();
        for name in lapsed {
            self.data.leases.until.remove(&name);
            self.data.leases.swept.insert(Arc::clone(&name));
            let channels: Vec<_> = self.data.cells.keys().cloned().collect();
            for channel in channels {
                for (id, fence) in self.cell(&channel).of(&name) {
                    self.leave(&channel, &id, fence);
                }
            }
        }
    }

    /// Whether an incarnation holds a lease, and its address.
    pub(crate) fn lease_of(&self, name: &Incarnation) -> Option<Option<Arc<str>>> {
        let (until, address) = self.data.leases.until.get(&name.0)?;
        (*until >= now_ms()).then(|| address.clone())
    }

    pub(crate) fn park(
        &mut self,
        session: &str,
        parked: ParkedSession,
        expected: u64,
    ) -> Result<(), EngineError> {
        let version = self.data.leases.record(session).map_or(0, |record| record.version);
        if version != expected && !self.is(Mutant::TakesOverWithoutTheCompare) {
            return Err(EngineError::Conflict { top: None });
        }
        let until = now_ms() + u64::try_from(parked.ttl.as_millis()).unwrap();
        self.data.leases.records.insert(session.to_owned(), (parked, until));
        Ok(())
    }

    pub(crate) fn parked(&self, session: &str) -> Option<ParkedSession> {
        self.data.leases.record(session).cloned()
    }

    pub(crate) fn unpark(&mut self, session: &str, expected: u64) -> Result<(), EngineError> {
        let version = self.data.leases.record(session).map_or(0, |record| record.version);
        if version != expected {
            return Err(EngineError::Conflict { top: None });
        }
        self.data.leases.records.remove(session);
        Ok(())
    }
}
