//! A session on the bench: one input at a time, every output at hand.

use std::sync::Arc;

use throughline::protocol::channel::Channel;
use throughline::protocol::frame::Frame;
use throughline::protocol::position::{Epoch, Position, Tag};
use throughline::protocol::up::{self, Numbered, Subscribe, Up};
use throughline::session::input::{
    AttachInput, ChannelKind, ConnId, ConnKind, Effect, EventInput, Input, Output, Start, SubId,
    Target,
};
use throughline::session::settings::Settings;
use throughline::session::{Begin, Session};

pub struct Bench {
    pub session: Session,
    pub now: u64,
}

impl Bench {
    pub fn new(settings: Settings) -> Self {
        Self::begin(settings, true, None)
    }

    pub fn begin(settings: Settings, acks: bool, expires_at: Option<u64>) -> Self {
        let begin = Begin { ticket: "t".into(), acks, visible: true, expires_at };
        Self { session: Session::open(Arc::new(settings), begin, 0), now: 0 }
    }

    /// Opened on a WebSocket, connection 1, and answered.
    pub fn on_socket(settings: Settings) -> Self {
        let mut bench = Self::new(settings);
        bench.give(opened(1, ConnKind::Push));
        bench.give(pong(1, 0));
        bench
    }

    pub fn give(&mut self, input: Input) -> Vec<String> {
        self.session.handle(input, self.now);
        self.poll()
    }

    pub fn poll(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.poll()).map(show).collect()
    }

    /// Moves to that time, with every wake on the way.
    pub fn until(&mut self, to: u64) -> Vec<(u64, String)> {
        let mut seen = Vec::new();
        for _ in 0..100_000 {
            let Some(at) = self.session.wake_at().filter(|at| *at <= to) else { break };
            self.now = self.now.max(at);
            let now = self.now;
            seen.extend(self.give(Input::Tick).into_iter().map(|output| (now, output)));
        }
        assert!(self.session.wake_at().is_none_or(|at| at > to), "it wakes without end");
        self.now = to;
        seen
    }

    /// Begins a subscription at offset 0 of its channel; it is number `id`.
    pub fn subscribed(&mut self, id: u32, ch: &str, kind: ChannelKind) -> Vec<String> {
        let ch = Channel::parse(ch).unwrap();
        self.session.subscribe(Subscribe { ch, since: None, presence: false });
        self.poll();
        self.give(started(id, start(kind)))
    }

    pub fn event(&mut self, id: u32, offset: u64) -> Vec<String> {
        self.give(Input::Event { sub: SubId(id), epoch: epoch(), event: event(offset) })
    }
}

pub fn epoch() -> Epoch {
    Epoch::parse("e").unwrap()
}

pub fn position(offset: u64) -> Position {
    Position { epoch: epoch(), offset, tag: Tag(offset) }
}

pub fn event(offset: u64) -> EventInput {
    let frame = Frame::new(format!(r#"{{"t":"event","n":{offset}}}"#).as_bytes());
    EventInput { offset, tag: Tag(offset), prev: Tag(offset.saturating_sub(1)), frame }
}

pub fn start(kind: ChannelKind) -> Start {
    Start {
        kind,
        member: false,
        watches: false,
        position: position(0),
        gap: None,
        events: Vec::new(),
        top: position(0),
        replays: false,
        members: None,
    }
}

pub fn started(id: u32, start: Start) -> Input {
    Input::Subscribed { sub: SubId(id), re: None, result: Ok(Box::new(start)) }
}

pub fn opened(conn: u64, kind: ConnKind) -> Input {
    Input::Opened { conn: ConnId(conn), kind, link: 1 }
}

pub fn pong(conn: u64, count: u64) -> Input {
    Input::Pong { conn: ConnId(conn), count: Some(count), visible: None }
}

pub fn lost(conn: u64) -> Input {
    Input::Lost { conn: ConnId(conn) }
}

pub fn attach(link: u64, count: u64) -> AttachInput {
    AttachInput { link, count, target: Target::Own, visible: None, wait: 5_000 }
}

pub fn exchange(conn: u64, attach: AttachInput, frames: &[&str]) -> Input {
    let frames = frames.iter().map(|text| numbered(text)).collect();
    Input::Exchange { conn: ConnId(conn), attach, frames }
}

pub fn numbered(text: &str) -> Numbered {
    match up::parse(text) {
        Ok(Up::Session(frame)) => frame,
        other => panic!("{other:?}"),
    }
}

pub fn text(frame: &Frame) -> &str {
    std::str::from_utf8(frame.json()).unwrap()
}

/// An output as a short line.
pub fn show(output: Output) -> String {
    let short = |frame: &Frame| text(frame).replace(r#","ticket":"t""#, "");
    match output {
        Output::Send { conn, frame } => format!("{} < {}", conn.0, short(&frame)),
        Output::Control { conn, frame } => format!("{} * {}", conn.0, short(&frame)),
        Output::Answer { conn, frames } => {
            let frames: Vec<_> = frames.iter().map(short).collect();
            format!("{} = {}", conn.0, frames.join(" "))
        }
        Output::Close { conn, code, ended } => {
            let code = code.map_or("-", |refusal| refusal.code.as_str());
            format!("{} x {code}{}", conn.0, if ended { " ended" } else { "" })
        }
        Output::Effect(effect) => match effect {
            Effect::Subscribe { sub, .. } => format!("subscribe {}", sub.0),
            Effect::Unsubscribe { sub, .. } => format!("unsubscribe {}", sub.0),
            Effect::Command { seq, .. } => format!("command {seq}"),
            Effect::Fetch { sub, after, .. } => format!("fetch {} after {}", sub.0, after.offset),
            Effect::FetchState { sub, .. } => format!("state {}", sub.0),
            Effect::FetchMembers { sub, .. } => format!("members {}", sub.0),
            Effect::Join { channel, away } => format!("join {channel} {away}"),
            Effect::Leave { channel, .. } => format!("leave {channel}"),
        },
        Output::Ended => "ended".to_owned(),
    }
}
