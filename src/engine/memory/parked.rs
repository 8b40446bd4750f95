//! Sessions set aside for another node.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::engine::clock::millis;
use crate::engine::types::{EngineError, ParkedSession, WallMs};

/// Bytes counted for each parked session besides its state.
const PARKED_BYTES: usize = 256;

/// The parked sessions by id, each until its time is over.
#[derive(Debug)]
pub(super) struct Parked {
    inner: Mutex<Inner>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: HashMap<String, (ParkedSession, WallMs)>,
    bytes: usize,
}

fn cost(parked: &ParkedSession) -> usize {
    parked.state.len() + PARKED_BYTES
}

impl Inner {
    fn take(&mut self, session: &str) {
        if let Some((parked, _)) = self.sessions.remove(session) {
            self.bytes = self.bytes.saturating_sub(cost(&parked));
        }
    }

    fn version(&self, session: &str, now: WallMs) -> u64 {
        let stored = self.sessions.get(session).filter(|(_, until)| now <= *until);
        stored.map_or(0, |(parked, _)| parked.version)
    }

    fn expire(&mut self, now: WallMs) {
        let bytes = &mut self.bytes;
        self.sessions.retain(|_, (parked, until)| {
            let keep = now <= *until;
            if !keep {
                *bytes = bytes.saturating_sub(cost(parked));
            }
            keep
        });
    }
}

impl Parked {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), bytes_max }
    }

    pub(super) fn park(
        &self,
        session: &str,
        parked: ParkedSession,
        expected: u64,
        now: WallMs,
    ) -> Result<(), EngineError> {
        let mut inner = self.inner.lock();
        if inner.version(session, now) != expected {
            return Err(EngineError::Conflict { top: None });
        }
        let freed = inner.sessions.get(session).map_or(0, |(stored, _)| cost(stored));
        let more = cost(&parked).saturating_sub(freed);
        if inner.bytes.saturating_add(more) > self.bytes_max {
            inner.expire(now);
            if inner.bytes.saturating_add(more) > self.bytes_max {
                return Err(EngineError::Full("parked sessions"));
            }
        }
        inner.take(session);
        inner.bytes += cost(&parked);
        let until = now.saturating_add(millis(parked.ttl));
        inner.sessions.insert(session.to_owned(), (parked, until));
        Ok(())
    }

    /// The record of a session.
    pub(super) fn read(&self, session: &str, now: WallMs) -> Option<ParkedSession> {
        let inner = self.inner.lock();
        let stored = inner.sessions.get(session).filter(|(_, until)| now <= *until);
        stored.map(|(parked, _)| parked.clone())
    }

    /// Drops the record of a session.
    pub(super) fn unpark(
        &self,
        session: &str,
        expected: u64,
        now: WallMs,
    ) -> Result<(), EngineError> {
        let mut inner = self.inner.lock();
        if inner.version(session, now) != expected {
            return Err(EngineError::Conflict { top: None });
        }
        inner.take(session);
        Ok(())
    }

    /// Drops the sessions whose time is over.
    pub(super) fn expire(&self, now: WallMs) {
        self.inner.lock().expire(now);
    }
}
