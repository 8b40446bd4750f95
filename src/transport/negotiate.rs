//! What every request below the path has in common: its origin, its headers, its token, and how it
//! is refused.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION,
    CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, ORIGIN, REFERRER_POLICY, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::auth::origins::OriginDecision;
use crate::gateway::Gateway;
use crate::protocol::channel::Nonce;
use crate::protocol::down::{self, Scope};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::telemetry::labels::Kind;

/// The headers of every answer (M8): no cache keeps it, no proxy rewrites or stores it.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, no-transform")),
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("7200");

/// A refusal as an answer (M9).
#[derive(Debug)]
pub struct Refused(pub Refusal, pub Scope);

impl<T: Into<Refusal>> From<T> for Refused {
    fn from(refusal: T) -> Self {
        Self(refusal.into(), Scope::Link)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let row = self.0.code.row();
        let body = Bytes::copy_from_slice(down::link_error(&self.0, self.1).json());
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(row.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(ms) = self.0.retry_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        if self.0.code == ErrorCode::UpgradeRequired {
            headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
            headers.insert("upgrade", HeaderValue::from_static("websocket"));
        }
        response
    }
}

/// The variable segment of a request's path.
#[derive(Debug)]
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let segment = Path::<String>::from_request_parts(parts, state).await;
        let bad = |_| Refusal::new(ErrorCode::BadRequest).because("the path is not UTF-8");
        Ok(Self(segment.map_err(bad)?.0))
    }
}

/// What a request is answered whose handler panicked (contract B2).
pub fn panicked(
    gateway: Arc<Gateway>,
) -> impl FnMut(Box<dyn Any + Send>) -> Response + Clone + Send + 'static {
    move |_| {
        gateway.metrics.panics.inc();
        tracing::error!("a panic ended a request");
        let mut response = Refused::from(ErrorCode::Internal).into_response();
        put_headers(response.headers_mut());
        response
    }
}

/// Refuses an origin that is not listed, answers a preflight, and dresses every answer.
pub async fn negotiate(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Response {
    let kind = kind_of(request.uri().path());
    let listed = match decide(&gateway, request.headers()) {
        Ok(listed) => listed,
        Err(code) => return dressed(&gateway, kind, None, Refused::from(code).into_response()),
    };
    if request
        .uri()
        .path_and_query()
        .is_some_and(|p| p.as_str().len() > gateway.config.limits.uri_bytes)
    {
        let refusal = Refusal::new(ErrorCode::TooLarge).because("the path is too long");
        return dressed(&gateway, kind, listed, Refused::from(refusal).into_response());
    }
    let response =
        if request.method() == Method::OPTIONS { preflight() } else { next.run(request).await };
    dressed(&gateway, kind, listed, response)
}

/// The origin to name in the answer, if the request came from a listed one.
fn decide(gateway: &Gateway, headers: &HeaderMap) -> Result<Option<HeaderValue>, ErrorCode> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let origin = origins.next();
    // More than one, or one that is not text, is no origin that could be listed.
    let text = match (origin, origins.next()) {
        (None, _) => None,
        (Some(one), None) => Some(one.to_str().unwrap_or_default()),
        (Some(_), Some(_)) => Some(""),
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match gateway.auth.origin(text, host) {
        // Copied: it outlives the request, whose headers are views of the connection's buffer.
        OriginDecision::Listed(_) => {
            Ok(origin.and_then(|origin| HeaderValue::from_bytes(origin.as_bytes()).ok()))
        }
        OriginDecision::Absent => Ok(None),
        OriginDecision::Refused => Err(ErrorCode::BadOrigin),
    }
}

fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    let allowed = HeaderValue::from_static("authorization, content-type, last-event-id");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    response
}

fn dressed(
    gateway: &Gateway,
    kind: Kind,
    origin: Option<HeaderValue>,
    mut response: Response,
) -> Response {
    gateway.metrics.answered(kind, response.status().as_u16());
    let headers = response.headers_mut();
    put_headers(headers);
    if gateway.is_draining() {
        // The next request then finds its way to another node.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    response
}

fn put_headers(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
}

fn kind_of(path: &str) -> Kind {
    match path.rsplit('/').next() {
        _ if path.contains("/feed/") => Kind::Feed,
        Some("ws") => Kind::WebSocket,
        Some("s") => Kind::Stream,
        Some("e") => Kind::Sse,
        Some("x") => Kind::Exchange,
        _ => Kind::Asset,
    }
}

/// There is nothing at this path.
pub async fn not_found() -> Refused {
    ErrorCode::NotFound.into()
}

/// The path takes another method; the WebSocket's wants an upgrade.
pub async fn bad_method() -> Refused {
    ErrorCode::BadMethod.into()
}

/// The nonce of a path.
pub(super) fn nonce(raw: &str) -> Result<Nonce, Refused> {
    Nonce::parse(raw)
        .map_err(|error| Refusal::new(ErrorCode::BadRequest).because(error.to_string()).into())
}

/// The token that came with a request: `Authorization: Bearer` (RFC 6750 section 2.1), or the
/// configured cookie where the origin is listed.
/// # Errors
/// `unauthorized` for another scheme, and what the token itself refuses: before anything is opened.
pub(super) fn bearer(gateway: &Gateway, headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let token = match headers.get(AUTHORIZATION) {
        Some(value) => {
            let text = value.to_str().ok().and_then(|text| text.split_once(' '));
            let token = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            Some(token.ok_or(ErrorCode::Unauthorized)?.1.trim().to_owned())
        }
        None => cookie(gateway, headers),
    };
    if let Some(token) = &token {
        gateway.verify(token)?;
    }
    Ok(token)
}

fn cookie(gateway: &Gateway, headers: &HeaderMap) -> Option<String> {
    let name = gateway.config.auth.cookie.as_deref()?;
    // A cookie comes with requests that a page of any origin makes: it counts from listed ones only.
    if !matches!(decide(gateway, headers), Ok(Some(_))) {
        return None;
    }
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// The whole body of a request, within the limits of size and time.
pub(super) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    within: Duration,
) -> Result<Bytes, Refused> {
    if headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err(ErrorCode::Unsupported.into());
    }
    match tokio::time::timeout(within, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let large = std::error::Error::source(&error).is_some_and(
                <dyn std::error::Error + 'static>::is::<http_body_util::LengthLimitError>,
            );
            let code = if large { ErrorCode::TooLarge } else { ErrorCode::BadRequest };
            Err(code.into())
        }
        Err(_) => Err(Refusal::new(ErrorCode::BadRequest).because("the body took too long").into()),
    }
}
