//! Transports: thin adapters from connections and requests to the gateway (PROTOCOL.md section 4).

pub mod assets;
pub mod frames;
pub mod negotiate;
pub mod node;
pub mod socket;
pub mod wire;
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
use tower_http::catch_panic::CatchPanicLayer;

use crate::gateway::Gateway;

/// The routes below the one path.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    let below = Router::new()
        .route("/client.js", get(assets::client_js))
        .route("/client.mjs", get(assets::client_mjs))
        .route("/core.mjs", get(assets::core_mjs))
        .route("/feed.js", get(assets::feed_js))
        .route("/feed.mjs", get(assets::feed_mjs))
        .route("/tabs.js", get(assets::tabs_js))
        .route("/tabs.mjs", get(assets::tabs_mjs))
        .route("/diagnose.mjs", get(assets::diagnose_mjs))
        .route("/feed/{path}", get(feed::feed))
        .route("/{nonce}/ws", get(ws::upgrade))
        .route("/{nonce}/s", post(stream::octets))
        .route("/{nonce}/e", post(stream::events))
        .route("/{nonce}/x", post(exchange::exchange))
        .fallback(negotiate::not_found)
        .method_not_allowed_fallback(negotiate::bad_method)
        .layer(DefaultBodyLimit::disable());
    dressed(below, gateway)
}

/// Routes below the one path, each answer as [`negotiate::negotiate`] dresses it: after a panic too.
fn dressed(below: Router<Arc<Gateway>>, gateway: Arc<Gateway>) -> Router {
    let path = gateway.config.path.clone();
    let panicked = negotiate::panicked(Arc::clone(&gateway));
    let below = below
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), negotiate::negotiate))
        .with_state(gateway);
    Router::new().nest(&path, below)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::{Request, StatusCode};
    use tower::ServiceExt as _;

    use super::*;
    use crate::engine::clock::Clock;
    use crate::gateway::testing::node;

    async fn breaks() -> StatusCode {
        panic!("a fault of the server")
    }

    #[tokio::test]
    async fn a_request_whose_handler_panics_is_refused_as_any_other() {
        // spec: B2, M8, M9
        let gateway = node(Clock::wall());
        let routes = dressed(Router::new().route("/n1/x", get(breaks)), Arc::clone(&gateway));
        let request = Request::get("/realtime/n1/x").header("origin", "https://app.example");
        let answer = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 500);
        for (name, value) in [
            ("cache-control", "no-cache, no-store, no-transform"),
            ("content-type", "application/json"),
            ("access-control-allow-origin", "https://app.example"),
        ] {
            assert_eq!(answer.headers()[name], value, "{name}");
        }
        let body = to_bytes(answer.into_body(), 1024).await.unwrap();
        let refusal: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&refusal["l"], &refusal["code"]), (&"error".into(), &"internal".into()));
        assert_eq!(gateway.metrics.panics.get(), 1);
    }
}
