//! The life of a session: provisional, live, detached, ended; heartbeats and every timer.

use crate::protocol::down::LinkDown;
use crate::protocol::error::{ErrorCode, Refusal};

use super::input::{ConnId, Effect, Output};
use super::link::{Link, Mode};
use super::{Millis, Session};

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its hello has not been answered.
    Provisional { until: Millis },
    /// It has a link.
    Live,
    /// It has none; presence lists it until the end of grace.
    Detached { since: Millis, grace_until: Millis },
    /// It is over.
    Ended,
}

impl Session {
    /// The next time at which [`super::input::Input::Tick`] is due.
    pub fn wake_at(&self) -> Option<Millis> {
        if self.is_ended() {
            return None;
        }
        let candidates = self.candidates.first().map(|c| c.since + self.settings.candidate_age);
        // Handing frames out makes room without an input.
        let commands = self.may_run().then_some(0);
        [self.phase_wakes_at(), self.link_wakes_at(), self.leaving_at, candidates]
            .into_iter()
            .chain([self.live_expiry(), self.reads_at(), commands])
            .flatten()
            .min()
    }

    fn phase_wakes_at(&self) -> Option<Millis> {
        match self.phase {
            Phase::Provisional { until } => Some(until),
            Phase::Detached { since, grace_until } => {
                let window = since + self.window();
                Some(if self.present { grace_until.min(window) } else { window })
            }
            Phase::Live | Phase::Ended => None,
        }
    }

    /// How long the session is kept without a link. One that does not acknowledge cannot be
    /// resumed: it is over when presence forgets it.
    fn window(&self) -> Millis {
        if self.acks { self.settings.window } else { self.settings.grace }
    }

    fn link_wakes_at(&self) -> Option<Millis> {
        match self.link.as_ref()?.mode {
            Mode::Push { next_ping, life, .. } => Some(next_ping.min(life + self.dead_after())),
            Mode::Waiting { until, .. } => Some(until),
            Mode::Answered { at } | Mode::Due { at } if matches!(self.phase, Phase::Live) => {
                Some(at + self.settings.poll_detach)
            }
            Mode::Answered { .. } | Mode::Due { .. } | Mode::Gone => None,
        }
    }

    /// The token's end matters while something can be delivered.
    fn live_expiry(&self) -> Option<Millis> {
        self.expires_at.filter(|_| self.is_attached())
    }

    fn dead_after(&self) -> Millis {
        self.settings.heartbeat(self.visible).dead
    }

