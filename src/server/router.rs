//! The routes of each listener.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::AdminListen;
use crate::gateway::Gateway;
use crate::transport::{assets, negotiate};
use crate::{api, transport};

use super::admin;

/// What clients and the application's backend use.
pub(super) fn main(gateway: &Arc<Gateway>) -> Router {
    let mut router = Router::new()
        .route("/health", get(admin::health))
        .route("/ready", get(admin::ready))
        .with_state(Arc::clone(gateway))
        .merge(transport::routes(Arc::clone(gateway)))
        .merge(api::routes(Arc::clone(gateway)))
        .fallback(negotiate::not_found);
    if gateway.config.admin.listen == AdminListen::Same {
        router = router.merge(metrics(gateway));
    }
    if gateway.config.demo {
        router = router
            .route("/", get(assets::demo_page))
            .route("/diagnose", get(assets::diagnose_page))
            .route("/{file}", get(assets::demo_asset));
    }
    router.layer(CatchPanicLayer::custom(negotiate::panicked(Arc::clone(gateway))))
}

/// What the operator uses.
pub(super) fn admin(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route("/health", get(admin::health))
        .route("/ready", get(admin::ready))
        .with_state(Arc::clone(gateway))
        .merge(metrics(gateway))
        .fallback(negotiate::not_found)
        .layer(CatchPanicLayer::custom(negotiate::panicked(Arc::clone(gateway))))
}

fn metrics(gateway: &Arc<Gateway>) -> Router {
    Router::new().route("/metrics", get(admin::metrics)).with_state(Arc::clone(gateway))
}
