//! `GET …/ws`: the handshake (RFC 6455 section 4.2), and the connection after it.

pub mod codec;
pub mod frames;
pub mod opening;

mod connection;
mod direct;
mod port;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::gateway::Gateway;
use crate::protocol::error::{ErrorCode, Refusal};

use self::direct::Direct;
use super::negotiate::{Refused, Segment, bearer, nonce};
use super::socket::{Counted, Socket};

/// Answers the handshake and serves the connection in a task of its own.
pub(super) async fn upgrade(
    State(gateway): State<Arc<Gateway>>,
    Segment(raw): Segment,
    mut request: Request,
) -> Result<Response, Refused> {
    let accept = accept(request.headers())?;
    let nonce = nonce(&raw)?.to_string();
    let bearer = bearer(&gateway, request.headers())?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or(ErrorCode::UpgradeRequired)?;
    let server = Arc::clone(&gateway);
    gateway.spawn(async move {
        if let Some((stream, counted, read)) = upgraded(upgrade).await {
            connection::serve(server, (stream, counted), &read, nonce, bearer);
        }
    });
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// Judges the handshake (M6).
fn accept(headers: &HeaderMap) -> Result<HeaderValue, Refused> {
    let names = |name, token: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|t| t.trim().eq_ignore_ascii_case(token))
    };
    let version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    if !names(CONNECTION, "upgrade") || !names(UPGRADE, "websocket") || !version {
        return Err(ErrorCode::UpgradeRequired.into());
    }
    let bad_key = || Refusal::new(ErrorCode::BadRequest).because("the WebSocket key is malformed");
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(bad_key)?;
    // 16 bytes in base64 (section 4.1).
    if !STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16) {
        return Err(bad_key().into());
    }
    let accept = derive_accept_key(key.as_bytes());
    HeaderValue::from_str(&accept).map_err(|_| ErrorCode::Internal.into())
}

/// The socket under an upgraded connection, and what was read beyond the handshake.
async fn upgraded(upgrade: OnUpgrade) -> Option<(Direct, Counted, Vec<u8>)> {
    let upgraded = upgrade.await.ok()?;
    let parts = upgraded.downcast::<TokioIo<Socket>>().ok()?;
    // Copied: the bytes are a view of hyper's whole buffer.
    let (stream, counted) = parts.io.into_inner().into_parts();
    Some((stream.into(), counted, parts.read_buf.to_vec()))
}
