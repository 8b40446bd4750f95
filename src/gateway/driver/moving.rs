//! A session that leaves this node, or comes to it.
//!
//! While it leaves it takes nothing new from its client; what is in flight settles. Then it is
//! frozen: its value is written, and nothing changes it. Then it is gone from here, or stays.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::gateway::effects;
use crate::gateway::leftover::Left;
use crate::gateway::record::Whole;
use crate::gateway::unsettled::Unsettled;
use crate::protocol::down::LinkDown;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::position::Position;
use crate::session::input::Input;
use crate::telemetry::clock::{now_ms, wall_ms};

use super::Driver;
use super::drain::State;

/// When a client tries again whose session is just moving, in milliseconds.
const MOVED_RETRY_MS: u32 = 100;

/// Where a session is on its way to another node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Here.
    #[default]
    Here,
    /// It takes nothing new, and settles.
    Leaving,
    /// Its value is being written.
    Frozen,
    /// It is not here any more.
    Gone,
}

/// For whom a session leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::gateway) enum Taker {
    /// Its client, which attaches this link at another node.
    Link(u64),
    /// Its client, which asks another node for something.
    Request,
    /// Nobody yet: its node goes away.
    #[default]
    Nobody,
}

impl Taker {
    fn link(self) -> Option<u64> {
        if let Self::Link(link) = self { Some(link) } else { None }
    }
}

/// What closes the connections of a session that moves.
pub(super) fn moved() -> Refusal {
    Refusal::new(ErrorCode::Moved).retry_in(MOVED_RETRY_MS)
}

impl State {
    /// Whether what the client says counts.
    pub(super) fn takes_client(&self) -> bool {
        self.stage == Stage::Here
    }

    /// Whether anything but the end of a connection counts.
    pub(super) fn is_still(&self) -> bool {
        matches!(self.stage, Stage::Frozen | Stage::Gone)
    }

    /// Whether an input counts. An end that comes too late counts if the session stays.
    pub(super) fn admits(&mut self, input: &Input) -> bool {
        let of_client = matches!(
            input,
            Input::Candidate { .. }
                | Input::Attach { .. }
                | Input::Exchange { .. }
                | Input::Up { .. }
                | Input::Leaving
        );
        if let (Stage::Frozen, Input::End { why }) = (self.stage, input) {
            self.ends_with = Some(why.clone());
        }
        let refused = of_client && !self.takes_client();
        self.refused |= refused;
        !self.is_still() && !refused
    }

    /// Tells who waits for it that the session is settled.
    pub(super) fn tell_settled(&mut self) {
        let ended = self.session.is_ended();
        let settled = self.session.is_settled() && self.effects.is_empty() && !self.performing;
        if self.stage == Stage::Leaving
            && (ended || settled)
            && let Some(to) = self.settled.take()
        {
            let _ = to.send(());
        }
    }

    /// The connections are told to come back elsewhere, and what carries the session that another
    /// link has taken it. A poll is otherwise answered with nothing: the next one finds the session
    /// where it is then.
    fn close_all(&mut self) {
        let empty = self.session.empty_answer();
        let link = self.session.link_conn();
        let superseded = self.taker.link().map(|link| LinkDown::Superseded { link }.encode());
        for conn in std::mem::take(&mut self.conns) {
            match (&empty, &superseded) {
                (Some((polls, empty)), _) if *polls == conn.id => {
                    conn.port.answer(vec![superseded.as_ref().unwrap_or(empty).clone()]);
                }
                (_, Some(superseded)) if link == Some(conn.id) => {
                    let _ = conn.port.write(std::slice::from_ref(superseded));
                    conn.port.close(Some(&ErrorCode::Superseded.into()), false);
                }
                _ => conn.port.close(Some(&moved()), false),
            }
        }
    }
}

/// Whether a session begins to leave.
pub(in crate::gateway) enum Begins {
    /// Now; it completes when all that is in flight is settled.
    Now(oneshot::Receiver<()>),
    /// It leaves already, or never does.
    Not,
    /// It does not: it has this link, as high as the one that would take it.
    Superseded(u64),
}

impl Driver {
    /// The version of its record in the engine.
    pub(in crate::gateway) fn version(&self) -> u64 {
        self.state.lock().version
    }

    /// The version with which its client began to count: what shows a lower one is of the session in
    /// whose place this one came.
    pub(in crate::gateway) fn born(&self) -> u64 {
        self.state.lock().born
    }

    /// Its publishes of which the outcome is not known.
    pub(in crate::gateway) fn unsettled<T>(&self, f: impl FnOnce(&mut Unsettled) -> T) -> T {
        f(&mut self.state.lock().unsettled)
    }

    /// Whether it is about to be gone from here.
    pub(in crate::gateway) fn is_leaving(&self) -> bool {
        matches!(self.state.lock().stage, Stage::Leaving | Stage::Frozen)
    }

