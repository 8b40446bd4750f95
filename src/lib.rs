//! Throughline: a realtime gateway. One server, one session, any transport.
//!
//! `docs/ARCHITECTURE.md` says how the parts fit; the imports between them are a test.

pub mod api;
pub mod auth;
pub mod config;
pub mod engine;
pub mod gateway;
pub mod hub;
pub mod protocol;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod transport;
