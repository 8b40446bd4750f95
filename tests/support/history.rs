//! What happened in a run, in the order in which it was seen: every publish, answer, delivery, gap
//! and change of presence.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use throughline::protocol::position::Position;

/// How a publish ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored there; it had been stored before.
    Stored(Position, bool),
    /// It is not stored.
    Refused(String),
    /// It may be stored.
    Unknown,
}

/// What a connection brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// A session frame.
    Frame,
    /// The word that a higher link has the session.
    Superseded,
}

/// A change of presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The whole list.
    Members(Vec<String>),
    /// One more.
    Join(String),
    /// Another state.
    Update(String),
    /// One less.
    Leave(String),
}

/// One thing that happened. `client` is who saw it; `ch` a channel.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the members are those of the protocol")]
pub enum Record {
    /// A session was opened.
    Opened { client: String, member: String },
    /// A session was ended by its client.
    Closed { client: String, member: String },
    /// A publish, or a batch of so many events, was handed to the network for the first time.
    Sent { client: String, ch: String, id: String, events: u64 },
    /// Its answer. `seq` is the number of a session's frame.
    Answered { client: String, ch: String, id: String, seq: Option<u64>, outcome: Outcome },
    /// A subscription begins.
    Subscribed { client: String, ch: String, since: Option<Position>, pos: Position, durable: bool },
    /// An event was handed to the application.
    Delivered { client: String, ch: String, pos: Position, id: String, by: Option<String> },
    /// Events are missing up to `pos`.
    Gap { client: String, ch: String, pos: Position },
    /// So many ephemeral events were not delivered.
    Skipped { client: String, n: u64 },
    /// A replay is done: of a channel, or of the session.
    CaughtUp { client: String, ch: Option<String> },
    /// A change of presence was handed to the application.
    Presence { client: String, ch: String, v: u64, change: Change },
    /// A session frame came under this number on this link.
    Numbered { client: String, link: u64, number: u64, frame: String },
    /// What a connection brought, before the client judged it.
    Arrived { client: String, conn: u64, brought: Brought },
    /// A cut or a change of transport was survived: the session goes on at this link.
    Resumed { client: String, link: u64 },
    /// What the log holds in the end, in order.
    Logged { ch: String, pos: Position, id: String },
    /// In the end the client was given all the time it needed.
    Quiet { client: String },
    /// From here on what the log holds of this channel, or of every one, may be lost: its end, or
    /// all of it.
    LossBegins { ch: Option<String>, all: bool },
    /// What was acknowledged from here on is kept.
    LossEnds { ch: Option<String> },
}

/// What happened so far, and when; clones share it.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Vec<(Instant, Record)>>>);

impl History {
    /// One more.
    pub fn add(&self, record: Record) {
        self.0.lock().push((Instant::now(), record));
    }

    /// What came after so many records.
    pub fn after(&self, many: usize) -> Vec<Record> {
        let all = self.0.lock();
        all.get(many..).unwrap_or_default().iter().map(|(_, record)| record.clone()).collect()
    }

    /// All of it.
    pub fn records(&self) -> Vec<Record> {
        self.after(0)
    }

    /// Within which time 99 of 100 events came that were published after so many records: from the
    /// first time that each was sent to each time that an application was handed it.
    pub fn delivery_p99(&self, many: usize) -> Duration {
        let all = self.0.lock();
        let (mut sent, mut took) = (HashMap::new(), Vec::new());
        for (at, record) in all.get(many..).unwrap_or_default() {
            match record {
                Record::Sent { id, .. } => drop(sent.entry(id).or_insert(*at)),
                Record::Delivered { id, .. } => {
                    took.extend(sent.get(id).map(|sent| at.duration_since(*sent)));
                }
                _ => {}
            }
        }
        took.sort_unstable();
        took.get(took.len() * 99 / 100).copied().unwrap_or_default()
    }
}
