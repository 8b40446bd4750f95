//! Serving HTTP/2 on a connection (RFC 9113), within bounds of our own.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::config::limits::Limits;
use crate::transport::socket::{InFlight, Socket};

use super::listener::{GRACE, Tracked};
use super::patience::{Paced, Patient};

/// Streams of a connection at once: a browser shares one among its tabs.
const STREAMS: u32 = 128;
/// Bytes of a body that a stream takes before it is read.
const STREAM_WINDOW: u32 = 64 << 10;
/// Bytes of all bodies of a connection that are not read yet.
const CONNECTION_WINDOW: u32 = 256 << 10;
/// Bytes of an answer that wait for the client's window; then its body is not pulled.
const SEND_BYTES: usize = 16 << 10;
/// Streams that were reset before they were taken, and streams reset for the client's errors: more
/// end the connection (CVE-2023-44487, CVE-2025-8671).
const RESETS: usize = 20;
const ERRORS: usize = 100;
/// How often a connection is asked whether it lives, and how long its answer may take.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// How requests are answered.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) router: Router,
    pub(super) in_flight: InFlight,
    /// Headers of a request at most.
    pub(super) headers: usize,
    /// How long an answer may wait for the client's window.
    pub(super) within: Duration,
}

impl Answer {
    async fn to(self, mut request: Request<Incoming>) -> Result<Response<Paced>, Infallible> {
        let guard = self.in_flight.begin();
        let response = if request.headers().len() > self.headers {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response()
        } else {
            name_host(&mut request);
            self.router.oneshot(request.map(Body::new)).await?
        };
        Ok(response.map(|body| Paced::new(Tracked::new(body, guard), self.within)))
    }
}

/// `:authority` is what `Host` is elsewhere (section 8.3.1), and goes before it.
fn name_host<B>(request: &mut Request<B>) {
    let authority = request.uri().authority().map(Authority::as_str);
    if let Some(Ok(host)) = authority.map(HeaderValue::from_str) {
        request.headers_mut().insert(HOST, host);
    }
}

/// Serves until the connection ends; told to stop, takes no more streams and lets the last end.
pub(super) async fn serve(
    limits: &Limits,
    socket: Socket,
    answer: Answer,
    stop: CancellationToken,
) -> hyper::Result<()> {
    let connection = Builder::new(Patient)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BYTES)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(ERRORS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .serve_connection(TokioIo::new(socket), service_fn(move |r| answer.clone().to(r)));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    }
}
