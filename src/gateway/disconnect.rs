//! Ending sessions from outside.

use crate::protocol::error::ErrorCode;

use super::Gateway;

/// Whose sessions to end.
#[derive(Debug, Clone)]
pub enum Whose {
    /// A user's.
    User(String),
    /// The one of a member.
    Member(String),
}

/// Ends the sessions of a user or member on this node. Returns how many there were.
pub fn disconnect(gateway: &Gateway, whose: &Whose) -> usize {
    let wanted = |driver: &std::sync::Arc<super::driver::Driver>| match whose {
        Whose::User(user) => driver.identity().user.as_deref() == Some(user),
        Whose::Member(member) => &*driver.member.0 == member,
    };
    let drivers: Vec<_> = gateway.registry.all().into_iter().filter(wanted).collect();
    for driver in &drivers {
        driver.end(ErrorCode::Disconnected);
    }
    drivers.len()
}
