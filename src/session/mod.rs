//! One session, whatever carries it: a pure state machine, without I/O, clock or randomness.
//!
//! The caller brings inputs and the time in monotonic milliseconds. After each
//! [`Session::handle`] it calls [`Session::poll`] until that answers `None`, performs each
//! [`Output`] as it comes, and comes back with [`Input::Tick`] at [`Session::wake_at`].
//!
//! What happens at each bound: see [`outbox`] (down) and [`uplink`] (up).

pub mod input;
pub mod outbox;
pub mod park;
pub mod settings;
pub mod subs;
pub mod uplink;

mod deliver;
mod life;
mod link;
mod paging;
mod requests;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;

use self::input::{ConnId, Effect, Input, Output};
use self::life::Phase;
use self::link::{Candidate, Link};
use self::outbox::Outbox;
use self::settings::Settings;
use self::subs::Subs;
use self::uplink::Uplink;

/// Monotonic milliseconds, from any start.
pub type Millis = u64;

/// The state of one session.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    /// Sealed by the shell; opaque here.
    ticket: Arc<str>,
    /// Whether the client acknowledges what it got.
    acks: bool,
    phase: Phase,
    candidates: Vec<Candidate>,
    link: Option<Link>,
    /// The highest link number ever given.
    link_number: u64,
    outbox: Outbox,
    uplink: Uplink,
    subs: Subs,
    /// Ephemeral events that were not delivered and not yet told.
    skipped: u64,
    /// A replay's `caught_up` is still to come.
    owes_caught_up: bool,
    /// Whether the page is watched.
    visible: bool,
    /// Whether the user said to be away.
    away: bool,
    /// Whether presence lists this session.
    present: bool,
    /// Presence lists its member since before it was opened, and it has not done so itself.
    listed: bool,
    /// When the token expires.
    expires_at: Option<Millis>,
    /// The page said that it goes away; presence forgets it then unless it shows life.
    leaving_at: Option<Millis>,
    /// When its client showed its last sign of life.
    seen: Millis,
    /// Why it is over.
    ended_with: Option<Refusal>,
    tally: Tally,
    out: VecDeque<Output>,
}

/// What happened since it was last asked, for the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Subscriptions that an outbox at its bound, or a hole, sent back to the log or the state.
    pub behind: u64,
    /// Ephemeral events told as `skipped`.
    pub skipped: u64,
}

/// What a session begins with.
#[derive(Debug)]
pub struct Begin {
    /// Sealed by the shell.
    pub ticket: Arc<str>,
    /// Whether the client acknowledges what it got; without it there is nothing to answer, and
    /// the session is not provisional.
    pub acks: bool,
    /// Whether the page is watched.
    pub visible: bool,
    /// When the token expires.
    pub expires_at: Option<Millis>,
}

impl Session {
    /// A session that was just opened.
    pub fn open(settings: Arc<Settings>, begin: Begin, now: Millis) -> Self {
        let phase = if begin.acks {
            Phase::Provisional { until: now + settings.provisional }
        } else {
            Phase::Live
        };
        Self {
            outbox: Outbox::new(settings.outbox_frames, settings.outbox_bytes),
            uplink: Uplink::new(settings.uplink_frames),
            settings,
            ticket: begin.ticket,
            acks: begin.acks,
            present: !begin.acks,
            listed: false,
            phase,
            candidates: Vec::new(),
            link: None,
            link_number: 0,
            subs: Subs::default(),
            skipped: 0,
            owes_caught_up: false,
            visible: begin.visible,
            away: false,
            expires_at: begin.expires_at,
            leaving_at: None,
            seen: now,
            ended_with: None,
            tally: Tally::default(),
            out: VecDeque::new(),
        }
    }

    /// A session that is over, in the place of one that cannot go on.
    pub fn ended(settings: Arc<Settings>, code: ErrorCode, now: Millis) -> Self {
        let begin = Begin { ticket: "".into(), acks: false, visible: false, expires_at: None };
        let mut session = Self::open(settings, begin, now);
        (session.phase, session.ended_with) = (Phase::Ended, Some(code.into()));
        session
    }

