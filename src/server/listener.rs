//! Accepting connections, and serving HTTP on each (docs/adr/0002, docs/adr/0010).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, SockRef, Socket as Socket2, TcpKeepalive, Type};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::config::limits::Limits;
use crate::gateway::Gateway;
use crate::telemetry::labels::Refused;
use crate::transport::socket::{Counted, InFlight, InFlightGuard, Limits as Times, Socket};
use crate::transport::wire::Wire;

use super::tls::{HTTP2, Tls};
use super::{Listener, http2};

/// Connections that wait to be accepted: tokio's own bind takes 128, which a herd overflows.
const BACKLOG: i32 = 4096;
/// How long accepting rests where the process has no descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// How long what was written may stay unacknowledged (RFC 5482).
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection that is told to end may take.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What is served on a listener, and whether over TLS.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) router: Router,
    pub(super) tls: Option<Arc<Tls>>,
}

/// Binds a listener.
pub(super) fn bind(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket2::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Listener::from_std(socket.into())
}

/// Accepts until told to stop.
pub(super) async fn serve(
    gateway: Arc<Gateway>,
    listener: Listener,
    service: Service,
    stop: CancellationToken,
) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) if full(&gateway) => {
                gateway.metrics.connection_refused(Refused::Full);
                drop(stream);
            }
            Ok((stream, _)) => {
                let served =
                    connection(Arc::clone(&gateway), stream, service.clone(), stop.clone());
                gateway.spawn(served);
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                sleep(EXHAUSTED).await;
            }
        }
    }
}

fn full(gateway: &Gateway) -> bool {
    let limit = i64::try_from(gateway.config.limits.connections).unwrap_or(i64::MAX);
    gateway.metrics.connections.get() >= limit
}

async fn connection(
    gateway: Arc<Gateway>,
    stream: TcpStream,
    service: Service,
    stop: CancellationToken,
) {
    if let Err(error) = prepare(&stream) {
        return tracing::debug!(%error, "a connection was gone before it was served");
    }
    let counted = Counted::new(Arc::clone(&gateway.metrics));
    let (wire, http2) = match &service.tls {
        None => (Wire::Plain(stream), false),
        Some(tls) => {
            let handshake = stop.run_until_cancelled(tls.accept(&gateway, stream));
            let Some(Some(stream)) = handshake.await else { return };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
            (Wire::Tls(Box::new(stream)), http2)
        }
    };
    let limits = gateway.config.limits.clone();
    let times = Times { idle: limits.idle_timeout, head: limits.head_timeout };
    let in_flight = InFlight::default();
    let socket = Socket::new(wire, counted, times, in_flight.clone());
    let router = service.router;
    // Boxed: the state of one is not paid for by the other.
    let served: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>> = if http2 {
        let (headers, within) = (limits.headers, limits.idle_timeout);
        let answer = http2::Answer { router, in_flight, headers, within };
        Box::pin(http2::serve(&limits, socket.with_frames(), answer, stop))
    } else {
        Box::pin(http1(limits, socket, router, in_flight, stop))
    };
    if let Err(error) = served.await {
        // A client that leaves a stream is the common case.
        tracing::debug!(%error, "a connection ended");
    }
}

async fn http1(
    limits: Limits,
    socket: Socket,
    router: Router,
    in_flight: InFlight,
    stop: CancellationToken,
) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let guard = in_flight.begin();
        let answer = router.clone().oneshot(request.map(Body::new));
        async move { answer.await.map(|response| response.map(|body| Tracked::new(body, guard))) }
    });
    let connection = http1::Builder::new()
        .half_close(false)
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.headers)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_mins(1)))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

/// A response's body, which keeps its request in flight until it is dropped.
pub(super) struct Tracked {
    body: Body,
    _guard: InFlightGuard,
}

impl Tracked {
    pub(super) fn new(body: Body, guard: InFlightGuard) -> Self {
        Self { body, _guard: guard }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
