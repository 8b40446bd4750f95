//! The network: each connection keeps its order, nothing else does.

use throughline::protocol::down::{Hello, LinkDown};
use throughline::protocol::frame::Frame;
use throughline::protocol::up::Numbered;
use throughline::session::input::{AttachInput, ConnId, ConnKind, Input};

use crate::world::{Event, World};

/// The longest that a message is under way.
pub const DELAY_MS: u64 = 400;

#[derive(Debug, Clone)]
pub enum UpMsg {
    Candidate,
    Attach(AttachInput),
    Exchange(AttachInput, Vec<Numbered>),
    Up(Numbered),
    Pong(u64),
    Leaving,
}

#[derive(Debug, Clone)]
pub enum DownMsg {
    Hello,
    Session(Frame),
    Link(Frame),
    Answer(Vec<Frame>),
    Closed(Option<&'static str>, bool),
}

#[derive(Debug)]
pub struct Conn {
    pub kind: ConnKind,
    /// Nothing passes any more.
    pub cut: bool,
    /// The server still holds it.
    pub at_server: bool,
    /// A whole request reached the server.
    pub asked: bool,
    last_up: u64,
    last_down: u64,
}

impl World {
    pub fn connect(&mut self, kind: ConnKind) -> ConnId {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        let last = self.now;
        self.conns.insert(
            conn,
            Conn {
                kind,
                cut: false,
                at_server: true,
                asked: false,
                last_up: last,
                last_down: last,
            },
        );
        conn
    }

    pub fn send_up(&mut self, conn: ConnId, up: UpMsg) {
        let delay = self.roll(DELAY_MS);
        let held = self.conns.get_mut(&conn).unwrap();
        held.last_up = held.last_up.max(self.now + delay);
        let at = held.last_up;
        self.later(at, Event::ToServer(conn, up));
    }

    /// The same request reaches the server again (a browser or a proxy repeats it).
    pub fn repeat(&mut self, up: UpMsg) -> ConnId {
        let conn = self.connect(ConnKind::Poll);
        let at = self.now + self.roll(DELAY_MS * 3);
        self.later(at, Event::ToServer(conn, up));
        conn
    }

    pub fn send_down(&mut self, conn: ConnId, down: DownMsg) {
        let delay = self.roll(DELAY_MS);
        let Some(held) = self.conns.get_mut(&conn) else { return };
        assert!(held.at_server, "S1, M17: {conn:?} gets {down:?} after its end");
        held.last_down = held.last_down.max(self.now + delay);
        let at = held.last_down;
        self.later(at, Event::ToClient(conn, down));
    }

    pub fn server_closes(&mut self, conn: ConnId) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.at_server = false;
        }
    }

    /// Cuts a connection; each side learns of it or does not.
    pub fn cut(&mut self, conn: ConnId, client_learns: bool, server_learns: bool) {
        let Some(held) = self.conns.get_mut(&conn) else { return };
        held.cut = true;
        if client_learns {
            let at = self.now + self.roll(DELAY_MS);
            self.later(at, Event::ClientLost(conn));
        }
        if server_learns {
            let at = self.now + self.roll(DELAY_MS);
            self.later(at, Event::ServerLost(conn));
        }
    }

    pub fn passes(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|conn| !conn.cut)
    }

    pub fn server_loses(&mut self, conn: ConnId) {
        let Some(held) = self.conns.get_mut(&conn).filter(|held| held.at_server) else { return };
        held.at_server = false;
        self.feed(Input::Lost { conn });
    }

    pub fn server_gets(&mut self, conn: ConnId, up: UpMsg) {
        let Some(held) = self.conns.get(&conn).filter(|held| held.at_server && !held.cut) else {
            return;
        };
        let kind = held.kind;
        self.conns.get_mut(&conn).unwrap().asked = true;
        match up {
            UpMsg::Candidate => {
                self.feed(Input::Candidate { conn, kind });
                let hello = Hello { v: 1, via: "n", nonce: "n", opened: None };
                let _ = LinkDown::Hello(hello).encode();
                if self.conns[&conn].at_server {
                    self.send_down(conn, DownMsg::Hello);
                }
            }
            UpMsg::Attach(attach) => self.feed(Input::Attach { conn, attach }),
            UpMsg::Exchange(attach, frames) => {
                self.feed(Input::Exchange { conn, attach, frames });
            }
            UpMsg::Up(frame) => self.feed(Input::Up { conn, frame }),
            UpMsg::Pong(count) => {
                self.feed(Input::Pong { conn, count: Some(count), visible: None });
            }
            UpMsg::Leaving => {
                self.server_closes(conn);
                self.leaving_at = Some(self.now);
                self.feed(Input::Leaving);
            }
        }
    }
}
