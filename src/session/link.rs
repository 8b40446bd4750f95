//! Links: candidates, which connection carries the way down, and what happens to the others
//! (PROTOCOL.md section 6, contract S1, S2, S4).

use crate::protocol::down::LinkDown;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::up::Numbered;

use super::input::{AttachInput, ConnId, ConnKind, Output, Target};
use super::life::Phase;
use super::outbox::Body;
use super::subs::Sub;
use super::{Millis, Session};

/// A connection that proves itself.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) conn: ConnId,
    pub(super) kind: ConnKind,
    pub(super) since: Millis,
    pub(super) writable: bool,
}

/// What carries the way down.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) conn: ConnId,
    pub(super) mode: Mode,
}

/// How it does.
#[derive(Debug)]
pub(super) enum Mode {
    /// Frames are written as they come.
    Push { writable: bool, next_ping: Millis, life: Millis },
    /// A pushed connection that is gone.
    Gone,
    /// A request waits: for frames, or, where it opens the session, for its subscriptions to begin.
    Waiting { until: Millis, opening: bool },
    /// A request was answered; the next one is due.
    Answered { at: Millis },
    /// The same, or a link, of a session that another node parked: what was handed there is not here.
    Due { at: Millis },
}

impl Link {
    pub(super) fn takes_frames(&self) -> bool {
        matches!(self.mode, Mode::Push { writable: true, .. })
    }
}

impl Session {
    pub(super) fn on_opened(&mut self, conn: ConnId, kind: ConnKind, link: u64, now: Millis) {
        self.link_number = link;
        let mode = match self.begin_mode(kind, 0, now) {
            // What begins slowly does not keep the hello from a client that must answer it in time.
            Mode::Waiting { .. } => {
                Mode::Waiting { until: now + self.settings.provisional / 2, opening: true }
            }
            mode => mode,
        };
        self.link = Some(Link { conn, mode });
        if kind == ConnKind::Push {
            let attached = self.attached(0);
            self.control(conn, attached);
        }
    }

    pub(super) fn on_candidate(&mut self, conn: ConnId, kind: ConnKind, now: Millis) {
        if self.candidates.len() >= self.settings.candidates && !self.candidates.is_empty() {
            let oldest = self.candidates.remove(0);
            self.close(oldest.conn, Some(ErrorCode::TooMany.into()));
        }
        self.candidates.push(Candidate { conn, kind, since: now, writable: true });
    }

    pub(super) fn on_attach(&mut self, conn: ConnId, attach: AttachInput, now: Millis) {
        if self.refuses_expired(conn, now) {
            return;
        }
        self.seen = now;
        self.commit();
        let own = self.link.as_ref().is_some_and(|link| link.conn == conn);
        let higher = attach.link > self.link_number;
        let equal = own && attach.link == self.link_number;
        if !(higher || equal) {
            return self.supersede(conn, now);
        }
        if !self.take_count(conn, attach.count, now) {
            return;
        }
        self.on_visible(attach.visible, now);
        if higher {
            self.take_link(conn, ConnKind::Push, attach, now);
        } else {
            self.leaving_at = None;
            self.on_life(conn, now);
            let attached = self.attached(self.outbox.handed_total());
            self.control(conn, attached);
        }
    }

    pub(super) fn on_exchange(
        &mut self,
        conn: ConnId,
        attach: AttachInput,
        frames: Vec<Numbered>,
        now: Millis,
    ) {
        if self.refuses_expired(conn, now) {
            return;
        }
        self.seen = now;
        self.commit();
        if attach.link < self.link_number {
            let superseded = LinkDown::Superseded { link: self.link_number }.encode();
            self.emit(Output::Answer { conn, frames: vec![superseded] });
            return;
        }
        let higher = attach.link > self.link_number;
        // At the link there is, a count that is too low is a repeat that came late.
        let late = !higher && attach.count < self.outbox.acked();
        if !late && !self.take_count(conn, attach.count, now) {
            return;
        }
        self.on_visible(attach.visible, now);
        let done = if higher {
            self.exchange_takes(conn, attach, now)
        } else {
            self.exchange_repeats(conn, attach, now)
        };
        if done {
            let mut acts = higher;
            for frame in frames {
                acts |= self.uplink.take(frame);
            }
            // What only repeats may have been under way when the page went.
            if acts {
                self.stays();
            }
        }
    }