    /// Takes one input. After `Ended` every input is ignored.
    pub fn handle(&mut self, input: Input, now: Millis) {
        if self.is_ended() {
            return;
        }
        match input {
            Input::Opened { conn, kind, link } => self.on_opened(conn, kind, link, now),
            Input::Candidate { conn, kind } => self.on_candidate(conn, kind, now),
            Input::Attach { conn, attach } => self.on_attach(conn, attach, now),
            Input::Exchange { conn, attach, frames } => self.on_exchange(conn, attach, frames, now),
            Input::Up { conn, frame } => self.on_up(conn, frame, now),
            Input::Pong { conn, count, visible } => self.on_pong(conn, count, visible, now),
            Input::Life { conn } => self.on_life(conn, now),
            Input::Writable { conn } => self.on_writable(conn),
            Input::Blocked { conn } => self.on_blocked(conn),
            Input::Lost { conn } => self.on_lost(conn, now),
            Input::Leaving => self.on_leaving(now),
            Input::Settled { seq, frame } => self.on_settled(seq, frame),
            Input::Subscribed { sub, re, result } => self.on_subscribed(sub, re, result, now),
            Input::Event { sub, epoch, event } => self.on_event(sub, &epoch, event, now),
            Input::Presence { sub, frame } => self.on_presence(sub, frame),
            Input::Missed { sub, events, members } => self.on_missed(sub, events, members),
            Input::Page { sub, result } => self.on_page(sub, result, now),
            Input::State { sub, result } => self.on_state(sub, result, now),
            Input::Members { sub, frame } => self.on_members(sub, frame, now),
            Input::Unwatch { sub, code } => self.on_unwatch(sub, code),
            Input::Revoke { sub, code } => self.on_revoke(sub, code),
            Input::Renewed { ticket, expires_at } => self.on_renewed(ticket, expires_at),
            Input::End { why } => self.end_for(None, Some(why), now),
            Input::Tick => self.on_tick(now),
        }
        self.advance(now);
    }

    /// What to do next, or `None` when there is nothing until the next input.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some(output) = self.out.pop_front() {
            return Some(output);
        }
        // An idle session holds no buffer.
        self.out = VecDeque::new();
        let conn = self.link.as_ref().filter(|link| link.takes_frames()).map(|link| link.conn)?;
        let frame = self.outbox.hand_one(!self.acks)?;
        Some(Output::Send { conn, frame })
    }

    /// Whether the session is over.
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Whether frames up are taken now; while not, a connection should not be read from. A full
    /// outbox is no reason: the acknowledgement that empties it comes the same way.
    pub fn takes_up(&self) -> bool {
        self.uplink.has_room()
    }

    /// Whether presence lists this session, and as away.
    pub fn is_away(&self) -> bool {
        self.away
    }

    /// Frames that were handed to a link or acknowledged so far.
    pub fn handed(&self) -> u64 {
        self.outbox.handed_total()
    }

    /// The connection or request that carries the way down now, or carried it last.
    pub fn link_conn(&self) -> Option<ConnId> {
        self.link.as_ref().filter(|_| self.is_attached()).map(|link| link.conn)
    }

    /// The number of the link that has, or last had, the session.
    pub fn link_number(&self) -> u64 {
        self.link_number
    }

    /// Whether the page is watched.
    pub fn is_visible(&self) -> bool {
        self.visible
    }

    /// Frames in the outbox: handed and not acknowledged, and waiting.
    pub fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    /// Why the session is over; nothing where it ran out of time, or is not over.
    pub fn ended_with(&self) -> Option<&Refusal> {
        self.ended_with.as_ref()
    }

    /// What happened since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Whether the session reads a channel.
    pub fn is_subscribed(&self, channel: &Channel) -> bool {
        self.subs.of_channel(channel).is_some_and(|sub| !sub.is_pending())
    }

    fn emit(&mut self, output: Output) {
        self.out.push_back(output);
    }

    fn effect(&mut self, effect: Effect) {
        self.out.push_back(Output::Effect(effect));
    }

    fn effects(&mut self, effects: Vec<Effect>) {
        self.out.extend(effects.into_iter().map(Output::Effect));
    }

    fn control(&mut self, conn: ConnId, frame: Frame) {
        self.out.push_back(Output::Control { conn, frame });
    }

    /// What follows from any change: commands, pages, answers to polls.
    fn advance(&mut self, now: Millis) {
        self.run_uplink();
        self.ask_for_pages(now);
        if self.outbox.has_room(1) {
            self.tell_skipped();
        }
        self.tell_caught_up();
        self.answer_poll(now);
    }
}
