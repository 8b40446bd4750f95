//! The verbs that read, and those about sessions and tickets.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use crate::gateway::disconnect::{Whose, disconnect as end_sessions};
use crate::gateway::history::{self, HistoryPage};
use crate::gateway::presence::{self, PresenceAnswer};
use crate::gateway::rules::Rules;
use crate::gateway::{Gateway, tickets};
use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::position::Since;
use crate::protocol::up::{HISTORY_LIMIT_DEFAULT, HISTORY_LIMIT_MAX, PRESENCE_NAMES_MAX};
use crate::telemetry::clock::wall_ms;

use super::refusal::ApiRefusal;

/// Which part of a log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    channel: Channel,
    since: Option<Since>,
    limit: Option<usize>,
}

/// A page of a log, oldest first.
pub(super) async fn history(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Json<HistoryPage>, ApiRefusal> {
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(HISTORY_LIMIT_DEFAULT);
    if !(1..=HISTORY_LIMIT_MAX).contains(&limit) {
        return Err(Refusal::new(ErrorCode::BadRequest).because("limit is 1 to 1000").into());
    }
    let rules = Rules::of(&gateway.config, &query.channel)?;
    let since = query.since.unwrap_or(Since::Oldest);
    Ok(Json(history::page(&gateway, &rules, &query.channel, since, limit).await?))
}

/// One channel or one user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PresenceQuery {
    channel: Option<Channel>,
    user: Option<String>,
}

/// Who is in a channel, or how a user is.
pub(super) async fn presence_get(
    State(gateway): State<Arc<Gateway>>,
    query: Result<Query<PresenceQuery>, QueryRejection>,
) -> Result<Json<PresenceAnswer>, ApiRefusal> {
    let Query(query) = query?;
    let channels = query.channel.into_iter().collect();
    let users = query.user.into_iter().collect();
    ask(&gateway, PresenceBody { channels, users }).await
}

/// Many channels and users.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PresenceBody {
    #[serde(default)]
    channels: Vec<Channel>,
    #[serde(default)]
    users: Vec<String>,
}

/// Many at once.
pub(super) async fn presence_post(
    State(gateway): State<Arc<Gateway>>,
    body: Result<Json<PresenceBody>, JsonRejection>,
) -> Result<Json<PresenceAnswer>, ApiRefusal> {
    let Json(body) = body?;
    ask(&gateway, body).await
}

async fn ask(gateway: &Gateway, asked: PresenceBody) -> Result<Json<PresenceAnswer>, ApiRefusal> {
    let many = asked.channels.len() + asked.users.len();
    if many == 0 || many > PRESENCE_NAMES_MAX {
        return Err(Refusal::new(ErrorCode::TooMany).because("1 to 1000 names").into());
    }
    for user in &asked.users {
        Channel::of_user(user).map_err(|_| ErrorCode::BadChannel)?;
    }
    Ok(Json(presence::query(gateway, &asked.channels, &asked.users).await?))
}

/// Whose sessions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DisconnectBody {
    user: Option<String>,
    member: Option<String>,
}

/// How many sessions were ended.
#[derive(Debug, Serialize)]
pub(super) struct DisconnectAnswer {
    sessions: usize,
}

/// Ends sessions.
pub(super) async fn disconnect(
    State(gateway): State<Arc<Gateway>>,
    body: Result<Json<DisconnectBody>, JsonRejection>,
) -> Result<Json<DisconnectAnswer>, ApiRefusal> {
    let Json(body) = body?;
    let whose = match (body.user, body.member) {
        (Some(user), None) => Whose::User(user),
        (None, Some(member)) => Whose::Member(member),
        _ => {
            let why = "give either user or member";
            return Err(Refusal::new(ErrorCode::BadRequest).because(why).into());
        }
    };
    Ok(Json(DisconnectAnswer { sessions: end_sessions(&gateway, whose).await? }))
}

/// What a feed ticket is for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedTicketBody {
    channels: Vec<Channel>,
    ttl_ms: Option<u64>,
}

/// A feed ticket.
#[derive(Debug, Serialize)]
pub(super) struct FeedTicketAnswer {
    ticket: String,
    expires_ms: u64,
}

/// Makes a feed ticket, for at most an hour.
pub(super) async fn feed_ticket(
    State(gateway): State<Arc<Gateway>>,
    body: Result<Json<FeedTicketBody>, JsonRejection>,
) -> Result<Json<FeedTicketAnswer>, ApiRefusal> {
    let Json(body) = body?;
    let until = body.ttl_ms.map(|ttl| wall_ms().saturating_add(ttl));
    let (ticket, expires_ms) = tickets::feed_ticket(&gateway, None, body.channels, until)?;
    Ok(Json(FeedTicketAnswer { ticket, expires_ms }))
}
