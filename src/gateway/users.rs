//! How many sessions each user has on this node.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Sessions by user. Bounded by the sessions of the node.
#[derive(Debug, Default)]
pub(super) struct Users(Mutex<HashMap<Arc<str>, usize>>);

impl Users {
    /// One more session. Returns whether the user had fewer than `most`; if not nothing changes.
    pub(super) fn enter(&self, user: &Arc<str>, most: usize) -> bool {
        let mut users = self.0.lock();
        let count = users.entry(Arc::clone(user)).or_default();
        let fits = *count < most;
        if fits {
            *count += 1;
        }
        fits
    }

    /// One session less.
    pub(super) fn leave(&self, user: &Arc<str>) {
        let mut users = self.0.lock();
        if let Some(count) = users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                users.remove(user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_given_back_is_taken_again() {
        let users = Users::default();
        let bob: Arc<str> = "bob".into();
        assert!(users.enter(&bob, 2) && users.enter(&bob, 2));
        assert!(!users.enter(&bob, 2));
        users.leave(&bob);
        assert!(users.enter(&bob, 2));
    }
}
