//! Which sessions each user has on this node.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Sessions by user. Bounded by the sessions of the node.
#[derive(Debug, Default)]
pub(super) struct Users(Mutex<HashMap<Arc<str>, Vec<u128>>>);

impl Users {
    /// One more session.
    pub(super) fn enter(&self, user: &Arc<str>, session: u128) {
        let mut users = self.0.lock();
        let sessions = users.entry(Arc::clone(user)).or_default();
        if !sessions.contains(&session) {
            // Mostly there is one.
            sessions.reserve_exact(1);
            sessions.push(session);
        }
    }

    /// One session less.
    pub(super) fn leave(&self, user: &str, session: u128) {
        let mut users = self.0.lock();
        if let Some(sessions) = users.get_mut(user) {
            sessions.retain(|known| *known != session);
            if sessions.is_empty() {
                users.remove(user);
            }
        }
    }

    /// A user's sessions.
    pub(super) fn of(&self, user: &str) -> Vec<u128> {
        self.0.lock().get(user).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_sessions_that_entered_and_did_not_leave() {
        let users = Users::default();
        let bob: Arc<str> = "bob".into();
        for session in [1, 2, 2] {
            users.enter(&bob, session);
        }
        assert_eq!(users.of("bob"), [1, 2]);
        users.leave("bob", 1);
        users.leave("ann", 2);
        assert_eq!(users.of("bob"), [2]);
        users.leave("bob", 2);
        assert_eq!(users.of("bob"), []);
        assert!(users.0.lock().is_empty());
    }
}
