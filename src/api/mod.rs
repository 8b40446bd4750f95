//! The application backend's HTTP API, below `/api`: JSON in and out, guarded by API keys.
//!
//! A refusal is `{"code", "message", "retry_ms"?, "pos"?}` with the status of its code.

mod guard;
mod handlers;
mod publish;
mod refusal;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};

use crate::gateway::Gateway;

/// The routes below `/api`.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    let body_bytes = gateway.config.api.body_bytes;
    let below = Router::new()
        .route("/publish", post(publish::publish))
        .route("/batch", post(publish::batch))
        .route("/history", get(handlers::history))
        .route("/presence", get(handlers::presence_get).post(handlers::presence_post))
        .route("/users/{user}/sessions", get(users::sessions))
        .route("/disconnect", post(handlers::disconnect))
        .route("/feed-ticket", post(handlers::feed_ticket))
        .fallback(refusal::not_found)
        .method_not_allowed_fallback(refusal::bad_method)
        .layer(DefaultBodyLimit::max(body_bytes))
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), guard::guard))
        .with_state(gateway);
    Router::new().nest("/api", below)
}
