//! Faults: nodes of the gateway over real Redis servers, with what breaks broken on purpose.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test is what a panic is for"
)]
#![allow(unreachable_pub, reason = "a test crate has no outside")]
#![allow(
    clippy::pedantic,
    clippy::type_complexity,
    reason = "scenarios read as stories; what pedantic asks for is kept in shipped code"
)]

#[path = "../support/mod.rs"]
mod support;

mod away;
mod backplane;
mod balancers;
mod clients;
mod counts;
mod deploys;
mod failover;
mod harness;
mod herd;
mod moves;
mod nodes;
mod quiet;
mod random;
mod refusals;
mod resources;
mod servers;
mod single;
mod wires;
