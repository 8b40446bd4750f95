//! What a fault takes from a node: its time, its life, its way to the store.

use std::future::pending;

use tokio::sync::watch;

/// Whether a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Running {
    Yes,
    /// As after SIGSTOP: what reaches it waits.
    Paused,
    /// As after SIGKILL.
    Dead,
}

/// What becomes of a request to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// It is refused.
    Refused,
    /// It lands, and its answer is lost.
    Unheard,
    /// It waits, and lands when the store goes on.
    Hung,
}

/// A state that faults set and others wait for.
#[derive(Debug)]
pub(crate) struct Switch<T>(watch::Sender<T>);

impl<T: Copy + PartialEq> Switch<T> {
    pub(crate) fn new(state: T) -> Self {
        Self(watch::Sender::new(state))
    }

    pub(crate) fn set(&self, state: T) {
        self.0.send_replace(state);
    }

    pub(crate) fn now(&self) -> T {
        *self.0.borrow()
    }

    /// Until it is, or is not, one of them.
    pub(crate) async fn until(&self, mut holds: impl FnMut(T) -> bool) -> T {
        let now = self.now();
        if holds(now) {
            return now;
        }
        let mut seen = self.0.subscribe();
        let state = seen.wait_for(|state| holds(*state)).await.map(|state| *state);
        match state {
            Ok(state) => state,
            Err(_) => pending().await,
        }
    }
}

impl Switch<Running> {
    /// Passes while the node runs; waits while it is paused, for ever when it is dead.
    pub(crate) async fn gate(&self) {
        self.until(|running| running == Running::Yes).await;
    }

    /// Until it is dead.
    pub(crate) async fn dies(&self) {
        self.until(|running| running == Running::Dead).await;
    }
}
