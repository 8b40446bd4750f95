//! A client that polls: an exchange opens the session, then one request after the other waits.

use serde_json::Value;
use serde_json::value::RawValue;

use super::stream::{post, ticket};
use super::{Client, Tally, count};

/// One reader on one connection.
pub(crate) struct Poller {
    open: String,
    answer: Vec<u8>,
    ticket: String,
    link: u64,
    count: u64,
    /// Whether a request has no answer yet.
    waits: bool,
}

impl Poller {
    /// A reader that sends `open`.
    pub(crate) fn new(open: String) -> Self {
        Self { open, answer: Vec::new(), ticket: String::new(), link: 1, count: 0, waits: true }
    }

    fn body(&mut self, body: &[u8], tally: &mut Tally) {
        let frames: Vec<&RawValue> = serde_json::from_slice(body).expect("an array of frames");
        for frame in frames {
            let json = frame.get().as_bytes();
            if json.starts_with(br#"{"l":"hello""#) {
                self.ticket = ticket(json);
                tally.ready += 1;
            } else if json.starts_with(br#"{"l":"attached""#) {
                let attached: Value = serde_json::from_slice(json).expect("JSON");
                self.count = attached["from"].as_u64().expect("a number");
            } else if json.starts_with(br#"{"t":"#) {
                self.count += 1;
                count(json, tally);
            }
        }
    }
}

impl Client for Poller {
    fn begin(&mut self) -> Vec<u8> {
        post("/realtime/n/x", &format!("[{}]", self.open))
    }

    fn take(&mut self, bytes: &[u8], _out: &mut Vec<u8>, tally: &mut Tally) {
        self.answer.extend_from_slice(bytes);
        let Some(at) = self.answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            return;
        };
        let head = String::from_utf8_lossy(&self.answer[..at]).to_ascii_lowercase();
        let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let len: usize = len.and_then(|len| len.parse().ok()).expect("a length");
        if self.answer.len() >= at + 4 + len {
            let answer = std::mem::take(&mut self.answer);
            self.waits = false;
            self.body(&answer[at + 4..], tally);
        }
    }

    /// The next poll, where none waits.
    fn go_on(&mut self) -> Vec<u8> {
        if std::mem::replace(&mut self.waits, true) {
            return Vec::new();
        }
        self.link += 1;
        let (ticket, link, count) = (&self.ticket, self.link, self.count);
        let attach = format!(
            r#"[{{"l":"attach","ticket":"{ticket}","link":{link},"count":{count},"wait":60000}}]"#
        );
        post("/realtime/n/x", &attach)
    }
}
