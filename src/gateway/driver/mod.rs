//! The shell around a session: a value behind a mutex that whoever has input runs (a link's task,
//! the fan-out, a timer), not a task a session.

mod contain;
mod drain;
mod gathered;
mod moving;
mod places;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::auth::Identity;
use crate::engine::types::MemberId;
use crate::hub::{Mailbox, Post, PostKind};
use crate::protocol::channel::{Channel, USER_CHANNEL_PREFIX};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::up::{Command, Numbered};
use crate::session::Session;
use crate::session::input::{AttachInput, ConnId, Effect, EventInput, Input, SubId, Target};
use crate::telemetry::clock::{now_ms, wall_ms};
use crate::telemetry::labels::Carrier;

use self::drain::{Conn, State};
pub(super) use self::moving::{Begins, Taker};
use self::moving::{Stage, moved};
pub(super) use self::places::Unlisted;
use self::places::Waiting;
use super::Gateway;
use super::link::LinkPort;
use super::rate::Meter;
use super::unsettled::Unsettled;

/// One session of this node.
pub struct Driver {
    /// The session's id: secret, only tickets name it.
    pub(super) id: u128,
    /// The session's public id.
    pub(super) member: MemberId,
    /// What the fan-out knows it by: a session that went and came back is another reader.
    pub(super) reader: u128,
    /// Whether it only reads a feed: no presence, no ticket.
    pub(super) feed: bool,
    /// The user that it is of.
    pub(super) user: Option<Arc<str>>,
    pub(super) gateway: Arc<Gateway>,
    me: Weak<Driver>,
    state: Mutex<State>,
}

/// What a driver begins with.
pub(super) struct Begun {
    pub(super) id: u128,
    pub(super) member: MemberId,
    pub(super) feed: bool,
    pub(super) identity: Arc<Identity>,
    pub(super) session: Session,
    /// The version of its record in the engine; 0 where it has none.
    pub(super) version: u64,
    /// The version with which its client began to count.
    pub(super) born: u64,
    /// The highest fence that another node used for it; 0 where none did.
    pub(super) fence: u64,
    /// Whether it counts among its user's sessions already.
    pub(super) has_seat: bool,
}

impl Begun {
    /// One that no other node had.
    pub(super) fn new(
        (id, member): (u128, MemberId),
        identity: Arc<Identity>,
        session: Session,
    ) -> Self {
        let (feed, has_seat) = (false, false);
        Self { id, member, feed, identity, session, version: 0, born: 0, fence: 0, has_seat }
    }
}

impl Driver {
    pub(super) fn new(gateway: Arc<Gateway>, begun: Begun) -> Arc<Self> {
        let user = begun.identity.user.clone();
        let state = State {
            session: begun.session,
            conns: Vec::new(),
            identity: begun.identity,
            effects: VecDeque::new(),
            performing: false,
            wakes_at: 0,
            fence: begun.fence.max(first_fence()),
            waiting: Waiting::default(),
            version: begun.version,
            born: begun.born,
            has_seat: begun.has_seat,
            stage: Stage::Here,
            settled: None,
            unsettled: Unsettled::default(),
            ends_with: None,
            taker: Taker::Nobody,
            refused: false,
            carrier: None,
            pace: Meter::default(),
            held: Vec::new(),
        };
        Arc::new_cyclic(|me| Self {
            id: begun.id,
            member: begun.member,
            reader: rand::random(),
            feed: begun.feed,
            user,
            gateway,
            me: me.clone(),
            state: Mutex::new(state),
        })
    }

