//! The gateway from outside: every transport over bare sockets, against the program itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test is what a panic is for"
)]

#[path = "../support/mod.rs"]
mod support;

mod chaos;
mod codec;
mod duplex;
mod feed;
mod handshake;
mod limits;
mod origins;
mod polling;
mod resume;
mod streams;
mod violations;
