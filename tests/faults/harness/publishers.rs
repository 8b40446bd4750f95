//! The application's backends: each publishes to all nodes, repeats itself, and tries again until it
//! knows.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::json;
use throughline::protocol::position::Position;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::history::{History, Outcome, Record};
use crate::support::http::Request;
use crate::support::server::{API_KEY, Servers};
use crate::support::{text, unique};

/// How long a publisher waits for an answer.
const ANSWER: Duration = Duration::from_secs(5);
/// After which it gives up what it does not know.
const GIVES_UP: Duration = Duration::from_secs(60);

/// What publishing came to, besides the history.
#[derive(Default)]
pub struct Figures {
    /// Answers, or none, that left the outcome open.
    pub unknown: AtomicU64,
    /// Answers that nothing was stored.
    pub refused: AtomicU64,
    /// The longest that an answer took, in milliseconds.
    pub slowest_ms: AtomicU64,
}

/// Publishes through the HTTP API.
#[derive(Clone)]
pub struct Publisher {
    /// The nodes.
    pub servers: Servers,
    /// What it writes into.
    pub history: History,
    /// What it counts.
    pub figures: Arc<Figures>,
    /// What the history calls it.
    pub name: String,
}

impl Publisher {
    /// Publishes one event, until it is stored or given up. Returns where it is stored.
    pub async fn publish(&self, ch: &str) -> Option<Position> {
        let (id, until) = (unique("id"), Instant::now() + GIVES_UP);
        self.record_sent(ch, &id);
        while Instant::now() < until {
            if let Outcome::Stored(pos, _) = self.attempt(&self.servers, ch, &id).await {
                return Some(pos);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }

    /// Publishes at this rate until it is told to stop, a tenth of it twice.
    pub async fn run(
        self,
        channels: Vec<String>,
        every: Duration,
        mut rng: StdRng,
        stop: CancellationToken,
    ) {
        let mut turns = tokio::time::interval(every);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while stop.run_until_cancelled(turns.tick()).await.is_some() {
            let ch = channels.choose(&mut rng).expect("a channel");
            let again = rng.random_bool(0.1);
            if self.publish(ch).await.is_some() && again {
                self.repeat(ch).await;
            }
        }
        self.history.add(Record::Quiet { client: self.name.clone() });
    }

    /// The same publish at once to every node: one is stored.
    async fn repeat(&self, ch: &str) {
        let id = unique("id");
        self.record_sent(ch, &id);
        let nodes = self.servers.addresses().iter().map(|node| Servers::of(&[*node]));
        let sent = &id;
        let answers = nodes.map(|node| async move { self.ask(&node, ch, sent).await });
        // As the answers are in order of their places, those that were first say so.
        let mut answers = futures::future::join_all(answers).await;
        answers.sort_by_key(|outcome| matches!(outcome, Outcome::Stored(_, true)));
        let stored = answers.iter().any(|outcome| matches!(outcome, Outcome::Stored(..)));
        for outcome in answers {
            self.record(ch, &id, outcome);
        }
        let until = Instant::now() + GIVES_UP;
        while !stored && Instant::now() < until {
            if let Outcome::Stored(..) = self.attempt(&self.servers, ch, &id).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn attempt(&self, servers: &Servers, ch: &str, id: &str) -> Outcome {
        let outcome = self.ask(servers, ch, id).await;
        self.record(ch, id, outcome.clone());
        outcome
    }

    /// Asks one node to publish.
    pub async fn ask(&self, servers: &Servers, ch: &str, id: &str) -> Outcome {
        let body = json!({ "channel": ch, "id": id, "data": id });
        let request = Request::post("/api/publish", body.to_string())
            .header("content-type", "application/json")
            .header("authorization", &format!("Bearer {API_KEY}"));
        let began = Instant::now();
        let answer = timeout(ANSWER, request.send(servers.pick())).await;
        let outcome = match answer {
            Ok(Ok(answer)) if answer.status == 200 => {
                let answer = answer.json();
                // No answer of another's request.
                assert_eq!(text(&answer, "id"), id, "{answer}");
                let pos = text(&answer, "pos").parse();
                let pos = pos.unwrap_or_else(|_| panic!("{answer}"));
                Outcome::Stored(pos, answer["duplicate"] == true)
            }
            Ok(Ok(answer)) if answer.code() != "unknown_outcome" => Outcome::Refused(answer.code()),
            // Nobody listens: no node was asked.
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                return Outcome::Unknown;
            }
            _ => Outcome::Unknown,
        };
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.figures.slowest_ms.fetch_max(took, Relaxed);
        match outcome {
            Outcome::Unknown => drop(self.figures.unknown.fetch_add(1, Relaxed)),
            Outcome::Refused(_) => drop(self.figures.refused.fetch_add(1, Relaxed)),
            Outcome::Stored(..) => {}
        }
        outcome
    }

    /// Writes down that it is sent.
    pub fn record_sent(&self, ch: &str, id: &str) {
        let (client, ch, id) = (self.name.clone(), ch.to_owned(), id.to_owned());
        self.history.add(Record::Sent { client, ch, id, events: 1 });
    }

    /// Writes down how it ended.
    pub fn record(&self, ch: &str, id: &str, outcome: Outcome) {
        let (client, ch, id) = (self.name.clone(), ch.to_owned(), id.to_owned());
        self.history.add(Record::Answered { client, ch, id, seq: None, outcome });
    }
}
