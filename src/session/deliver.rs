//! What comes for a subscription: events and changes of presence.

use crate::protocol::down::{self, SessionDown};
use crate::protocol::error::ErrorCode;
use crate::protocol::frame::Frame;
use crate::protocol::position::Epoch;

use super::input::{ChannelKind, Effect, EventInput, Start, SubId};
use super::outbox::Body;
use super::subs::{MembersPhase, SubPhase, Verdict};
use super::{Millis, Session};

impl Session {
    pub(super) fn on_subscribed(
        &mut self,
        id: SubId,
        re: Option<u64>,
        result: Result<Box<Start>, Frame>,
        now: Millis,
    ) {
        let settles = re.is_some_and(|seq| self.uplink.settle(seq));
        let start = match result {
            Ok(start) => start,
            Err(refusal) => {
                self.subs.remove(id);
                if settles || re.is_none() {
                    self.outbox.push(refusal, Body::Reply);
                }
                return;
            }
        };
        let Some(sub) = self.subs.get_mut(id) else { return };
        let channel = sub.channel.clone();
        (sub.kind, sub.member, sub.watches) = (start.kind, start.member, start.watches);
        sub.at = Some(start.position.clone());
        let pending = std::mem::replace(&mut sub.phase, SubPhase::Live);
        self.tell_begun(&channel, re, &start);
        if let Some(members) = start.members {
            self.outbox.push(members, Body::Presence { sub: id });
        }
        if start.replays {
            self.take_page(id, start.events, &start.top, now);
        }
        if start.member && self.present {
            self.effect(Effect::Join { channel, away: self.away });
        }
        self.take_pending(id, pending, now);
    }

    fn tell_begun(
        &mut self,
        channel: &crate::protocol::channel::Channel,
        re: Option<u64>,
        start: &Start,
    ) {
        if let Some(reason) = start.gap {
            let gap = SessionDown::Gap { ch: channel, reason, pos: &start.position };
            self.outbox.push(gap.encode(), Body::Reply);
        }
        let subscribed = SessionDown::Subscribed {
            re,
            ch: channel,
            pos: &start.position,
            durable: start.kind == ChannelKind::Durable,
            state: start.kind == ChannelKind::State,
        };
        self.outbox.push(subscribed.encode(), Body::Reply);
    }

    /// What came while the subscription began.
    fn take_pending(&mut self, id: SubId, pending: SubPhase, now: Millis) {
        let SubPhase::Pending { events, dropped } = pending else { return };
        for (epoch, event) in events {
            self.on_event(id, &epoch, event, now);
        }
        if dropped == 0 {
            return;
        }
        match self.subs.get_mut(id) {
            Some(sub) if sub.kind == ChannelKind::Ephemeral => self.skipped += dropped,
            Some(sub) => {
                let seen = sub.at.as_ref().map_or(0, |at| at.offset + 1);
                sub.fall_behind(seen);
                self.subs.reading = true;
            }
            None => {}
        }
    }

    pub(super) fn on_event(&mut self, id: SubId, epoch: &Epoch, event: EventInput, now: Millis) {
        let pending_max = self.settings.pending_events;
        let Some(sub) = self.subs.get_mut(id) else { return };
        if let SubPhase::Pending { events, dropped } = &mut sub.phase {
            if events.len() < pending_max {
                events.push((epoch.clone(), event));
            } else {
                *dropped += 1;
            }
            return;
        }
        match (sub.judge(epoch, &event), sub.kind) {
            (Verdict::Drop, _) => {}
            (Verdict::FallBehind, _) => self.fall_behind(id, event.offset),
            (Verdict::Take { .. }, ChannelKind::Durable) => self.take_durable(id, epoch, event),
            (Verdict::Take { .. }, ChannelKind::State) => self.take_state(id, epoch, event),
            (Verdict::Take { missed }, ChannelKind::Ephemeral) => {
                self.skipped += missed;
                sub.advance(epoch, event.offset, event.tag);
                self.take_ephemeral(id, event.frame, now);
            }
        }
    }

    fn take_durable(&mut self, id: SubId, epoch: &Epoch, event: EventInput) {
        if !self.outbox.has_room(event.frame.len()) {
            return self.fall_behind(id, event.offset);
        }
        let (offset, tag, prev) = (event.offset, event.tag, event.prev);
        if let Some(sub) = self.subs.get_mut(id) {
            sub.advance(epoch, offset, tag);
            self.outbox.push(event.frame, Body::Durable { sub: id, offset, tag, prev });
        }
    }

