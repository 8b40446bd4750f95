//! Links: opening, moving from one transport to another, and coming back.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::super::history::{Brought, Record};
use super::super::text;
use super::carry::{self, Carried, Conn, Incoming};
use super::{Client, PATIENCE, Transport};

/// How much later than `wait` the answer to a poll may come.
const LATE: Duration = Duration::from_secs(5);

impl Client {
    pub(super) fn next_conn() -> u64 {
        rand::random()
    }

    /// How long a node is waited for: where others may answer, not for long.
    fn patience(&self) -> Duration {
        if self.reopens { PATIENCE / 6 } else { PATIENCE }
    }

    /// Opens the session; its refusal is the error.
    pub(super) async fn begin(&mut self, transport: Transport, open: &Value) -> Result<(), Value> {
        self.link = open["link"].as_u64().unwrap_or(1);
        self.own_links.insert(self.link);
        let id = Self::next_conn();
        let conn = match transport {
            Transport::Poll => {
                let frames = std::slice::from_ref(open);
                carry::exchange(&self.target, Carried::Poll, frames, id, &self.sender)
            }
            Transport::WebSocket => carry::websocket(&self.target, id, &self.sender),
            _ => carry::stream(&self.target, transport, open, id, &self.sender),
        };
        if let Some(out) = &conn.out {
            let _ = out.send(open.to_string());
        }
        self.conns.insert(id, Conn { link: Some(self.link), ..conn });
        self.current = Some(id);
        let until = Instant::now() + self.patience();
        while self.hello.is_null() {
            let came = timeout_at(until, self.receiver.recv()).await;
            let Ok(Some((conn, incoming))) = came else {
                return Err(json!({ "code": "no hello came" }));
            };
            match &incoming {
                Incoming::Frame(frame) | Incoming::Answer(Err(Some(frame)))
                    if text(frame, "l") == "error" =>
                {
                    return Err(frame.clone());
                }
                Incoming::Gone | Incoming::Answer(Err(_)) => {
                    return Err(json!({ "code": "the connection was cut before the hello" }));
                }
                _ => self.take(conn, incoming),
            }
        }
        // The hello is answered, so that the session is no longer provisional.
        if open["ack"] != false && transport != Transport::Poll {
            self.acknowledge();
        }
        Ok(())
    }

    /// Takes a link frame.
    pub(super) fn link_frame(&mut self, conn: u64, frame: &Value) {
        match text(frame, "l") {
            "hello" => self.take_hello(conn, frame),
            "attached" => self.attached(conn, frame),
            "ping" => self.pinged(conn, frame),
            "echo" => self.echoes.push(text(frame, "id").to_owned()),
            "superseded" => self.superseded(conn, frame),
            "error" => self.refused(conn, frame),
            _ => {}
        }
    }

    fn take_hello(&mut self, conn: u64, hello: &Value) {
        if let Some(known) = self.conns.get_mut(&conn) {
            known.via = Some(text(hello, "via").to_owned());
        }
        if hello.get("ticket").is_some() {
            text(hello, "ticket").clone_into(&mut self.ticket);
            text(&hello["me"], "id").clone_into(&mut self.member);
            self.hello = hello.clone();
        }
    }

    fn attached(&mut self, conn: u64, frame: &Value) {
        if frame["link"] != self.link {
            return;
        }
        let Some(known) = self.conns.get_mut(&conn) else { return };
        text(frame, "ticket").clone_into(&mut self.ticket);
        self.uplink.applied(frame["up"].as_u64().unwrap_or_default());
        if known.carried != Carried::Side {
            known.at = frame["from"].as_u64().unwrap_or_default();
        }
        if self.link > 1 && known.carried != Carried::Side {
            let (client, link) = (self.name.clone(), self.link);
            if self.own_links.remove(&link) {
                self.record(Record::Resumed { client, link });
            }
        }
        if self.conns.get(&conn).is_some_and(|known| known.carried == Carried::WebSocket) {
            self.flush();
        }
    }

    fn pinged(&mut self, conn: u64, ping: &Value) {
        if self.current != Some(conn) {
            return;
        }
        let next = ping["next"].as_u64().unwrap_or_default();
        let late = Instant::now() + Duration::from_millis(next * 27 / 20);
        self.deadline = self.abandons.then_some(late);
        self.uplink.applied(ping["up"].as_u64().unwrap_or_default());
        if ping["n"] == self.count {
            self.acknowledge();
        } else {
            self.drop_link();
        }
    }