    /// An exchange at a higher link: a poll, or the promotion of a candidate. A stream that is the
    /// link may be named too: what it lost is sent on it again.
    fn exchange_takes(&mut self, conn: ConnId, attach: AttachInput, now: Millis) -> bool {
        let via = match attach.target {
            Target::Own => {
                self.take_link(conn, ConnKind::Poll, attach, now);
                return true;
            }
            Target::Via(via) => via,
        };
        let candidates = self.candidates.iter().map(|candidate| (candidate.conn, candidate.kind));
        let link = self.link.iter().filter(|link| matches!(link.mode, Mode::Push { .. }));
        let mut known = candidates.chain(link.map(|link| (link.conn, ConnKind::Push)));
        let Some((via, kind)) = known.find(|(conn, _)| Some(*conn) == via) else {
            let refusal = Refusal::new(ErrorCode::BadRequest).because("via is not here");
            self.close(conn, Some(refusal));
            return false;
        };
        self.take_link(via, kind, attach, now);
        self.answer_attached_alone(conn);
        true
    }

    /// An exchange at the link there is: a poll repeated, or what goes up beside a stream.
    fn exchange_repeats(&mut self, conn: ConnId, attach: AttachInput, now: Millis) -> bool {
        let detached = !self.is_attached();
        let Some(link) = &mut self.link else { return false };
        match &mut link.mode {
            Mode::Push { life, .. } => {
                *life = now;
                self.answer_attached_alone(conn);
            }
            Mode::Gone | Mode::Due { .. } => self.answer_attached_alone(conn),
            Mode::Waiting { .. } | Mode::Answered { .. } => {
                let older = std::mem::replace(&mut link.conn, conn);
                let until = now + attach.wait.min(self.settings.hold_max);
                let mode = Mode::Waiting { until, opening: false };
                if matches!(std::mem::replace(&mut link.mode, mode), Mode::Waiting { .. }) {
                    self.answer_attached_alone(older);
                }
                if detached {
                    self.drop_stale(now);
                }
                self.reattached();
                self.repeat_answer(conn, now);
            }
        }
        true
    }

    /// What was handed to this link and is not acknowledged, with the same numbers.
    fn repeat_answer(&mut self, conn: ConnId, now: Millis) {
        let again = self.outbox.handed_again();
        if again.is_empty() {
            return;
        }
        let mut frames = vec![self.attached(self.outbox.acked())];
        frames.extend(again);
        self.emit(Output::Answer { conn, frames });
        if let Some(link) = &mut self.link {
            link.mode = Mode::Answered { at: now };
        }
    }

    /// A higher link, whose count was taken, takes the session.
    fn take_link(&mut self, conn: ConnId, kind: ConnKind, attach: AttachInput, now: Millis) {
        let writable = self.is_writable(conn);
        self.release_link(conn, attach.link);
        self.candidates.retain(|candidate| candidate.conn != conn);
        self.link_number = attach.link;
        self.link = Some(Link { conn, mode: self.begin_mode(kind, attach.wait, now) });
        self.set_writable(conn, writable);
        if self.outbox.requeue() {
            self.owe_caught_up();
        }
        self.rewind_unread();
        self.drop_stale(now);
        self.reattached();
        self.tell_skipped();
        if kind == ConnKind::Push {
            let attached = self.attached(self.outbox.acked());
            self.control(conn, attached);
        }
    }

    /// Drops what waits and is out of date.
    fn drop_stale(&mut self, now: Millis) {
        let (subs, age) = (&self.subs, self.settings.ephemeral_age);
        let mut stale = 0;
        self.outbox.retain_waiting(|body| {
            let gone = body.sub().is_some_and(|sub| subs.get(sub).is_none());
            let old = matches!(body, Body::Ephemeral { at, .. } if now.saturating_sub(*at) > age);
            stale += u64::from(old && !gone);
            !gone && !old
        });
        self.skipped += stale;
    }

    fn release_link(&mut self, taker: ConnId, number: u64) {
        let Some(old) = self.link.take() else { return };
        match old.mode {
            Mode::Waiting { .. } => {
                let superseded = LinkDown::Superseded { link: number }.encode();
                self.emit(Output::Answer { conn: old.conn, frames: vec![superseded] });
            }
            Mode::Push { .. } if old.conn != taker => {
                self.control(old.conn, LinkDown::Superseded { link: number }.encode());
                self.close(old.conn, Some(ErrorCode::Superseded.into()));
            }
            Mode::Push { .. } | Mode::Gone | Mode::Answered { .. } | Mode::Due { .. } => {}
        }
    }

    fn begin_mode(&self, kind: ConnKind, wait: Millis, now: Millis) -> Mode {
        match kind {
            ConnKind::Push => {
                let next_ping = now + self.settings.heartbeat(self.visible).ping;
                Mode::Push { writable: true, next_ping, life: now }
            }
            ConnKind::Poll => {
                let until = now + wait.min(self.settings.hold_max);
                Mode::Waiting { until, opening: false }
            }
        }
    }

    fn supersede(&mut self, conn: ConnId, now: Millis) {
        let number = self.link_number;
        self.candidates.retain(|candidate| candidate.conn != conn);
        self.control(conn, LinkDown::Superseded { link: number }.encode());
        if self.link.as_ref().is_some_and(|link| link.conn == conn) {
            self.drop_link(Some(ErrorCode::Superseded), now);
        } else {
            self.close(conn, Some(ErrorCode::Superseded.into()));
        }
    }

