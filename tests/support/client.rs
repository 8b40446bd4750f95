//! A client of the protocol (docs/PROTOCOL.md), for tests: one session over any transport, with
//! counting, acknowledging, numbered frames up that are sent again, and moves between transports.
//!
//! It answers pings and comes back by itself as long as someone waits for a frame.

mod again;
mod carry;
mod links;
mod proving;
mod record;
mod rest;
pub mod target;
mod uplink;
mod words;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use throughline::protocol::position::Position;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use self::carry::{Conn, Incoming};
pub use self::target::{Target, Transport};
use super::history::{History, Record};
use super::text;

/// How long a test waits for what must come, before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One session.
pub struct Client {
    /// What the history calls it.
    pub name: String,
    /// The public id of its member.
    pub member: String,
    /// The hello that opened it.
    pub hello: Value,
    /// The code that the session ended with.
    pub ended: Option<String>,
    /// The last refusal.
    pub refusal: Value,
    /// The answers to its echoes.
    pub echoes: Vec<String>,
    /// What carries it.
    pub transport: Transport,
    /// Whether a candidate must answer an echo before it is attached, as the SDK has it.
    pub proves: bool,
    /// Whether it comes back by itself.
    pub comes_back: bool,
    /// Whether it opens another session, at the positions it has, where its session is gone.
    pub reopens: bool,
    /// How many sessions it had that did not go on, in the end or in another's place.
    pub lost: u64,
    /// How many times its session went on after its node was lost.
    pub rebuilt: u64,
    /// Whether it abandons a link whose pings are late.
    pub abandons: bool,
    /// How long an attach may go without an answer.
    pub attach_within: Duration,
    /// How long its polls wait, in milliseconds.
    pub wait: u64,
    target: Target,
    history: History,
    ticket: String,
    /// The token that it opened with.
    token: Option<String>,
    link: u64,
    count: u64,
    acknowledged: u64,
    frames: VecDeque<Value>,
    conns: HashMap<u64, Conn>,
    current: Option<u64>,
    deadline: Option<Instant>,
    /// What it opened its session with.
    open: Value,
    durable: HashSet<String>,
    /// Links that this client ever took.
    own_links: HashSet<u64>,
    sender: mpsc::UnboundedSender<(u64, Incoming)>,
    receiver: mpsc::UnboundedReceiver<(u64, Incoming)>,
    uplink: uplink::Uplink,
    since: HashMap<String, Position>,
    /// Whether the next frame of the link is lost.
    loses: bool,
    /// When the server said to come back.
    not_before: Option<Instant>,
}

