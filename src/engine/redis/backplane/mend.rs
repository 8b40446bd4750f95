//! After a break: where each channel stands is checked, and what is missing is read from the log,
//! once for the node. What cannot be filled so, each reader finds out from its own position.

use std::sync::Arc;

use futures::future::try_join_all;
use redis::pipe;

use crate::engine::redis::reply::Reply;
use crate::engine::redis::script::TOP;
use crate::engine::types::{Delivery, EngineError, Event, PageLimit};
use crate::protocol::channel::Channel;
use crate::protocol::position::{Epoch, Position, Since};

use super::Shared;
use super::message::kind;
use super::names::{Kind, Stand, Target};

/// A page of the log for a fill (contract: recovery page).
const PAGE: PageLimit = PageLimit { events: 1000, bytes: 1 << 20 };

impl Shared {
    /// Checks where some channels stand, and mends what is not as it was seen last.
    pub(super) async fn settle(&self, names: &[Arc<str>]) -> Result<(), EngineError> {
        let channels: Vec<_> = names.iter().filter_map(|name| self.channel_of(name)).collect();
        let tops = try_join_all(channels.iter().map(|(_, channel)| self.standing(channel))).await?;
        let versions = self.versions(&channels).await?;
        for (((name, channel), (top, kind)), members) in channels.iter().zip(tops).zip(versions) {
            let now = Stand { at: top, kind, members };
            self.compare(name, channel, now).await?;
        }
        Ok(())
    }

    fn channel_of(&self, name: &Arc<str>) -> Option<(Arc<str>, Channel)> {
        match self.names.heard(name)?.target {
            Target::Channel(channel) => Some((Arc::clone(name), channel)),
            Target::Control => None,
        }
    }

    async fn standing(&self, channel: &Channel) -> Result<(Position, Kind), EngineError> {
        let call = self.store.log_call(&TOP, channel, &[]);
        let mut reply = Reply::of(self.store.caller.run(call).await?)?;
        let top = reply.position()?;
        let letter = reply.bytes()?.first().copied().unwrap_or_default();
        Ok((top, kind(letter).unwrap_or(Kind::Nothing)))
    }

    async fn versions(&self, channels: &[(Arc<str>, Channel)]) -> Result<Vec<u64>, EngineError> {
        let Some((_, first)) = channels.first() else { return Ok(Vec::new()) };
        let (at, _) = self.store.keys.presence(first);
        let Some(server) = self.store.caller.router.of(at) else {
            return Err(EngineError::Unavailable);
        };
        let mut read = pipe();
        for (_, channel) in channels {
            let (_, keys) = self.store.keys.presence(channel);
            read.cmd("HGET").arg(keys.first()).arg("v");
        }
        let values = self.store.caller.pipeline(&server, &read).await?;
        let number = |value| redis::from_redis_value::<Option<u64>>(value).ok().flatten();
        Ok(values.into_iter().map(|value| number(value).unwrap_or(0)).collect())
    }

    async fn compare(
        &self,
        name: &Arc<str>,
        channel: &Channel,
        now: Stand,
    ) -> Result<(), EngineError> {
        let Some(heard) = self.names.heard(name) else { return Ok(()) };
        let Some(seen) = heard.stand else {
            self.names.stand(name, Some(now));
            return Ok(());
        };
        if heard.wanted && seen.members != now.members && !self.is_settling() {
            self.missed(channel, false, true).await;
        }
        if seen.at == now.at {
            self.names.stand(name, Some(now));
            return Ok(());
        }
        self.names.stand(name, Some(Stand { at: seen.at.clone(), ..now.clone() }));
        match (seen.kind, now.kind) {
            (_, Kind::Log) => self.fill(name, channel).await,
            (Kind::Nothing, Kind::Nothing) if seen.at.epoch == now.at.epoch => {
                // What is missing is counted when the next one comes.
                self.names.stand(name, Some(now));
                Ok(())
            }
            _ => {
                self.names.stand(name, Some(now));
                self.missed(channel, true, false).await;
                Ok(())
            }
        }
    }

    /// Reads the log from where this node stands, and delivers what it finds.
    pub(super) async fn fill(&self, name: &Arc<str>, channel: &Channel) -> Result<(), EngineError> {
        loop {
            let Some(heard) = self.names.heard(name) else { return Ok(()) };
            let Some(stand) = heard.stand else { return Ok(()) };
            let since = Since::After(stand.at.clone());
            let page = self.store.page(channel, &since, PAGE).await?;
            if page.gap.is_some() {
                self.names.stand(name, Some(Stand { at: page.top, ..stand }));
                if heard.wanted {
                    self.missed(channel, true, false).await;
                }
                return Ok(());
            }
            let done = page.position.offset >= page.top.offset;
            for event in page.events {
                if heard.wanted {
                    self.event(channel, &page.top.epoch, event).await;
                }
            }
            self.names.stand(name, Some(Stand { at: page.position, ..stand }));
            if done {
                return Ok(());
            }
        }
    }

    /// What a loss of data left of presence is read again by everyone who watches.
    pub(super) async fn members_missed(&self, names: &[Arc<str>]) {
        for (_, channel) in names.iter().filter_map(|name| self.channel_of(name)) {
            self.missed(&channel, false, true).await;
        }
    }

    pub(super) async fn missed(&self, channel: &Channel, events: bool, members: bool) {
        let channel = channel.clone();
        self.deliver(Delivery::Missed { channel, events, members }).await;
    }

    pub(super) async fn event(&self, channel: &Channel, epoch: &Epoch, event: Event) {
        let (channel, epoch) = (channel.clone(), epoch.clone());
        self.deliver(Delivery::Event { channel, epoch, event }).await;
    }
}