    fn refuses_expired(&mut self, conn: ConnId, now: Millis) -> bool {
        let expired = self.expires_at.is_some_and(|at| at <= now);
        if expired {
            self.close(conn, Some(ErrorCode::TokenExpired.into()));
        }
        expired
    }

    /// Takes a count. Returns whether it could be; if not the session has ended.
    pub(super) fn take_count(&mut self, conn: ConnId, count: u64, now: Millis) -> bool {
        let fits = !self.acks || self.outbox.acknowledge(count).is_ok();
        if !fits {
            self.end_for(Some(conn), Some(ErrorCode::BadCount.into()), now);
        }
        fits
    }

    pub(super) fn attached(&self, from: u64) -> Frame {
        let (link, up) = (self.link_number, self.uplink.applied());
        LinkDown::Attached { link, from, up, ticket: &self.ticket }.encode()
    }

    /// Whether requests carry the way down, one after the other.
    pub(super) fn is_polled(&self) -> bool {
        let polls = |link: &Link| {
            matches!(link.mode, Mode::Waiting { .. } | Mode::Answered { .. } | Mode::Due { .. })
        };
        self.is_attached() && self.link.as_ref().is_some_and(polls)
    }

    /// The request that waits, with an answer that holds nothing: what is due goes on elsewhere.
    pub fn empty_answer(&self) -> Option<(ConnId, Frame)> {
        let waits = |link: &&Link| matches!(link.mode, Mode::Waiting { .. });
        let link = self.link.as_ref().filter(waits)?;
        Some((link.conn, self.attached(self.outbox.handed_total())))
    }

    fn answer_attached_alone(&mut self, conn: ConnId) {
        let frames = vec![self.attached(self.outbox.handed_total())];
        self.emit(Output::Answer { conn, frames });
    }

    pub(super) fn close(&mut self, conn: ConnId, code: Option<Refusal>) {
        self.emit(Output::Close { conn, code, ended: false });
    }

    /// Answers the request that waits, if there is something or its time is over.
    pub(super) fn answer_poll(&mut self, now: Millis) {
        let Some(Link { conn, mode: Mode::Waiting { until, opening } }) = &self.link else {
            return;
        };
        let (conn, until, opening) = (*conn, *until, *opening);
        let is_due = if opening { !self.is_beginning() } else { self.outbox.waiting() > 0 };
        if !is_due && now < until {
            return;
        }
        let mut frames = vec![self.attached(self.outbox.handed_total())];
        let mut bytes = 0;
        while frames.len() <= self.settings.answer_frames && bytes < self.settings.answer_bytes {
            let Some(frame) = self.outbox.hand_one(!self.acks) else { break };
            bytes += frame.len();
            frames.push(frame);
        }
        self.emit(Output::Answer { conn, frames });
        if let Some(link) = &mut self.link {
            link.mode = Mode::Answered { at: now };
        }
    }

    pub(super) fn on_writable(&mut self, conn: ConnId) {
        self.set_writable(conn, true);
    }

    pub(super) fn on_blocked(&mut self, conn: ConnId) {
        self.set_writable(conn, false);
    }

    /// Whether a subscription has yet to begin.
    pub(super) fn is_beginning(&self) -> bool {
        self.subs.owes_answers() || self.subs.iter().any(Sub::is_pending)
    }

    fn is_writable(&self, conn: ConnId) -> bool {
        let candidate = self.candidates.iter().find(|candidate| candidate.conn == conn);
        let link = self.link.as_ref().filter(|link| link.conn == conn);
        match (candidate, link.map(|link| &link.mode)) {
            (Some(candidate), _) => candidate.writable,
            (None, Some(Mode::Push { writable, .. })) => *writable,
            (None, _) => true,
        }
    }

    fn set_writable(&mut self, conn: ConnId, to: bool) {
        if let Some(candidate) = self.candidates.iter_mut().find(|c| c.conn == conn) {
            candidate.writable = to;
        }
        if let Some(Link { conn: own, mode: Mode::Push { writable, .. } }) = &mut self.link
            && *own == conn
        {
            *writable = to;
        }
    }

    pub(super) fn on_lost(&mut self, conn: ConnId, now: Millis) {
        self.candidates.retain(|candidate| candidate.conn != conn);
        let Some(link) = self.link.as_mut().filter(|link| link.conn == conn) else { return };
        match link.mode {
            Mode::Push { .. } => {
                link.mode = Mode::Gone;
                if matches!(self.phase, Phase::Provisional { .. }) {
                    self.end(None, now);
                } else {
                    self.detach(now);
                }
            }
            Mode::Waiting { .. } => link.mode = Mode::Answered { at: now },
            Mode::Gone | Mode::Answered { .. } | Mode::Due { .. } => {}
        }
    }
}
