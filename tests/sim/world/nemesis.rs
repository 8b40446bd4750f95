//! What goes wrong, and when: out of the seed.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::life::{Running, Way};
use crate::node::Fleet;
use crate::support::history::{History, Record};

/// After which an answer from before a loss has come.
const ANSWERED: Duration = Duration::from_secs(3);

/// A fault. Of a node: its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What the store broadcasts does not come any more: the connection is gone.
    CutBroadcast(usize),
    /// The same, and nobody is told.
    SilenceBroadcast(usize),
    /// The way of one node to the store.
    Store(usize, Way),
    /// The store stands still.
    Hang,
    /// The store loses everything.
    Flush,
    /// The store loses its end.
    FailOver,
    Pause(usize),
    Kill(usize),
    Drain(usize),
    /// Nodes do not reach each other.
    Part,
    /// Every connection of a client is cut.
    CutClients,
}

/// A fault, when it comes, and how long it lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    after: Duration,
    fault: Fault,
    lasts: Duration,
}

/// What goes wrong in one history.
pub(crate) fn plan(nodes: usize, rng: &mut StdRng) -> Vec<Step> {
    // A store loses data once: what it lost before it lost more is beyond what the judge can tell.
    let mut loses = rng.random_bool(0.4);
    let many = rng.random_range(0..=4);
    (0..many).map(|_| step(nodes, &mut loses, rng)).collect()
}

fn step(nodes: usize, loses: &mut bool, rng: &mut StdRng) -> Step {
    let node = rng.random_range(0..nodes);
    let ways = [Way::Refused, Way::Unheard, Way::Hung];
    let (fault, longest) = match rng.random_range(0..11) {
        0 => (Fault::CutBroadcast(node), 100),
        1 => (Fault::SilenceBroadcast(node), 100),
        2 => (Fault::Store(node, ways[rng.random_range(0..ways.len())]), 11_000),
        3 => (Fault::Hang, 8_000),
        4 if std::mem::take(loses) => (Fault::Flush, 100),
        5 if std::mem::take(loses) => (Fault::FailOver, 1_500),
        6 => (Fault::Pause(node), 10_000),
        7 => (Fault::Kill(node), 3_000),
        8 => (Fault::Drain(node), 1_000),
        9 => (Fault::Part, 4_000),
        _ => (Fault::CutClients, 100),
    };
    let ms = Duration::from_millis;
    let (after, lasts) = (ms(rng.random_range(500..4_000)), ms(rng.random_range(50..=longest)));
    Step { after, fault, lasts }
}

/// Whether all data is lost: nobody can say then who came and left in between.
pub(crate) fn flushes(steps: &[Step]) -> bool {
    steps.iter().any(|step| step.fault == Fault::Flush)
}

/// Does what is planned, one after the other, and heals it.
pub(crate) async fn run(fleet: Arc<Fleet>, steps: Vec<Step>, history: History) {
    for Step { after, fault, lasts } in steps {
        sleep(after).await;
        tracing::debug!(?fault, ?lasts, "a fault");
        begin(&fleet, fault, &history).await;
        sleep(lasts).await;
        end(&fleet, fault, &history).await;
        tracing::debug!(?fault, "it is healed");
    }
}

async fn begin(fleet: &Arc<Fleet>, fault: Fault, history: &History) {
    match fault {
        Fault::CutBroadcast(node) => fleet.store.lock().cut(node),
        Fault::SilenceBroadcast(node) => fleet.store.lock().silence(node),
        Fault::Store(node, way) => {
            fleet.ways[node].set(way);
            let mut store = fleet.store.lock();
            match way {
                Way::Unheard => store.silence(node),
                Way::Refused => store.cut(node),
                Way::Open | Way::Hung => {}
            }
        }
        Fault::Hang => fleet.ways.iter().for_each(|way| way.set(Way::Hung)),
        Fault::Flush => {
            history.add(Record::LossBegins { ch: None, all: true });
            fleet.store.lock().flush();
        }
        Fault::FailOver => {
            fleet.store.lock().lag();
        }
        Fault::Pause(place) => {
            if let Some(node) = fleet.node(place) {
                node.running.set(Running::Paused);
            }
        }
        Fault::Kill(place) => fleet.kill(place),
        Fault::Drain(place) => fleet.drain(place).await,
        Fault::Part => fleet.together.set(false),
        Fault::CutClients => fleet.cuts.set(fleet.cuts.now() + 1),
    }
}

async fn end(fleet: &Arc<Fleet>, fault: Fault, history: &History) {
    match fault {
        Fault::Store(node, _) => fleet.ways[node].set(Way::Open),
        Fault::Hang => fleet.ways.iter().for_each(|way| way.set(Way::Open)),
        Fault::FailOver => {
            history.add(Record::LossBegins { ch: None, all: false });
            fleet.store.lock().fail_over();
            sleep(ANSWERED).await;
            history.add(Record::LossEnds { ch: None });
        }
        Fault::Pause(place) => {
            if let Some(node) = fleet.node(place) {
                node.running.set(Running::Yes);
            }
        }
        Fault::Kill(place) | Fault::Drain(place) => fleet.start_node(place),
        Fault::Part => fleet.together.set(true),
        Fault::Flush => {
            sleep(ANSWERED).await;
            history.add(Record::LossEnds { ch: None });
        }
        Fault::CutBroadcast(_) | Fault::SilenceBroadcast(_) | Fault::CutClients => {}
    }
}