    fn superseded(&mut self, conn: u64, frame: &Value) {
        let link = frame["link"].as_u64().unwrap_or_default();
        assert!(link <= self.link, "{}: superseded by {link}, above {}", self.name, self.link);
        let client = self.name.clone();
        self.record(Record::Arrived { client, conn, brought: Brought::Superseded });
        assert_ne!((self.current, link), (Some(conn), self.link), "superseded by itself");
    }

    fn refused(&mut self, conn: u64, error: &Value) {
        self.refusal = error.clone();
        if text(error, "scope") == "session"
            || matches!(text(error, "code"), "session_gone" | "bad_ticket" | "token_expired")
        {
            self.ended = Some(text(error, "code").to_owned());
        }
        let retry = Duration::from_millis(error["retry_ms"].as_u64().unwrap_or(20));
        self.not_before = Some(Instant::now() + retry);
        if self.current == Some(conn) {
            self.drop_link();
        }
    }

    /// A connection is over.
    pub(super) fn gone(&mut self, conn: u64) {
        self.conns.remove(&conn);
        if self.current == Some(conn) {
            self.drop_link();
        }
    }

    /// The link is of no use: the next wait brings another.
    pub(super) fn drop_link(&mut self) {
        self.deadline = None;
        if let Some(conn) = self.current.take().and_then(|id| self.conns.remove(&id)) {
            conn.abort();
        }
    }

    /// Cuts every connection of the client, as if its network were gone.
    pub fn cut(&mut self) {
        self.drop_link();
        self.conns.drain().for_each(|(_, conn)| conn.abort());
    }

    /// Moves to another transport, or to a new connection of the same.
    pub async fn move_to(&mut self, transport: Transport) {
        self.transport = transport;
        let until = Instant::now() + PATIENCE;
        while !self.take_link(until).await {
            assert!(self.ended.is_none(), "{}: {:?}", self.name, self.ended);
            assert!(Instant::now() < until, "{}: no {transport:?} came", self.name);
        }
    }

    /// Moves to its transport, if that comes to be until then.
    pub async fn tries_to_move(&mut self, until: Instant) -> bool {
        self.ended.is_none() && self.take_link(until).await
    }

    /// Comes back after a cut. False where there was no time for it.
    pub(super) async fn reattach(&mut self, until: Instant) -> bool {
        while self.ended.is_none() && Instant::now() < until {
            if self.take_link(until).await {
                return true;
            }
        }
        self.ended.is_some()
    }

    /// One try to bring a link of the wanted transport.
    async fn take_link(&mut self, until: Instant) -> bool {
        if let Some(at) = self.not_before.take() {
            sleep_until(at.min(until)).await;
        }
        if self.proves {
            self.is_attached(until).await;
        }
        let id = Self::next_conn();
        if self.transport == Transport::Poll {
            self.rise();
            self.poll_as(id);
            return true;
        }
        let candidate = json!({ "l": "candidate", "v": 1, "ticket": self.ticket });
        let conn = if self.transport == Transport::WebSocket {
            let conn = carry::websocket(&self.target, id, &self.sender);
            if let Some(out) = &conn.out {
                let _ = out.send(candidate.to_string());
            }
            conn
        } else {
            carry::stream(&self.target, self.transport, &candidate, id, &self.sender)
        };
        self.conns.insert(id, conn);
        // The old link goes on while the candidate proves itself.
        while self.conns.get(&id).is_some_and(|conn| conn.via.is_none()) {
            match timeout_at(until, self.receiver.recv()).await {
                Ok(Some((conn, incoming))) => self.take(conn, incoming),
                Ok(None) | Err(_) => {
                    self.conns.remove(&id).iter().for_each(Conn::abort);
                    return false;
                }
            }
        }
        if self.proves && !self.is_proven(id, until).await {
            self.conns.remove(&id).iter().for_each(Conn::abort);
            return false;
        }
        if !self.conns.contains_key(&id) || self.ended.is_some() {
            return false;
        }
        self.rise();
        self.current = Some(id);
        self.deadline = Some(Instant::now() + self.patience());
        let link = self.link;
        let Some(conn) = self.conns.get_mut(&id) else { return false };
        conn.link = Some(link);
        let via = conn.via.clone();
        let attach = json!({ "l": "attach", "link": link, "count": self.count });
        match &conn.out {
            Some(out) => {
                let _ = out.send(attach.to_string());
            }
            None => self.side(via.as_deref()),
        }
        true
    }

