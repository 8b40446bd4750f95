//! Transports: thin adapters from connections and requests to the gateway (PROTOCOL.md section 4).

pub mod assets;
pub mod negotiate;
pub mod socket;
pub mod ws;

mod exchange;
mod feed;
mod feed_cursor;
mod port;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};

use crate::gateway::Gateway;

/// The routes below the one path.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    let path = gateway.config.path.clone();
    let below = Router::new()
        .route("/client.js", get(assets::client_js))
        .route("/client.mjs", get(assets::client_mjs))
        .route("/feed/{path}", get(feed::feed))
        .route("/{nonce}/ws", get(ws::upgrade))
        .route("/{nonce}/s", post(stream::octets))
        .route("/{nonce}/e", post(stream::events))
        .route("/{nonce}/x", post(exchange::exchange))
        .fallback(negotiate::not_found)
        .method_not_allowed_fallback(negotiate::bad_method)
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), negotiate::negotiate))
        .with_state(gateway);
    Router::new().nest(&path, below)
}
