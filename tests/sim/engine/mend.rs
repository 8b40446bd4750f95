//! After a break: where each channel stands is checked, and what is missing is read from the log.

use throughline::engine::types::{Delivery, PageLimit};
use throughline::protocol::channel::Channel;
use throughline::protocol::position::Since;

use super::backplane::{Backplane, Broken, Stand};

const PAGE: PageLimit = PageLimit { events: 1000, bytes: 1 << 20 };

impl Backplane {
    /// Checks where some channels stand, and mends what is not as it was seen last.
    pub(super) async fn settle(&self, channels: &[Channel]) -> Result<(), Broken> {
        if channels.is_empty() {
            return Ok(());
        }
        let asked = channels.to_vec();
        let found = self.access.call(move |store| {
            asked.iter().map(|channel| store.standing(channel)).collect::<Vec<_>>()
        });
        let found = found.await.map_err(|_| Broken)?;
        for (channel, (at, durable, members)) in channels.iter().zip(found) {
            self.compare(channel, Stand { at, durable, members }).await?;
        }
        Ok(())
    }

    async fn compare(&self, channel: &Channel, now: Stand) -> Result<(), Broken> {
        let (seen, wanted) = {
            let mut names = self.names.lock();
            let Some(name) = names.get_mut(channel) else { return Ok(()) };
            let Some(seen) = name.stand.clone() else {
                name.stand = Some(now);
                return Ok(());
            };
            let at = seen.at.clone();
            let same = at == now.at;
            // As far as it was seen, until it is filled.
            name.stand = Some(if same { now.clone() } else { Stand { at, ..now.clone() } });
            (seen, name.is_wanted())
        };
        if wanted && seen.members != now.members && !self.is_settling() {
            self.missed(channel, false, true).await;
        }
        match (seen.at == now.at, seen.durable, now.durable) {
            (true, ..) => Ok(()),
            (false, _, true) => self.fill(channel).await,
            (false, before, false) => {
                self.stands(channel, now);
                if before {
                    self.missed(channel, true, false).await;
                }
                Ok(())
            }
        }
    }

    fn stands(&self, channel: &Channel, stand: Stand) {
        if let Some(name) = self.names.lock().get_mut(channel) {
            name.stand = Some(stand);
        }
    }

    /// Reads the log from where this node stands, and delivers what it finds.
    pub(super) async fn fill(&self, channel: &Channel) -> Result<(), Broken> {
        loop {
            let (stand, wanted) = {
                let names = self.names.lock();
                let Some(name) = names.get(channel) else { return Ok(()) };
                let Some(stand) = name.stand.clone() else { return Ok(()) };
                (stand, name.is_wanted())
            };
            let (of, since) = (channel.clone(), Since::After(stand.at.clone()));
            let page = self.access.call(move |store| store.page(&of, since, PAGE));
            let page = page.await.map_err(|_| Broken)?;
            if page.gap.is_some() {
                self.stands(channel, Stand { at: page.top, ..stand });
                if wanted {
                    self.missed(channel, true, false).await;
                }
                return Ok(());
            }
            let done = page.position.offset >= page.top.offset;
            for event in page.events {
                if wanted {
                    let (channel, epoch) = (channel.clone(), page.top.epoch.clone());
                    self.deliver(Delivery::Event { channel, epoch, event }).await;
                }
            }
            self.stands(channel, Stand { at: page.position, ..stand });
            if done {
                return Ok(());
            }
        }
    }

    pub(super) async fn missed(&self, channel: &Channel, events: bool, members: bool) {
        let channel = channel.clone();
        self.deliver(Delivery::Missed { channel, events, members }).await;
    }
}
