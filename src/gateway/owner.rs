//! Where a session lives. One node knows only its own; a session of another incarnation is told
//! from one that is over, so that the answer can differ once nodes can be asked.

use std::sync::Arc;

use super::Gateway;
use super::driver::Driver;

/// Where a session lives.
#[derive(Debug)]
pub enum Owner {
    /// Here.
    Local(Arc<Driver>),
    /// With another incarnation.
    Elsewhere,
    /// Nowhere: it is over.
    Gone,
}

/// Finds a session by what its ticket says.
pub fn find(gateway: &Gateway, session: u128, incarnation: &str) -> Owner {
    if incarnation != &*gateway.incarnation.0 {
        return Owner::Elsewhere;
    }
    gateway.registry.get(session).map_or(Owner::Gone, Owner::Local)
}
