//! When each mailbox wants to wake: one coarse wheel instead of a timer a session.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::Mailbox;

/// Milliseconds between two turns of the wheel: nothing wakes early, nor later than this.
pub const TURN_MS: u64 = 25;
const STRIPES: usize = 8;

/// Wake-ups by time. A mailbox that asks for an earlier time than before is in it twice; it is
/// woken twice and must not mind.
#[derive(Debug)]
pub struct Wheel<M> {
    stripes: Vec<Mutex<BTreeMap<u64, Vec<Weak<M>>>>>,
    next: AtomicUsize,
}

impl<M> Default for Wheel<M> {
    fn default() -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::new(BTreeMap::new())).collect();
        Self { stripes, next: AtomicUsize::new(0) }
    }
}

impl<M: Mailbox> Wheel<M> {
    /// Wakes a mailbox at `at`, in monotonic milliseconds.
    pub fn schedule(&self, at: u64, mailbox: Weak<M>) {
        let slot = at.div_ceil(TURN_MS);
        let index = self.next.fetch_add(1, Ordering::Relaxed) % STRIPES;
        if let Some(stripe) = self.stripes.get(index) {
            stripe.lock().entry(slot).or_default().push(mailbox);
        }
    }

    /// Wakes all that are due.
    pub fn turn(&self, now: u64) {
        let slot = now / TURN_MS;
        for stripe in &self.stripes {
            while let Some(due) = take_due(stripe, slot) {
                due.iter().filter_map(Weak::upgrade).for_each(|mailbox| mailbox.wake());
            }
        }
    }
}

fn take_due<M>(stripe: &Mutex<BTreeMap<u64, Vec<Weak<M>>>>, slot: u64) -> Option<Vec<Weak<M>>> {
    let mut slots = stripe.lock();
    let entry = slots.first_entry()?;
    (*entry.key() <= slot).then(|| entry.remove())
}
