//! The gateway from outside: every transport over bare sockets, against the program itself.
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

mod api;
mod channels;
mod chaos;
mod codec;
mod duplex;
mod feed;
mod handshake;
mod heartbeat;
mod herd;
mod identity;
mod limits;
mod links;
mod origins;
mod polling;
mod presence;
mod resume;
mod slow_reader;
mod streams;
mod violations;
