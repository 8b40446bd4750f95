//! The shell: performs what the session asks for, one after the other, each with a delay before the
//! engine is asked and one before its answer comes.

use throughline::protocol::channel::Channel;
use throughline::protocol::down;
use throughline::protocol::error::ErrorCode;
use throughline::protocol::position::{Position, Since};
use throughline::protocol::up::Command;
use throughline::session::input::{ChannelKind, Effect, Input, PageInput, Start, SubId};

use crate::world::{BROADCAST_MS, CHANNELS, Cast, Event, ME, World};

fn name(ch: &Channel) -> &'static str {
    CHANNELS.iter().map(|(name, _)| *name).find(|name| *name == ch.as_str()).unwrap()
}

impl World {
    pub fn perform_next(&mut self) {
        if !self.performing && !self.effects.is_empty() {
            self.performing = true;
            let at = self.now + self.roll(100);
            self.later(at, Event::Perform(self.run));
        }
    }

    /// What may leave the session, and when.
    pub fn judge_effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Command { seq, .. } | Effect::Subscribe { re: Some(seq), .. } => {
                let last = self.applied.last().copied().unwrap_or(0);
                assert!(*seq > last, "S3, O3: {seq} is applied after {last}");
                self.applied.push(*seq);
            }
            Effect::Leave { channel, .. } => {
                let left = self.unsubscribed.remove(channel.as_str());
                let grace = self.settings.grace;
                let detached = self.detached_at.is_some_and(|at| at + grace <= self.now);
                let bound = self.settings.leaving_grace;
                let leaving = self.leaving_at.is_some_and(|at| at + bound <= self.now);
                let ended = self.session.is_ended();
                assert!(left || detached || leaving || ended, "R3: a leave within grace");
            }
            Effect::Unsubscribe { channel, .. } => {
                self.unsubscribed.remove(channel.as_str());
                // What waited for it is dropped: it is not missed.
                if let Some(owed) = &mut self.client.view.owed {
                    owed.remove(channel.as_str());
                }
            }
            _ => {}
        }
    }

    pub fn perform(&mut self) {
        let Some(effect) = self.effects.pop_front() else { return };
        let input = self.ask(effect);
        let at = self.now + self.roll(150);
        if let Some(input) = input {
            return self.later(at, Event::Done(self.run, Box::new(input)));
        }
        self.performing = false;
        self.perform_next();
    }

    fn ask(&mut self, effect: Effect) -> Option<Input> {
        Some(match effect {
            Effect::Subscribe { sub, re, channel, since, presence } => {
                self.registered.push((sub, channel.clone()));
                let start = self.begin(&channel, since, presence);
                Input::Subscribed { sub, re, result: Ok(Box::new(start)) }
            }
            Effect::Unsubscribe { sub, .. } => {
                self.registered.retain(|(of, _)| *of != sub);
                return None;
            }
            Effect::Command { seq, command } => {
                if let Command::Publish(publish) = command {
                    self.publish(name(&publish.ch), publish.data.get().len(), 0);
                }
                Input::Settled { seq, frame: Some(down::ok_empty(seq)) }
            }
            Effect::Fetch { sub, channel, after } => {
                let page = self.engine[channel.as_str()].read(&after);
                Input::Page { sub, result: self.engine_up.then_some(page) }
            }
            Effect::FetchState { sub, channel } => {
                let page = self.engine[channel.as_str()].snapshot();
                Input::State { sub, result: self.engine_up.then_some(page) }
            }
            Effect::FetchMembers { sub, channel } => {
                let frame = self.engine[channel.as_str()].members_frame(&channel);
                Input::Members { sub, frame: self.engine_up.then_some(frame) }
            }
            Effect::Join { channel, away } => {
                self.joins(name(&channel), ME, if away { "away" } else { "online" });
                return None;
            }
            Effect::Leave { channel, .. } => {
                self.leaves(name(&channel), ME);
                return None;
            }
        })
    }

    fn begin(&mut self, ch: &Channel, since: Option<Since>, watches: bool) -> Start {
        let stored = &self.engine[ch.as_str()];
        let top = stored.position();
        self.begun.insert(ch.to_string(), top.clone());
        let (page, position) = match (stored.kind, since) {
            (ChannelKind::State, _) => (Some(stored.snapshot()), top.clone()),
            (ChannelKind::Durable, Some(since)) => {
                let after = match since {
                    Since::After(position) => position,
                    Since::Oldest => match stored.log.front() {
                        Some(first) => Position {
                            epoch: top.epoch.clone(),
                            offset: first.offset - 1,
                            tag: first.prev,
                        },
                        None => top.clone(),
                    },
                };
                let page = stored.read(&after);
                let position = if page.gap.is_some() { top.clone() } else { after };
                (Some(page), position)
            }
            (ChannelKind::Durable | ChannelKind::Ephemeral, _) => (None, top.clone()),
        };
        let replays = page.is_some();
        let PageInput { events, top, gap } =
            page.unwrap_or(PageInput { events: Vec::new(), top, gap: None });
        let members = watches.then(|| stored.members_frame(ch));
        Start {
            kind: stored.kind,
            member: watches,
            watches,
            position,
            gap,
            events,
            top,
            replays,
            members,
        }
    }

    /// Publishes to a channel and broadcasts.
    pub fn publish(&mut self, ch: &'static str, size: usize, key: u64) {
        let tag = self.roll(u64::MAX - 1) + 1;
        let channel = Channel::parse(ch).unwrap();
        let stored = self.engine.get_mut(ch).unwrap();
        let key = (stored.kind == ChannelKind::State).then(|| format!("k{key}"));
        let record = stored.publish(&channel, tag, key, size, self.now);
        let epoch = stored.epoch.clone();
        self.cast(ch, Cast::Event(epoch, record));
    }

    pub fn joins(&mut self, ch: &'static str, id: &str, state: &'static str) {
        let channel = Channel::parse(ch).unwrap();
        let change = self.engine.get_mut(ch).unwrap().join(&channel, id, state);
        if let Some(frame) = change {
            self.cast(ch, Cast::Presence(frame));
        }
    }

    pub fn leaves(&mut self, ch: &'static str, id: &str) {
        let channel = Channel::parse(ch).unwrap();
        let change = self.engine.get_mut(ch).unwrap().leave(&channel, id);
        if let Some(frame) = change {
            self.cast(ch, Cast::Presence(frame));
        }
    }

    fn cast(&mut self, ch: &'static str, cast: Cast) {
        let at = self.now + self.roll(BROADCAST_MS);
        let last = self.last_cast.entry(ch).or_default();
        *last = at.max(*last);
        let at = *last;
        self.later(at, Event::Broadcast(ch, cast));
    }

    pub fn broadcast(&mut self, ch: &'static str, cast: &Cast) {
        let to: Vec<SubId> = self
            .registered
            .iter()
            .filter(|(_, of)| of.as_str() == ch)
            .map(|(sub, _)| *sub)
            .collect();
        if let (Cast::Event(epoch, record), ChannelKind::Durable) = (cast, self.engine[ch].kind) {
            let (epoch, offset, tag) = (epoch.clone(), record.offset, record.tag);
            self.reached.insert(ch.to_owned(), Position { epoch, offset, tag });
        }
        // A backplane may bring an event twice.
        let again = self.roll(10) == 0 && matches!(cast, Cast::Event(..));
        for sub in to.iter().copied().chain(to.iter().copied().filter(|_| again)) {
            self.feed(match cast.clone() {
                Cast::Event(epoch, record) => Input::Event { sub, epoch, event: record.input() },
                Cast::Presence(frame) => Input::Presence { sub, frame },
            });
        }
    }

    /// The session moves to another node, by its parked state; every connection is lost.
    pub fn park(&mut self) -> bool {
        let Some(parked) = self.session.park(self.now + self.skew) else { return false };
        let text = serde_json::to_string(&parked).unwrap();
        for effect in std::mem::take(&mut self.effects) {
            if !matches!(
                effect,
                Effect::Fetch { .. } | Effect::FetchState { .. } | Effect::FetchMembers { .. }
            ) {
                self.ask(effect);
            }
        }
        self.run += 1;
        self.performing = false;
        self.skew = self.roll(100_000);
        let lost: Vec<_> = self.conns.iter_mut().filter(|(_, conn)| conn.at_server).collect();
        let mut gone = Vec::new();
        for (id, conn) in lost {
            (conn.at_server, conn.cut) = (false, true);
            gone.push(*id);
        }
        for conn in gone {
            let at = self.now + self.roll(500);
            self.later(at, Event::ClientLost(conn));
        }
        let parked = serde_json::from_str(&text).unwrap();
        let now = self.now + self.skew;
        self.session = throughline::session::Session::restore(self.settings.clone(), parked, now);
        self.detached_at = Some(self.now);
        self.registered = self.session.subscriptions();
        for effect in self.session.reassert() {
            self.ask(effect);
        }
        self.feed(Input::Tick);
        true
    }

    /// A right is taken away.
    pub fn revoke(&mut self, ch: &str) {
        let subs = self.session.subscriptions();
        if let Some((sub, _)) = subs.into_iter().find(|(_, of)| of.as_str() == ch) {
            self.unsubscribed.insert(ch.to_owned());
            self.feed(Input::Revoke { sub, code: ErrorCode::Forbidden });
        }
    }
}
