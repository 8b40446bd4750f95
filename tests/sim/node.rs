//! The nodes: each a whole gateway without listeners, that can be paused, killed, drained and
//! started again.

use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use throughline::auth::Authenticator;
use throughline::config::Config;
use throughline::config::load::{Flags, assemble};
use throughline::gateway::peers::{self, Answer, Carry, Peers, Question, Unreachable};
use throughline::gateway::{Gateway, control, drain, lease, pump};
use throughline::telemetry::clock::now_ms;
use throughline::telemetry::metrics::Metrics;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::engine::{Access, SimEngine};
use crate::life::{Running, Switch, Way};
use crate::store::{Mutant, Store};

/// Between two turns of the wheel: coarser than a node's, for the sake of the processor.
const TURN: Duration = Duration::from_millis(100);
/// Deliveries that wait for a node's pump.
const QUEUE: usize = 1024;

static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| {
    let file = Some(("sim.toml", include_str!("sim.toml")));
    let config = assemble(file, [], &Flags::default());
    let mut config = config.unwrap_or_else(|error| panic!("{error}"));
    config.engine.url = "shared:".into();
    Arc::new(config)
});

/// One start of a node.
pub(crate) struct Node {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) running: Arc<Switch<Running>>,
    address: Arc<str>,
    tasks: Vec<JoinHandle<()>>,
}

/// The nodes over one store.
pub(crate) struct Fleet {
    pub(crate) store: Arc<Mutex<Store>>,
    nodes: Mutex<Vec<Option<Arc<Node>>>>,
    /// The way of each node to the store.
    pub(crate) ways: Vec<Arc<Switch<Way>>>,
    /// Whether nodes reach each other.
    pub(crate) together: Switch<bool>,
    /// Rises when every connection of a client is cut.
    pub(crate) cuts: Switch<u64>,
    /// Whether the network of the clients is good.
    pub(crate) calm: Switch<bool>,
    rng: Mutex<StdRng>,
}

impl Fleet {
    pub(crate) fn start(nodes: usize, mutant: Option<Mutant>, rng: &mut StdRng) -> Arc<Self> {
        let fleet = Arc::new(Self {
            store: Arc::new(Mutex::new(Store::new(nodes, mutant, rng.random()))),
            nodes: Mutex::new((0..nodes).map(|_| None).collect()),
            ways: (0..nodes).map(|_| Arc::new(Switch::new(Way::Open))).collect(),
            together: Switch::new(true),
            cuts: Switch::new(0),
            calm: Switch::new(false),
            rng: Mutex::new(StdRng::seed_from_u64(rng.random())),
        });
        (0..nodes).for_each(|node| fleet.start_node(node));
        fleet
    }

    pub(crate) fn len(&self) -> usize {
        self.ways.len()
    }

    pub(crate) fn throw(&self) -> u64 {
        self.rng.lock().random()
    }

    /// The node of a place, if there is one now.
    pub(crate) fn node(&self, place: usize) -> Option<Arc<Node>> {
        self.nodes.lock()[place].clone()
    }

    fn at(&self, address: &str) -> Option<Arc<Node>> {
        let nodes = self.nodes.lock();
        nodes.iter().flatten().find(|node| *node.address == *address).cloned()
    }

    pub(crate) fn start_node(self: &Arc<Self>, place: usize) {
        let running = Arc::new(Switch::new(Running::Yes));
        let (store, way) = (Arc::clone(&self.store), Arc::clone(&self.ways[place]));
        let access = Access::new(place, store, Arc::clone(&running), way, self.throw());
        let (to, deliveries) = mpsc::channel(QUEUE);
        let (engine, carries) = SimEngine::start(access, to, self.throw());
        let address: Arc<str> = format!("{place}.{:016x}", self.throw()).into();
        let carry = Questions { fleet: Arc::downgrade(self), running: Arc::clone(&running) };
        let peers = Peers::new(Arc::clone(&address), Box::new(carry));
        let (config, metrics) = (Arc::clone(&CONFIG), Arc::new(Metrics::default()));
        let auth = Authenticator::new(&config).expect("the settings are right");
        let (gateway, shards) = Gateway::new(config, engine, auth, metrics, Some(peers), 1);
        let mut tasks: Vec<_> = shards.into_iter().map(|shard| tokio::spawn(shard.run())).collect();
        tasks.push(carries);
        tasks.push(tokio::spawn(pump::run(Arc::clone(&gateway), deliveries)));
        tasks.push(tokio::spawn(turn(Arc::clone(&gateway), Arc::clone(&running))));
        tasks.push(tokio::spawn(renew(Arc::clone(&gateway), Arc::clone(&running))));
        tasks.push(tokio::spawn(listen(Arc::clone(&gateway))));
        let node = Arc::new(Node { gateway, running, address, tasks });
        self.nodes.lock()[place] = Some(node);
    }

