//! Link frames that are said beside the link, and the end.

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::super::history::Record;
use super::carry::{self, Carried, Conn, Incoming};
use super::{Client, PATIENCE};

impl Client {
    /// Says a link frame: on the WebSocket, or in an exchange, which is returned.
    pub fn say(&mut self, frame: &Value) -> Option<u64> {
        let conn = self.current.and_then(|id| self.conns.get(&id));
        if let Some(out) = conn.and_then(|conn| conn.out.as_ref()) {
            let _ = out.send(frame.to_string());
            return None;
        }
        let attach = json!({
            "l": "attach", "ticket": self.ticket, "link": self.link, "count": self.count,
        });
        let id = Self::next_conn();
        let frames = [attach, frame.clone()];
        let conn = carry::exchange(&self.target, Carried::Side, &frames, id, &self.sender);
        self.conns.insert(id, Conn { link: Some(self.link), ..conn });
        Some(id)
    }

    /// Ends the session, and waits until the server knows.
    pub async fn close(mut self) {
        self.comes_back = false;
        let (client, member) = (self.name.clone(), self.member.clone());
        self.record(Record::Closed { client, member });
        let close = json!({ "l": "close" });
        let mut said = (self.link, self.say(&close));
        let until = Instant::now() + PATIENCE;
        while self.ended.is_none() && !self.conns.is_empty() {
            let Ok(Some((conn, incoming))) = timeout_at(until, self.receiver.recv()).await else {
                panic!("{}: the close was not answered", self.name)
            };
            let unheard = matches!(incoming, Incoming::Answer(Err(None))) && said.1 == Some(conn);
            if unheard {
                self.conns.remove(&conn);
            } else {
                self.take(conn, incoming);
            }
            // Or a higher poll has given up the exchange that said it.
            if (unheard || self.link > said.0) && self.ended.is_none() {
                said = (self.link, self.say(&close));
            }
        }
    }
}
