//! `POST …/x`: one complete answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use crate::gateway::Gateway;
use crate::gateway::exchange::{ExchangeAnswer, ExchangeRequest, exchange as perform};
use crate::protocol::down::Scope;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;

use super::negotiate::{Refused, Segment, bearer, nonce, read_body};

/// Performs an exchange.
pub(super) async fn exchange(
    State(gateway): State<Arc<Gateway>>,
    Segment(raw): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let request = read(&gateway, &raw, headers, body).await?;
    match perform(&gateway, request).await? {
        ExchangeAnswer::Frames(frames) => Ok(array(&frames)),
        ExchangeAnswer::Refused(refusal, ended) => {
            let scope = if ended { Scope::Session } else { Scope::Link };
            Err(Refused(refusal, scope))
        }
    }
}

/// Reads the request. Nothing of what came stays: headers and body are views of the connection's
/// buffer, and a poll may wait long.
async fn read(
    gateway: &Gateway,
    raw: &str,
    headers: HeaderMap,
    body: Body,
) -> Result<ExchangeRequest, Refused> {
    let nonce = nonce(raw)?.to_string();
    let limits = &gateway.config.limits;
    let body = read_body(&headers, body, limits.body_bytes, limits.body_timeout).await?;
    let bearer = bearer(gateway, &headers)?;
    let not_text = || Refusal::new(ErrorCode::BadRequest).because("the body is not UTF-8");
    let body = std::str::from_utf8(&body).map_err(|_| not_text())?.to_owned();
    Ok(ExchangeRequest { nonce, body, bearer })
}

/// Frames as one JSON array.
fn array(frames: &[Frame]) -> Response {
    let bytes: usize = frames.iter().map(|frame| frame.len() + 1).sum();
    let mut json = BytesMut::with_capacity(bytes + 2);
    json.put_u8(b'[');
    for (index, frame) in frames.iter().enumerate() {
        if index > 0 {
            json.put_u8(b',');
        }
        json.put_slice(frame.json());
    }
    json.put_u8(b']');
    let mut response = Body::from(json.freeze()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