    /// Who the session is.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.state.lock().identity)
    }

    /// What carries the session now, and whether its page is watched.
    pub(super) fn carried(&self) -> (Carrier, bool) {
        let state = self.state.lock();
        (state.carrier.unwrap_or(Carrier::Detached), state.session.is_visible())
    }

    /// Whether the session reads a channel.
    pub fn reads(&self, channel: &Channel) -> bool {
        self.state.lock().session.is_subscribed(channel)
    }

    /// Whether frames up are taken now.
    pub fn takes_up(&self) -> bool {
        self.state.lock().session.takes_up()
    }

    /// Counts frames up. Returns how long to wait before more are taken, 0 within the burst.
    pub fn pace(&self, frames: usize) -> Duration {
        let rate = self.gateway.config.limits.frame_rate;
        let (mut state, now) = (self.state.lock(), now_ms());
        let late = (0..frames).map(|_| state.pace.count(rate, now)).max();
        Duration::from_millis(late.unwrap_or_default())
    }

    /// A new connection or request of this session.
    pub fn connect(&self, id: ConnId, nonce: &str, port: Arc<dyn LinkPort>) {
        let mut state = self.state.lock();
        if state.session.is_ended() {
            // It ended since it was found.
            return port.close(Some(&state.over()), true);
        }
        if !state.takes_client() {
            return port.close(Some(&moved()), false);
        }
        // Mostly there is one.
        state.conns.reserve_exact(1);
        state.conns.push(Conn { id, nonce: nonce.into(), port });
    }

    /// Brings one input.
    pub fn handle(&self, input: Input) {
        self.contained(|state| self.run(state, input));
    }

    fn run(&self, state: &mut State, input: Input) {
        if !state.admits(&input) {
            return;
        }
        state.session.handle(input, now_ms());
        self.drain(state, true);
    }

    /// Brings the first input of a connection right after its hello, which nobody can answer before.
    pub(super) fn greet(&self, conn: ConnId, hello: &Frame, input: Input) {
        self.contained(|state| {
            if let Some(conn) = state.conns.iter().find(|known| known.id == conn) {
                let _ = conn.port.write(std::slice::from_ref(hello));
            }
            self.run(state, input);
        });
    }

    /// An exchange that began with `attach`; `via` is the nonce of a candidate.
    pub fn exchange(
        &self,
        conn: ConnId,
        mut attach: AttachInput,
        via: Option<&str>,
        mut frames: Vec<Numbered>,
    ) {
        for frame in &mut frames {
            self.keep_own(frame);
        }
        self.contained(|state| {
            if let Some(nonce) = via {
                let named = state.conns.iter().find(|conn| &*conn.nonce == nonce);
                attach.target = Target::Via(named.map(|conn| conn.id));
            }
            self.run(state, Input::Exchange { conn, attach, frames });
        });
    }

    /// A session frame on a WebSocket.
    pub fn up(&self, conn: ConnId, mut frame: Numbered) {
        self.keep_own(&mut frame);
        self.handle(Input::Up { conn, frame });
    }

    /// A session stays in its user's own channel: there it is counted and seen.
    fn keep_own(&self, frame: &mut Numbered) {
        if matches!(&frame.command, Ok(Command::Unsubscribe(channel)) if self.is_own(channel)) {
            let why = "a session stays in its user's own channel";
            frame.command = Err(Refusal::new(ErrorCode::NotProvided).because(why));
        }
    }

    /// The connection takes frames again.
    pub fn writable(&self, conn: ConnId) {
        self.handle(Input::Writable { conn });
    }

    /// The connection, or the request, is gone.
    pub fn lost(&self, conn: ConnId) {
        let input = if self.feed {
            // A feed lives as long as its connection.
            Input::End { why: ErrorCode::Closed.into() }
        } else {
            Input::Lost { conn }
        };
        self.contained(|state| {
            state.conns.retain(|known| known.id != conn);
            self.run(state, input);
        });
    }

    /// Writes one link frame: to the connection with that nonce, or to `own`. Returns whether it is
    /// one of the session's.
    pub fn echo(&self, own: Option<ConnId>, via: Option<&str>, frame: &Frame) -> bool {
        let wanted = |conn: &&Conn| match via {
            Some(nonce) => &*conn.nonce == nonce,
            None => Some(conn.id) == own,
        };
        let written = self.contained(|state| {
            let conn = state.conns.iter().find(wanted)?;
            let _ = conn.port.write(std::slice::from_ref(frame));
            Some(())
        });
        written.flatten().is_some()
    }

    /// The last words of a page: they count only on the link there is.
    pub fn last_words(&self, conn: ConnId, input: Input) {
        self.contained(|state| match state.session.link_conn() == Some(conn) {
            true if state.takes_client() => self.run(state, input),
            // Where it stays it is to be said again.
            is_link => state.refused |= is_link,
        });
    }

    /// Ends the session.
    pub fn end(&self, why: impl Into<Refusal>) {
        self.handle(Input::End { why: why.into() });
    }

    /// Whether it counts among its user's sessions.
    pub(super) fn has_seat(&self) -> bool {
        self.state.lock().has_seat
    }

    /// Whether a channel is its user's own.
    pub(super) fn is_own(&self, channel: &Channel) -> bool {
        let name = channel.as_str().strip_prefix(USER_CHANNEL_PREFIX);
        name.is_some() && name == self.user.as_deref()
    }

    /// It counts among its user's sessions from here on.
    pub(super) fn take_seat(&self) {
        self.state.lock().has_seat = true;
    }

    /// A fresh token took effect.
    pub(super) fn renewed(&self, identity: Arc<Identity>, input: Input) {
        self.contained(|state| {
            if !state.is_still() {
                state.identity = identity;
            }
            self.run(state, input);
        });
    }

    /// Runs `f` on the session, then performs what follows; the default where that panics.
    pub(super) fn with<T: Default>(&self, f: impl FnOnce(&mut Session) -> T) -> T {
        let done = self.contained(|state| {
            let result = f(&mut state.session);
            self.drain(state, true);
            result
        });
        done.unwrap_or_default()
    }

    /// A number above every one before.
    pub(super) fn next_fence(&self) -> u64 {
        let mut state = self.state.lock();
        state.fence += 1;
        state.fence
    }

    /// A subscription holds its place in the fan-out.
    pub(super) fn hold(&self, sub: SubId, channel: Channel) {
        self.state.lock().held.push((sub, channel));
    }

    /// Whether a subscription held its place; it does no longer.
    pub(super) fn let_go(&self, sub: SubId) -> bool {
        let held = &mut self.state.lock().held;
        let index = held.iter().position(|(of, _)| *of == sub);
        index.map(|index| held.swap_remove(index)).is_some()
    }

    /// Any subscription that holds a place; it does no longer.
    pub(super) fn let_one_go(&self) -> Option<(SubId, Channel)> {
        self.state.lock().held.pop()
    }

    /// The next effect to perform; `None` ends the task that asks.
    pub(super) fn next_effect(&self) -> Option<Effect> {
        let mut state = self.state.lock();
        let effect = state.effects.pop_front();
        if effect.is_none() {
            state.performing = false;
            state.effects = VecDeque::new();
            state.tell_settled();
        }
        effect
    }
}

