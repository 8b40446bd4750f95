//! Node to node: questions and answers as JSON over HTTP/1.1, on a listener that only nodes reach.
//!
//! A node shows the secret that all share, and is answered 403 without it. A question whose asker
//! goes away is dropped, as the request of a client would be.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::gateway::Gateway;
use crate::gateway::peers::{self, Answer, Carry, Question, Unreachable};

/// Where a node is asked.
const PATH: &str = "/node";
/// How long a connection to a node may take to be there.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection is kept for the next question: less than the other side keeps it.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes of a question beside the body of its exchange, and of an answer beside an outbox.
const AROUND_BYTES: usize = 64 << 10;

/// What nodes ask each other.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    Router::new().route(PATH, post(answer)).with_state(gateway)
}

async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    if !is_node(&gateway, request.headers()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let limits = &gateway.config.limits;
    // The body of an exchange is a string in the question: its quotes are escaped.
    let most = limits.body_bytes * 2 + AROUND_BYTES;
    let body = timeout(limits.body_timeout, to_bytes(request.into_body(), most)).await;
    let question = match body {
        Ok(Ok(bytes)) => serde_json::from_slice::<Question>(&bytes).ok(),
        Ok(Err(_)) | Err(_) => None,
    };
    match question {
        Some(question) => Json(peers::answer(&gateway, question).await).into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn is_node(gateway: &Gateway, headers: &HeaderMap) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    shown
        .and_then(|text| text.strip_prefix("Bearer "))
        .is_some_and(|text| gateway.auth.is_node(text))
}

/// Asks other nodes, over connections that are kept.
#[derive(Debug)]
pub struct NodeClient {
    client: Client<HttpConnector, Full<Bytes>>,
    secret: HeaderValue,
    answer_bytes: usize,
}

impl NodeClient {
    /// A client that shows this secret, and takes answers of an outbox of so many bytes.
    /// # Errors
    /// Where the secret is no text that a header may hold.
    pub fn new(secret: &str, outbox_bytes: usize) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        let mut secret = HeaderValue::from_str(&format!("Bearer {secret}"))?;
        secret.set_sensitive(true);
        // An outbox that replies fill is four times its bound; one answer holds less.
        Ok(Self { client, secret, answer_bytes: outbox_bytes * 4 + AROUND_BYTES })
    }

    async fn send(&self, address: &str, question: &Question) -> Option<Answer> {
        let uri = Uri::builder().scheme("http").authority(address).path_and_query(PATH).build();
        let body = Full::new(Bytes::from(serde_json::to_vec(question).ok()?));
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(uri.ok()?)
            .header(AUTHORIZATION, self.secret.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .ok()?;
        let response = self.client.request(request).await;
        let response =
            response.inspect_err(|error| tracing::debug!(%error, "a node did not answer")).ok()?;
        if response.status() != StatusCode::OK {
            tracing::warn!(status = response.status().as_u16(), "a node refused a question");
            return None;
        }
        let body = Limited::new(Body::new(response.into_body()), self.answer_bytes);
        let bytes = body.collect().await.ok()?.to_bytes();
        serde_json::from_slice(&bytes).ok()
    }
}

impl Carry for NodeClient {
    fn ask<'a>(
        &'a self,
        address: &'a str,
        question: &'a Question,
        within: Duration,
    ) -> BoxFuture<'a, Result<Answer, Unreachable>> {
        Box::pin(async move {
            let answer = timeout(within, self.send(address, question)).await;
            answer.ok().flatten().ok_or(Unreachable)
        })
    }
}
