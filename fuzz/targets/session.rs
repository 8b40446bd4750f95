//! Any inputs at any times: `cargo fuzz run session`.
#![no_main]

#[path = "../logic.rs"]
#[allow(dead_code, reason = "each target runs one function")]
mod logic;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| logic::session(bytes));
