//! What the server itself serves to a page: the client, the diagnosis, and the demo.
//!
//! The files are embedded; a development build reads them from the tree. They change with the
//! server only, so a browser asks again each time and gets 304 by their hash.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
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

/// Codings of a script, best first, and how the name of a file ends that has it (`npm run build`).
const CODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

const CSP: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
    object-src 'none'; base-uri 'none'; frame-ancestors 'self'";

/// The client as a script: `Throughline.connect(…)`.
pub(super) async fn client_js(headers: HeaderMap) -> Result<Response, Refused> {
    script("throughline.iife.js", &headers)
}

/// The client as a module.
pub(super) async fn client_mjs(headers: HeaderMap) -> Result<Response, Refused> {
    script("throughline.mjs", &headers)
}

/// The core of the client, as a module.
pub(super) async fn core_mjs(headers: HeaderMap) -> Result<Response, Refused> {
    script("throughline.core.mjs", &headers)
}

/// The plain feed, as a script: `Throughline.feed(…)`.
pub(super) async fn feed_js(headers: HeaderMap) -> Result<Response, Refused> {
    script("throughline.feed.iife.js", &headers)
}

/// The plain feed, as a module.
pub(super) async fn feed_mjs(headers: HeaderMap) -> Result<Response, Refused> {
    script("throughline.feed.mjs", &headers)
}

/// The client whose tabs share a session, as a script: `Throughline.connectShared(…)`.
pub(super) async fn tabs_js(headers: HeaderMap) -> Result<Response, Refused> {
    script("throughline.tabs.iife.js", &headers)
}

/// The client whose tabs share a session, as a module.
pub(super) async fn tabs_mjs(headers: HeaderMap) -> Result<Response, Refused> {
    script("throughline.tabs.mjs", &headers)
}

/// The diagnosis of a network, as a module.
pub(super) async fn diagnose_mjs(headers: HeaderMap) -> Result<Response, Refused> {
    script("throughline.diagnose.mjs", &headers)
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

/// A script of the client, compressed where the request takes that and the build has it.
fn script(name: &str, headers: &HeaderMap) -> Result<Response, Refused> {
    let coded = CODINGS.into_iter().filter(|(coding, _)| accepts(headers, coding));
    let mut found = coded.filter_map(|(coding, ending)| {
        Client::get(&format!("{name}{ending}")).map(|packed| (Some(packed), Some(coding)))
    });
    let (found, coding) = found.next().unwrap_or_else(|| (Client::get(name), None));
    let mut response = file(found, "text/javascript; charset=utf-8", headers)?;
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    Ok(response)
}

/// Whether a request names the coding, and not with a weight of nought (RFC 9110 section 12.5.3).
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|offer| {
        let (name, weight) = offer.split_once(';').unwrap_or((offer, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case(coding) && weight.is_some_and(|weight| weight > 0.0)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_compressed_only_for_who_takes_it() {
        for (offers, taken) in [
            ("", [false, false]),
            ("gzip, deflate, br, zstd", [true, true]),
            ("GZIP;q=0.5 , identity", [false, true]),
            ("br;q=0, gzip; q=1.0", [false, true]),
            ("br;q=x, gzip;q=0.000", [false, false]),
            ("brotli, x-gzip", [false, false]),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(offers));
            assert_eq!(CODINGS.map(|(coding, _)| accepts(&headers, coding)), taken, "{offers}");
        }
    }
}
