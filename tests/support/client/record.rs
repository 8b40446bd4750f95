//! What a client writes into the history.

use serde_json::Value;
use throughline::protocol::position::Position;

use super::super::history::{Brought, Change, Outcome, Record};
use super::{Client, text};

impl Client {
    /// A connection brought a session frame.
    pub(super) fn arrived(&self, conn: u64) {
        let client = self.name.clone();
        self.record(Record::Arrived { client, conn, brought: Brought::Frame });
    }

    pub(super) fn numbered(&self, number: u64, frame: &Value) {
        let (client, link, frame) = (self.name.clone(), self.link, frame.to_string());
        self.record(Record::Numbered { client, link, number, frame });
    }

    /// A publish is settled.
    pub(super) fn answer(&mut self, seq: u64, frame: &Value) {
        let Some((ch, id)) = self.uplink.settles(seq) else { return };
        let outcome = match (text(frame, "t"), text(frame, "pos").parse()) {
            ("ok", Ok(pos)) => Outcome::Stored(pos, frame["duplicate"] == true),
            _ if text(frame, "code") == "unknown_outcome" => Outcome::Unknown,
            _ => Outcome::Refused(text(frame, "code").to_owned()),
        };
        let (client, seq) = (self.name.clone(), Some(self.uplink.recorded(seq)));
        self.record(Record::Answered { client, ch, id, seq, outcome });
    }

    /// A session frame is handed to the application.
    pub(super) fn note(&mut self, frame: &Value) {
        let client = self.name.clone();
        let ch = text(frame, "ch").to_owned();
        let pos = text(frame, "pos").parse::<Position>();
        match (text(frame, "t"), pos) {
            ("event", Ok(pos)) => {
                let by = frame["by"].as_str().map(str::to_owned);
                let id = text(frame, "id").to_owned();
                self.since.insert(ch.clone(), pos.clone());
                self.record(Record::Delivered { client, ch, pos, id, by });
            }
            ("subscribed", Ok(pos)) => {
                let since = self.since.insert(ch.clone(), pos.clone());
                let durable = frame["durable"] == true;
                if durable {
                    self.durable.insert(ch.clone());
                }
                self.record(Record::Subscribed { client, ch, since, pos, durable });
            }
            ("gap", Ok(pos)) => {
                self.since.insert(ch.clone(), pos.clone());
                self.record(Record::Gap { client, ch, pos });
            }
            ("skipped", _) => {
                let n = frame["n"].as_u64().unwrap_or_default();
                self.record(Record::Skipped { client, n });
            }
            ("caught_up", _) => {
                let ch = (!ch.is_empty()).then_some(ch);
                self.record(Record::CaughtUp { client, ch });
            }
            (kind @ ("members" | "join" | "update" | "leave"), _) => {
                let v = frame["v"].as_u64().unwrap_or_default();
                let change = change(kind, frame);
                self.record(Record::Presence { client, ch, v, change });
            }
            _ => {}
        }
    }
}

fn change(kind: &str, frame: &Value) -> Change {
    let id = |member: &Value| text(member, "id").to_owned();
    match kind {
        "members" => {
            Change::Members(frame["members"].as_array().into_iter().flatten().map(id).collect())
        }
        "join" => Change::Join(id(&frame["member"])),
        "update" => Change::Update(id(&frame["member"])),
        _ => Change::Leave(id(frame)),
    }
}