impl Client {
    /// Opens a session, with more members of the `open`; its refusal is the error.
    pub async fn try_open(
        target: impl Into<Target>,
        transport: Transport,
        members: Value,
        history: &History,
    ) -> Result<Self, Value> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut client = Self {
            name: super::unique("client"),
            member: String::new(),
            hello: Value::Null,
            ended: None,
            refusal: Value::Null,
            echoes: Vec::new(),
            transport,
            comes_back: true,
            proves: false,
            reopens: false,
            lost: 0,
            rebuilt: 0,
            abandons: true,
            attach_within: PATIENCE,
            wait: 5_000,
            target: target.into(),
            history: history.clone(),
            ticket: String::new(),
            token: members["token"].as_str().map(str::to_owned),
            link: 1,
            count: 0,
            acknowledged: 0,
            frames: VecDeque::new(),
            conns: HashMap::new(),
            current: None,
            deadline: None,
            open: Value::Null,
            durable: HashSet::new(),
            own_links: HashSet::from([1]),
            sender,
            receiver,
            uplink: uplink::Uplink::default(),
            since: HashMap::new(),
            loses: false,
            not_before: None,
        };
        let mut open = json!({ "l": "open", "v": 1 });
        for (key, value) in members.as_object().into_iter().flatten() {
            open[key] = value.clone();
        }
        client.open = open.clone();
        for sub in open["subs"].as_array().into_iter().flatten() {
            client.asks_since(sub);
        }
        client.begin(transport, &open).await?;
        let (name, member) = (client.name.clone(), client.member.clone());
        client.record(Record::Opened { client: name, member });
        Ok(client)
    }

    /// Opens a session.
    pub async fn open(
        target: impl Into<Target>,
        transport: Transport,
        members: Value,
        history: &History,
    ) -> Self {
        let opened = Self::try_open(target, transport, members, history).await;
        opened.unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    /// The next session frame.
    pub async fn next(&mut self) -> Value {
        match self.next_within(PATIENCE).await {
            Some(frame) => frame,
            None => panic!(
                "{}: no frame came over {:?} at link {}; {} counted, {} unsettled, ended: {:?}",
                self.name,
                self.transport,
                self.link,
                self.count,
                self.unsettled(),
                self.ended
            ),
        }
    }

    /// The next session frame, if it comes in time and the session goes on.
    pub async fn next_within(&mut self, within: Duration) -> Option<Value> {
        let until = Instant::now() + within;
        while self.frames.is_empty() {
            if self.ended.is_some() && self.reopens && self.reopen(until).await {
                continue;
            }
            if self.ended.is_some() || !self.step(until).await {
                return None;
            }
        }
        self.frames.pop_front()
    }

    /// Reads until a frame that `wanted` accepts, and returns it.
    pub async fn until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let frame = self.next().await;
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Reads until a frame of this kind.
    pub async fn until_kind(&mut self, kind: &str) -> Value {
        self.until(|frame| text(frame, "t") == kind).await
    }

    /// Reads until an event of this channel.
    pub async fn event(&mut self, ch: &str) -> Value {
        self.until(|frame| text(frame, "t") == "event" && text(frame, "ch") == ch).await
    }

    /// Reads until so many events of this channel; what their `data` is.
    pub async fn data(&mut self, ch: &str, many: usize) -> Vec<Value> {
        let mut data = Vec::with_capacity(many);
        while data.len() < many {
            data.push(self.event(ch).await["data"].clone());
        }
        data
    }

    /// Sends a session frame. Returns its number.
    pub fn send(&mut self, frame: Value) -> u64 {
        if text(&frame, "t") == "subscribe" {
            self.asks_since(&frame);
        }
        let seq = self.uplink.push(frame);
        self.flush();
        seq
    }

    /// Sends a session frame and reads until it is settled; other frames stay to be read.
    pub async fn call(&mut self, frame: Value) -> Value {
        let seq = self.send(frame);
        self.settled(seq).await
    }

    /// Reads until a frame up is settled; other frames stay to be read.
    pub async fn settled(&mut self, seq: u64) -> Value {
        let mut others = VecDeque::new();
        let answer = loop {
            let frame = self.next().await;
            if frame["re"] == seq {
                break frame;
            }
            others.push_back(frame);
        };
        others.append(&mut self.frames);
        self.frames = others;
        answer
    }

    /// Sends a publish with an id of its own. Returns its number.
    pub fn publish(&mut self, ch: &str, data: impl Into<Value>) -> u64 {
        let id = super::unique("id");
        self.publish_as(ch, data, &id)
    }

    /// Sends a publish under this id. Returns its number.
    pub fn publish_as(&mut self, ch: &str, data: impl Into<Value>, id: &str) -> u64 {
        let frame = json!({ "t": "publish", "ch": ch, "id": id, "data": data.into() });
        self.record(Record::Sent {
            client: self.name.clone(),
            ch: ch.to_owned(),
            id: id.to_owned(),
            events: 1,
        });
        self.uplink.published(ch, id);
        self.send(frame)
    }

    /// How many publishes have no answer.
    pub fn unsettled(&self) -> usize {
        self.uplink.unsettled()
    }

    /// The highest offset that was delivered of a channel, as a position.
    pub fn position(&self, ch: &str) -> Option<&Position> {
        self.since.get(ch)
    }

    /// Where a subscription goes on: its position, of a durable channel that it has read.
    pub fn resumes_at(&self, ch: &str) -> Value {
        let position = self.since.get(ch).filter(|_| self.durable.contains(ch));
        position.map_or(Value::Null, |position| position.to_string().into())
    }

    /// The number of its link.
    pub fn link(&self) -> u64 {
        self.link
    }

    /// The ticket with which it comes back.
    pub fn ticket(&self) -> &str {
        &self.ticket
    }

    /// How many session frames it has counted.
    pub fn counted(&self) -> u64 {
        self.count
    }

    /// The next frame of its link is lost on the way, as if a proxy had dropped it.
    pub fn forget_one_frame(&mut self) {
        self.loses = true;
    }

    fn record(&self, record: Record) {
        self.history.add(record);
    }

    fn asks_since(&mut self, sub: &Value) {
        let ch = text(sub, "ch").to_owned();
        match text(sub, "since").parse() {
            Ok(position) => self.since.insert(ch, position),
            Err(_) => self.since.remove(&ch),
        };
    }

    /// Takes one thing that comes. False when nothing came until then.
    async fn step(&mut self, until: Instant) -> bool {
        if self.current.is_none() && self.comes_back {
            let back = self.reattach(until).await;
            if !back || self.ended.is_some() {
                return back;
            }
        }
        let at = self.deadline.map_or(until, |deadline| deadline.min(until));
        match timeout_at(at, self.receiver.recv()).await {
            Ok(Some((conn, incoming))) => {
                self.take(conn, incoming);
                true
            }
            Err(_) if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                self.drop_link();
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    fn take(&mut self, conn: u64, incoming: Incoming) {
        match incoming {
            Incoming::Frame(frame) if frame.get("l").is_some() => {
                self.link_frame(conn, &frame);
            }
            Incoming::Frame(frame) => self.session_frame(conn, frame),
            Incoming::Answer(result) => self.answered(conn, result),
            Incoming::Gone => self.gone(conn),
        }
    }

    /// Counts a session frame and hands it over, if it is the next.
    fn session_frame(&mut self, conn: u64, frame: Value) {
        self.arrived(conn);
        let Some(known) = self.conns.get_mut(&conn) else { return };
        if self.current != Some(conn) || known.link != Some(self.link) {
            return;
        }
        if std::mem::take(&mut self.loses) {
            return;
        }
        known.at += 1;
        let number = known.at;
        self.numbered(number, &frame);
        if number <= self.count {
            return;
        }
        if number > self.count + 1 {
            self.drop_link();
            return;
        }
        self.count = number;
        if let Some(seq) = frame["re"].as_u64() {
            self.uplink.applied(seq);
            self.answer(seq, &frame);
        }
        self.note(&frame);
        if frame.as_object().is_some_and(|members| !members.is_empty()) {
            self.frames.push_back(frame);
        }
        if self.count - self.acknowledged >= 200 {
            self.acknowledge();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.conns.values().for_each(Conn::abort);
    }
}
