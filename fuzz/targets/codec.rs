//! Frames and bodies: `cargo fuzz run codec`.
#![no_main]

#[path = "../logic.rs"]
#[allow(dead_code, reason = "each target runs one function")]
mod logic;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| logic::codec(bytes));
