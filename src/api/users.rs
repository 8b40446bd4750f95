//! `GET /api/users/{user}/sessions`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use crate::gateway::Gateway;
use crate::gateway::sessions::{self, UserSessions};

use super::refusal::ApiRefusal;

/// The sessions of a user, on whichever node they are.
pub(super) async fn sessions(
    State(gateway): State<Arc<Gateway>>,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<UserSessions>, ApiRefusal> {
    let Path(user) = user?;
    Ok(Json(sessions::of_user(&gateway, &user).await?))
}
