//! The operator's endpoints.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::gateway::Gateway;
use crate::telemetry::metrics::CONTENT_TYPE as METRICS_TYPE;

#[derive(Serialize)]
struct Ready {
    status: &'static str,
    engine: &'static str,
    /// `single-node` where sessions and events stay on this node.
    fleet: &'static str,
}

/// The process lives.
pub(super) async fn health() -> &'static str {
    "ok"
}

/// New sessions are taken; 503 while the node goes away.
pub(super) async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let draining = gateway.is_draining();
    let status = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = Ready {
        status: if draining { "draining" } else { "ready" },
        engine: gateway.engine.name(),
        fleet: "single-node",
    };
    (status, Json(body)).into_response()
}

/// The counters, as OpenMetrics.
pub(super) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let deliveries = &gateway.metrics.deliveries;
    deliveries.inner().store(gateway.pushes(), Ordering::Relaxed);
    ([(CONTENT_TYPE, METRICS_TYPE)], gateway.metrics.encode()).into_response()
}
