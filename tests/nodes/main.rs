//! Several nodes that act as one: sessions whose requests land anywhere, move, and outlive nodes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test is what a panic is for"
)]
#![allow(
    clippy::pedantic,
    clippy::type_complexity,
    reason = "scenarios read as stories; what pedantic asks for is kept in shipped code"
)]

#[path = "../support/mod.rs"]
mod support;

mod candidates;
mod delivery;
mod devices;
mod fleet;
mod inbox;
mod losing;
mod moving;
mod presence;
mod real;
mod seats;
