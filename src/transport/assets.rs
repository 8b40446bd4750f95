//! What the server itself serves to a page: the client, the diagnosis, and the demo.
//!
//! The files are embedded; a development build reads them from the tree. They change with the
//! server only, so a browser asks again each time and gets 304 by their hash.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::protocol::error::{ErrorCode, Refusal};

use super::negotiate::{Refused, Segment};

#[derive(RustEmbed)]
#[folder = "client-js/dist"]
#[allow_missing = true]
struct Client;

#[derive(RustEmbed)]
#[folder = "client-js/demo"]
#[allow_missing = true]
struct Demo;

const CSP: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
    object-src 'none'; base-uri 'none'; frame-ancestors 'self'";

/// The client as a script: `Throughline.connect(…)`.
pub(super) async fn client_js(headers: HeaderMap) -> Result<Response, Refused> {
    file(Client::get("throughline.iife.js"), "text/javascript; charset=utf-8", &headers)
}

/// The client as a module.
pub(super) async fn client_mjs(headers: HeaderMap) -> Result<Response, Refused> {
    file(Client::get("throughline.mjs"), "text/javascript; charset=utf-8", &headers)
}

/// The core of the client, as a module.
pub(super) async fn core_mjs(headers: HeaderMap) -> Result<Response, Refused> {
    file(Client::get("throughline.core.mjs"), "text/javascript; charset=utf-8", &headers)
}

/// The client whose tabs share a session, as a script: `Throughline.connectShared(…)`.
pub(super) async fn tabs_js(headers: HeaderMap) -> Result<Response, Refused> {
    file(Client::get("throughline.tabs.iife.js"), "text/javascript; charset=utf-8", &headers)
}

/// The client whose tabs share a session, as a module.
pub(super) async fn tabs_mjs(headers: HeaderMap) -> Result<Response, Refused> {
    file(Client::get("throughline.tabs.mjs"), "text/javascript; charset=utf-8", &headers)
}

/// The diagnosis of a network, as a module.
pub(super) async fn diagnose_mjs(headers: HeaderMap) -> Result<Response, Refused> {
    file(Client::get("throughline.diagnose.mjs"), "text/javascript; charset=utf-8", &headers)
}

/// The demo's page.
///
/// # Errors
/// `not_found` in a build without it.
pub async fn demo_page(headers: HeaderMap) -> Result<Response, Refused> {
    demo_file("index.html", &headers)
}

/// The page that diagnoses the visitor's network.
///
/// # Errors
/// `not_found` in a build without it.
pub async fn diagnose_page(headers: HeaderMap) -> Result<Response, Refused> {
    demo_file("diagnose.html", &headers)
}

/// A file of the demo.
///
/// # Errors
/// `not_found` where there is none.
pub async fn demo_asset(Segment(path): Segment, headers: HeaderMap) -> Result<Response, Refused> {
    demo_file(&path, &headers)
}

fn demo_file(path: &str, headers: &HeaderMap) -> Result<Response, Refused> {
    let media_type = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    file(Demo::get(path), media_type, headers)
}

fn file(
    found: Option<EmbeddedFile>,
    media_type: &'static str,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    let missing = || Refusal::new(ErrorCode::NotFound).because("this build has no such file");
    let file = found.ok_or_else(missing)?;
    let hash = URL_SAFE_NO_PAD.encode(file.metadata.sha256_hash());
    let tag = HeaderValue::from_str(&format!("\"{hash}\"")).map_err(|_| ErrorCode::Internal)?;
    let fresh = headers.get(IF_NONE_MATCH) == Some(&tag);
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(file.data.into_owned()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(ETAG, tag);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
