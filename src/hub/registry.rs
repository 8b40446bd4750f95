//! The sessions of this node, by id.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

const STRIPES: usize = 64;

/// The sessions of this node. Bounded by the caller, who asks [`Registry::len`] first.
#[derive(Debug)]
pub struct Registry<M> {
    stripes: Vec<Mutex<HashMap<u128, Arc<M>>>>,
    len: AtomicUsize,
}

impl<M> Default for Registry<M> {
    fn default() -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::new(HashMap::new())).collect();
        Self { stripes, len: AtomicUsize::new(0) }
    }
}

impl<M> Registry<M> {
    fn stripe(&self, id: u128) -> Option<&Mutex<HashMap<u128, Arc<M>>>> {
        // Ids are random, so their low bits spread.
        self.stripes.get(usize::try_from(id % STRIPES as u128).unwrap_or_default())
    }

    /// Adds a session.
    pub fn insert(&self, id: u128, mailbox: Arc<M>) {
        let Some(stripe) = self.stripe(id) else { return };
        if stripe.lock().insert(id, mailbox).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The session with this id.
    pub fn get(&self, id: u128) -> Option<Arc<M>> {
        self.stripe(id)?.lock().get(&id).cloned()
    }

    /// Takes a session out, unless another has come in its place. Returns whether it was there.
    pub fn remove(&self, id: u128, mailbox: &M) -> bool {
        let Some(stripe) = self.stripe(id) else { return false };
        let mut sessions = stripe.lock();
        let is_there =
            sessions.get(&id).is_some_and(|there| std::ptr::eq(&raw const **there, mailbox));
        if is_there {
            sessions.remove(&id);
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        is_there
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All sessions, as they are when each stripe is read.
    pub fn all(&self) -> Vec<Arc<M>> {
        self.stripes
            .iter()
            .flat_map(|stripe| stripe.lock().values().cloned().collect::<Vec<_>>())
            .collect()
    }
}
