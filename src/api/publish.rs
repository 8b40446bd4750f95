//! `POST /api/publish` and `POST /api/batch`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::gateway::Gateway;
use crate::gateway::publish::{Batch, NewEvent, Publisher, Receipt, append};
use crate::gateway::rules::Rules;
use crate::protocol::channel::{Channel, PublishId, StateKey};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::position::Position;

use super::guard::KeyName;
use super::refusal::{ApiRefusal, RefusalBody};

/// One event for a channel, or for a user's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishBody {
    channel: Option<Channel>,
    user: Option<String>,
    data: Box<RawValue>,
    id: Option<PublishId>,
    key: Option<StateKey>,
    expect: Option<Position>,
}

/// Events for one channel, stored together or not at all; or several such, each for itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchBody {
    batches: Vec<ChannelBatch>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelBatch {
    channel: Option<Channel>,
    user: Option<String>,
    events: Vec<BatchEvent>,
    id: Option<PublishId>,
    expect: Option<Position>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchEvent {
    data: Box<RawValue>,
    key: Option<StateKey>,
}

/// What each batch came to, in the order asked.
#[derive(Debug, Serialize)]
pub(super) struct BatchAnswer {
    results: Vec<BatchResult>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum BatchResult {
    Stored(Receipt),
    Refused { error: RefusalBody },
}

/// Publishes one event.
pub(super) async fn publish(
    State(gateway): State<Arc<Gateway>>,
    Extension(key): Extension<KeyName>,
    body: Result<Json<PublishBody>, JsonRejection>,
) -> Result<Json<Receipt>, ApiRefusal> {
    let Json(body) = body?;
    let channel = target(body.channel, body.user.as_deref())?;
    let events = vec![NewEvent { data: body.data, key: body.key }];
    let batch = Batch { channel, events, id: body.id, expect: body.expect };
    Ok(Json(store(&gateway, &key, batch).await?))
}

/// Publishes batches (contract P5).
pub(super) async fn batch(
    State(gateway): State<Arc<Gateway>>,
    Extension(key): Extension<KeyName>,
    body: Result<Json<BatchBody>, JsonRejection>,
) -> Result<Json<BatchAnswer>, ApiRefusal> {
    let Json(body) = body?;
    let events: usize = body.batches.iter().map(|batch| batch.events.len()).sum();
    if events > gateway.config.api.batch || body.batches.iter().any(|b| b.events.is_empty()) {
        let why = "a batch has 1 event or more, all together at most api.batch";
        return Err(Refusal::new(ErrorCode::TooMany).because(why).into());
    }
    let mut results = Vec::with_capacity(body.batches.len());
    for batch in body.batches {
        results.push(match one(&gateway, &key, batch).await {
            Ok(receipt) => BatchResult::Stored(receipt),
            Err(refusal) => BatchResult::Refused { error: refusal.body() },
        });
    }
    Ok(Json(BatchAnswer { results }))
}

async fn one(gateway: &Gateway, key: &KeyName, batch: ChannelBatch) -> Result<Receipt, ApiRefusal> {
    let channel = target(batch.channel, batch.user.as_deref())?;
    let events = batch.events.into_iter().map(|e| NewEvent { data: e.data, key: e.key }).collect();
    store(gateway, key, Batch { channel, events, id: batch.id, expect: batch.expect }).await
}

async fn store(gateway: &Gateway, key: &KeyName, batch: Batch) -> Result<Receipt, ApiRefusal> {
    let rules = Rules::of(&gateway.config, &batch.channel)?;
    let publisher = Publisher { scope: format!("k:{}", key.0).into(), user: None, by: None };
    Ok(append(gateway, &rules, publisher, batch).await?)
}

/// A channel by its name, or a user's own.
fn target(channel: Option<Channel>, user: Option<&str>) -> Result<Channel, Refusal> {
    match (channel, user) {
        (Some(channel), None) => Ok(channel),
        (None, Some(user)) => Channel::of_user(user)
            .map_err(|e| Refusal::new(ErrorCode::BadChannel).because(e.to_string())),
        _ => Err(Refusal::new(ErrorCode::BadRequest).because("give either channel or user")),
    }
}
