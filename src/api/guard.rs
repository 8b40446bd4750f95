//! Who may use the API: `Authorization: Bearer KEY` (RFC 6750 section 2.1), before a body is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};

use crate::gateway::Gateway;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::telemetry::labels::Kind;

use super::refusal::ApiRefusal;

/// The name of the key that a request showed: the scope of its publish ids.
#[derive(Debug, Clone)]
pub(super) struct KeyName(pub(super) Arc<str>);

/// Lets requests with a known key pass.
pub(super) async fn guard(
    State(gateway): State<Arc<Gateway>>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response = match key_name(&gateway, request.headers()) {
        Some(name) => {
            request.extensions_mut().insert(name);
            next.run(request).await
        }
        None => {
            let refusal =
                Refusal::new(ErrorCode::Unauthorized).because("a valid API key is needed");
            ApiRefusal::from(refusal).into_response()
        }
    };
    gateway.metrics.answered(Kind::Api, response.status().as_u16());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn key_name(gateway: &Gateway, headers: &HeaderMap) -> Option<KeyName> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let name = gateway.auth.api_key(key.trim())?;
    scheme.eq_ignore_ascii_case("bearer").then(|| KeyName(name.into()))
}
