//! Publishing and reading (contract P1–P7, D5).

use std::time::Duration;

use crate::engine::clock::millis;
use crate::engine::types::{
    EngineError, Event, Page, PageLimit, Publish, Published, Retention, StateSnapshot,
};
use crate::protocol::channel::Channel;
use crate::protocol::frame::Frame;
use crate::protocol::position::{Epoch, GapReason, Position, Since};

use super::call::Call;
use super::reply::{self, Reply};
use super::script::{HISTORY, PUBLISH, STATE, TOP};
use super::store::Store;

/// How long replicas may take to have an event (contract P4).
const REPLICATE: Duration = Duration::from_secs(1);

fn fresh_epoch() -> String {
    Epoch::from_random(rand::random()).as_str().to_owned()
}

impl Store {
    /// A call of a script that begins with the channel's keys.
    pub(super) fn log_call(
        &self,
        script: &'static redis::Script,
        channel: &Channel,
        more_keys: &[String],
    ) -> Call {
        let (partition, mut keys) = self.keys.log(channel);
        keys.extend_from_slice(more_keys);
        Call::new(script, partition, keys).arg(self.skew()).arg(fresh_epoch())
    }

    pub(super) async fn append(&self, publish: Publish) -> Result<Published, EngineError> {
        let Publish { channel, retention, entries, dedupe, expect, replicas } = publish;
        let (kind, keep, age) = match retention {
            Retention::None => ("n", 0, 0),
            Retention::Log { size, age } => ("l", size, millis(age)),
            Retention::State { keys } => ("s", keys, 0),
        };
        let repeatable = dedupe.is_some();
        let (id, digest) = dedupe.map_or((String::new(), String::new()), |dedupe| {
            let id = format!("{}\n{}", dedupe.publisher, dedupe.id.as_str());
            (id, format!("{:032x}", u128::from_be_bytes(dedupe.digest)))
        });
        let (epoch, offset, tag) = expect.map_or((String::new(), 0, String::new()), |at| {
            (at.epoch.as_str().to_owned(), at.offset, at.tag.to_string())
        });
        let mut call = self
            .log_call(&PUBLISH, &channel, &self.keys.ids(&channel))
            .arg(&*self.keys.broadcast(&channel))
            .arg(self.publish_command())
            .arg(kind)
            .arg(keep)
            .arg(age)
            .arg(id)
            .arg(digest)
            .arg(epoch)
            .arg(offset)
            .arg(tag)
            .arg(entries.len());
        for entry in &entries {
            call = call
                .arg(entry.tag.to_string())
                .arg(entry.key.as_ref().map_or("", |key| key.as_str()))
                .arg(&*entry.frame.before)
                .arg(&*entry.frame.after);
        }
        let replicas = Some((usize::from(replicas), REPLICATE));
        let call = call.publishes(repeatable).replicated(replicas);
        let mut reply = Reply::of(self.caller.run(call).await?)?;
        match reply.text()?.as_str() {
            "ok" => Ok(Published { position: reply.position()?, duplicate: false }),
            "dup" => Ok(Published { position: reply.position()?, duplicate: true }),
            "conflict" => Err(EngineError::Conflict { top: Some(reply.position()?) }),
            "id" => Err(EngineError::DuplicateId),
            _ => Err(EngineError::Unknown),
        }
    }

    pub(super) async fn page(
        &self,
        channel: &Channel,
        since: &Since,
        limit: PageLimit,
    ) -> Result<Page, EngineError> {
        let call = self.log_call(&HISTORY, channel, &[]);
        let call = match since {
            Since::Oldest => call.arg("").arg(0).arg(""),
            Since::After(at) => call.arg(at.epoch.as_str()).arg(at.offset).arg(at.tag.to_string()),
        };
        let call = call.arg(limit.events.max(1)).arg(limit.bytes);
        let mut reply = Reply::of(self.caller.run(call).await?)?;
        let top = reply.position()?;
        if let Some(gap) = gap_of(&reply.text()?)? {
            return Ok(Page { events: Vec::new(), position: top.clone(), top, gap: Some(gap) });
        }
        let mut events = Vec::with_capacity(reply.left() / 5);
        while reply.left() > 0 {
            events.push(Event {
                offset: reply.number()?,
                tag: reply.tag()?,
                prev: reply.tag()?,
                at: reply.number()?,
                key: None,
                frame: Frame::new(&reply.bytes()?),
            });
        }
        let last = events.last().map(|last| (last.offset, last.tag));
        let position = match (last, since) {
            (Some((offset, tag)), _) => Position { epoch: top.epoch.clone(), offset, tag },
            (None, Since::After(at)) => Position { epoch: top.epoch.clone(), ..at.clone() },
            (None, Since::Oldest) => top.clone(),
        };
        Ok(Page { events, position, top, gap: None })
    }

    pub(super) async fn top_of(&self, channel: &Channel) -> Result<Position, EngineError> {
        let value = self.caller.run(self.log_call(&TOP, channel, &[])).await?;
        Reply::of(value)?.position()
    }

    pub(super) async fn state_of(&self, channel: &Channel) -> Result<StateSnapshot, EngineError> {
        let value = self.caller.run(self.log_call(&STATE, channel, &[])).await?;
        let mut reply = Reply::of(value)?;
        let top = reply.position()?;
        let mut events = Vec::with_capacity(reply.left());
        while reply.left() > 0 {
            events.extend(reply::event(&reply.bytes()?));
        }
        Ok(StateSnapshot { events, top })
    }
}

fn gap_of(text: &str) -> Result<Option<GapReason>, EngineError> {
    Ok(match text {
        "" => None,
        "epoch" => Some(GapReason::Epoch),
        "trimmed" => Some(GapReason::Trimmed),
        "ahead" => Some(GapReason::Ahead),
        "tag" => Some(GapReason::Tag),
        _ => return Err(EngineError::Unavailable),
    })
}
