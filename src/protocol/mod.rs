//! The wire, pure: names, positions, frames and their codec, the one table of errors, body and
//! stream framing. No I/O, no clock, no randomness. `docs/PROTOCOL.md` is its text.

pub mod body;
pub mod channel;
pub mod down;
pub mod error;
pub mod frame;
pub mod position;
pub mod sse;
pub mod up;
