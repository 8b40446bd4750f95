//! What the suites share: the server as a process, a client of the protocol, raw HTTP, a shim that
//! breaks connections, and the checker of histories.
#![allow(unreachable_pub, dead_code, reason = "several crates of tests share this, each a part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test is what a panic is for"
)]

pub mod checker;
pub mod client;
pub mod fleet;
pub mod history;
pub mod http;
pub mod openapi;
pub mod redis;
pub mod server;
pub mod shim;
pub mod token;
pub mod wait;
pub mod websocket;

use serde_json::Value;

/// A text member of a frame, or "".
pub fn text<'a>(frame: &'a Value, member: &str) -> &'a str {
    frame[member].as_str().unwrap_or_default()
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{:016x}", rand::random::<u64>())
}