    fn take_state(&mut self, id: SubId, epoch: &Epoch, event: EventInput) {
        if !self.is_attached() || !self.outbox.has_room(event.frame.len()) {
            return self.fall_behind(id, event.offset);
        }
        if let Some(sub) = self.subs.get_mut(id) {
            sub.advance(epoch, event.offset, event.tag);
            self.outbox.push(event.frame, Body::State { sub: id });
        }
    }

    fn take_ephemeral(&mut self, id: SubId, frame: Frame, now: Millis) {
        if !self.is_attached() {
            self.skipped += 1;
            return;
        }
        if !self.outbox.has_room(frame.len()) {
            // The newest matter most: those that wait make room.
            self.skipped +=
                self.outbox.retain_waiting(|body| !matches!(body, Body::Ephemeral { .. }));
        }
        if self.outbox.has_room(frame.len()) {
            self.tell_skipped();
            self.outbox.push(frame, Body::Ephemeral { sub: id, at: now });
        } else {
            self.skipped += 1;
        }
    }

    /// A subscription drops what waits for it and reads on from there (contract D8).
    pub(super) fn fall_behind(&mut self, id: SubId, seen: u64) {
        let mut first = None;
        self.outbox.retain_waiting(|body| match *body {
            Body::Durable { sub, offset, prev, .. } if sub == id => {
                first = first.or(Some((offset, prev)));
                false
            }
            Body::State { sub } if sub == id => false,
            _ => true,
        });
        let Some(sub) = self.subs.get_mut(id) else { return };
        if let Some((offset, prev)) = first {
            sub.rewind(offset, prev);
        }
        sub.fall_behind(seen);
        self.subs.reading = true;
    }

    pub(super) fn on_presence(&mut self, id: SubId, frame: Frame) {
        let attached = self.is_attached();
        let room = self.outbox.has_room(frame.len());
        let Some(sub) = self.subs.get_mut(id) else { return };
        if !sub.watches || sub.is_pending() || sub.members != MembersPhase::Fresh {
            return;
        }
        if attached && room {
            self.outbox.push(frame, Body::Presence { sub: id });
        } else {
            sub.members = MembersPhase::Stale { asked: false };
            self.subs.reading = true;
            let own = |body: &Body| *body == Body::Presence { sub: id };
            self.outbox.retain_waiting(|body| !own(body));
        }
    }

    pub(super) fn on_revoke(&mut self, id: SubId, code: ErrorCode) {
        let Some(sub) = self.drop_sub(id) else { return };
        let frame = SessionDown::Unsubscribed { ch: &sub, code: code.as_str() }.encode();
        self.outbox.push(frame, Body::Reply);
    }

    /// Takes a subscription out: what waits for it goes, what was handed keeps its number only.
    pub(super) fn drop_sub(&mut self, id: SubId) -> Option<crate::protocol::channel::Channel> {
        let sub = self.subs.remove(id)?;
        self.outbox.retain_waiting(|body| body.sub() != Some(id));
        self.outbox.withdraw_handed(|body| body.sub() != Some(id));
        let channel = sub.channel.clone();
        if sub.member && self.present {
            self.effect(Effect::Leave { channel: channel.clone() });
        }
        self.effect(Effect::Unsubscribe { sub: id, channel: channel.clone() });
        Some(channel)
    }

    /// One count stands for the ephemeral events that were not delivered (contract D7).
    pub(super) fn tell_skipped(&mut self) {
        if self.skipped > 0 && self.is_attached() {
            let n = std::mem::take(&mut self.skipped);
            self.outbox.push(SessionDown::Skipped { n }.encode(), Body::Reply);
        }
    }

    /// The replay is over once no subscription is behind.
    pub(super) fn tell_caught_up(&mut self) {
        if !self.owes_caught_up || !self.is_attached() {
            return;
        }
        let behind = |phase: &SubPhase| matches!(phase, SubPhase::Behind { .. });
        if self.subs.reading && self.subs.iter().any(|sub| behind(&sub.phase)) {
            return;
        }
        self.owes_caught_up = false;
        self.outbox.push(SessionDown::CaughtUp { ch: None }.encode(), Body::Reply);
    }

    pub(super) fn push_refusal(&mut self, frame: Frame) {
        self.outbox.push(frame, Body::Reply);
    }
}

/// The `caught_up` of one channel.
pub(super) fn caught_up(channel: &crate::protocol::channel::Channel) -> Frame {
    SessionDown::CaughtUp { ch: Some(channel) }.encode()
}

/// The refusal of a frame, encoded.
pub(super) fn refused(seq: u64, refusal: &crate::protocol::error::Refusal) -> Frame {
    down::frame_error(refusal, Some(seq), None)
}
