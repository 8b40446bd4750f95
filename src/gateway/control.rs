//! What is said to nodes: to all, as events of a durable channel of the gateway's own, so that a
//! message that was lost is repaired like any other (contract S6); to one, through the engine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::engine::types::{Delivery, EngineError, Entry, Event, PageLimit, Publish, Retention};
use crate::protocol::channel::Channel;
use crate::protocol::down::EventParts;
use crate::protocol::error::ErrorCode;
use crate::protocol::position::{Epoch, Position, Since, Tag};
use crate::telemetry::clock::wall_ms;

use super::disconnect::{self, Whose};
use super::driver::{Driver, Taker};
use super::{Gateway, parking, record};

/// The channel that every node reads; no client can.
const CHANNEL: &str = "@system:control";
/// What is kept of it: far more than what is said in the time that a break takes.
const RETENTION: Retention = Retention::Log { size: 10_000, age: Duration::from_hours(1) };
const PAGE: PageLimit = PageLimit { events: 1000, bytes: 1 << 20 };

/// Up to where this node has obeyed.
#[derive(Debug, Default)]
pub(super) struct Control {
    at: Mutex<Option<Position>>,
    /// One reading at a time, so that events are obeyed in order.
    reading: tokio::sync::Mutex<()>,
}

impl Control {
    pub(super) fn position(&self) -> Option<Position> {
        self.at.lock().clone()
    }

    /// Moves on to an event if it is the next.
    fn advances(&self, epoch: &Epoch, event: &Event) -> bool {
        let mut at = self.at.lock();
        let Some(at) = at.as_mut() else { return false };
        let next = at.epoch == *epoch && event.offset == at.offset + 1 && event.prev == at.tag;
        if next {
            (at.offset, at.tag) = (event.offset, event.tag);
        }
        next
    }

    fn is_above(&self, epoch: &Epoch, offset: u64) -> bool {
        self.at.lock().as_ref().is_none_or(|at| at.epoch != *epoch || at.offset < offset)
    }
}

/// What is said to all.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToAll {
    Disconnect(Whose),
}

/// The event of the channel, as far as it is read.
#[derive(Deserialize)]
struct Said {
    data: ToAll,
}

/// What is said to one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToOne {
    /// Park this session: its id, in hexadecimal digits, the link for which it is taken; none for
    /// another request of its client; and the version of the ticket that was shown.
    Park(String, Option<u64>, u64),
}

fn channel() -> Result<Channel, ErrorCode> {
    Channel::parse(CHANNEL).map_err(|_| ErrorCode::Internal)
}

/// Begins to listen: from what is said after this.
/// # Errors
/// [`EngineError`] where the engine cannot be reached; to be tried again.
pub async fn listen(gateway: &Gateway) -> Result<(), EngineError> {
    let channel = channel().map_err(|_| EngineError::Unavailable)?;
    gateway.engine.subscribe(&channel).await?;
    let top = gateway.engine.top(&channel).await?;
    gateway.control.at.lock().get_or_insert(top);
    Ok(())
}

/// Tells every node, this one included, to end sessions.
/// # Errors
/// [`EngineError`] where it could not be said.
pub(super) async fn say_disconnect(gateway: &Gateway, whose: Whose) -> Result<(), EngineError> {
    let (Ok(channel), Ok(data)) = (channel(), serde_json::to_string(&ToAll::Disconnect(whose)))
    else {
        return Err(EngineError::Unavailable);
    };
    let data = RawValue::from_string(data).map_err(|_| EngineError::Unavailable)?;
    let (tag, at) = (Tag(rand::random()), wall_ms());
    let id = tag.to_string();
    let parts =
        EventParts { ch: &channel, id: &id, at, user: None, by: None, key: None, data: &data };
    let entries = vec![Entry { tag, frame: parts.template(), key: None }];
    let (retention, dedupe, expect, replicas) = (RETENTION, None, None, 0);
    let publish = Publish { channel, retention, entries, dedupe, expect, replicas };
    gateway.engine.publish(publish).await.map(|_| ())
}

/// Takes a delivery that is for the node and not for its sessions; any other is given back.
pub(super) fn take(gateway: &Arc<Gateway>, delivery: Delivery) -> Option<Delivery> {
    match delivery {
        Delivery::Event { channel, epoch, event } if channel.as_str() == CHANNEL => {
            if gateway.control.advances(&epoch, &event) {
                obey(gateway, &event);
            } else if gateway.control.is_above(&epoch, event.offset) {
                catch_up(gateway);
            }
            None
        }
        Delivery::Missed { channel, .. } if channel.as_str() == CHANNEL => {
            catch_up(gateway);
            None
        }
        Delivery::Control(message) => {
            hear(gateway, &message);
            None
        }
        other => Some(other),
    }
}

fn catch_up(gateway: &Arc<Gateway>) {
    let node = Arc::clone(gateway);
    gateway.spawn(async move {
        let _reading = node.control.reading.lock().await;
        let Some(from) = node.control.position() else { return };
        match read(&node, from).await {
            Ok((events, position)) => {
                for event in events {
                    obey(&node, &event);
                }
                *node.control.at.lock() = Some(position);
            }
            Err(error) => tracing::warn!(%error, "what was said to all nodes could not be read"),
        }
    });
}

/// What was said after a position, and where that ends.
async fn read(gateway: &Gateway, from: Position) -> Result<(Vec<Event>, Position), EngineError> {
    let channel = channel().map_err(|_| EngineError::Unavailable)?;
    let (mut events, mut at) = (Vec::new(), from);
    loop {
        let page = gateway.engine.history(&channel, Since::After(at.clone()), PAGE).await?;
        if page.gap.is_some() {
            tracing::warn!("something that was said to all nodes is lost");
            return Ok((events, page.top));
        }
        let more = !page.events.is_empty() && page.position.offset < page.top.offset;
        events.extend(page.events);
        at = page.position;
        if !more {
            return Ok((events, at));
        }
    }
}

fn obey(gateway: &Gateway, event: &Event) {
    if let Ok(Said { data: ToAll::Disconnect(whose) }) = serde_json::from_slice(event.frame.json())
    {
        disconnect::here(gateway, &whose);
    }
}

/// What was said while a session was with nobody counts for it too.
pub(super) async fn obey_since(gateway: &Gateway, driver: &Driver, since: Option<Position>) {
    let Some(since) = since.filter(|since| gateway.control.position().as_ref() != Some(since))
    else {
        return;
    };
    let Ok((events, _)) = read(gateway, since).await else { return };
    for event in events {
        let Ok(Said { data: ToAll::Disconnect(whose) }) =
            serde_json::from_slice(event.frame.json())
        else {
            continue;
        };
        if whose.is_of(driver) {
            driver.end(whose.why());
        }
    }
}

/// Asks one node to park a session, for a link or another request of its client.
pub(super) fn park_message(session: u128, link: Option<u64>, shown: u64) -> Vec<u8> {
    serde_json::to_vec(&ToOne::Park(record::key(session), link, shown)).unwrap_or_default()
}

fn hear(gateway: &Arc<Gateway>, message: &Bytes) {
    let Ok(ToOne::Park(session, link, shown)) = serde_json::from_slice(message) else {
        return tracing::debug!(bytes = message.len(), "a message of another node is not known");
    };
    if let Some(session) = record::session_of(&session) {
        let node = Arc::clone(gateway);
        let taker = link.map_or(Taker::Request, Taker::Link);
        gateway.spawn(async move {
            parking::park(&node, session, taker, Some(shown)).await;
        });
    }
}