    /// As SIGKILL does.
    pub(crate) fn kill(&self, place: usize) {
        let Some(node) = self.nodes.lock()[place].take() else { return };
        node.running.set(Running::Dead);
        node.tasks.iter().for_each(JoinHandle::abort);
        self.store.lock().cut(place);
    }

    /// As SIGTERM does.
    pub(crate) async fn drain(&self, place: usize) {
        let Some(node) = self.node(place) else { return };
        node.gateway.begin_draining();
        let within = Duration::from_secs(10);
        let drained = drain::drain(&node.gateway, Duration::from_millis(500));
        let _ = timeout(within, drained).await;
        let _ = timeout(within, node.gateway.shut_down()).await;
        self.kill(place);
    }

    /// From here on the network of the clients is good: what there was of it is cut.
    pub(crate) fn calm(&self) {
        self.calm.set(true);
        self.cuts.set(self.cuts.now() + 1);
    }

    /// Ends everything, so that nothing is left of it in memory.
    pub(crate) async fn end(&self) {
        for place in 0..self.len() {
            let Some(node) = self.node(place) else { continue };
            let _ = timeout(Duration::from_secs(1), node.gateway.shut_down()).await;
            self.kill(place);
        }
    }
}

async fn turn(gateway: Arc<Gateway>, running: Arc<Switch<Running>>) {
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        running.gate().await;
        gateway.turn(now_ms());
    }
}

async fn renew(gateway: Arc<Gateway>, running: Arc<Switch<Running>>) {
    let mut renewals = interval(lease::RENEW);
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        renewals.tick().await;
        running.gate().await;
        lease::renew(&gateway).await;
    }
}

async fn listen(gateway: Arc<Gateway>) {
    while control::listen(&gateway).await.is_err() {
        sleep(Duration::from_secs(1)).await;
    }
}

/// What one node asks the others.
struct Questions {
    fleet: Weak<Fleet>,
    running: Arc<Switch<Running>>,
}

/// As it would be over a connection.
fn copied<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let json = serde_json::to_vec(value).expect("it is JSON");
    serde_json::from_slice(&json).expect("it reads what it wrote")
}

impl Carry for Questions {
    fn ask<'a>(
        &'a self,
        address: &'a str,
        question: &'a Question,
        within: Duration,
    ) -> BoxFuture<'a, Result<Answer, Unreachable>> {
        Box::pin(async move {
            self.running.gate().await;
            let fleet = self.fleet.upgrade().ok_or(Unreachable)?;
            let lag = |fleet: &Fleet| Duration::from_millis(fleet.throw() % 5);
            sleep(lag(&fleet)).await;
            let node = fleet.at(address).ok_or(Unreachable)?;
            let asked = async {
                if !fleet.together.now() {
                    // Nothing answers.
                    std::future::pending::<()>().await;
                }
                node.running.gate().await;
                let answer = peers::answer(&node.gateway, copied(question)).await;
                node.running.gate().await;
                sleep(lag(&fleet)).await;
                copied(&answer)
            };
            let answer = tokio::select! {
                biased;
                () = node.running.dies() => Err(Unreachable),
                answer = timeout(within, asked) => answer.map_err(|_| Unreachable),
            };
            self.running.gate().await;
            answer
        })
    }
}
