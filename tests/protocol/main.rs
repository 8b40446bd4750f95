//! The bytes on the wire, as both languages read them: `tests/fixtures/protocol` holds frames,
//! `tests/fixtures/wire` what is not a frame. `UPDATE_FIXTURES=1` rewrites what the server writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a failed test is a panic, and nothing is used from outside"
)]

mod down;
mod errors;
mod up;

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn load<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let text = std::fs::read_to_string(path(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn updates() -> bool {
    std::env::var_os("UPDATE_FIXTURES").is_some()
}

/// Compares a file with what the code says, or rewrites it.
fn agree<T: Serialize>(name: &str, rows: &[T]) {
    let lines: Vec<_> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    if updates() {
        std::fs::write(path(name), &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path(name)).unwrap(), text, "UPDATE_FIXTURES=1 rewrites it");
}
