//! Parking: the state of a session as a value, with which another node goes on.
//!
//! Durable events are not in it, but the positions behind each number that is not acknowledged:
//! whatever the client counted, the taker knows from where to read on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::protocol::channel::Channel;
use crate::protocol::down::SessionDown;
use crate::protocol::frame::Frame;
use crate::protocol::position::Position;

use super::input::{ChannelKind, Effect, SubId};
use super::life::Phase;
use super::link::{Link, Mode};
use super::outbox::{Body, Item, Outbox};
use super::settings::Settings;
use super::subs::{MembersPhase, Sub, SubPhase};
use super::uplink::Uplink;
use super::{Begin, Millis, Session};

/// Bytes of ephemeral events at most; those beyond it are counted as skipped.
pub const PARKED_BYTES_MAX: usize = 64 << 10;

/// A session as a value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parked {
    ticket: String,
    acks: bool,
    visible: bool,
    away: bool,
    present: bool,
    /// Whether what carries the way down next is about to come: until it is late, the session is not
    /// detached.
    due: bool,
    /// For how long it had no link, in milliseconds.
    detached: Millis,
    link: u64,
    acked: u64,
    handed: usize,
    applied: u64,
    skipped: u64,
    owes_caught_up: bool,
    items: Vec<ParkedItem>,
    subs: Vec<ParkedSub>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ParkedItem {
    /// Times in it are ages.
    body: Body,
    /// None for what is read again.
    frame: Option<Box<RawValue>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ParkedSub {
    id: SubId,
    channel: Channel,
    kind: ChannelKind,
    member: bool,
    watches: bool,
    at: Option<Position>,
    /// Whether the end of what it reads has yet to be told.
    owes_caught_up: bool,
}

impl Session {
    /// Whether nothing is in flight, so that the session may be parked.
    pub fn is_settled(&self) -> bool {
        self.uplink.is_idle() && !self.is_beginning()
    }

    /// Whether its client counts what it gets, and so can go on with it elsewhere.
    pub fn acknowledges(&self) -> bool {
        self.acks
    }

    /// The session as a value, or `None` while something is in flight. The caller then forgets it.
    pub fn park(&self, now: Millis) -> Option<Parked> {
        if !self.is_settled() || self.is_ended() {
            return None;
        }
        let mut budget = PARKED_BYTES_MAX;
        let (mut skipped, mut owes) = (self.skipped, self.owes_caught_up);
        let mut items = Vec::new();
        for (item, handed) in self.outbox.iter() {
            match (item.body, handed) {
                // What another node can read again keeps its number only.
                (Body::Durable { .. } | Body::State { .. } | Body::Presence { .. }, true) => {
                    items.push(ParkedItem { body: item.body, frame: None });
                }
                (Body::Durable { .. } | Body::State { .. } | Body::Presence { .. }, false) => {}
                (Body::CaughtUp { sub: None }, false) => owes = true,
                (Body::CaughtUp { sub: Some(sub) }, false) if self.reads(sub) => {}
                (Body::Skipped { n }, false) => skipped += n,
                (Body::Ephemeral { sub, at }, _) if item.frame.len() <= budget => {
                    budget -= item.frame.len();
                    let body = Body::Ephemeral { sub, at: now.saturating_sub(at) };
                    items.push(ParkedItem { body, frame: raw(&item.frame) });
                }
                (Body::Ephemeral { .. }, true) => items.push(one_skipped()),
                (Body::Ephemeral { .. }, false) => skipped += 1,
                (Body::Skipped { .. }, true)
                | (Body::CaughtUp { .. } | Body::Gap { .. } | Body::Reply, _) => {
                    items.push(ParkedItem { body: item.body, frame: raw(&item.frame) });
                }
            }
        }
        let detached = match self.phase {
            Phase::Detached { since, .. } => now.saturating_sub(since),
            Phase::Provisional { .. } | Phase::Live | Phase::Ended => 0,
        };
        Some(Parked { skipped, detached, owes_caught_up: owes, ..self.parked(items) })
    }

    /// Whether the taker reads a subscription's channel again.
    fn reads(&self, sub: SubId) -> bool {
        self.subs.get(sub).is_none_or(|sub| sub.kind != ChannelKind::Ephemeral)
    }

    fn parked(&self, items: Vec<ParkedItem>) -> Parked {
        let handed = usize::try_from(self.outbox.handed_total() - self.outbox.acked());
        Parked {
            ticket: self.ticket.to_string(),
            acks: self.acks,
            visible: self.visible,
            away: self.away,
            present: self.present,
            due: self.is_polled(),
            detached: 0,
            link: self.link_number,
            acked: self.outbox.acked(),
            handed: handed.unwrap_or_default(),
            applied: self.uplink.applied(),
            skipped: self.skipped,
            owes_caught_up: self.owes_caught_up,
            items,
            subs: self.subs.iter().map(|sub| self.parked_sub(sub)).collect(),
        }
    }

    /// A subscription stands after the last event that was handed.
    fn parked_sub(&self, sub: &Sub) -> ParkedSub {
        let at = sub.stands_at(self.outbox.first_waiting(sub.id));
        let end = Body::CaughtUp { sub: Some(sub.id) };
        let waits = self.outbox.iter().any(|(item, handed)| !handed && item.body == end);
        let owes_caught_up = waits || !matches!(sub.phase, SubPhase::Live);
        ParkedSub {
            owes_caught_up,
            id: sub.id,
            channel: sub.channel.clone(),
            kind: sub.kind,
            member: sub.member,
            watches: sub.watches,
            at,
        }
    }

    /// Goes on with a parked session: detached, or with the next request or link due. The caller
    /// registers what
    /// [`Session::subscriptions`] lists before it brings the first input.
    pub fn restore(settings: Arc<Settings>, parked: Parked, now: Millis) -> Self {
        let begin = Begin {
            ticket: parked.ticket.into(),
            acks: parked.acks,
            visible: parked.visible,
            expires_at: None,
        };
        let mut session = Self::open(settings, begin, now);
        let (frames, bytes) = (session.settings.outbox_frames, session.settings.outbox_bytes);
        let outbox = Outbox::new(frames, bytes);
        let age = session.settings.ephemeral_age;
        let items = parked.items.into_iter().map(|item| item.restored(now, age)).collect();
        session.outbox = outbox.restored(parked.acked, parked.handed, items);
        session.uplink = Uplink::new(session.settings.uplink_frames).restored(parked.applied);
        for sub in parked.subs {
            session.restore_sub(sub, parked.due);
        }
        session.link_number = parked.link;
        let mode = if parked.due { Mode::Due { at: now } } else { Mode::Gone };
        session.link = Some(Link { conn: super::ConnId(0), mode });
        session.phase = Phase::Live;
        if !parked.due {
            session.detach(now);
        }
        (session.away, session.present) = (parked.away, parked.present);
        (session.skipped, session.owes_caught_up) = (parked.skipped, parked.owes_caught_up);
        session
    }

    /// Nobody came for it since it was parked: it is detached for so many milliseconds already.
    pub fn unclaimed(&mut self, detached: Millis, now: Millis) {
        if matches!(&self.link, Some(Link { mode: Mode::Due { .. } | Mode::Gone, .. })) {
            self.detach(now.saturating_sub(detached));
        }
    }

    fn restore_sub(&mut self, parked: ParkedSub, unseen: bool) {
        // What was published meanwhile is read from the log, or as state.
        let phase = match parked.kind {
            ChannelKind::Ephemeral => SubPhase::Live,
            ChannelKind::Durable | ChannelKind::State => {
                SubPhase::Behind { asked: false, not_before: 0, seen: None }
            }
        };
        let members = if parked.watches {
            MembersPhase::Stale { not_before: 0 }
        } else {
            MembersPhase::Fresh
        };
        let (id, channel, kind, at) = (parked.id, parked.channel, parked.kind, parked.at);
        let (member, watches) = (parked.member, parked.watches);
        let unseen = unseen && !parked.owes_caught_up;
        self.subs.restore(Sub { id, channel, kind, member, watches, at, phase, members, unseen });
        self.subs.reading = true;
    }

    /// The subscriptions, for the shell to register.
    pub fn subscriptions(&self) -> Vec<(SubId, Channel)> {
        self.subs.iter().map(|sub| (sub.id, sub.channel.clone())).collect()
    }

    /// What was handed by another node and not counted by the client is read again.
    pub(super) fn rewind_unread(&mut self) {
        let mut subs: Vec<SubId> = Vec::new();
        for (item, _) in self.outbox.iter().filter(|(item, _)| item.frame.is_empty()) {
            if let Body::Durable { sub, .. } | Body::State { sub } = item.body
                && !subs.contains(&sub)
            {
                subs.push(sub);
            }
        }
        for sub in subs {
            self.fall_behind(sub);
        }
        self.outbox.drop_unread();
    }

    /// Whether presence may list the session in a channel by right: it is a member, or is about to be.
    pub fn may_be_in(&self, channel: &Channel) -> bool {
        let is_in = |sub: &Sub| sub.is_pending() || (sub.member && self.present);
        self.listed || self.subs.of_channel(channel).is_some_and(is_in)
    }

    /// Whether presence is to list the session in a channel; as away, or not.
    pub fn member_of(&self, channel: &Channel) -> Option<bool> {
        let sub = self.subs.of_channel(channel).filter(|sub| sub.member && self.present);
        sub.map(|_| self.away)
    }

    /// Whether the session is there for others.
    pub fn is_present(&self) -> bool {
        self.present
    }

    /// When its client was seen last.
    pub fn seen(&self) -> Millis {
        self.seen
    }

    /// What a taker must do before the first input: list the session in presence again.
    pub fn reassert(&self) -> Vec<Effect> {
        let members = self.subs.iter().filter(|sub| sub.member && self.present);
        let away = self.away;
        members.map(|sub| Effect::Join { channel: sub.channel.clone(), away }).collect()
    }
}

impl Parked {
    /// The same for a link that is about to take it: it is not detached meanwhile.
    #[must_use]
    pub fn goes_on(mut self) -> Self {
        self.due = true;
        self
    }

    /// For how long it has had no link, after it lay for so many milliseconds: what is due is detached
    /// once that is late.
    pub fn detached(&self, lay: Millis, settings: &Settings) -> Millis {
        let late = if self.due { settings.poll_detach } else { 0 };
        self.detached.saturating_add(lay).saturating_sub(late)
    }

    /// The same after it lay for so many milliseconds, by the clock of the wall.
    #[must_use]
    pub fn aged(mut self, by: Millis) -> Self {
        for item in &mut self.items {
            if let Body::Ephemeral { at, .. } = &mut item.body {
                *at = at.saturating_add(by);
            }
        }
        self
    }
}

impl ParkedItem {
    /// With times by this node's clock; what is too old to be sent again is a count.
    fn restored(self, now: Millis, ephemeral_age: Millis) -> Item {
        let (body, frame) = match self.body {
            Body::Ephemeral { at, .. } if at > ephemeral_age => {
                (one_skipped().body, one_skipped().frame)
            }
            Body::Ephemeral { sub, at } => {
                (Body::Ephemeral { sub, at: now.saturating_sub(at) }, self.frame)
            }
            body => (body, self.frame),
        };
        let json = frame.as_ref().map_or("", |raw| raw.get());
        Item { frame: Frame::new(json.as_bytes()), body }
    }
}

fn one_skipped() -> ParkedItem {
    let frame = raw(&SessionDown::Skipped { n: 1 }.encode());
    ParkedItem { body: Body::Skipped { n: 1 }, frame }
}

fn raw(frame: &Frame) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(frame.json()).ok()?;
    RawValue::from_string(text.to_owned()).ok()
}
