//! Proving a candidate before it is attached, as the SDK does.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::Client;
use super::carry::{self, Carried, Conn};

/// How long an answer is waited for; then another candidate is tried.
const ECHO_WITHIN: Duration = Duration::from_secs(4);

impl Client {
    /// Waits until the connection that is to be the link has become it: an exchange that named its
    /// number before would be taken for a poll.
    pub(super) async fn is_attached(&mut self, until: Instant) {
        let until = until.min(Instant::now() + ECHO_WITHIN);
        let pends = |client: &Self| {
            let conn = client.current.and_then(|id| client.conns.get(&id));
            conn.is_some_and(|conn| !conn.is_request())
                && client.link > 1
                && client.own_links.contains(&client.link)
        };
        while pends(self) && self.ended.is_none() {
            match timeout_at(until, self.receiver.recv()).await {
                Ok(Some((conn, incoming))) => self.take(conn, incoming),
                Ok(None) | Err(_) => return self.drop_link(),
            }
        }
    }

    /// Whether a candidate answers an echo: asked on it, or beside the link for a stream.
    pub(super) async fn is_proven(&mut self, id: u64, until: Instant) -> bool {
        let Some(conn) = self.conns.get(&id) else { return false };
        let echo = super::super::unique("echo");
        match (&conn.out, conn.via.clone()) {
            (Some(out), _) => {
                let _ = out.send(json!({ "l": "echo", "id": echo }).to_string());
            }
            (None, via) => {
                let attach = json!({
                    "l": "attach", "ticket": self.ticket, "link": self.link, "count": self.count,
                });
                let frames = [attach, json!({ "l": "echo", "id": echo, "via": via })];
                let side = Self::next_conn();
                let conn =
                    carry::exchange(&self.target, Carried::Side, &frames, side, &self.sender);
                self.conns.insert(side, Conn { link: Some(self.link), ..conn });
            }
        }
        let until = until.min(Instant::now() + ECHO_WITHIN);
        while self.conns.contains_key(&id) && self.not_before.is_none() && self.ended.is_none() {
            if let Some(at) = self.echoes.iter().position(|known| *known == echo) {
                self.echoes.remove(at);
                return true;
            }
            match timeout_at(until, self.receiver.recv()).await {
                Ok(Some((conn, incoming))) => self.take(conn, incoming),
                Ok(None) | Err(_) => return false,
            }
        }
        false
    }
}
