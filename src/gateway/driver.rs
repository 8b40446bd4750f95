//! The shell around a session: a value behind a mutex that whoever has input runs (a link's task,
//! the fan-out, a timer), not a task a session.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::auth::Identity;
use crate::engine::types::MemberId;
use crate::hub::{Mailbox, Post, PostKind};
use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::up::Numbered;
use crate::session::input::{
    AttachInput, ConnId, ConnKind, Effect, EventInput, Input, Output, SubId, Target,
};
use crate::session::{Millis, Session};
use crate::telemetry::clock::now_ms;
use crate::telemetry::labels::Carrier;

use super::link::{Flow, LinkPort};
use super::{Gateway, effects};

/// Frames that are written at once at most.
const BATCH_FRAMES: usize = 64;

/// One session of this node.
pub struct Driver {
    /// The session's id: secret, only tickets name it.
    pub(super) id: u128,
    /// The session's public id.
    pub(super) member: MemberId,
    /// Whether it only reads a feed: no presence, no ticket.
    pub(super) feed: bool,
    pub(super) gateway: Arc<Gateway>,
    me: Weak<Driver>,
    state: Mutex<State>,
}

struct State {
    session: Session,
    conns: Vec<Conn>,
    identity: Arc<Identity>,
    effects: VecDeque<Effect>,
    /// Whether a task performs the effects.
    performing: bool,
    /// When the wheel wakes this session next; 0 where it does not.
    wakes_at: Millis,
    /// Rises with each assertion of presence.
    fence: u64,
    /// What the metrics count it under.
    carrier: Option<Carrier>,
}

/// A connection or request that belongs to the session now.
struct Conn {
    id: ConnId,
    nonce: Box<str>,
    port: Arc<dyn LinkPort>,
}

/// What a driver begins with.
pub(super) struct Begun {
    pub(super) id: u128,
    pub(super) member: MemberId,
    pub(super) feed: bool,
    pub(super) identity: Arc<Identity>,
    pub(super) session: Session,
}

impl Driver {
    pub(super) fn new(gateway: Arc<Gateway>, begun: Begun) -> Arc<Self> {
        let state = State {
            session: begun.session,
            conns: Vec::new(),
            identity: begun.identity,
            effects: VecDeque::new(),
            performing: false,
            wakes_at: 0,
            fence: 0,
            carrier: None,
        };
        Arc::new_cyclic(|me| Self {
            id: begun.id,
            member: begun.member,
            feed: begun.feed,
            gateway,
            me: me.clone(),
            state: Mutex::new(state),
        })
    }

    /// Who the session is.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.state.lock().identity)
    }

    /// Whether the session reads a channel.
    pub fn reads(&self, channel: &Channel) -> bool {
        self.state.lock().session.is_subscribed(channel)
    }

    /// Whether frames up are taken now.
    pub fn takes_up(&self) -> bool {
        self.state.lock().session.takes_up()
    }

    /// A new connection or request of this session. One that comes when the session is over, which
    /// its finder could not know, is told so.
    pub fn connect(&self, id: ConnId, nonce: &str, port: Arc<dyn LinkPort>) {
        let mut state = self.state.lock();
        if state.session.is_ended() {
            drop(state);
            port.close(Some(&ErrorCode::SessionGone.into()), true);
        } else {
            state.conns.push(Conn { id, nonce: nonce.into(), port });
        }
    }

    /// Brings one input.
    pub fn handle(&self, input: Input) {
        let mut state = self.state.lock();
        state.session.handle(input, now_ms());
        self.drain(&mut state, true);
    }

    /// The connection that opened the session becomes its link.
    pub(super) fn opened(&self, conn: ConnId, kind: ConnKind, link: u64, wait: Millis) {
        self.handle(Input::Opened { conn, kind, link, wait });
    }

    /// An exchange that began with `attach`; `via` is the nonce of a candidate.
    pub fn exchange(
        &self,
        conn: ConnId,
        mut attach: AttachInput,
        via: Option<&str>,
        frames: Vec<Numbered>,
    ) {
        let mut state = self.state.lock();
        if let Some(nonce) = via {
            let named = state.conns.iter().find(|conn| &*conn.nonce == nonce);
            attach.target = Target::Via(named.map(|conn| conn.id));
        }
        state.session.handle(Input::Exchange { conn, attach, frames }, now_ms());
        self.drain(&mut state, true);
    }

    /// A session frame on a WebSocket.
    pub fn up(&self, conn: ConnId, frame: Numbered) {
        self.handle(Input::Up { conn, frame });
    }

    /// The connection takes frames again.
    pub fn writable(&self, conn: ConnId) {
        self.handle(Input::Writable { conn });
    }

    /// The connection, or the request, is gone.
    pub fn lost(&self, conn: ConnId) {
        let mut state = self.state.lock();
        state.conns.retain(|known| known.id != conn);
        state.session.handle(Input::Lost { conn }, now_ms());
        self.drain(&mut state, true);
    }

    /// Writes one link frame: to the connection with that nonce, or to `own`.
    pub fn echo(&self, own: Option<ConnId>, via: Option<&str>, frame: &Frame) {
        let state = self.state.lock();
        let wanted = |conn: &&Conn| match via {
            Some(nonce) => &*conn.nonce == nonce,
            None => Some(conn.id) == own,
        };
        if let Some(conn) = state.conns.iter().find(wanted) {
            let _ = conn.port.write(std::slice::from_ref(frame));
        }
    }

    /// Ends the session.
    pub fn end(&self, code: ErrorCode) {
        self.handle(Input::End { code });
    }

    /// A fresh token took effect.
    pub(super) fn renewed(&self, identity: Arc<Identity>, input: Input) {
        let mut state = self.state.lock();
        state.identity = identity;
        state.session.handle(input, now_ms());
        self.drain(&mut state, true);
    }

    /// Runs `f` on the session, then performs what follows.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Session) -> T) -> T {
        let mut state = self.state.lock();
        let result = f(&mut state.session);
        self.drain(&mut state, true);
        result
    }

    /// A number above every one before.
    pub(super) fn next_fence(&self) -> u64 {
        let mut state = self.state.lock();
        state.fence += 1;
        state.fence
    }

    /// The next effect to perform; `None` ends the task that asks.
    pub(super) fn next_effect(&self) -> Option<Effect> {
        let mut state = self.state.lock();
        let effect = state.effects.pop_front();
        if effect.is_none() {
            state.performing = false;
            state.effects = VecDeque::new();
        }
        effect
    }

    /// Performs what the session asks for. `schedules`: the time to wake may have changed.
    fn drain(&self, state: &mut State, schedules: bool) {
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
        if !state.performing && !state.effects.is_empty() {
            state.performing = true;
            if let Some(me) = self.me.upgrade() {
                self.gateway.tasks.spawn(effects::run(me));
            }
        }
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
            Output::Ended => {
                for conn in std::mem::take(&mut state.conns) {
                    let closed = Refusal::new(ErrorCode::SessionGone);
                    conn.port.close(Some(&closed), true);
                }
                self.gateway.forget(self);
            }
        }
    }

    fn schedule(&self, state: &mut State) {
        let Some(at) = state.session.wake_at() else { return };
        if state.wakes_at == 0 || at < state.wakes_at {
            state.wakes_at = at;
            self.gateway.wheel.schedule(at, self.me.clone());
        }
    }
}

