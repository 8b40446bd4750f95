//! A client after PROTOCOL.md: it counts, acknowledges, takes higher links, and sends again what is
//! above `up`.

use std::collections::{BTreeMap, VecDeque};

use throughline::protocol::frame::Frame;
use throughline::protocol::up::{self, Numbered, Up};
use throughline::session::input::{AttachInput, ConnId, ConnKind, Target};

use crate::network::{DownMsg, UpMsg};
use crate::view::{Down, Judge, View};
use crate::world::{BROADCAST_MS, Event, World};

/// How long an exchange takes beyond its wait before it is given up.
const PATIENCE_MS: u64 = 4_000;
/// How long a poll waits.
pub const WAIT_MS: u64 = 5_000;

#[derive(Debug, Clone, Copy)]
pub enum Timer {
    /// A request or a candidate takes too long.
    Conn(ConnId),
    /// No ping came after this many.
    Abandon(u64, u64),
    /// Poll now, if this is still the link.
    Poll(u64),
}

/// What a client goes over to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Socket,
    Stream,
    Poll,
}

/// What carries the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carrier {
    pub conn: ConnId,
    pub way: Way,
    pub attached: bool,
}

#[derive(Debug, Default)]
pub struct Client {
    /// The highest link ever sent.
    pub link: u64,
    pub count: u64,
    pub carrier: Option<Carrier>,
    candidate: Option<(ConnId, Way)>,
    /// Requests under way, with the link that each names.
    requests: BTreeMap<ConnId, (u64, bool)>,
    /// The last link whose answer was counted, and that answer.
    done: (u64, Vec<Frame>),
    pub seq: u64,
    pub silent: Vec<u64>,
    unsettled: VecDeque<(u64, String)>,
    up: u64,
    acked: u64,
    /// The highest number that went up in an exchange.
    posted: u64,
    pings: u64,
    /// A change of the subscription that comes and goes is under way.
    pub changing: bool,
    changes: u64,
    ends: bool,
    pub last_exchange: Option<UpMsg>,
    pub view: View,
}

impl Client {
    pub fn opened(&mut self, conn: ConnId, kind: ConnKind) {
        match kind {
            ConnKind::Push => {
                self.carrier = Some(Carrier { conn, way: Way::Socket, attached: false });
            }
            ConnKind::Poll => {
                self.requests.insert(conn, (1, true));
            }
        }
    }

    /// Frames that may be sent: what is above `up`, in order.
    fn again(&self) -> Vec<Numbered> {
        let texts = self.unsettled.iter().map(|(_, text)| text);
        let frames = texts.map(|text| match up::parse(text) {
            Ok(Up::Session(frame)) => frame,
            other => panic!("{other:?}"),
        });
        frames.collect()
    }

    fn settle_up(&mut self, up: u64) {
        assert!(up <= self.seq, "S3: up is above what was sent");
        // Answers of different connections may pass each other.
        self.up = self.up.max(up);
        self.unsettled.retain(|(seq, _)| *seq > self.up);
    }

    pub fn unsettled(&self) -> usize {
        self.unsettled.len()
    }
}

