//! Reading on: a subscription that is behind pages from the log, or reads the state by key, as the
//! outbox empties; a stale list of members is read whole.

use crate::protocol::down::SessionDown;
use crate::protocol::frame::Frame;
use crate::protocol::position::Position;

use super::deliver::caught_up;
use super::input::{ChannelKind, Effect, EventInput, PageInput, SubId};
use super::outbox::Body;
use super::subs::{MembersPhase, SubPhase};
use super::{Millis, Session};

impl Session {
    /// When a read that failed is tried again.
    pub(super) fn reads_at(&self) -> Option<Millis> {
        if !self.subs.reading || !self.is_attached() || !self.outbox.wants_more() {
            return None;
        }
        let due = |phase: &SubPhase| match phase {
            SubPhase::Behind { asked: false, not_before, .. } => Some(*not_before),
            SubPhase::Behind { .. } | SubPhase::Pending { .. } | SubPhase::Live => None,
        };
        self.subs.iter().filter_map(|sub| due(&sub.phase)).min()
    }

    /// Asks for what is behind, where the outbox wants more.
    pub(super) fn ask_for_pages(&mut self, now: Millis) {
        if !self.subs.reading || !self.is_attached() || !self.outbox.wants_more() {
            return;
        }
        let mut reading = false;
        let mut effects = Vec::new();
        for sub in self.subs.iter_mut() {
            if let MembersPhase::Stale { asked } = &mut sub.members {
                reading = true;
                if !std::mem::replace(asked, true) {
                    effects
                        .push(Effect::FetchMembers { sub: sub.id, channel: sub.channel.clone() });
                }
            }
            let SubPhase::Behind { asked, not_before, .. } = &mut sub.phase else { continue };
            reading = true;
            if *asked || *not_before > now {
                continue;
            }
            let (id, channel) = (sub.id, sub.channel.clone());
            match (&sub.at, sub.kind) {
                (Some(after), ChannelKind::Durable) => {
                    effects.push(Effect::Fetch { sub: id, channel, after: after.clone() });
                }
                (Some(_), ChannelKind::State) => {
                    effects.push(Effect::FetchState { sub: id, channel });
                }
                (Some(_), ChannelKind::Ephemeral) | (None, _) => continue,
            }
            *asked = true;
        }
        self.subs.reading = reading;
        self.effects(effects);
    }

    pub(super) fn on_page(&mut self, id: SubId, result: Option<PageInput>, now: Millis) {
        let retry = now + self.settings.retry;
        let Some(sub) = self.subs.get_mut(id) else { return };
        let SubPhase::Behind { asked, not_before, .. } = &mut sub.phase else { return };
        *asked = false;
        let Some(page) = result else {
            *not_before = retry;
            return;
        };
        if let Some(reason) = page.gap {
            sub.at = Some(page.top.clone());
            let gap = SessionDown::Gap { ch: &sub.channel, reason, pos: &page.top }.encode();
            self.outbox.push(gap, Body::Reply);
        }
        self.take_page(id, page.events, &page.top, now);
    }

    /// Takes what fits of a page; at the top the subscription is live.
    pub(super) fn take_page(
        &mut self,
        id: SubId,
        events: Vec<EventInput>,
        top: &Position,
        now: Millis,
    ) {
        let retry = now + self.settings.retry;
        let Some(sub) = self.subs.get_mut(id) else { return };
        let kind = sub.kind;
        let before = sub.at.as_ref().map_or(0, |at| at.offset);
        for event in events {
            let state = kind == ChannelKind::State;
            let done = sub.at.as_ref().is_some_and(|at| event.offset <= at.offset) && !state;
            if done {
                continue;
            }
            // The state by key is bounded by its keys and taken whole.
            if !state && !self.outbox.has_room(event.frame.len()) {
                break;
            }
            let (offset, tag, prev) = (event.offset, event.tag, event.prev);
            if state {
                self.outbox.push(event.frame, Body::State { sub: id });
            } else {
                sub.advance(&top.epoch, offset, tag);
                self.outbox.push(event.frame, Body::Durable { sub: id, offset, tag, prev });
            }
        }
        if kind == ChannelKind::State {
            sub.at = Some(top.clone());
        }
        let at = sub.at.as_ref().map_or(0, |at| at.offset);
        let seen = match sub.phase {
            SubPhase::Behind { seen, .. } => seen,
            SubPhase::Pending { .. } | SubPhase::Live => 0,
        };
        if at >= top.offset.max(seen) {
            sub.phase = SubPhase::Live;
            let frame = caught_up(&sub.channel);
            self.outbox.push(frame, Body::Reply);
        } else {
            let not_before = if at > before { 0 } else { retry };
            sub.phase = SubPhase::Behind { asked: false, not_before, seen: seen.max(top.offset) };
            self.subs.reading = true;
        }
    }

    pub(super) fn on_state(&mut self, id: SubId, result: Option<PageInput>, now: Millis) {
        let retry = now + self.settings.retry;
        let Some(sub) = self.subs.get_mut(id) else { return };
        let SubPhase::Behind { asked, not_before, seen } = &mut sub.phase else { return };
        *asked = false;
        match result {
            Some(page) => {
                // The snapshot is whole whatever its epoch.
                if sub.at.as_ref().is_some_and(|at| at.epoch != page.top.epoch) {
                    *seen = page.top.offset;
                }
                self.take_page(id, page.events, &page.top, now);
            }
            None => *not_before = retry,
        }
    }

    pub(super) fn on_members(&mut self, id: SubId, frame: Option<Frame>) {
        let Some(sub) = self.subs.get_mut(id) else { return };
        match frame {
            Some(frame) => {
                sub.members = MembersPhase::Fresh;
                self.outbox.push(frame, Body::Presence { sub: id });
            }
            None => sub.members = MembersPhase::Stale { asked: false },
        }
    }
}
