//! Parking: the state of a session as a value, with which another node goes on (DESIGN section 4).
//!
//! Durable events are not in it, but the positions behind each number that is not acknowledged:
//! whatever the client counted, the taker knows from where to read on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::protocol::channel::Channel;
use crate::protocol::frame::Frame;
use crate::protocol::position::{Position, Tag};

use super::input::{ChannelKind, Effect, SubId};
use super::life::Phase;
use super::link::{Link, Mode};
use super::outbox::{Body, Item, Outbox};
use super::settings::Settings;
use super::subs::{MembersPhase, Sub, SubPhase};
use super::uplink::Uplink;
use super::{Begin, Millis, Session};

/// Bytes of undelivered frames that are not in a log, at most; presence and state beyond it are
/// read again, ephemeral events are counted as skipped.
pub const PARKED_BYTES_MAX: usize = 64 << 10;

/// A session as a value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parked {
    ticket: String,
    acks: bool,
    visible: bool,
    away: bool,
    present: bool,
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
    body: Body,
    /// None for a durable event.
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
}

impl Session {
    /// Whether nothing is in flight, so that the session may be parked.
    pub fn is_settled(&self) -> bool {
        self.uplink.is_idle() && self.subs.iter().all(|sub| !sub.is_pending())
    }

    /// The session as a value, or `None` while something is in flight. The caller then forgets it.
    pub fn park(&self) -> Option<Parked> {
        if !self.is_settled() || self.is_ended() {
            return None;
        }
        let mut budget = PARKED_BYTES_MAX;
        let mut skipped = self.skipped;
        let mut stale = Vec::new();
        let mut items = Vec::new();
        for (item, handed) in self.outbox.iter() {
            match item.body {
                Body::Durable { .. } if handed => {
                    items.push(ParkedItem { body: item.body, frame: None });
                }
                Body::Durable { .. } => {}
                Body::Reply
                | Body::Ephemeral { .. }
                | Body::State { .. }
                | Body::Presence { .. } => {
                    let fits = handed || item.body == Body::Reply || item.frame.len() <= budget;
                    if !fits {
                        match item.body {
                            Body::Ephemeral { .. } => skipped += 1,
                            Body::State { sub } | Body::Presence { sub } => stale.push(sub),
                            Body::Durable { .. } | Body::Reply => {}
                        }
                        continue;
                    }
                    budget = budget.saturating_sub(item.frame.len());
                    items.push(ParkedItem { body: item.body, frame: raw(&item.frame) });
                }
            }
        }
        Some(self.parked(items, skipped))
    }

    fn parked(&self, items: Vec<ParkedItem>, skipped: u64) -> Parked {
        let handed = usize::try_from(self.outbox.handed_total() - self.outbox.acked());
        Parked {
            ticket: self.ticket.to_string(),
            acks: self.acks,
            visible: self.visible,
            away: self.away,
            present: self.present,
            link: self.link_number,
            acked: self.outbox.acked(),
            handed: handed.unwrap_or_default(),
            applied: self.uplink.applied(),
            skipped,
            owes_caught_up: self.owes_caught_up,
            items,
            subs: self.subs.iter().map(|sub| self.parked_sub(sub)).collect(),
        }
    }

    /// A subscription stands after the last event that was handed.
    fn parked_sub(&self, sub: &Sub) -> ParkedSub {
        let first_waiting = self.outbox.iter().find_map(|(item, handed)| match item.body {
            Body::Durable { sub: of, offset, prev, .. } if of == sub.id && !handed => {
                Some((offset, prev))
            }
            _ => None,
        });
        let mut at = sub.at.clone();
        if let (Some(at), Some((offset, prev))) = (&mut at, first_waiting) {
            (at.offset, at.tag) = (offset.saturating_sub(1), prev);
        }
        ParkedSub {
            id: sub.id,
            channel: sub.channel.clone(),
            kind: sub.kind,
            member: sub.member,
            watches: sub.watches,
            at,
        }
    }

    /// Goes on with a parked session, detached. The caller registers what
    /// [`Session::subscriptions`] lists before it brings the first input.
    pub fn restore(settings: Arc<Settings>, parked: Parked, now: Millis) -> Self {
        let begin = Begin {
            ticket: parked.ticket.into(),
            acks: parked.acks,
            visible: parked.visible,
            expires_at: None,
        };
        let mut session = Self::open(settings, begin, now);
        let items = parked.items.into_iter().map(|item| Item {
            frame: item
                .frame
                .map_or_else(|| Frame::new(b""), |raw| Frame::new(raw.get().as_bytes())),
            body: item.body,
        });
        let (frames, bytes) = (session.settings.outbox_frames, session.settings.outbox_bytes);
        let outbox = Outbox::new(frames, bytes);
        session.outbox = outbox.restored(parked.acked, parked.handed, items.collect());
        session.uplink = Uplink::new(session.settings.uplink_frames).restored(parked.applied);
        for sub in parked.subs {
            session.restore_sub(sub);
        }
        session.link_number = parked.link;
        session.link = Some(Link { conn: super::ConnId(0), mode: Mode::Gone });
        session.phase = Phase::Live;
        session.detach(now);
        (session.away, session.present) = (parked.away, parked.present);
        (session.skipped, session.owes_caught_up) = (parked.skipped, parked.owes_caught_up);
        session
    }

    fn restore_sub(&mut self, parked: ParkedSub) {
        // What was published meanwhile is read from the log, or as state.
        let phase = match parked.kind {
            ChannelKind::Ephemeral => SubPhase::Live,
            ChannelKind::Durable | ChannelKind::State => {
                SubPhase::Behind { asked: false, not_before: 0, seen: 0 }
            }
        };
        let members =
            if parked.watches { MembersPhase::Stale { asked: false } } else { MembersPhase::Fresh };
        let (id, channel, kind, at) = (parked.id, parked.channel, parked.kind, parked.at);
        let (member, watches) = (parked.member, parked.watches);
        self.subs.restore(Sub { id, channel, kind, member, watches, at, phase, members });
        self.subs.reading = true;
    }

    /// The subscriptions, for the shell to register.
    pub fn subscriptions(&self) -> Vec<(SubId, Channel)> {
        self.subs.iter().map(|sub| (sub.id, sub.channel.clone())).collect()
    }

    /// What was handed by another node and not counted by the client is read from the log again.
    pub(super) fn rewind_unread(&mut self) {
        let mut first: Vec<(SubId, u64, Tag)> = Vec::new();
        for (item, _) in self.outbox.iter() {
            if let (Body::Durable { sub, offset, prev, .. }, true) =
                (item.body, item.frame.is_empty())
                && !first.iter().any(|(seen, ..)| *seen == sub)
            {
                first.push((sub, offset, prev));
            }
        }
        for (id, offset, prev) in first {
            if let Some(sub) = self.subs.get_mut(id) {
                sub.rewind(offset, prev);
                sub.fall_behind(0);
                self.subs.reading = true;
            }
            self.outbox
                .retain_waiting(|body| !matches!(body, Body::Durable { sub, .. } if *sub == id));
        }
    }

    /// What a taker must do before the first input: list the session in presence again.
    pub fn reassert(&self) -> Vec<Effect> {
        let members = self.subs.iter().filter(|sub| sub.member && self.present);
        let away = self.away;
        members.map(|sub| Effect::Join { channel: sub.channel.clone(), away }).collect()
    }
}

fn raw(frame: &Frame) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(frame.json()).ok()?;
    RawValue::from_string(text.to_owned()).ok()
}