    /// Whether the session can go on at another node: its client comes back by its ticket.
    pub(in crate::gateway) fn moves(&self) -> bool {
        !self.feed && self.state.lock().session.acknowledges()
    }

    /// Whether the session is over.
    pub fn is_over(&self) -> bool {
        self.state.lock().session.is_ended()
    }

    /// Whether it is over because its user has too many: nothing of it is performed.
    pub(in crate::gateway) fn was_refused(&self) -> bool {
        let state = self.state.lock();
        state.session.ended_with().is_some_and(|why| why.code == ErrorCode::TooManySessions)
    }

    /// What presence may still list of it once it is gone from here, or over.
    pub(in crate::gateway) fn leftover(&self) -> Left {
        self.left(&self.state.lock())
    }

    pub(super) fn left(&self, state: &State) -> Left {
        let channels = state.held.iter().map(|(_, channel)| channel.clone()).collect();
        Left::new(self, state.version, channels, state.fence)
    }

    /// Whether it is gone from this node.
    pub(in crate::gateway) fn is_gone(&self) -> bool {
        self.state.lock().stage == Stage::Gone
    }

    /// Takes nothing new from here on.
    pub(in crate::gateway) fn begin_leaving(&self, taker: Taker) -> Begins {
        let mut state = self.state.lock();
        if state.stage != Stage::Here || self.feed {
            return Begins::Not;
        }
        let has = state.session.link_number();
        if taker.link().is_some_and(|link| link <= has) {
            return Begins::Superseded(has);
        }
        if taker != Taker::Nobody {
            state.session.came(now_ms());
        }
        let (to, settled) = oneshot::channel();
        (state.stage, state.taker, state.refused) = (Stage::Leaving, taker, false);
        state.settled = Some(to);
        state.tell_settled();
        Begins::Now(settled)
    }

    /// The settled session as a value, with the version of its record. Nothing changes it from here
    /// on. Nothing where it is over, or not settled any more.
    pub(in crate::gateway) fn freeze(&self, control: Option<Position>) -> Option<(Whole, u64)> {
        let mut state = self.state.lock();
        let in_flight = !state.effects.is_empty() || state.performing;
        let session = state.session.park(now_ms()).filter(|_| !in_flight)?;
        // The link that takes it comes at once.
        let goes_on = state.taker.link().is_some() && state.session.is_attached();
        let session = if goes_on { session.goes_on() } else { session };
        state.stage = Stage::Frozen;
        let identity = (&*state.identity).into();
        let State { fence, version, has_seat, born, .. } = *state;
        let at = wall_ms();
        Some((Whole { session, at, fence, has_seat, born, control, identity }, version))
    }

    /// It stays. What did not come meanwhile is read again; where something of the client's did not
    /// count, its connections end, so that it comes back and sends that again.
    pub(in crate::gateway) fn stay(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Gone {
            return;
        }
        let was_frozen = state.stage == Stage::Frozen;
        (state.stage, state.taker, state.settled) = (Stage::Here, Taker::Nobody, None);
        if was_frozen || state.refused {
            let lost: Vec<_> = state.conns.iter().map(|conn| conn.id).collect();
            state.close_all();
            for conn in lost {
                state.session.handle(Input::Lost { conn }, now_ms());
            }
        }
        if was_frozen {
            for (sub, _) in state.session.subscriptions() {
                let missed = Input::Missed { sub, events: true, members: true };
                state.session.handle(missed, now_ms());
            }
        }
        if let Some(why) = state.ends_with.take() {
            state.session.handle(Input::End { why }, now_ms());
        }
        self.drain(&mut state, true);
    }

    /// It is gone from this node, without a leave; its places here are given back.
    pub(in crate::gateway) fn depart(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Gone || state.session.is_ended() {
            return;
        }
        state.stage = Stage::Gone;
        state.settled = None;
        state.effects.clear();
        state.close_all();
        self.gateway.metrics.carried(state.carrier.take(), None);
        self.gateway.forget(self);
        self.perform_effects(&mut state);
    }

    /// It has come to this node: presence lists it here from now on.
    pub(in crate::gateway) fn arrive(&self) {
        let mut state = self.state.lock();
        let joins = state.session.reassert();
        state.effects.extend(joins);
        self.drain(&mut state, true);
    }

    /// Has a task perform the effects, if none does. One that is gone gives its places back after
    /// the last.
    pub(super) fn perform_effects(&self, state: &mut State) {
        let wanted = !state.effects.is_empty() || state.stage == Stage::Gone;
        if state.performing || !wanted {
            return;
        }
        state.performing = true;
        if let Some(me) = self.me.upgrade() {
            self.gateway.tasks.spawn(effects::run(Arc::clone(&me)));
        }
    }
}