impl World {
    /// Sends a command; its text without the number. Returns the number.
    pub fn say(&mut self, rest: &str) -> u64 {
        self.client.seq += 1;
        let seq = self.client.seq;
        if rest.contains("noop") {
            self.client.silent.push(seq);
        }
        if rest.contains("d:2") {
            (self.client.changing, self.client.changes) = (true, seq);
            self.client.ends = rest.contains("unsubscribe");
        }
        let text = format!(r#"{{"seq":{seq},{rest}}}"#);
        self.client.unsettled.push_back((seq, text));
        match self.client.carrier {
            Some(Carrier { conn, way: Way::Socket, attached: true }) => {
                let frame = self.client.again().pop().unwrap();
                self.send_up(conn, UpMsg::Up(frame));
            }
            Some(Carrier { way: Way::Stream, attached: true, .. }) => self.post(),
            _ if self.client.carrier.is_none() => self.take_poll(),
            _ => {}
        }
        seq
    }

    fn attach(&self, target: Target, wait: u64) -> AttachInput {
        let (link, count) = (self.client.link, self.client.count);
        AttachInput { link, count, target, visible: None, wait }
    }

    /// An exchange at the link there is: it sends and acknowledges.
    pub fn post(&mut self) {
        if self.client.requests.values().any(|(_, polls)| !polls) {
            return;
        }
        let attach = self.attach(Target::Own, 0);
        self.exchange(attach, false);
    }

    fn exchange(&mut self, attach: AttachInput, polls: bool) {
        let conn = self.connect(ConnKind::Poll);
        self.client.requests.insert(conn, (attach.link, polls));
        let message = UpMsg::Exchange(attach, self.client.again());
        self.client.acked = self.client.count;
        self.client.posted = self.client.seq;
        self.client.last_exchange = Some(message.clone());
        self.send_up(conn, message);
        let at = self.now + attach.wait + PATIENCE_MS;
        self.later(at, Event::Client(Timer::Conn(conn)));
    }

    /// A poll takes the session.
    pub fn take_poll(&mut self) {
        self.client.link += 1;
        self.client.carrier = None;
        let attach = self.attach(Target::Own, WAIT_MS);
        self.exchange(attach, true);
    }

    /// Begins to go over to another way.
    pub fn go(&mut self, way: Way) {
        if way == Way::Poll {
            return self.take_poll();
        }
        let conn = self.connect(ConnKind::Push);
        self.client.candidate = Some((conn, way));
        self.send_up(conn, UpMsg::Candidate);
        self.later(self.now + PATIENCE_MS, Event::Client(Timer::Conn(conn)));
    }

    /// Attaches the same connection again.
    pub fn attach_again(&mut self) {
        match self.client.carrier {
            Some(Carrier { conn, way, attached: true }) => self.take_push(conn, way),
            _ => self.take_poll(),
        }
    }

    fn take_push(&mut self, conn: ConnId, way: Way) {
        self.client.link += 1;
        self.client.carrier = Some(Carrier { conn, way, attached: false });
        if way == Way::Stream {
            let attach = self.attach(Target::Via(Some(conn)), 0);
            return self.exchange(attach, false);
        }
        let attach = self.attach(Target::Own, 0);
        self.client.acked = self.client.count;
        self.send_up(conn, UpMsg::Attach(attach));
        self.later(self.now + PATIENCE_MS, Event::Client(Timer::Conn(conn)));
    }

    pub fn client_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Conn(conn) => {
                let waits = self.client.requests.contains_key(&conn)
                    || self.client.candidate.is_some_and(|(of, _)| of == conn)
                    || self.client.carrier.is_some_and(|c| c.conn == conn && !c.attached);
                if waits {
                    self.client_loses(conn);
                }
            }
            Timer::Abandon(link, pings) => {
                if (link, pings) == (self.client.link, self.client.pings)
                    && self.client.carrier.is_some()
                {
                    self.take_poll();
                }
            }
            Timer::Poll(link) => {
                if link == self.client.link && self.client.carrier.is_none() {
                    self.take_poll();
                }
            }
        }
    }

    pub fn client_loses(&mut self, conn: ConnId) {
        if self.client.candidate.is_some_and(|(of, _)| of == conn) {
            self.client.candidate = None;
        }
        let request = self.client.requests.remove(&conn);
        let own = self.client.carrier.is_some_and(|carrier| carrier.conn == conn);
        if own || request.is_some_and(|(link, _)| link == self.client.link) {
            self.take_poll();
        }
    }

    pub fn client_gets(&mut self, conn: ConnId, down: DownMsg) {
        if !self.passes(conn) {
            return;
        }
        match down {
            DownMsg::Hello => {
                if let Some((_, way)) = self.client.candidate.take_if(|(of, _)| *of == conn) {
                    self.take_push(conn, way);
                }
            }
            DownMsg::Session(frame) => {
                let own = |carrier: Carrier| carrier.conn == conn && carrier.attached;
                if self.client.carrier.is_some_and(own) {
                    self.count(&frame);
                    let due = self.settings.outbox_frames as u64 / 4;
                    if self.client.count - self.client.acked >= due.max(1) {
                        self.acknowledge();
                    }
                }
            }
            DownMsg::Link(frame) => self.link_frame(conn, &read(&frame)),
            DownMsg::Answer(frames) => self.answer(conn, &frames),
            DownMsg::Closed(code, ended) => {
                let refused = ended || code == Some("superseded");
                assert!(!ended, "the session ended: {code:?}");
                if refused {
                    self.client.requests.remove(&conn);
                } else {
                    self.client_loses(conn);
                }
            }
        }
    }

    pub fn acknowledge(&mut self) {
        match self.client.carrier {
            Some(Carrier { conn, way: Way::Socket, attached: true }) => {
                self.client.acked = self.client.count;
                self.send_up(conn, UpMsg::Pong(self.client.count));
            }
            Some(Carrier { way: Way::Stream, attached: true, .. }) => self.post(),
            _ => {}
        }
    }

    fn link_frame(&mut self, conn: ConnId, frame: &Down) {
        let own = self.client.carrier.filter(|carrier| carrier.conn == conn);
        match (frame.l.as_deref().unwrap(), own) {
            ("attached", Some(carrier)) if frame.link == Some(self.client.link) => {
                assert_eq!(frame.from, Some(self.client.count), "M19: what follows is not next");
                self.client.carrier = Some(Carrier { attached: true, ..carrier });
                self.client.settle_up(frame.up.unwrap());
                if carrier.way == Way::Socket {
                    for frame in self.client.again() {
                        self.send_up(conn, UpMsg::Up(frame));
                    }
                } else {
                    self.post();
                }
                self.expect_ping(self.settings.ping_visible);
            }
            ("ping", Some(carrier)) if carrier.attached => {
                assert_eq!(frame.n, Some(self.client.count), "M25: the server counts otherwise");
                self.client.settle_up(frame.up.unwrap());
                self.acknowledge();
                self.expect_ping(frame.next.unwrap());
            }
            ("superseded", _) => {
                assert!(frame.link.unwrap() <= self.client.link, "M23: a number never given");
            }
            _ => {}
        }
    }

    fn expect_ping(&mut self, next: u64) {
        self.client.pings += 1;
        let timer = Timer::Abandon(self.client.link, self.client.pings);
        self.later(self.now + next * 27 / 20 + 500, Event::Client(timer));
    }

    fn answer(&mut self, conn: ConnId, frames: &[Frame]) {
        let first = read(&frames[0]);
        let Some((link, polls)) = self.client.requests.remove(&conn) else { return };
        if first.l.as_deref() == Some("superseded") {
            assert!(first.link.unwrap() <= self.client.link, "M23: a number never given");
            return;
        }
        assert_eq!((first.l.as_deref(), first.link), (Some("attached"), Some(link)));
        assert!(polls || frames.len() == 1, "M20: more than attached");
        if link == self.client.done.0 && frames.len() > 1 && self.client.done.1.len() > 1 {
            self.judge_repeat(&first, frames);
        }
        if link != self.client.link || link == self.client.done.0 {
            return;
        }
        if !polls {
            self.client.settle_up(first.up.unwrap());
            if self.client.seq > self.client.posted {
                self.post();
            }
            return;
        }
        if first.from == Some(self.client.count) {
            self.client.settle_up(first.up.unwrap());
            self.client.done = (link, frames.to_vec());
            for frame in &frames[1..] {
                self.count(frame);
            }
        } else {
            assert!(first.from > Some(self.client.count), "M19: what follows is not next");
        }
        let at = self.now + self.roll(200);
        self.later(at, Event::Client(Timer::Poll(link)));
    }

    /// The same request, the same frames; only their content may be withdrawn.
    fn judge_repeat(&self, first: &Down, frames: &[Frame]) {
        let done = &self.client.done.1;
        assert_eq!(read(&done[0]).from, first.from, "M19: other numbers");
        assert_eq!(done.len(), frames.len(), "M19: more or fewer frames");
        for (one, other) in done.iter().zip(frames).skip(1) {
            let same = one == other || [one, other].iter().any(|frame| frame.json() == b"{}");
            assert!(same, "M19: other frames");
        }
    }

    /// Counts a session frame, and judges it.
    fn count(&mut self, frame: &Frame) {
        self.client.count += 1;
        let link = self.client.link;
        let judge = Judge {
            engine: &self.engine,
            begun: &self.begun,
            taken: self.taken.get(&link).copied().unwrap_or(0),
            age: self.settings.ephemeral_age + BROADCAST_MS,
        };
        self.client.view.take(read(frame), &judge);
        if self.client.changing && self.client.view.settled.contains(&self.client.changes) {
            self.client.changing = false;
            if self.client.ends {
                self.client.view.channels.get_mut("d:2").unwrap().subscribed = false;
            }
        }
    }

    /// The same request again.
    pub fn repeat_last(&mut self) {
        let Some(message) = self.client.last_exchange.clone() else { return };
        let UpMsg::Exchange(attach, _) = &message else { return };
        let polls = attach.wait > 0;
        let link = attach.link;
        let conn = self.repeat(message);
        self.client.requests.insert(conn, (link, polls));
    }
}

pub fn read(frame: &Frame) -> Down {
    serde_json::from_slice(frame.json()).unwrap()
}