    /// A higher link: what the one before brings from here on is not counted.
    fn rise(&mut self) {
        self.link += 1;
        self.own_links.insert(self.link);
        self.uplink.rewind();
        self.acknowledged = self.count;
        self.current = None;
        self.deadline = None;
        for conn in self.conns.values().filter(|conn| conn.carried == Carried::Side) {
            conn.abort();
        }
        self.conns.retain(|_, conn| conn.carried != Carried::Side);
    }

    /// Polls as connection `id`, with what goes up.
    pub(super) fn poll_as(&mut self, id: u64) {
        let mut frames = vec![json!({
            "l": "attach", "ticket": self.ticket, "link": self.link, "count": self.count,
            "wait": self.wait,
        })];
        frames.extend(self.uplink.body());
        let conn = carry::exchange(&self.target, Carried::Poll, &frames, id, &self.sender);
        self.conns.insert(id, Conn { link: Some(self.link), at: self.count, ..conn });
        self.current = Some(id);
        self.deadline = Some(Instant::now() + Duration::from_millis(self.wait) + LATE);
    }

    /// Sends the poll that is pending again, with the same number: the older one is answered empty.
    pub fn poll_again(&mut self) {
        if self.current.is_some_and(|id| self.conns.get(&id).is_some_and(Conn::is_request)) {
            self.poll_as(Self::next_conn());
        }
    }

    /// A higher poll.
    pub(super) fn poll_on(&mut self) {
        self.rise();
        self.poll_as(Self::next_conn());
    }

    /// An exchange beside the link: it sends, acknowledges, and makes a candidate the link.
    pub(super) fn side(&mut self, via: Option<&str>) {
        let mut attach = json!({
            "l": "attach", "ticket": self.ticket, "link": self.link, "count": self.count,
        });
        if let Some(via) = via {
            attach["via"] = via.into();
        }
        let mut frames = vec![attach];
        frames.extend(self.uplink.body());
        self.acknowledged = self.count;
        let id = Self::next_conn();
        let conn = carry::exchange(&self.target, Carried::Side, &frames, id, &self.sender);
        let via = via.map(str::to_owned);
        self.conns.insert(id, Conn { link: Some(self.link), via, ..conn });
    }

    /// Takes the answer to an exchange.
    pub(super) fn answered(&mut self, id: u64, result: Result<Vec<Value>, Option<Value>>) {
        let Some(conn) = self.conns.get(&id) else { return };
        let (carried, link, via) = (conn.carried, conn.link, conn.via.clone());
        match result {
            Ok(frames) => {
                for frame in frames {
                    let incoming = Incoming::Frame(frame);
                    self.take(id, incoming);
                }
                self.conns.remove(&id);
                if link != Some(self.link) || self.ended.is_some() {
                    return;
                }
                if carried == Carried::Poll && self.current == Some(id) {
                    self.poll_on();
                } else if carried == Carried::Side && !self.uplink.is_empty() {
                    self.side(None);
                }
            }
            Err(refusal) => {
                self.conns.remove(&id);
                if link != Some(self.link) {
                    return;
                }
                match refusal {
                    Some(error) => {
                        self.refused(id, &error);
                        self.drop_link();
                    }
                    None if carried == Carried::Poll && self.current == Some(id) => {
                        self.poll_as(Self::next_conn());
                    }
                    None if carried == Carried::Side => self.side(via.as_deref()),
                    None => {}
                }
            }
        }
    }

    /// Tells the server what was counted.
    pub(super) fn acknowledge(&mut self) {
        let Some(conn) = self.current.and_then(|id| self.conns.get(&id)) else { return };
        if conn.link != Some(self.link) {
            return;
        }
        match (conn.carried, &conn.out) {
            (Carried::WebSocket, Some(out)) => {
                let pong = json!({ "l": "pong", "count": self.count });
                let _ = out.send(pong.to_string());
                self.acknowledged = self.count;
            }
            (Carried::Stream, _) if !self.is_sending() => self.side(None),
            _ => {}
        }
    }

    /// Whether an exchange beside the link is not answered: the next one waits for it.
    pub fn is_sending(&self) -> bool {
        self.conns.values().any(|conn| conn.carried == Carried::Side)
    }

    /// Sends what goes up.
    pub(super) fn flush(&mut self) {
        let Some(conn) = self.current.and_then(|id| self.conns.get(&id)) else { return };
        if conn.link != Some(self.link) {
            return;
        }
        match (conn.carried, conn.out.clone()) {
            (Carried::WebSocket, Some(out)) => {
                for frame in self.uplink.unwritten() {
                    let _ = out.send(frame.to_string());
                }
            }
            (Carried::Stream, _) if !self.is_sending() => self.side(None),
            (Carried::Poll, _) => self.poll_on(),
            _ => {}
        }
    }
}
