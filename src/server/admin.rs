//! The operator's endpoints.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::engine::types::Health;
use crate::gateway::Gateway;
use crate::telemetry::metrics::CONTENT_TYPE as METRICS_TYPE;

#[derive(Serialize)]
struct Ready {
    status: &'static str,
    engine: &'static str,
    /// As [`Gateway::fleet`] says.
    fleet: &'static str,
}

/// The process lives.
pub(super) async fn health() -> &'static str {
    "ok"
}

/// New sessions are taken; 503 before the engine was reached for the first time, between a lapsed lease
/// and the next, and while the node goes away. An engine that cannot be reached now is no reason: sessions stay.
pub(super) async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let (status, said) = match gateway.engine.health() {
        _ if gateway.is_draining() => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        Health::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        _ if !gateway.is_known() => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Health::Degraded => (StatusCode::OK, "degraded"),
        Health::Ready => (StatusCode::OK, "ready"),
    };
    let (engine, fleet) = (gateway.engine.name(), gateway.fleet());
    (status, Json(Ready { status: said, engine, fleet })).into_response()
}

/// The counters, as OpenMetrics.
pub(super) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let deliveries = &gateway.metrics.deliveries;
    deliveries.inner().store(gateway.pushes(), Ordering::Relaxed);
    ([(CONTENT_TYPE, METRICS_TYPE)], gateway.metrics.encode()).into_response()
}