impl Mailbox for Driver {
    fn receive(&self, sub: u32, posts: &[Post]) {
        let now = now_ms();
        self.contained(|state| {
            if state.is_still() {
                return;
            }
            for post in posts {
                let (sub, frame) = (SubId(sub), post.frame.clone());
                let input = match &post.kind {
                    PostKind::Event { epoch, offset, tag, prev } => {
                        let event = EventInput { offset: *offset, tag: *tag, prev: *prev, frame };
                        Input::Event { sub, epoch: epoch.clone(), event }
                    }
                    PostKind::Presence => Input::Presence { sub, frame },
                    PostKind::Missed { events, members } => {
                        Input::Missed { sub, events: *events, members: *members }
                    }
                };
                state.session.handle(input, now);
            }
            self.drain(state, false);
        });
    }

    fn wake(&self) {
        let now = now_ms();
        self.contained(|state| {
            if state.wakes_at == 0 || state.wakes_at > now {
                // Of an entry that an earlier one has replaced.
                return;
            }
            state.wakes_at = 0;
            if state.is_still() {
                return;
            }
            if state.session.wake_at().is_some_and(|at| at <= now) {
                state.session.handle(Input::Tick, now);
            }
            self.drain(state, true);
        });
    }
}

/// Above every fence of an owner before, without shared state: a node that goes on with another's
/// session begins after that one's lease, so by less than that may their clocks differ. Below 2^53
/// until the year 2248, so that a store that counts in doubles keeps the order.
pub(super) fn first_fence() -> u64 {
    wall_ms() << 10
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("member", &self.member).finish_non_exhaustive()
    }
}
