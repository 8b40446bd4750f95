//! What comes for a subscription: events and changes of presence.

use crate::protocol::channel::Channel;
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
        match result {
            Ok(start) => {
                self.begin(id, re, *start, now);
                self.give_answers_after(id, None);
            }
            Err(refusal) => {
                self.subs.remove(id);
                let settles = re.is_none_or(|seq| self.uplink.settle(seq));
                if settles {
                    self.outbox.push(refusal.clone(), Body::Reply);
                }
                self.give_answers_after(id, Some(&refusal));
            }
        }
    }

    fn begin(&mut self, id: SubId, re: Option<u64>, start: Start, now: Millis) {
        let settles = re.is_some_and(|seq| self.uplink.settle(seq));
        let Some(sub) = self.subs.get_mut(id).filter(|sub| sub.is_pending()) else {
            // It ended while it began; its frame is settled all the same.
            if let (true, Some(seq)) = (settles, re) {
                self.outbox.push(refused(seq, &ErrorCode::Forbidden.into()), Body::Reply);
            }
            return;
        };
        let channel = sub.channel.clone();
        // The right to see who is there may have gone meanwhile.
        let watches = start.watches && sub.members != MembersPhase::Fresh;
        (sub.kind, sub.member, sub.watches) = (start.kind, start.member, watches);
        sub.at = Some(start.position.clone());
        let pending = std::mem::replace(&mut sub.phase, SubPhase::Live);
        self.tell_begun(id, &channel, re, &start);
        if start.watches && !watches {
            self.tell_unwatched(&channel, ErrorCode::Forbidden);
        }
        self.on_members(id, start.members, now);
        if start.replays {
            self.take_page(id, start.events, &start.top, now);
        }
        if start.member && self.present {
            self.effect(Effect::Join { channel, away: self.away });
        }
        self.take_pending(id, pending, now);
    }

    fn tell_begun(&mut self, id: SubId, channel: &Channel, re: Option<u64>, start: &Start) {
        if let Some(reason) = start.gap {
            let gap = SessionDown::Gap { ch: channel, reason, pos: &start.position };
            self.outbox.push(gap.encode(), Body::Gap { sub: id });
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
            Some(_) => self.fall_behind(id),
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
            (Verdict::FallBehind, _) => self.fall_behind(id),
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
            return self.fall_behind(id);
        }
        let (offset, tag, prev) = (event.offset, event.tag, event.prev);
        if let Some(sub) = self.subs.get_mut(id) {
            sub.advance(epoch, offset, tag);
            self.outbox.push(event.frame, Body::Durable { sub: id, offset, tag, prev });
        }
    }

    fn take_state(&mut self, id: SubId, epoch: &Epoch, event: EventInput) {
        if !self.is_attached() || !self.outbox.has_room(event.frame.len()) {
            return self.fall_behind(id);
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

    /// A subscription drops what waits for it and reads on from there (contract D8). A replay is
    /// not over then: its `caught_up` goes too and comes after what is read.
    pub(super) fn fall_behind(&mut self, id: SubId) {
        let first = self.outbox.first_waiting(id);
        let mut gaps = self.outbox.gaps_waiting(id);
        let mut owes = false;
        self.outbox.retain_waiting(|body| match *body {
            Body::Gap { sub } if sub == id => {
                gaps = gaps.saturating_sub(1);
                true
            }
            Body::Durable { sub, .. } if sub == id => gaps > 0,
            Body::State { sub } => sub != id,
            Body::CaughtUp { sub: None } => {
                owes = true;
                false
            }
            Body::CaughtUp { sub } => sub != Some(id),
            _ => true,
        });
        self.owes_caught_up |= owes;
        let Some(sub) = self.subs.get_mut(id) else { return };
        sub.at = sub.stands_at(first);
        sub.fall_behind();
        self.subs.reading = true;
        self.tally.behind += 1;
    }

    pub(super) fn on_presence(&mut self, id: SubId, frame: Frame) {
        let pending_max = self.settings.pending_events;
        let attached = self.is_attached();
        let room = self.outbox.has_room(frame.len());
        let Some(sub) = self.subs.get_mut(id) else { return };
        match &mut sub.members {
            MembersPhase::Stale { .. } => return,
            MembersPhase::Reading { came, dropped } => {
                if came.len() < pending_max {
                    came.push(frame);
                } else {
                    *dropped = true;
                }
                return;
            }
            MembersPhase::Fresh => {}
        }
        if !sub.watches {
            return;
        }
        if attached && room {
            self.outbox.push(frame, Body::Presence { sub: id });
        } else {
            sub.members = MembersPhase::Stale { not_before: 0 };
            self.subs.reading = true;
            let own = |body: &Body| *body == Body::Presence { sub: id };
            self.outbox.retain_waiting(|body| !own(body));
        }
    }

    /// What is durable, or kept by key, is read from where the subscription stands (contract D3).
    /// Ephemeral events that are missing are counted when the next one comes.
    pub(super) fn on_missed(&mut self, id: SubId, events: bool, members: bool) {
        let Some(sub) = self.subs.get_mut(id) else { return };
        if events {
            match (&mut sub.phase, sub.kind) {
                (SubPhase::Pending { dropped, .. }, _) => *dropped += 1,
                // A read under way may not have seen it.
                (SubPhase::Behind { seen, .. }, ChannelKind::Durable | ChannelKind::State) => {
                    let at = sub.at.as_ref();
                    *seen = at.map(|at| (at.epoch.clone(), u64::MAX));
                }
                (SubPhase::Live, ChannelKind::Durable | ChannelKind::State) => self.fall_behind(id),
                (SubPhase::Live | SubPhase::Behind { .. }, ChannelKind::Ephemeral) => {}
            }
        }
        if members {
            self.members_missed(id);
        }
    }

    fn members_missed(&mut self, id: SubId) {
        let Some(sub) = self.subs.get_mut(id).filter(|sub| sub.watches) else { return };
        match &mut sub.members {
            MembersPhase::Reading { dropped, .. } => *dropped = true,
            MembersPhase::Stale { .. } => {}
            phase @ MembersPhase::Fresh => {
                *phase = MembersPhase::Stale { not_before: 0 };
                self.subs.reading = true;
                self.outbox.retain_waiting(|body| *body != Body::Presence { sub: id });
            }
        }
    }

    /// Changes of presence end; what was handed of them keeps its number only.
    pub(super) fn on_unwatch(&mut self, id: SubId, code: ErrorCode) {
        let Some(sub) = self.subs.get_mut(id).filter(|sub| sub.watches || sub.is_pending()) else {
            return;
        };
        sub.members = MembersPhase::Fresh;
        if !std::mem::take(&mut sub.watches) {
            // It is told once it has begun, if it asked for that.
            return;
        }
        let channel = sub.channel.clone();
        let own = |body: &Body| *body == Body::Presence { sub: id };
        self.outbox.retain_waiting(|body| !own(body));
        self.outbox.withdraw_handed(|body| !own(body));
        self.tell_unwatched(&channel, code);
    }

    fn tell_unwatched(&mut self, ch: &Channel, code: ErrorCode) {
        let frame = SessionDown::Unwatched { ch, code: code.as_str() }.encode();
        self.outbox.push(frame, Body::Reply);
    }

    pub(super) fn on_revoke(&mut self, id: SubId, code: ErrorCode) {
        let Some(sub) = self.drop_sub(id) else { return };
        let frame = SessionDown::Unsubscribed { ch: &sub, code: code.as_str() }.encode();
        self.outbox.push(frame, Body::Reply);
    }

    /// Takes a subscription out: what waits for it goes, what was handed keeps its number only.
    pub(super) fn drop_sub(&mut self, id: SubId) -> Option<Channel> {
        let sub = self.subs.remove(id)?;
        self.outbox.retain_waiting(|body| body.sub() != Some(id));
        self.outbox.withdraw_handed(|body| body.sub() != Some(id));
        let channel = sub.channel.clone();
        if sub.member && self.present {
            self.effect(Effect::Leave { channel: channel.clone(), seen: self.seen });
        }
        self.effect(Effect::Unsubscribe { sub: id, channel: channel.clone() });
        Some(channel)
    }

    /// One count stands for the ephemeral events that were not delivered (contract D7), ahead of all
    /// that waits: whoever is handed an event knows what is missing before it.
    pub(super) fn tell_skipped(&mut self) {
        if self.skipped > 0 && self.is_attached() {
            self.tally.skipped += self.skipped;
            self.recall_skipped();
            let n = std::mem::take(&mut self.skipped);
            self.outbox.push_first(SessionDown::Skipped { n }.encode(), Body::Skipped { n });
        }
    }

    /// Takes back the counts that wait, so that one stands for all.
    fn recall_skipped(&mut self) {
        let skipped = &mut self.skipped;
        self.outbox.retain_waiting(|body| {
            let Body::Skipped { n } = body else { return true };
            *skipped += n;
            false
        });
    }

    /// A `caught_up` is to follow what was missed; one that waits would come before it.
    pub(super) fn owe_caught_up(&mut self) {
        self.outbox.retain_waiting(|body| *body != Body::CaughtUp { sub: None });
        self.owes_caught_up = true;
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
        let frame = SessionDown::CaughtUp { ch: None }.encode();
        self.outbox.push(frame, Body::CaughtUp { sub: None });
    }
}

/// The `caught_up` of one channel.
pub(super) fn caught_up(channel: &Channel) -> Frame {
    SessionDown::CaughtUp { ch: Some(channel) }.encode()
}

/// The refusal of a frame, encoded.
pub(super) fn refused(seq: u64, refusal: &crate::protocol::error::Refusal) -> Frame {
    down::frame_error(refusal, Some(seq), None)
}
