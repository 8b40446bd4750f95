//! What is said to nodes: to all, as events of a durable channel of the gateway's own, so that a
//! message that was lost is repaired like any other (contract S6); to one, through the engine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::sleep;

use crate::engine::types::{
    Delivery, EngineError, Entry, Event, PageLimit, Publish, Retention, WallMs,
};
use crate::protocol::channel::Channel;
use crate::protocol::down::EventParts;
use crate::protocol::error::ErrorCode;
use crate::protocol::position::{Epoch, Position, Since, Tag};
use crate::telemetry::clock::wall_ms;

use super::disconnect::{self, Whose};
use super::driver::{Driver, Taker};
use super::presence::LOOK;
use super::{Gateway, parking, record};

/// The channel that every node reads; no client can.
const CHANNEL: &str = "@system:control";
/// What is kept of it: far more than what is said in the time that a break takes.
const RETENTION: Retention = Retention::Log { size: 10_000, age: Duration::from_hours(1) };
const PAGE: PageLimit = PageLimit { events: 1000, bytes: 1 << 20 };

/// Up to where this node has obeyed.
#[derive(Debug, Default)]
pub(super) struct Control {
    stand: Mutex<Option<Stand>>,
    /// One reading at a time, so that events are obeyed in order.
    reading: tokio::sync::Mutex<()>,
}

/// Up to where something was obeyed.
#[derive(Debug, Clone)]
struct Stand {
    at: Position,
    /// When the last of it was said. What the store lost cannot be told from what was obeyed by the
    /// position; by this time it can.
    said: WallMs,
}

impl Control {
    pub(super) fn position(&self) -> Option<Position> {
        self.stand.lock().as_ref().map(|stand| stand.at.clone())
    }

    /// Moves on to an event if it is the next.
    fn advances(&self, epoch: &Epoch, event: &Event) -> bool {
        let mut stand = self.stand.lock();
        let Some(Stand { at, said }) = stand.as_mut() else { return false };
        let next = at.epoch == *epoch && event.offset == at.offset + 1 && event.prev == at.tag;
        if next {
            (at.offset, at.tag, *said) = (event.offset, event.tag, event.at);
        }
        next
    }

    fn is_above(&self, epoch: &Epoch, offset: u64) -> bool {
        let stand = self.stand.lock();
        stand.as_ref().is_none_or(|Stand { at, .. }| at.epoch != *epoch || at.offset < offset)
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
    let said = wall_ms();
    let at = gateway.engine.top(&channel).await?;
    gateway.control.stand.lock().get_or_insert(Stand { at, said });
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
        while !node.is_draining() {
            let Some(from) = node.control.stand.lock().clone() else { return };
            let said = from.said;
            match read(&node, from).await {
                Ok((events, at)) => {
                    let said = events.iter().map(|event| event.at).fold(said, u64::max);
                    for event in events {
                        obey(&node, &event);
                    }
                    *node.control.stand.lock() = Some(Stand { at, said });
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "what was said to all nodes could not be read");
                    sleep(LOOK).await;
                }
            }
        }
    });
}

/// What was said since then, and where that ends. Where the position cannot be proven, after a loss
/// of data, that is whatever is kept and was not said before then.
async fn read(gateway: &Gateway, from: Stand) -> Result<(Vec<Event>, Position), EngineError> {
    let channel = channel().map_err(|_| EngineError::Unavailable)?;
    let (mut events, mut since) = (Vec::new(), Since::After(from.at));
    let mut proven = true;
    loop {
        let page = gateway.engine.history(&channel, since.clone(), PAGE).await?;
        if page.gap.is_some() {
            tracing::warn!("something that was said to all nodes may be lost");
            if since == Since::Oldest {
                return Ok((events, page.top));
            }
            (since, proven) = (Since::Oldest, false);
            continue;
        }
        let more = !page.events.is_empty() && page.position.offset < page.top.offset;
        let counts = |event: &Event| proven || event.at >= from.said;
        events.extend(page.events.into_iter().filter(counts));
        if !more {
            return Ok((events, page.position));
        }
        since = Since::After(page.position);
    }
}

fn obey(gateway: &Gateway, event: &Event) {
    if let Ok(Said { data: ToAll::Disconnect(whose) }) = serde_json::from_slice(event.frame.json())
    {
        disconnect::here(gateway, &whose);
    }
}

/// What was said while a session was with nobody, from a position and a time on, counts for it too.
pub(super) async fn obey_since(
    gateway: &Arc<Gateway>,
    driver: &Arc<Driver>,
    (since, said): (Option<Position>, WallMs),
) {
    let is_new = |since: &Position| gateway.control.position().as_ref() != Some(since);
    let Some(at) = since.filter(is_new) else { return };
    let from = Stand { at, said };
    if let Ok((events, _)) = read(gateway, from.clone()).await {
        return obey_for(driver, events);
    }
    // Its client does not wait until that can be read.
    let (node, driver) = (Arc::clone(gateway), Arc::clone(driver));
    gateway.spawn(async move {
        while !driver.is_over() && !driver.is_gone() && !node.is_draining() {
            sleep(LOOK).await;
            if let Ok((events, _)) = read(&node, from.clone()).await {
                return obey_for(&driver, events);
            }
        }
    });
}

fn obey_for(driver: &Driver, events: Vec<Event>) {
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
