//! `POST …/s` and `POST …/e`: a stream that frames are pushed to, as lines or as Server-Sent Events.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::gateway::candidates::Place;
use crate::gateway::open::{self, Opener};
use crate::gateway::{Gateway, resume};
use crate::protocol::body;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::up::{LinkUp, Up};
use crate::session::input::ConnKind;

use super::negotiate::{Refused, Segment, bearer, nonce, read_body};
use super::port::{Format, StreamBody, StreamPort};

/// Lines.
pub(super) async fn octets(
    state: State<Arc<Gateway>>,
    segment: Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let stream = begin(state, segment, headers, body, Format::Lines).await?;
    Ok(response(stream, "application/octet-stream"))
}

/// Server-Sent Events.
pub(super) async fn events(
    state: State<Arc<Gateway>>,
    segment: Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let stream = begin(state, segment, headers, body, Format::Events).await?;
    Ok(response(stream, "text/event-stream"))
}

/// A stream as an answer. That it is not encoded keeps proxies from compressing it, which would store it
/// (M8); on a complete answer it would mislead those that compress it all the same (docs/adr/0012).
pub(super) fn response(stream: StreamBody, media_type: &'static str) -> Response {
    let mut response = Body::new(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
    response
}

async fn begin(
    State(gateway): State<Arc<Gateway>>,
    Segment(raw): Segment,
    headers: HeaderMap,
    body: Body,
    format: Format,
) -> Result<StreamBody, Refused> {
    let nonce = nonce(&raw)?;
    let limits = &gateway.config.limits;
    let body = read_body(&headers, body, limits.body_bytes, limits.body_timeout).await?;
    let bearer = bearer(&gateway, &headers)?;
    let mut frames = body::parse(&body, 1, limits.frame_bytes)?.into_iter();
    let (conn, metrics) = (gateway.next_conn(), Arc::clone(&gateway.metrics));
    let port = Arc::new(StreamPort::new(format, metrics));
    let (place, filler) = match frames.next() {
        Some(Up::Link(LinkUp::Open(head))) => {
            let filler = head.filler;
            let (kind, nonce, port) = (ConnKind::Push, nonce.as_str(), Arc::clone(&port));
            let opener = Opener { conn, nonce, kind, bearer: bearer.as_deref(), port };
            (Place::Here(open::open(&gateway, opener, *head).await?.0), filler)
        }
        Some(Up::Link(LinkUp::Candidate { ticket, filler })) => {
            let port = Arc::clone(&port);
            (resume::candidate(&gateway, &ticket, conn, nonce.as_str(), port).await?, filler)
        }
        _ => {
            let why = "a stream begins with open or candidate";
            return Err(Refusal::new(ErrorCode::BadFrame).because(why).into());
        }
    };
    Ok(StreamBody::new(port, place, conn, filler, gateway.config.session.stream_age))
}
