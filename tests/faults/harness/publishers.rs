//! The application's backends: each publishes to all nodes, repeats itself, and tries again until it
//! knows.

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::json;
use throughline::protocol::position::Position;
use tokio::task::JoinSet;
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

/// How many publishes of one publisher may be on their way at once.
const ON_THE_WAY: usize = 32;

/// What publishing came to, besides the history.
pub struct Figures {
    /// Since when.
    began: Instant,
    /// Publishes that were stored.
    stored: AtomicU64,
    /// Answers, or none, that left the outcome open.
    unknown: AtomicU64,
    /// Answers that nothing was stored.
    refused: AtomicU64,
    /// The longest that an answer took, in milliseconds.
    slowest_ms: AtomicU64,
}

impl Default for Figures {
    fn default() -> Self {
        let [stored, unknown, refused, slowest_ms] = Default::default();
        Self { began: Instant::now(), stored, unknown, refused, slowest_ms }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |figure: &AtomicU64| figure.load(Relaxed);
        let stored = f64::from(u32::try_from(of(&self.stored)).unwrap_or(u32::MAX));
        let per_second = stored / self.began.elapsed().as_secs_f64();
        let (unknown, refused, slowest) =
            (of(&self.unknown), of(&self.refused), of(&self.slowest_ms));
        write!(
            f,
            "{per_second:.0} stored a second, {unknown} unknown, {refused} refused, {slowest} ms"
        )
    }
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
        let mut on_the_way = JoinSet::new();
        while stop.run_until_cancelled(turns.tick()).await.is_some() {
            if on_the_way.len() == ON_THE_WAY {
                on_the_way.join_next().await;
            }
            // What is on its way at once has no order: each is a publisher of its own.
            let own = Self { name: unique("backend"), ..self.clone() };
            let ch = channels.choose(&mut rng).expect("a channel").clone();
            let again = rng.random_bool(0.1);
            on_the_way.spawn(async move {
                if own.publish(&ch).await.is_some() && again {
                    own.repeat(&ch).await;
                }
                own.history.add(Record::Quiet { client: own.name.clone() });
            });
        }
        on_the_way.join_all().await;
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
            // Nobody listens: no node was asked, which is no answer.
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
            Outcome::Stored(..) => drop(self.figures.stored.fetch_add(1, Relaxed)),
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
