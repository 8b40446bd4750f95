//! What is between clients and nodes: a balancer that sends each request anywhere, and a network
//! that delays, loses and repeats requests and answers, and cuts and silences connections.

mod port;
mod push;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use throughline::gateway::exchange::{ExchangeAnswer, ExchangeRequest, exchange};
use throughline::protocol::down::{Scope, link_error};
use throughline::protocol::error::Refusal;
use throughline::protocol::frame::Frame;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use self::push::Luck;
use crate::node::{Fleet, Node};
use crate::support::client::target::{Answer, Takes, Wires};

/// How long a repeated request waits for its answer, which nobody reads.
const REPEATED: Duration = Duration::from_secs(10);

/// The network of one client.
pub(crate) struct Net {
    fleet: Arc<Fleet>,
    /// The one node that everything goes to, if it is one.
    place: Option<usize>,
    rng: Mutex<StdRng>,
}

impl Net {
    pub(crate) fn new(fleet: &Arc<Fleet>, seed: u64) -> Arc<Self> {
        let rng = Mutex::new(StdRng::seed_from_u64(seed));
        Arc::new(Self { fleet: Arc::clone(fleet), place: None, rng })
    }

    /// One that sends everything to one node.
    pub(crate) fn to(fleet: &Arc<Fleet>, place: usize) -> Arc<Self> {
        let rng = Mutex::new(StdRng::seed_from_u64(1));
        Arc::new(Self { fleet: Arc::clone(fleet), place: Some(place), rng })
    }

    fn throw(&self) -> StdRng {
        StdRng::seed_from_u64(self.rng.lock().random())
    }

    fn push(&self, lines: mpsc::UnboundedReceiver<String>, takes: Takes) -> BoxFuture<'static, ()> {
        let (fleet, place, mut rng) = (Arc::clone(&self.fleet), self.place, self.throw());
        Box::pin(async move {
            match reach(&fleet, place, &mut rng).await {
                Some(node) => {
                    let luck = Luck::throw(rng, fleet.calm.now());
                    push::carry(&fleet, node, lines, takes, luck).await;
                }
                None => sleep(Duration::from_millis(rng.random_range(10..60))).await,
            }
        })
    }
}

/// A node that a request arrives at.
async fn reach(fleet: &Fleet, place: Option<usize>, rng: &mut StdRng) -> Option<Arc<Node>> {
    let late = if rng.random_bool(0.03) { 1_500 } else { 6 };
    sleep(Duration::from_millis(rng.random_range(0..=late))).await;
    if let Some(place) = place {
        return fleet.node(place);
    }
    let mut node = fleet.node(rng.random_range(0..fleet.len()));
    if node.as_ref().is_none_or(|node| node.gateway.is_draining()) && rng.random_bool(0.8) {
        // As a balancer does that has seen it unready.
        node = (0..fleet.len())
            .find_map(|place| fleet.node(place).filter(|node| !node.gateway.is_draining()));
    }
    node
}

impl Wires for Net {
    fn websocket(
        &self,
        lines: mpsc::UnboundedReceiver<String>,
        takes: Takes,
    ) -> BoxFuture<'static, ()> {
        self.push(lines, takes)
    }

    fn stream(&self, first: Value, takes: Takes) -> BoxFuture<'static, ()> {
        let (to, lines) = mpsc::unbounded_channel();
        let _ = to.send(first.to_string());
        self.push(lines, takes)
    }

    fn exchange(&self, frames: Vec<Value>) -> BoxFuture<'static, Answer> {
        let (fleet, place, mut rng) = (Arc::clone(&self.fleet), self.place, self.throw());
        let body = Value::Array(frames).to_string();
        Box::pin(async move {
            let rough = !fleet.calm.now();
            if rough && rng.random_bool(0.04) {
                repeat(&fleet, body.clone(), StdRng::seed_from_u64(rng.random()));
            }
            let node = reach(&fleet, place, &mut rng).await;
            let answer = match node {
                Some(node) if !(rough && rng.random_bool(0.03)) => ask(&fleet, &node, body).await,
                _ => Err(None),
            };
            sleep(Duration::from_millis(rng.random_range(0..=6))).await;
            if rough && rng.random_bool(0.03) || matches!(answer, Err(None)) {
                sleep(Duration::from_millis(rng.random_range(10..60))).await;
                return Err(None);
            }
            answer
        })
    }
}

/// The same request once more, sooner or later, of which nobody reads the answer.
fn repeat(fleet: &Arc<Fleet>, body: String, mut rng: StdRng) {
    let fleet = Arc::clone(fleet);
    tokio::spawn(async move {
        sleep(Duration::from_millis(rng.random_range(0..800))).await;
        if let Some(node) = reach(&fleet, None, &mut rng).await {
            let _ = timeout(REPEATED, ask(&fleet, &node, body)).await;
        }
    });
}

async fn ask(fleet: &Fleet, node: &Node, body: String) -> Answer {
    let cuts = fleet.cuts.now();
    let request = ExchangeRequest { nonce: "n".to_owned(), body, bearer: None };
    let asked = async {
        node.running.gate().await;
        let answer = exchange(&node.gateway, request).await;
        node.running.gate().await;
        answer
    };
    tokio::select! {
        biased;
        () = node.running.dies() => Err(None),
        _ = fleet.cuts.until(|count| count != cuts) => Err(None),
        answer = asked => match answer {
            Ok(ExchangeAnswer::Frames(frames)) => Ok(frames.iter().map(json).collect()),
            Ok(ExchangeAnswer::Refused(refusal, true)) => Err(refused(&refusal, Scope::Session)),
            Ok(ExchangeAnswer::Refused(refusal, false)) | Err(refusal) => {
                Err(refused(&refusal, Scope::Link))
            }
        },
    }
}

fn refused(refusal: &Refusal, scope: Scope) -> Option<Value> {
    Some(json(&link_error(refusal, scope)))
}

fn json(frame: &Frame) -> Value {
    serde_json::from_slice(frame.json()).expect("frames are JSON")
}