    /// Whether a link carries the way down.
    pub fn is_attached(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Provisional { .. })
    }

    pub(super) fn on_tick(&mut self, now: Millis) {
        if matches!(self.phase, Phase::Provisional { until } if until <= now) {
            return self.end(Some(ErrorCode::SessionGone), now);
        }
        self.drop_old_candidates(now);
        if self.live_expiry().is_some_and(|at| at <= now) {
            self.on_expired(now);
        }
        if self.leaving_at.is_some_and(|at| at <= now) {
            self.leaving_at = None;
            self.drop_link(None, now);
            self.leave_presence();
        }
        self.tick_link(now);
        if let Phase::Detached { since, grace_until } = self.phase {
            if grace_until <= now {
                self.leave_presence();
            }
            if since + self.window() <= now {
                self.end(None, now);
            }
        }
    }

    fn tick_link(&mut self, now: Millis) {
        let dead_after = self.dead_after();
        let interval = self.settings.heartbeat(self.visible).ping;
        let (handed, up) = (self.outbox.handed_total(), self.uplink.applied());
        let Some(link) = &mut self.link else { return };
        let conn = link.conn;
        match &mut link.mode {
            Mode::Push { life, .. } if *life + dead_after <= now => {
                self.drop_link(Some(ErrorCode::Dead), now);
            }
            Mode::Push { next_ping, .. } if *next_ping <= now => {
                *next_ping = now + interval;
                let ping = LinkDown::Ping { n: handed, up, next: interval };
                self.control(conn, ping.encode());
            }
            Mode::Answered { at } | Mode::Due { at } if *at + self.settings.poll_detach <= now => {
                if matches!(self.phase, Phase::Live) {
                    self.detach(now);
                }
            }
            Mode::Push { .. }
            | Mode::Answered { .. }
            | Mode::Due { .. }
            | Mode::Waiting { .. }
            | Mode::Gone => {}
        }
    }

    fn drop_old_candidates(&mut self, now: Millis) {
        while self.candidates.first().is_some_and(|c| c.since + self.settings.candidate_age <= now)
        {
            let old = self.candidates.remove(0);
            self.close(old.conn, Some(ErrorCode::OpenTimeout.into()));
        }
    }

    fn on_expired(&mut self, now: Millis) {
        self.drop_link(Some(ErrorCode::TokenExpired), now);
    }

    /// Closes the link there is and detaches; a provisional session ends.
    pub(super) fn drop_link(&mut self, code: Option<ErrorCode>, now: Millis) {
        if let Phase::Provisional { .. } = self.phase {
            return self.end(code, now);
        }
        if let Some(link) = &mut self.link {
            let conn = link.conn;
            match std::mem::replace(&mut link.mode, Mode::Gone) {
                Mode::Push { .. } | Mode::Waiting { .. } => {
                    self.emit(Output::Close { conn, code: code.map(Into::into), ended: false });
                }
                mode @ (Mode::Answered { .. } | Mode::Due { .. }) => link.mode = mode,
                Mode::Gone => {}
            }
        }
        if self.is_attached() {
            self.detach(now);
        }
    }

    pub(super) fn detach(&mut self, now: Millis) {
        self.phase = Phase::Detached { since: now, grace_until: now + self.settings.grace };
    }

    /// A link carries the way down again.
    pub(super) fn reattached(&mut self) {
        self.leaving_at = None;
        if let Phase::Detached { .. } = self.phase {
            self.phase = Phase::Live;
            self.owe_caught_up();
        }
        if !self.present && matches!(self.phase, Phase::Live) {
            self.join_presence();
        }
    }

    /// The client answered the hello.
    pub(super) fn commit(&mut self) {
        if let Phase::Provisional { .. } = self.phase {
            self.phase = Phase::Live;
            self.join_presence();
        }
    }

    fn join_presence(&mut self) {
        (self.present, self.listed) = (true, false);
        let away = self.away;
        let joins = self.subs.iter().filter(|sub| sub.member && !sub.is_pending());
        let joins: Vec<_> =
            joins.map(|sub| Effect::Join { channel: sub.channel.clone(), away }).collect();
        self.effects(joins);
    }

    /// It comes in the place of a session whose member presence lists.
    pub fn inherits_presence(&mut self) {
        self.listed = true;
    }

    /// Whether it did, and its client has not answered: nothing of it will say that the member leaves.
    pub fn leaves_unsaid(&self) -> bool {
        self.listed
    }

    pub(super) fn leave_presence(&mut self) {
        if !std::mem::take(&mut self.present) {
            return;
        }
        let (subs, seen) = (self.subs.iter(), self.seen);
        let leaves = subs.filter(|sub| sub.member && !sub.is_pending());
        let mut leaves: Vec<_> = leaves.map(|sub| sub.channel.clone()).collect();
        // Who sees the member leave a channel finds its user offline.
        leaves.sort_by_key(|channel| !channel.is_users());
        self.effects(leaves.into_iter().map(|channel| Effect::Leave { channel, seen }).collect());
    }

    pub(super) fn on_leaving(&mut self, now: Millis) {
        self.leaving_at = Some(now + self.settings.leaving_grace);
    }

    /// The page asks for something: it has not gone away, or is back.
    pub fn stays(&mut self) {
        self.leaving_at = None;
    }

    /// Its client asks for it at another node, which has to wait until it has settled.
    pub fn came(&mut self, now: Millis) {
        self.stays();
        self.seen = now;
        if let Phase::Detached { grace_until, .. } = &mut self.phase {
            *grace_until = now + self.settings.grace;
        }
    }

    pub(super) fn on_life(&mut self, conn: ConnId, now: Millis) {
        if let Some(Link { conn: own, mode: Mode::Push { life, .. } }) = &mut self.link
            && *own == conn
        {
            *life = now;
            self.seen = now;
            self.commit();
        }
    }

    pub(super) fn on_pong(
        &mut self,
        conn: ConnId,
        count: Option<u64>,
        visible: Option<bool>,
        now: Millis,
    ) {
        if self.link.as_ref().is_none_or(|link| link.conn != conn) {
            return;
        }
        self.commit();
        self.leaving_at = None;
        self.on_life(conn, now);
        self.on_visible(visible, now);
        if let Some(count) = count {
            self.take_count(conn, count, now);
        }
    }

    pub(super) fn on_visible(&mut self, visible: Option<bool>, now: Millis) {
        let Some(visible) = visible.filter(|visible| *visible != self.visible) else { return };
        self.visible = visible;
        let due = now + self.settings.heartbeat(visible).ping;
        if let Some(Link { mode: Mode::Push { next_ping, .. }, .. }) = &mut self.link {
            *next_ping = (*next_ping).min(due);
        }
    }

    pub(super) fn on_renewed(&mut self, ticket: std::sync::Arc<str>, expires_at: Option<Millis>) {
        self.ticket = ticket;
        self.expires_at = expires_at;
    }

    /// Ends the session; the code is told to its connections.
    pub(super) fn end(&mut self, code: Option<ErrorCode>, now: Millis) {
        self.end_for(None, code.map(Into::into), now);
    }

    /// The same, told to the request that was the reason too.
    pub(super) fn end_for(&mut self, by: Option<ConnId>, why: Option<Refusal>, now: Millis) {
        if why.as_ref().is_some_and(|why| why.code == ErrorCode::Closed) {
            self.seen = now;
        }
        let candidates = std::mem::take(&mut self.candidates).into_iter().map(|c| c.conn);
        let link =
            self.link.take().filter(|l| !matches!(l.mode, Mode::Gone | Mode::Answered { .. }));
        let mut conns: Vec<_> = link.map(|link| link.conn).into_iter().chain(candidates).collect();
        conns.extend(by.filter(|by| !conns.contains(by)));
        for conn in conns {
            self.emit(Output::Close { conn, code: why.clone(), ended: true });
        }
        self.leave_presence();
        let subs: Vec<_> = self.subs.iter().map(|sub| (sub.id, sub.channel.clone())).collect();
        for (sub, channel) in subs {
            self.effect(Effect::Unsubscribe { sub, channel });
        }
        self.phase = Phase::Ended;
        self.ended_with = why;
        self.emit(Output::Ended);
    }
}
