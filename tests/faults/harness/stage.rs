//! A scenario: a fleet under load, a fault, and one row of figures.

use std::time::Duration;

use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

use super::load::{Load, Plan};
use super::table::Row;
use super::tracker::Tracker;
use crate::support::client::{Client, Transport};
use crate::support::fleet::{Fleet, Node};
use crate::support::history::Record;
use crate::support::redis::Redis;
use crate::support::server::{Servers, Setup};
use crate::support::shim::Shim;

/// One scenario at a time: side by side they would judge the machine.
static TURN: Mutex<()> = Mutex::const_new(());

/// How many nodes there are.
pub const NODES: usize = 3;

fn setup() -> Setup {
    Setup::suite()
        .set("namespaces.chat.history.size", "100000")
        .set("session.ping_visible", "'2s'")
        // The contract's figures.
        .set("session.grace", "'10s'")
        .set("session.leaving_grace", "'2s'")
}

/// A fleet under load.
pub struct Stage {
    /// The nodes.
    pub fleet: Fleet,
    /// The load.
    pub load: Load,
    tracker: Tracker,
    /// Whether each publish must have been answered in time.
    in_time: bool,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// Starts the nodes over this engine, and the load.
    pub async fn start(engine: &str) -> Self {
        Self::with(&vec![engine.to_owned(); NODES], &Plan::default()).await
    }

    /// The same without sessions that come and go.
    pub async fn settled(engine: &str) -> Self {
        let plan = Plan { passing: 0, ..Plan::default() };
        Self::with(&vec![engine.to_owned(); NODES], &plan).await
    }

    /// Starts a node over each of these engines, and this load, and waits until it flows.
    pub async fn with(engines: &[String], plan: &Plan) -> Self {
        let turn = TURN.lock().await;
        let fleet = Fleet::start(&setup(), engines).await;
        let servers = fleet.servers();
        Self::under(fleet, servers, plan, turn).await
    }

