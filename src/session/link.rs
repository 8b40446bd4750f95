//! Links: candidates, which connection carries the way down, and what happens to the others
//! (PROTOCOL.md section 6, contract S1, S2, S4).

use crate::protocol::down::LinkDown;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::up::Numbered;

use super::input::{AttachInput, ConnId, ConnKind, Output, Target};
use super::life::Phase;
use super::outbox::Body;
use super::{Millis, Session};

/// A connection that proves itself.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) conn: ConnId,
    pub(super) kind: ConnKind,
    pub(super) since: Millis,
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
    /// A request waits for frames.
    Waiting { until: Millis, opening: bool },
    /// A request was answered; the next one is due.
    Answered { at: Millis },
}

impl Link {
    pub(super) fn takes_frames(&self) -> bool {
        matches!(self.mode, Mode::Push { writable: true, .. })
    }
}

impl Session {
    pub(super) fn on_opened(
        &mut self,
        conn: ConnId,
        kind: ConnKind,
        link: u64,
        wait: Millis,
        now: Millis,
    ) {
        self.link_number = link;
        self.link = Some(Link { conn, mode: self.begin_mode(kind, wait, true, now) });
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
        self.candidates.push(Candidate { conn, kind, since: now });
    }

    pub(super) fn on_attach(&mut self, conn: ConnId, attach: AttachInput, now: Millis) {
        if self.refuses_expired(conn, now) {
            return;
        }
        self.commit();
        self.on_visible(attach.visible, now);
        let own = self.link.as_ref().is_some_and(|link| link.conn == conn);
        if attach.link > self.link_number {
            self.take_link(conn, ConnKind::Push, attach, now);
        } else if attach.link == self.link_number && own {
            if self.acknowledge(conn, attach.count, now) {
                let attached = self.attached(self.outbox.handed_total());
                self.control(conn, attached);
            }
        } else {
            self.supersede(conn);
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
        self.commit();
        if attach.link < self.link_number {
            let superseded = LinkDown::Superseded { link: self.link_number }.encode();
            self.emit(Output::Answer { conn, frames: vec![superseded] });
            return;
        }
        self.on_visible(attach.visible, now);
        let done = if attach.link > self.link_number {
            self.exchange_takes(conn, attach, now)
        } else {
            self.exchange_repeats(conn, attach, now)
        };
        if done {
            self.leaving_at = None;
            for frame in frames {
                self.uplink.take(frame);
            }
        }
    }

    /// An exchange at a higher link: a poll, or the promotion of a candidate.
    fn exchange_takes(&mut self, conn: ConnId, attach: AttachInput, now: Millis) -> bool {
        let via = match attach.target {
            Target::Own => return self.take_link(conn, ConnKind::Poll, attach, now),
            Target::Via(via) => via,
        };
        let candidate = self.candidates.iter().find(|candidate| Some(candidate.conn) == via);
        let Some((via, kind)) = candidate.map(|candidate| (candidate.conn, candidate.kind)) else {
            let refusal = Refusal::new(ErrorCode::BadRequest).because("via is not here");
            self.close(conn, Some(refusal));
            return false;
        };
        let taken = self.take_link(via, kind, attach, now);
        if taken {
            self.answer_attached_alone(conn);
        }
        taken
    }

    /// An exchange at the link there is: a poll repeated, or what goes up beside a stream.
    fn exchange_repeats(&mut self, conn: ConnId, attach: AttachInput, now: Millis) -> bool {
        if !self.acknowledge(conn, attach.count, now) {
            return false;
        }
        let Some(link) = &mut self.link else { return false };
        match &mut link.mode {
            Mode::Push { life, .. } => {
                *life = now;
                self.answer_attached_alone(conn);
            }
            Mode::Gone => self.answer_attached_alone(conn),
            Mode::Waiting { .. } | Mode::Answered { .. } => {
                let older = std::mem::replace(&mut link.conn, conn);
                let until = now + attach.wait.min(self.settings.hold_max);
                let mode = Mode::Waiting { until, opening: false };
                if matches!(std::mem::replace(&mut link.mode, mode), Mode::Waiting { .. }) {
                    self.answer_attached_alone(older);
                }
                self.reattached(now);
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

    /// A higher link takes the session. Returns whether its count could be.
    fn take_link(
        &mut self,
        conn: ConnId,
        kind: ConnKind,
        attach: AttachInput,
        now: Millis,
    ) -> bool {
        if !self.acknowledge(conn, attach.count, now) {
            return false;
        }
        self.release_link(conn, attach.link);
        self.candidates.retain(|candidate| candidate.conn != conn);
        self.link_number = attach.link;
        self.link = Some(Link { conn, mode: self.begin_mode(kind, attach.wait, false, now) });
        let replays = self.requeue(now);
        self.owes_caught_up |= replays;
        self.reattached(now);
        if kind == ConnKind::Push {
            let attached = self.attached(self.outbox.acked());
            self.control(conn, attached);
        }
        self.tell_skipped();
        true
    }

    /// Everything beyond the client's count goes back to the queue, less what is out of date.
    fn requeue(&mut self, now: Millis) -> bool {
        let replays = self.outbox.requeue();
        self.rewind_unread();
        let (subs, age) = (&self.subs, self.settings.ephemeral_age);
        let mut stale = 0;
        self.outbox.retain_waiting(|body| {
            let gone = body.sub().is_some_and(|sub| subs.get(sub).is_none());
            let old = matches!(body, Body::Ephemeral { at, .. } if now.saturating_sub(*at) > age);
            stale += u64::from(old && !gone);
            !gone && !old
        });
        self.skipped += stale;
        replays
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
            Mode::Push { .. } | Mode::Gone | Mode::Answered { .. } => {}
        }
    }

    fn begin_mode(&self, kind: ConnKind, wait: Millis, opening: bool, now: Millis) -> Mode {
        match kind {
            ConnKind::Push => {
                let next_ping = now + self.settings.heartbeat(self.visible).ping;
                Mode::Push { writable: true, next_ping, life: now }
            }
            ConnKind::Poll => {
                Mode::Waiting { until: now + wait.min(self.settings.hold_max), opening }
            }
        }
    }

    fn supersede(&mut self, conn: ConnId) {
        let number = self.link_number;
        self.candidates.retain(|candidate| candidate.conn != conn);
        self.control(conn, LinkDown::Superseded { link: number }.encode());
        self.close(conn, Some(ErrorCode::Superseded.into()));
    }

    fn refuses_expired(&mut self, conn: ConnId, now: Millis) -> bool {
        let expired = self.expires_at.is_some_and(|at| at <= now);
        if expired {
            self.close(conn, Some(ErrorCode::TokenExpired.into()));
        }
        expired
    }

    /// Takes a count that `conn` brought. Returns whether it could be; if not the session has ended.
    pub(super) fn acknowledge(&mut self, conn: ConnId, count: u64, now: Millis) -> bool {
        let fits = !self.acks || self.outbox.acknowledge(count).is_ok();
        if !fits {
            // First, so that the connection learns why: the end of the session takes it away.
            let code = Some(ErrorCode::BadCount.into());
            self.emit(Output::Close { conn, code, ended: true });
            self.end(Some(ErrorCode::BadCount), now);
        }
        fits
    }

    pub(super) fn attached(&self, from: u64) -> Frame {
        let (link, up) = (self.link_number, self.uplink.applied());
        LinkDown::Attached { link, from, up, ticket: &self.ticket }.encode()
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
        let begins = opening && self.subs.iter().any(super::subs::Sub::is_pending);
        if begins || (self.outbox.waiting() == 0 && now < until) {
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

    fn set_writable(&mut self, conn: ConnId, to: bool) {
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
            Mode::Gone | Mode::Answered { .. } => {}
        }
    }
}
