//! Virtual time: everything that happens is an event in one queue.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use throughline::protocol::channel::Channel;
use throughline::protocol::position::Position;
use throughline::protocol::up::Subscribe;
use throughline::session::input::{ChannelKind, ConnId, ConnKind, Effect, Input, Output, SubId};
use throughline::session::settings::Settings;
use throughline::session::{Begin, Session};

use crate::client::{Client, Timer};
use crate::engine::Stored;
use crate::network::{Conn, DownMsg, UpMsg};

/// How long an event takes from the engine to the session at most.
pub const BROADCAST_MS: u64 = 300;
/// The client's own id in presence.
pub const ME: &str = "me";

pub const CHANNELS: [(&str, ChannelKind); 5] = [
    ("d:1", ChannelKind::Durable),
    ("d:2", ChannelKind::Durable),
    ("e:1", ChannelKind::Ephemeral),
    ("s:1", ChannelKind::State),
    ("p:1", ChannelKind::Ephemeral),
];

#[derive(Debug)]
pub enum Event {
    ToServer(ConnId, UpMsg),
    ToClient(ConnId, DownMsg),
    ServerLost(ConnId),
    ClientLost(ConnId),
    /// The shell begins its next effect; only for the given run of the node.
    Perform(u32),
    /// What an effect comes back with.
    Done(u32, Box<Input>),
    /// A broadcast reaches the node.
    Broadcast(&'static str, Cast),
    Wake,
    Client(Timer),
}

#[derive(Debug, Clone)]
pub enum Cast {
    Event(throughline::protocol::position::Epoch, crate::engine::Record),
    Presence(throughline::protocol::frame::Frame),
}

pub struct World {
    pub now: u64,
    /// What this node's clock shows beyond `now`.
    pub skew: u64,
    pub queue: BTreeMap<(u64, u64), Event>,
    pub last_event: u64,
    rng: u64,
    pub settings: Arc<Settings>,
    pub session: Session,
    pub engine: BTreeMap<String, Stored>,
    pub engine_up: bool,
    pub last_cast: BTreeMap<&'static str, u64>,
    pub run: u32,
    pub effects: VecDeque<Effect>,
    pub performing: bool,
    pub registered: Vec<(SubId, Channel)>,
    pub begun: BTreeMap<String, Position>,
    /// The last event of each durable channel that the broadcast brought to the node.
    pub reached: BTreeMap<String, Position>,
    pub applied: Vec<u64>,
    pub conns: BTreeMap<ConnId, Conn>,
    pub last_conn: u64,
    pub client: Client,
    pub frozen_until: u64,
    /// When each link took the session.
    pub taken: BTreeMap<u64, u64>,
    pub detached_at: Option<u64>,
    pub leaving_at: Option<u64>,
    pub unsubscribed: BTreeSet<String>,
    pub ended: Option<&'static str>,
    /// Frames beyond the outbox's bound that are answers for sure.
    pub slack: usize,
    wakes: (u64, u32),
}

impl World {
    pub fn new(settings: Settings, seed: u64) -> Self {
        let settings = Arc::new(settings);
        let begin = Begin { ticket: "t".into(), acks: true, visible: true, expires_at: None };
        let skew = seed % 100_000;
        let session = Session::open(Arc::clone(&settings), begin, skew);
        let channels = CHANNELS.iter();
        let engine = channels.map(|(ch, kind)| ((*ch).to_owned(), Stored::new(*kind, 12)));
        Self {
            now: 0,
            skew,
            queue: BTreeMap::new(),
            last_event: 0,
            rng: seed | 1,
            settings,
            session,
            engine: engine.collect(),
            engine_up: true,
            last_cast: BTreeMap::new(),
            run: 0,
            effects: VecDeque::new(),
            performing: false,
            registered: Vec::new(),
            begun: BTreeMap::new(),
            reached: BTreeMap::new(),
            applied: Vec::new(),
            conns: BTreeMap::new(),
            last_conn: 0,
            client: Client::default(),
            frozen_until: 0,
            taken: BTreeMap::new(),
            detached_at: None,
            leaving_at: None,
            unsubscribed: BTreeSet::new(),
            ended: None,
            slack: 64,
            wakes: (0, 0),
        }
    }

    /// Opens the session with these subscriptions.
    pub fn open(&mut self, kind: ConnKind, subs: &[&str]) {
        let conn = self.connect(kind);
        self.client.link = 1;
        self.client.opened(conn, kind);
        for ch in subs {
            let ch = Channel::parse(ch).unwrap();
            let presence = ch.as_str() == "p:1";
            assert!(self.session.subscribe(Subscribe { ch, since: None, presence }));
        }
        self.taken.insert(1, 0);
        self.feed(Input::Opened { conn, kind, link: 1 });
    }

    /// A number below `bound`, by the case's own dice.
    pub fn roll(&mut self, bound: u64) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        self.rng % bound.max(1)
    }