    /// The same where the first node has variables in its environment.
    pub async fn within(engine: &str, environment: Vec<(&'static str, String)>) -> Self {
        let turn = TURN.lock().await;
        let mut nodes = vec![Node::within(&setup(), engine, environment)];
        nodes.resize_with(NODES, || Node::start(&setup(), engine));
        let fleet = Fleet::of(nodes).await;
        let servers = fleet.servers();
        Self::under(fleet, servers, &Plan::default(), turn).await
    }

    /// The same where all that clients and publishers send comes by a shim.
    pub async fn behind(engine: &str, plan: &Plan) -> (Self, Shim) {
        let turn = TURN.lock().await;
        let fleet = Fleet::start(&setup(), &vec![engine.to_owned(); NODES]).await;
        let shim = Shim::before(&fleet.servers()).await;
        let stage = Self::under(fleet, Servers::of(&[shim.address]), plan, turn).await;
        (stage, shim)
    }

    async fn under(
        fleet: Fleet,
        servers: Servers,
        plan: &Plan,
        turn: MutexGuard<'static, ()>,
    ) -> Self {
        let load = Load::start(servers, plan).await;
        let mut stage =
            Self { fleet, load, tracker: Tracker::default(), in_time: false, _turn: turn };
        let healed = stage.load.heal(&mut stage.tracker).await;
        assert_eq!(healed.behind, 0, "the load does not flow before the fault");
        stage.run(Duration::from_secs(2)).await;
        stage
    }

    /// Starts the nodes before a single server, each through a shim of its own.
    pub async fn shimmed(redis: &Redis, plan: &Plan) -> (Self, Vec<Shim>) {
        let mut shims = Vec::new();
        for _ in 0..NODES {
            shims.push(Shim::to(([127, 0, 0, 1], redis.port()).into()).await);
        }
        let engines: Vec<_> = shims.iter().map(|shim| redis.url_by(shim.address.port())).collect();
        (Self::with(&engines, plan).await, shims)
    }

    /// Lets the load run.
    pub async fn run(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Kills a node, and with it sessions whose clients are gone too. Returns how long they were seen
    /// in presence, and when 99 of 100 readers had what was published after it.
    pub async fn kill_with_clients(&mut self, node: usize) -> (Duration, Duration) {
        let (node, ch) = (&self.fleet.nodes[node], &self.load.durable()[0]);
        let (history, mut gone) = (&self.load.history, Vec::new());
        for transport in Transport::ALL {
            let open = json!({ "subs": [{ "ch": ch }] });
            let mut client = Client::open(&node.servers(), transport, open, history).await;
            client.call(json!({ "t": "presence", "users": [] })).await;
            gone.push(client);
        }
        let healed = self.load.heal(&mut self.tracker).await;
        assert_eq!(healed.behind, 0);
        node.kill();
        for client in gone {
            let (client, member) = (client.name.clone(), client.member.clone());
            history.add(Record::Closed { client, member });
        }
        let mut tracker = std::mem::take(&mut self.tracker);
        let mut second = Tracker::default();
        let (healed, ghosts) =
            tokio::join!(self.load.heal(&mut tracker), self.load.without_ghosts(&mut second));
        self.tracker = tracker;
        (ghosts, healed.nearly)
    }

    /// What is acknowledged up to the end of `fault` may be lost: the end of every log, or all.
    pub async fn losing(&self, all: bool, fault: impl AsyncFnOnce()) {
        self.losing_of(None, all, fault).await;
    }

    /// The same of one channel.
    pub async fn losing_of(&self, ch: Option<&str>, all: bool, fault: impl AsyncFnOnce()) {
        let ch = ch.map(str::to_owned);
        self.load.history.add(Record::LossBegins { ch: ch.clone(), all });
        fault().await;
        // Answers that are on their way tell of before.
        self.run(Duration::from_millis(300)).await;
        self.load.history.add(Record::LossEnds { ch });
    }

    /// The fault is over: waits until all is well again, keeps the row and judges what was seen.
    pub async fn finish(self, fault: &str) {
        self.finish_with(fault, "").await;
    }

    /// The same where it was Redis that broke, or what is before it: the nodes then answer each publish
    /// within 2 s, by their own clocks (contract F3). That is judged where the table is made.
    pub async fn finish_in_time(mut self, fault: &str) {
        self.in_time = Row::are_kept();
        self.finish(fault).await;
    }

    /// The same with what else was measured.
    pub async fn finish_with(self, fault: &str, more: &str) {
        let mut row = self.judge(fault).await;
        let others = std::mem::take(&mut row.more);
        let more = [more, &others].into_iter().filter(|text| !text.is_empty());
        row.more = more.collect::<Vec<_>>().join("; ");
        row.keep();
        row.assert();
    }

    /// Waits until all is well again, and says what it came to.
    pub async fn judge(mut self, fault: &str) -> Row {
        let healed = self.load.heal(&mut self.tracker).await;
        let history = self.load.history.clone();
        let figures = self.load.figures.to_string();
        let clients = self.load.finish(&mut self.tracker).await;
        // Nobody publishes any more.
        let late = if self.in_time { late(&self.fleet).await } else { 0.0 };
        let records = history.records();
        let rebuilt: u64 = clients.iter().map(|client| client.rebuilt).sum();
        let anew: u64 = clients.iter().map(|client| client.lost).sum();
        let counts = [(rebuilt, "rebuilt"), (anew, "opened anew")];
        let counts = counts.iter().filter(|(many, _)| *many > 0);
        let counts = counts.map(|(many, what)| format!("{many} sessions {what}"));
        // What a session was left with for its next node may be lost with the rest.
        let loses = records.iter().any(|record| matches!(record, Record::LossBegins { .. }));
        Row {
            nearly: Some(healed.nearly),
            healed: Some(healed.all),
            publishers: Some(figures),
            more: counts.collect::<Vec<_>>().join(", "),
            ..Row::of(fault, &records)
        }
        .unless(late == 0.0, &format!("{late} publishes took a node longer than 2 s"))
        .unless(healed.behind == 0, "readers of channels were not there in time")
        .unless(anew == 0 || loses, "sessions did not go on")
    }
}

/// How many publishes took a node longer than 2 s.
async fn late(fleet: &Fleet) -> f64 {
    let nodes = fleet.servers();
    let in_time = nodes.metric("throughline_publish_seconds_bucket{le=\"2.0\"}").await;
    nodes.metric("throughline_publish_seconds_count").await - in_time
}
