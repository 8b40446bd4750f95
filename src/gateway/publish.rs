//! Publishing: a session's, and the application backend's. Both append through the engine, whose
//! broadcast comes back to every node's pump, this one included.

use std::sync::Arc;

use aws_lc_rs::digest;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::config::grants::Right;
use crate::engine::types::{Dedupe, EngineError, Entry, Publish, Retention};
use crate::protocol::channel::{Channel, PublishId, StateKey};
use crate::protocol::down::EventParts;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::position::{Position, Tag};
use crate::protocol::up::PublishCommand;
use crate::telemetry::clock::wall_ms;

use super::Gateway;
use super::driver::Driver;
use super::rules::Rules;
use super::subscribe::engine_refusal;

/// Who publishes.
#[derive(Debug, Clone)]
pub struct Publisher {
    /// The scope of its ids: `u:<subject>`, `m:<member>` or `k:<name of the API key>`.
    pub scope: Arc<str>,
    /// The user that the event names.
    pub user: Option<Arc<str>>,
    /// The member that the event names.
    pub by: Option<Arc<str>>,
}

/// One event to publish.
#[derive(Debug)]
pub struct NewEvent {
    /// Any JSON.
    pub data: Box<RawValue>,
    /// The key, on a state channel.
    pub key: Option<StateKey>,
}

/// A batch for one channel.
#[derive(Debug)]
pub struct Batch {
    /// Where to.
    pub channel: Channel,
    /// The events, in order.
    pub events: Vec<NewEvent>,
    /// Makes it idempotent.
    pub id: Option<PublishId>,
    /// Store only if this is the top.
    pub expect: Option<Position>,
}

/// What a publish is answered with.
#[derive(Debug, serde::Serialize)]
pub struct Receipt {
    /// The position of the last event.
    pub pos: Position,
    /// The id it is stored under.
    pub id: String,
    /// Whether it had been stored before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// A publish that was refused.
#[derive(Debug)]
pub struct PublishRefusal {
    /// Why.
    pub refusal: Refusal,
    /// The new top, where `expect` was not.
    pub top: Option<Position>,
}

impl<T: Into<Refusal>> From<T> for PublishRefusal {
    fn from(refusal: T) -> Self {
        Self { refusal: refusal.into(), top: None }
    }
}

/// Publishes for a session (contract O3, P1–P3, P7).
pub(super) async fn of_session(
    driver: &Driver,
    command: PublishCommand,
) -> Result<Receipt, PublishRefusal> {
    let gateway = &driver.gateway;
    let rules = Rules::of(&gateway.config, &command.ch)?;
    let identity = driver.identity();
    let may = rules.members_publish
        && (identity.caps.allows(&command.ch, Right::Publish)
            || (rules.public && driver.reads(&command.ch)));
    if !may {
        return Err(ErrorCode::Forbidden.into());
    }
    let scope = match &identity.user {
        Some(user) => format!("u:{user}"),
        None => format!("m:{}", driver.member.0),
    };
    let by = Some(Arc::clone(&driver.member.0));
    let publisher = Publisher { scope: scope.into(), user: identity.user.clone(), by };
    let event = NewEvent { data: command.data, key: command.key };
    let (id, expect) = (command.id, command.expect);
    let batch = Batch { channel: command.ch, events: vec![event], id, expect };
    append(gateway, &rules, publisher, batch).await
}

/// Appends a batch and broadcasts it.
/// # Errors
/// With a code for everything that the channel's rules, the limits or the engine refuse.
pub async fn append(
    gateway: &Gateway,
    rules: &Rules,
    publisher: Publisher,
    batch: Batch,
) -> Result<Receipt, PublishRefusal> {
    check(gateway, rules, &batch)?;
    let many = u64::try_from(batch.events.len()).unwrap_or_default();
    let digest = batch.id.as_ref().map(|_| body_digest(&batch.events));
    let mut last_id = String::new();
    let mut entries = Vec::with_capacity(batch.events.len());
    for event in batch.events {
        let tag = Tag(rand::random());
        last_id = batch.id.as_ref().map_or_else(|| tag.to_string(), ToString::to_string);
        let parts = EventParts {
            ch: &batch.channel,
            id: &last_id,
            at: wall_ms(),
            user: publisher.user.as_deref(),
            by: publisher.by.as_deref(),
            key: event.key.as_ref(),
            data: &event.data,
        };
        entries.push(Entry { tag, frame: parts.template(), key: event.key });
    }
    let dedupe = batch.id.zip(digest).map(|(id, digest)| Dedupe {
        publisher: Arc::clone(&publisher.scope),
        id,
        digest,
    });
    let (channel, retention) = (batch.channel, rules.retention);
    let publish = Publish {
        channel,
        retention,
        entries,
        dedupe,
        expect: batch.expect,
        replicas: rules.replicas,
    };
    let asked = Instant::now();
    let done = gateway.engine.publish(publish).await;
    gateway.metrics.publish_took.took(asked.elapsed());
    match done {
        Ok(done) => {
            if !done.duplicate {
                gateway.metrics.events_published.inc_by(many);
            }
            Ok(Receipt { pos: done.position, id: last_id, duplicate: done.duplicate })
        }
        Err(error) => {
            let refusal = engine_refusal(&error);
            gateway.metrics.publish_refused(refusal.code);
            let top = if let EngineError::Conflict { top } = error { top } else { None };
            Err(PublishRefusal { refusal, top })
        }
    }
}

fn check(gateway: &Gateway, rules: &Rules, batch: &Batch) -> Result<(), Refusal> {
    let refused = |code, why: &str| Err(Refusal::new(code).because(why));
    let state = matches!(rules.retention, Retention::State { .. });
    if batch.expect.is_some() && !matches!(rules.retention, Retention::Log { .. }) {
        return refused(ErrorCode::NotProvided, "expect needs a durable channel");
    }
    for event in &batch.events {
        if event.data.get().len() > gateway.config.limits.publish_bytes {
            return refused(ErrorCode::TooLarge, "data is over limits.publish_bytes");
        }
        if event.key.is_some() != state {
            let why = "a state channel needs a key, any other takes none";
            return refused(ErrorCode::NotProvided, why);
        }
    }
    Ok(())
}

/// A digest of the body as it was sent: the length of each part is in it, so no two bodies run
/// together.
fn body_digest(events: &[NewEvent]) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    for event in events {
        let key = event.key.as_ref().map_or("", StateKey::as_str);
        for part in [key, event.data.get()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
    }
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    short
}
