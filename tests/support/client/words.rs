//! Link frames that are said beside the link, and the end.

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::super::history::Record;
use super::carry::{self, Carried, Conn};
use super::{Client, PATIENCE};

impl Client {
    /// Says a link frame: on the WebSocket, or in an exchange.
    pub fn say(&mut self, frame: &Value) {
        let conn = self.current.and_then(|id| self.conns.get(&id));
        if let Some(out) = conn.and_then(|conn| conn.out.as_ref()) {
            let _ = out.send(frame.to_string());
            return;
        }
        let attach = json!({
            "l": "attach", "ticket": self.ticket, "link": self.link, "count": self.count,
        });
        let id = Self::next_conn();
        let frames = [attach, frame.clone()];
        let conn = carry::exchange(&self.target, Carried::Side, &frames, id, &self.sender);
        self.conns.insert(id, Conn { link: Some(self.link), ..conn });
    }

    /// Ends the session, and waits until the server knows.
    pub async fn close(mut self) {
        self.comes_back = false;
        let (client, member) = (self.name.clone(), self.member.clone());
        self.record(Record::Closed { client, member });
        let (close, mut said) = (json!({ "l": "close" }), self.link);
        self.say(&close);
        let until = Instant::now() + PATIENCE;
        while self.ended.is_none() && !self.conns.is_empty() {
            let Ok(Some((conn, incoming))) = timeout_at(until, self.receiver.recv()).await else {
                panic!("{}: the close was not answered", self.name)
            };
            self.take(conn, incoming);
            // A higher poll has given up the exchange that said it.
            if self.link > said && self.ended.is_none() {
                said = self.link;
                self.say(&close);
            }
        }
    }
}