    pub fn later(&mut self, at: u64, event: Event) {
        self.last_event += 1;
        self.queue.insert((at.max(self.now), self.last_event), event);
    }

    /// Lets everything happen that is due until then.
    pub fn run_until(&mut self, until: u64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > until || self.ended.is_some() {
                break;
            }
            let ((at, number), event) = entry.remove_entry();
            self.now = self.now.max(at);
            let client =
                matches!(event, Event::ToClient(..) | Event::ClientLost(_) | Event::Client(_));
            if client && self.now < self.frozen_until {
                // With its number: a connection keeps its order.
                self.queue.insert((self.frozen_until, number), event);
            } else {
                self.happen(event);
            }
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToServer(conn, up) => self.server_gets(conn, up),
            Event::ServerLost(conn) => self.server_loses(conn),
            Event::Perform(run) if run == self.run => self.perform(),
            Event::Done(run, input) if run == self.run => {
                self.feed(*input);
                self.performing = false;
                self.perform_next();
            }
            Event::Perform(_) | Event::Done(..) => {}
            Event::Broadcast(ch, cast) => self.broadcast(ch, &cast),
            Event::Wake => self.tick_if_due(),
            Event::ToClient(conn, down) => self.client_gets(conn, down),
            Event::ClientLost(conn) => self.client_loses(conn),
            Event::Client(timer) => self.client_timer(timer),
        }
    }

    fn tick_if_due(&mut self) {
        let now = self.now + self.skew;
        if self.session.wake_at().is_some_and(|at| at <= now) {
            self.feed(Input::Tick);
        }
    }

    /// Brings one input and performs what comes out.
    pub fn feed(&mut self, input: Input) {
        if self.ended.is_some() {
            return;
        }
        let (was, handed) = (self.session.is_attached(), self.session.handed());
        let takes = taker(&input);
        self.session.handle(input, self.now + self.skew);
        self.note_link(takes, was, handed);
        while let Some(output) = self.session.poll() {
            self.put(output);
        }
        let is = self.session.is_attached();
        match (was, is) {
            (true, false) => self.detached_at = Some(self.now),
            (false, true) => self.detached_at = None,
            _ => {}
        }
        let bound = self.settings.outbox_frames + self.slack;
        assert!(self.session.outbox_len() <= bound, "B1: {} frames", self.session.outbox_len());
        self.schedule_wake();
    }

    /// A link was taken: what it must bring, and since when.
    fn note_link(&mut self, takes: Option<(u64, u64)>, was: bool, handed: u64) {
        let Some((link, count)) = takes else { return };
        let highest = self.taken.last_key_value().map_or(0, |(link, _)| *link);
        let detached = !was && self.session.is_attached();
        if link < highest || self.session.is_ended() {
            return;
        }
        if link > highest && self.session.link_number() == link {
            self.taken.insert(link, self.now);
            self.leaving_at = None;
            if count < handed || detached {
                // Whatever an older link carried is not counted any more (M21).
                self.client.view.owe(self.tops(), 1);
            }
        } else if detached {
            let may = self.client.view.may + 1;
            let tops = self.client.view.owed.take().unwrap_or_else(|| self.tops());
            self.client.view.owe(tops, may);
        }
    }

    fn tops(&self) -> BTreeMap<String, Position> {
        self.reached.clone()
    }

    fn schedule_wake(&mut self) {
        let Some(at) = self.session.wake_at() else { return };
        let at = at.saturating_sub(self.skew).max(self.now);
        if at == self.now {
            let count = if self.wakes.0 == at { self.wakes.1 + 1 } else { 1 };
            self.wakes = (at, count);
            assert!(count < 200, "the session wakes without end");
        }
        self.later(at, Event::Wake);
    }

    fn put(&mut self, output: Output) {
        match output {
            Output::Send { conn, frame } => self.send_down(conn, DownMsg::Session(frame)),
            Output::Control { conn, frame } => self.send_down(conn, DownMsg::Link(frame)),
            Output::Answer { conn, frames } => {
                self.send_down(conn, DownMsg::Answer(frames));
                self.server_closes(conn);
            }
            Output::Close { conn, code, ended } => {
                let code = code.map(|refusal| refusal.code.as_str());
                self.send_down(conn, DownMsg::Closed(code, ended));
                self.server_closes(conn);
                if ended {
                    self.ended = Some(code.unwrap_or("-"));
                }
            }
            Output::Effect(effect) => {
                self.judge_effect(&effect);
                self.effects.push_back(effect);
                self.perform_next();
            }
            Output::Ended => {
                self.ended.get_or_insert("-");
            }
        }
    }
}

fn taker(input: &Input) -> Option<(u64, u64)> {
    match input {
        Input::Attach { attach, .. } | Input::Exchange { attach, .. } => {
            Some((attach.link, attach.count))
        }
        _ => None,
    }
}
