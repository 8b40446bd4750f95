//! What follows from an input: frames to write, answers, effects, times to wake, and the metrics.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::auth::Identity;
use crate::gateway::endings::must_know;
use crate::gateway::link::{Flow, LinkPort};
use crate::gateway::rate::Meter;
use crate::gateway::unsettled::Unsettled;
use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::session::input::{ConnId, Effect, Input, Output, SubId};
use crate::session::{Millis, Session, Tally};
use crate::telemetry::clock::now_ms;
use crate::telemetry::labels::Carrier;

use super::Driver;
use super::gathered::Gathered;
use super::moving::{Stage, Taker};
use super::places::Waiting;

/// Frames that are written at once at most.
const BATCH_FRAMES: usize = 64;

pub(super) struct State {
    pub(super) session: Session,
    pub(super) conns: Vec<Conn>,
    pub(super) identity: Arc<Identity>,
    pub(super) effects: VecDeque<Effect>,
    /// Whether a task performs the effects.
    pub(super) performing: bool,
    /// When the wheel wakes this session next; 0 where it does not.
    pub(super) wakes_at: Millis,
    /// Rises with each assertion of presence.
    pub(super) fence: u64,
    /// Where it is still to be listed in presence.
    pub(super) waiting: Waiting,
    /// What the metrics count it under.
    pub(super) carrier: Option<Carrier>,
    /// How fast frames come up.
    pub(super) pace: Meter,
    /// Subscriptions that hold a place in the fan-out and an interest in their channel.
    pub(super) held: Vec<(SubId, Channel)>,
    /// The version of its record in the engine.
    pub(super) version: u64,
    /// Whether it counts among its user's sessions.
    pub(super) has_seat: bool,
    /// The version with which its client began to count.
    pub(super) born: u64,
    pub(super) stage: Stage,
    /// Who waits for it to be settled.
    pub(super) settled: Option<oneshot::Sender<()>>,
    /// Its publishes of which the outcome is not known.
    pub(super) unsettled: Unsettled,
    /// For whom it leaves.
    pub(super) taker: Taker,
    /// Whether something that its client said did not count while it was leaving.
    pub(super) refused: bool,
    /// What ends it if it stays after all.
    pub(super) ends_with: Option<Refusal>,
}

/// A connection or request that belongs to the session now.
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) nonce: Box<str>,
    pub(super) port: Arc<dyn LinkPort>,
}

impl Driver {
    /// Performs what the session asks for. `schedules`: the time to wake may have changed.
    pub(super) fn drain(&self, state: &mut State, schedules: bool) {
        if state.is_still() {
            return;
        }
        let mut batch = Batch::default();
        loop {
            while let Some(output) = state.session.poll() {
                self.perform(state, &mut batch, output);
            }
            if !batch.flush(state) {
                break;
            }
        }
        if schedules {
            self.schedule(state);
            self.count(state);
        }
        self.perform_effects(state);
        state.tell_settled();
    }

    fn perform(&self, state: &mut State, batch: &mut Batch, output: Output) {
        match output {
            Output::Send { conn, frame } | Output::Control { conn, frame } => {
                batch.add(state, conn, frame);
            }
            Output::Answer { conn, frames } => {
                if let Some(port) = state.take_conn(conn) {
                    port.answer(frames);
                }
            }
            Output::Close { conn, code, ended } => {
                batch.flush(state);
                if let Some(port) = state.take_conn(conn) {
                    port.close(code.as_ref(), ended);
                }
            }
            Output::Effect(effect) => state.effects.push_back(effect),
            Output::Ended => self.ended(state),
        }
    }

    fn ended(&self, state: &mut State) {
        let over = state.over();
        for conn in std::mem::take(&mut state.conns) {
            conn.port.close(Some(&over), true);
        }
        if state.session.leaves_unsaid() {
            // Nobody may go on with it.
            self.left(state).watch(&self.gateway);
        }
        let why = state.session.ended_with();
        if let Some(why) = why.filter(|_| !self.feed) {
            // Before it is gone: who does not find it asks why.
            let now = now_ms();
            let until = now + self.gateway.settings.window;
            self.gateway.endings.remember(self.id, why, now, until);
        }
        if self.gateway.forget(self) {
            let code = why.map_or(ErrorCode::SessionGone, |why| why.code);
            self.gateway.metrics.closed(code);
        }
    }

    fn schedule(&self, state: &mut State) {
        // 0 stands for no time at all.
        let Some(at) = state.session.wake_at().map(|at| at.max(1)) else { return };
        if state.wakes_at == 0 || at < state.wakes_at {
            state.wakes_at = at;
            self.gateway.wheel.schedule(at, self.me.clone());
        }
    }

    /// Keeps the metrics: sessions by what carries them, and what the session counted.
    pub(super) fn count(&self, state: &mut State) {
        let carrier = match state.session.link_conn() {
            _ if state.session.is_ended() => None,
            None => Some(Carrier::Detached),
            Some(id) => {
                let conn = state.conns.iter().find(|conn| conn.id == id);
                Some(conn.map_or(Carrier::Poll, |conn| conn.port.carrier()))
            }
        };
        let tally = state.session.take_tally();
        if tally != Tally::default() {
            self.gateway.metrics.behind.inc_by(tally.behind);
            self.gateway.metrics.skipped.inc_by(tally.skipped);
        }
        if carrier != state.carrier {
            self.gateway.metrics.carried(state.carrier, carrier);
            if let Some(carrier) = carrier.filter(|carrier| *carrier != Carrier::Detached) {
                self.gateway.metrics.linked(carrier);
            }
            state.carrier = carrier;
        }
    }
}

impl State {
    /// What a connection is told that comes as the session ends, or after.
    pub(super) fn over(&self) -> Refusal {
        let why = self.session.ended_with().filter(|why| must_know(why));
        why.cloned().unwrap_or_else(|| ErrorCode::SessionGone.into())
    }

    fn take_conn(&mut self, id: ConnId) -> Option<Arc<dyn LinkPort>> {
        let index = self.conns.iter().position(|conn| conn.id == id)?;
        Some(self.conns.swap_remove(index).port)
    }
}

/// Frames for one connection that are written at once.
#[derive(Default)]
struct Batch {
    conn: Option<ConnId>,
    frames: Gathered,
}

impl Batch {
    fn add(&mut self, state: &mut State, conn: ConnId, frame: Frame) {
        if self.conn != Some(conn) || self.frames.as_slice().len() >= BATCH_FRAMES {
            self.flush(state);
            self.conn = Some(conn);
        }
        self.frames.push(frame);
    }

    /// Writes what was gathered. Returns whether there was anything.
    fn flush(&mut self, state: &mut State) -> bool {
        let Some(id) = self.conn.take() else { return false };
        let frames = std::mem::take(&mut self.frames);
        let flow = match state.conns.iter().find(|conn| conn.id == id) {
            Some(conn) => conn.port.write(frames.as_slice()),
            None => Flow::Blocked,
        };
        if flow == Flow::Blocked {
            state.session.handle(Input::Blocked { conn: id }, now_ms());
        }
        true
    }
}
