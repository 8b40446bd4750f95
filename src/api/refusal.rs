//! What the API answers where it does not do what was asked.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;

use crate::gateway::publish::PublishRefusal;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::position::Position;

/// A refusal as an answer.
#[derive(Debug)]
pub(super) struct ApiRefusal {
    refusal: Refusal,
    top: Option<Position>,
}

/// A refusal's body.
#[derive(Debug, serde::Serialize)]
pub(super) struct RefusalBody {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<u32>,
    /// The new top, where `expect` was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pos: Option<Position>,
}

impl ApiRefusal {
    /// The body, for one part of a batch.
    pub(super) fn body(self) -> RefusalBody {
        let (code, message) = (self.refusal.code.as_str(), self.refusal.message().to_owned());
        RefusalBody { code, message, retry_ms: self.refusal.retry_ms, pos: self.top }
    }
}

impl<T: Into<Refusal>> From<T> for ApiRefusal {
    fn from(refusal: T) -> Self {
        Self { refusal: refusal.into(), top: None }
    }
}

impl From<PublishRefusal> for ApiRefusal {
    fn from(refused: PublishRefusal) -> Self {
        Self { refusal: refused.refusal, top: refused.top }
    }
}

impl From<JsonRejection> for ApiRefusal {
    fn from(rejection: JsonRejection) -> Self {
        let large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
        let code = if large { ErrorCode::TooLarge } else { ErrorCode::BadRequest };
        Refusal::new(code).because(rejection.body_text()).into()
    }
}

impl From<QueryRejection> for ApiRefusal {
    fn from(rejection: QueryRejection) -> Self {
        Refusal::new(ErrorCode::BadRequest).because(rejection.body_text()).into()
    }
}

impl From<PathRejection> for ApiRefusal {
    fn from(rejection: PathRejection) -> Self {
        Refusal::new(ErrorCode::BadRequest).because(rejection.body_text()).into()
    }
}

impl IntoResponse for ApiRefusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.refusal.code.row().http);
        let retry = self.refusal.retry_ms;
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body())).into_response();
        if let Some(ms) = retry {
            response.headers_mut().insert(RETRY_AFTER, ms.div_ceil(1000).into());
        }
        response
    }
}

/// There is nothing at this path.
pub(super) async fn not_found() -> ApiRefusal {
    ErrorCode::NotFound.into()
}

/// The path takes another method.
pub(super) async fn bad_method() -> ApiRefusal {
    ErrorCode::BadMethod.into()
}