impl Driver {
    /// Keeps the metrics' count of sessions by what carries them.
    fn count(&self, state: &mut State) {
        let carrier = match state.session.link_conn() {
            _ if state.session.is_ended() => None,
            None => Some(Carrier::Detached),
            Some(id) => {
                let conn = state.conns.iter().find(|conn| conn.id == id);
                Some(conn.map_or(Carrier::Poll, |conn| conn.port.carrier()))
            }
        };
        if carrier != state.carrier {
            self.gateway.metrics.carried(state.carrier, carrier);
            state.carrier = carrier;
        }
    }
}

impl State {
    fn take_conn(&mut self, id: ConnId) -> Option<Arc<dyn LinkPort>> {
        let index = self.conns.iter().position(|conn| conn.id == id)?;
        Some(self.conns.swap_remove(index).port)
    }
}

/// Frames for one connection that are written at once.
#[derive(Default)]
struct Batch {
    conn: Option<ConnId>,
    frames: Vec<Frame>,
}

impl Batch {
    fn add(&mut self, state: &mut State, conn: ConnId, frame: Frame) {
        if self.conn != Some(conn) || self.frames.len() >= BATCH_FRAMES {
            self.flush(state);
            self.conn = Some(conn);
        }
        self.frames.push(frame);
    }

    /// Writes what was gathered. Returns whether there was anything.
    fn flush(&mut self, state: &mut State) -> bool {
        let Some(id) = self.conn.take() else { return false };
        let flow = match state.conns.iter().find(|conn| conn.id == id) {
            Some(conn) => conn.port.write(&self.frames),
            None => Flow::Blocked,
        };
        self.frames.clear();
        if flow == Flow::Blocked {
            state.session.handle(Input::Blocked { conn: id }, now_ms());
        }
        true
    }
}

impl Mailbox for Driver {
    fn receive(&self, sub: u32, posts: &[Post]) {
        let mut state = self.state.lock();
        let now = now_ms();
        for post in posts {
            let (sub, frame) = (SubId(sub), post.frame.clone());
            let input = match &post.kind {
                PostKind::Event { epoch, offset, tag, prev } => {
                    let event = EventInput { offset: *offset, tag: *tag, prev: *prev, frame };
                    Input::Event { sub, epoch: epoch.clone(), event }
                }
                PostKind::Presence => Input::Presence { sub, frame },
            };
            state.session.handle(input, now);
        }
        self.drain(&mut state, false);
    }

    fn wake(&self) {
        let mut state = self.state.lock();
        state.wakes_at = 0;
        let now = now_ms();
        if state.session.wake_at().is_some_and(|at| at <= now) {
            state.session.handle(Input::Tick, now);
        }
        self.drain(&mut state, true);
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("member", &self.member).finish_non_exhaustive()
    }
}
