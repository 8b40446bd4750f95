//! The application's backend: publishes through any node, repeats itself, and tries again until it
//! knows.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::value::RawValue;
use throughline::gateway::publish::{Batch, NewEvent, Publisher, append};
use throughline::gateway::rules::Rules;
use throughline::protocol::channel::{Channel, PublishId};
use throughline::protocol::error::ErrorCode;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::node::{Fleet, Node};
use crate::support::history::{History, Outcome, Record};

/// How long it waits for an answer, and for how long it tries again.
const ANSWER: Duration = Duration::from_secs(3);
const GIVES_UP: Duration = Duration::from_secs(40);

pub(crate) struct Backend {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) history: History,
    pub(crate) name: String,
    pub(crate) rng: StdRng,
    last: u64,
}

impl Backend {
    pub(crate) fn new(fleet: &Arc<Fleet>, history: &History, name: &str, rng: StdRng) -> Self {
        let (fleet, history) = (Arc::clone(fleet), history.clone());
        Self { fleet, history, name: name.to_owned(), rng, last: 0 }
    }

    /// Publishes now and then until it is told to stop; then once to each channel.
    pub(crate) async fn run(mut self, channels: Vec<String>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            sleep(Duration::from_millis(self.rng.random_range(20..500))).await;
            let ch = channels[self.rng.random_range(0..channels.len())].clone();
            self.publish(&ch).await;
        }
        for ch in &channels {
            self.publish(ch).await;
        }
        self.history.add(Record::Quiet { client: self.name.clone() });
    }

    /// Publishes one event, or a few as one, until it is stored; now and then once more.
    async fn publish(&mut self, ch: &str) {
        self.last += 1;
        let id = format!("{}-{}", self.name, self.last);
        let events = if self.rng.random_bool(0.1) { 3 } else { 1 };
        self.history.add(Record::Sent {
            client: self.name.clone(),
            ch: ch.to_owned(),
            id: id.clone(),
            events,
        });
        let until = Instant::now() + GIVES_UP;
        while Instant::now() < until {
            let outcome = self.attempt(ch, &id, events).await;
            let stored = matches!(outcome, Outcome::Stored(..));
            self.history.add(Record::Answered {
                client: self.name.clone(),
                ch: ch.to_owned(),
                id: id.clone(),
                seq: None,
                outcome,
            });
            if stored && !self.rng.random_bool(0.1) {
                return;
            }
            sleep(Duration::from_millis(self.rng.random_range(20..200))).await;
        }
    }

    async fn attempt(&mut self, ch: &str, id: &str, events: u64) -> Outcome {
        let place = self.rng.random_range(0..self.fleet.len());
        let Some(node) = self.fleet.node(place) else {
            return Outcome::Unknown;
        };
        let asked = ask(&node, ch, id, events);
        tokio::select! {
            biased;
            () = node.running.dies() => Outcome::Unknown,
            outcome = timeout(ANSWER, asked) => outcome.unwrap_or(Outcome::Unknown),
        }
    }
}

async fn ask(node: &Node, ch: &str, id: &str, events: u64) -> Outcome {
    node.running.gate().await;
    let channel = Channel::parse(ch).expect("a channel");
    let rules = Rules::of(&node.gateway.config, &channel).expect("its rules");
    let data = || RawValue::from_string(format!("\"{id}\"")).expect("it is JSON");
    let events = (0..events).map(|_| NewEvent { data: data(), key: None }).collect();
    let publish_id = Some(PublishId::parse(id).expect("an id"));
    let batch = Batch { channel, events, id: publish_id, expect: None };
    let publisher = Publisher { scope: "k:backend".into(), user: None, by: None };
    let done = append(&node.gateway, &rules, publisher, batch).await;
    node.running.gate().await;
    match done {
        Ok(receipt) => Outcome::Stored(receipt.pos, receipt.duplicate),
        Err(refused) if refused.refusal.code == ErrorCode::UnknownOutcome => Outcome::Unknown,
        Err(refused) => Outcome::Refused(refused.refusal.code.as_str().to_owned()),
    }
}
