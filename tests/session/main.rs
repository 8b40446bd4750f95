//! The session as a whole, in virtual time: a client and a shell after the book, a network that
//! delays, repeats, cuts and reorders, and a checker of what the client sees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a failed test is a panic, and nothing is used from outside"
)]

mod behind;
mod bench;
mod client;
mod engine;
mod fuzz;
mod links;
mod network;
mod opening;
mod parking;
mod presence;
mod property;
mod shell;
mod timers;
mod uplink;
mod view;
mod world;
