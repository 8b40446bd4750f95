//! Reading on: a subscription that is behind pages from the log, or reads the state by key, as the
//! outbox empties; a stale list of members is read whole.

use crate::protocol::down::SessionDown;
use crate::protocol::frame::Frame;
use crate::protocol::position::Position;

use super::deliver::caught_up;
use super::input::{ChannelKind, Effect, EventInput, PageInput, SubId};
use super::link::{Link, Mode};
use super::outbox::Body;
use super::subs::{MembersPhase, Sub, SubPhase};
use super::{Millis, Session};

impl Session {
    /// Whether what is read would reach the client. While the next poll of a parked session is due it
    /// is not known from where to read.
    fn reads_now(&self) -> bool {
        let due = |link: &Link| matches!(link.mode, Mode::Due { .. });
        self.is_attached() && !self.link.as_ref().is_some_and(due)
    }

    /// When a read that failed is tried again.
    pub(super) fn reads_at(&self) -> Option<Millis> {
        if !self.subs.reading || !self.reads_now() || !self.outbox.wants_more() {
            return None;
        }
        self.subs.iter().filter_map(Sub::reads_at).min()
    }

    /// Asks for what is behind, where the outbox wants more.
    pub(super) fn ask_for_pages(&mut self, now: Millis) {
        if !self.subs.reading || !self.reads_now() || !self.outbox.wants_more() {
            return;
        }
        let mut reading = false;
        let mut effects = Vec::new();
        for sub in self.subs.iter_mut() {
            reading |= sub.members != MembersPhase::Fresh;
            if matches!(sub.members, MembersPhase::Stale { not_before } if not_before <= now) {
                sub.members = MembersPhase::reading();
                effects.push(Effect::FetchMembers { sub: sub.id, channel: sub.channel.clone() });
            }
            let SubPhase::Behind { asked, not_before, seen } = &mut sub.phase else { continue };
            reading = true;
            if *asked || *not_before > now {
                continue;
            }
            // What came before a read is in it.
            *seen = None;
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
            self.outbox.push(gap, Body::Gap { sub: id });
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
        let state = sub.kind == ChannelKind::State;
        let before = sub.stands_on();
        if sub.kind == ChannelKind::Ephemeral {
            // There is nothing to read: what was published since is only counted.
            self.skipped += top.offset.saturating_sub(before);
            sub.at = Some(top.clone());
            return self.goes_live(id);
        }
        for event in events {
            let next = sub.stands_on() + 1;
            if !state && event.offset < next {
                continue;
            }
            // The state by key is bounded by its keys and taken whole.
            if !state && (event.offset > next || !self.outbox.has_room(event.frame.len())) {
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
        if state {
            sub.at = Some(top.clone());
        }
        let at = sub.stands_on();
        let missed = match &sub.phase {
            SubPhase::Behind { seen: Some((epoch, offset)), .. } => {
                *epoch != top.epoch || *offset > at
            }
            SubPhase::Behind { .. } | SubPhase::Pending { .. } | SubPhase::Live => false,
        };
        if at >= top.offset && !missed {
            self.goes_live(id);
        } else {
            let not_before = if at > before || missed { 0 } else { retry };
            sub.phase = SubPhase::Behind { asked: false, not_before, seen: None };
            self.subs.reading = true;
        }
    }

    fn goes_live(&mut self, id: SubId) {
        let Some(sub) = self.subs.get_mut(id) else { return };
        sub.phase = SubPhase::Live;
        if std::mem::take(&mut sub.unseen) {
            return;
        }
        self.outbox.push(caught_up(&sub.channel), Body::CaughtUp { sub: Some(id) });
    }

    pub(super) fn on_state(&mut self, id: SubId, result: Option<PageInput>, now: Millis) {
        let retry = now + self.settings.retry;
        let Some(sub) = self.subs.get_mut(id) else { return };
        let SubPhase::Behind { asked, not_before, .. } = &mut sub.phase else { return };
        *asked = false;
        match result {
            // The snapshot is whole whatever its epoch.
            Some(page) => self.take_page(id, page.events, &page.top, now),
            None => *not_before = retry,
        }
    }

    /// The list of members, then the changes that came while it was read (contract R6).
    pub(super) fn on_members(&mut self, id: SubId, frame: Option<Frame>, now: Millis) {
        let retry = now + self.settings.retry;
        let Some(sub) = self.subs.get_mut(id) else { return };
        let MembersPhase::Reading { came, dropped } = &mut sub.members else { return };
        let (came, dropped) = (std::mem::take(came), *dropped);
        sub.members = MembersPhase::Fresh;
        if !sub.watches {
            return;
        }
        if dropped || frame.is_none() {
            sub.members = MembersPhase::Stale { not_before: retry };
            self.subs.reading = true;
        }
        let Some(frame) = frame else { return };
        self.outbox.push(frame, Body::Presence { sub: id });
        for change in came {
            self.on_presence(id, change);
        }
    }
}
