//! The load: sessions of every transport over all nodes, some that come and go, observers of
//! presence, and publishers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use throughline::protocol::position::Position;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::publishers::{Figures, Publisher};
use super::tracker::Tracker;
use crate::support::client::{Client, PATIENCE, Target, Transport};
use crate::support::history::{History, Record};
use crate::support::http::Request;
use crate::support::server::{API_KEY, Servers};
use crate::support::{text, unique};

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Sessions that stay.
    pub sessions: usize,
    /// Sessions at a time that come and go.
    pub passing: usize,
    /// Events published in a second, over all publishers.
    pub per_second: u32,
    /// Durable channels; each session reads three of them.
    pub durable: usize,
    /// Ephemeral channels; each session reads one of them.
    pub ephemeral: usize,
    /// What the dice are thrown with.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        let seed = std::env::var("THROUGHLINE_FAULTS_SEED").ok();
        let seed = seed.and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| rand::random::<u64>() >> 12);
        Self { sessions: 24, passing: 2, per_second: 60, durable: 6, ephemeral: 2, seed }
    }
}

impl Plan {
    /// Its size in words.
    pub fn words(&self) -> String {
        format!("{} sessions, {} publishes a second", self.sessions, self.per_second)
    }
}

/// How long it took until readers had what was published after the fault.
pub struct Healed {
    /// 99 of 100 readers.
    pub nearly: Duration,
    /// All of them.
    pub all: Duration,
    /// How many were not there in time.
    pub behind: usize,
}

const PUBLISHERS: u32 = 4;
const OBSERVERS: usize = 3;

/// A load that runs.
pub struct Load {
    /// What everyone saw.
    pub history: History,
    /// The nodes.
    pub servers: Servers,
    /// What the publishers count.
    pub figures: Arc<Figures>,
    durable: Vec<String>,
    /// Clients and the durable channels that they read.
    readers: Vec<(String, String)>,
    stop_publishers: CancellationToken,
    stop_sessions: CancellationToken,
    publishers: JoinSet<()>,
    passing: JoinSet<()>,
    sessions: JoinSet<Client>,
}

impl Load {
    /// Starts it, and waits until every session is open.
    pub async fn start(servers: Servers, plan: &Plan) -> Self {
        println!("{plan:?}");
        let mut rng = StdRng::seed_from_u64(plan.seed);
        let names = |prefix: &str, many| (0..many).map(|_| unique(prefix)).collect::<Vec<_>>();
        let (durable, ephemeral) = (names("chat:", plan.durable), names("typing:", plan.ephemeral));
        let mut load = Self {
            history: History::default(),
            servers,
            figures: Arc::default(),
            durable,
            readers: Vec::new(),
            stop_publishers: CancellationToken::new(),
            stop_sessions: CancellationToken::new(),
            publishers: JoinSet::new(),
            passing: JoinSet::new(),
            sessions: JoinSet::new(),
        };
        load.open(plan, &ephemeral, &mut rng).await;
        let all: Vec<_> = load.durable.iter().chain(&ephemeral).cloned().collect();
        for _ in 0..PUBLISHERS {
            let every = Duration::from_secs(1) * PUBLISHERS / plan.per_second.max(1);
            let (rng, stop) = (StdRng::seed_from_u64(rng.random()), load.stop_publishers.clone());
            load.publishers.spawn(load.publisher().run(all.clone(), every, rng, stop));
        }
        for _ in 0..plan.passing {
            let (servers, history) = (load.servers.clone(), load.history.clone());
            let (ch, stop) = (load.durable[0].clone(), load.stop_publishers.clone());
            load.passing.spawn(come_and_go(servers, history, ch, stop));
        }
        load
    }

    async fn open(&mut self, plan: &Plan, ephemeral: &[String], rng: &mut StdRng) {
        let mut opening = JoinSet::new();
        for index in 0..plan.sessions {
            let mut channels: Vec<_> = self.durable.sample(rng, 3).cloned().collect();
            // Those who watch see those who come and go.
            if index < OBSERVERS && !channels.contains(&self.durable[0]) {
                channels[0].clone_from(&self.durable[0]);
            }
            let durable = channels.clone();
            channels.extend(ephemeral.choose(rng).cloned());
            let sub = |ch: &String| json!({ "ch": ch, "presence": index < OBSERVERS && durable.contains(ch) });
            let open = json!({ "subs": channels.iter().map(sub).collect::<Vec<_>>() });
            let (servers, history) = (self.servers.clone(), self.history.clone());
            let transport = Transport::ALL[index % Transport::ALL.len()];
            opening.spawn(async move {
                let mut client = Client::open(&servers, transport, open, &history).await;
                // Answered, so that it is no longer provisional.
                client.call(json!({ "t": "presence", "users": [] })).await;
                (client, durable)
            });
        }
        for (mut client, durable) in opening.join_all().await {
            client.reopens = true;
            client.wait = 2_000;
            self.readers.extend(durable.into_iter().map(|ch| (client.name.clone(), ch)));
            let (rng, stop) = (StdRng::seed_from_u64(rng.random()), self.stop_sessions.clone());
            self.sessions.spawn(stay(client, rng, stop));
        }
    }

    /// The durable channels.
    pub fn durable(&self) -> &[String] {
        &self.durable
    }

    /// A publisher of its own name.
    pub fn publisher(&self) -> Publisher {
        let (servers, history) = (self.servers.clone(), self.history.clone());
        Publisher { servers, history, figures: Arc::clone(&self.figures), name: unique("backend") }
    }

    /// Publishes to every durable channel and waits until every reader is there.
    pub async fn heal(&self, tracker: &mut Tracker) -> Healed {
        let (began, until) = (Instant::now(), Instant::now() + 2 * PATIENCE);
        let publisher = self.publisher();
        let mut tops: HashMap<String, Position> = HashMap::new();
        let all = self.durable.iter().map(|ch| publisher.publish(ch));
        for (ch, pos) in self.durable.iter().zip(futures::future::join_all(all).await) {
            tops.extend(pos.map(|pos| (ch.clone(), pos)));
        }
        self.history.add(Record::Quiet { client: publisher.name });
        let mut nearly = None;
        loop {
            tracker.update(&self.history);
            let behind = tracker.behind(&self.readers, &tops);
            if behind * 100 <= self.readers.len() {
                nearly.get_or_insert(began.elapsed());
            }
            if behind == 0 || Instant::now() > until {
                let all = began.elapsed();
                return Healed { nearly: nearly.unwrap_or(all), all, behind };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until no list has a member that is gone, within a bound. Returns how long it took.
    pub async fn without_ghosts(&self, tracker: &mut Tracker) -> Duration {
        let began = Instant::now();
        while began.elapsed() < 2 * PATIENCE {
            tracker.update(&self.history);
            if tracker.ghosts_and_missing(&[]).0 == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        began.elapsed()
    }

    /// Ends the publishers, lets everyone come to the end, and writes down what the logs hold.
    pub async fn finish(mut self, tracker: &mut Tracker) -> Vec<Client> {
        self.stop_publishers.cancel();
        self.publishers.join_all().await;
        self.passing.join_all().await;
        let tops = logs(&self.servers, &self.history, &self.durable).await;
        let until = Instant::now() + 2 * PATIENCE;
        loop {
            tracker.update(&self.history);
            let at_top = tracker.behind(&self.readers, &tops) == 0;
            let lists = tracker.ghosts_and_missing(&self.readers);
            if at_top && lists == (0, 0) || Instant::now() > until {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.stop_sessions.cancel();
        let mut clients = Vec::new();
        while let Some(client) = self.sessions.join_next().await {
            clients.push(client.expect("a session's task"));
        }
        clients.iter().for_each(Client::is_quiet);
        clients
    }
}

/// A session until the end, which loses its connection or changes its transport now and then.
async fn stay(mut client: Client, mut rng: StdRng, stop: CancellationToken) -> Client {
    let mut turn = Instant::now() + Duration::from_millis(rng.random_range(500..10_000));
    while !stop.is_cancelled() {
        stop.run_until_cancelled(client.next_within(Duration::from_secs(2))).await;
        if Instant::now() < turn {
            continue;
        }
        turn = Instant::now() + Duration::from_millis(rng.random_range(2_000..10_000));
        client.cut();
        if rng.random_bool(0.3) {
            client.transport = *Transport::ALL.choose(&mut rng).expect("a transport");
        }
    }
    client
}

/// Sessions one after the other, each of which ends itself.
async fn come_and_go(servers: Servers, history: History, ch: String, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let open = json!({ "subs": [{ "ch": ch }] });
        let target = Target::from(&servers);
        if let Ok(mut client) = Client::try_open(target, Transport::WebSocket, open, &history).await
        {
            client.reopens = true;
            let until = Instant::now() + Duration::from_millis(700);
            while Instant::now() < until {
                client.next_within(until - Instant::now()).await;
            }
            if client.ended.is_none() {
                client.close().await;
            } else {
                // Its session is gone with its node, and it does not wait for another.
                let (client, member) = (client.name.clone(), client.member.clone());
                history.add(Record::Closed { client, member });
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the logs hold goes into the history. Returns the top of each.
async fn logs(servers: &Servers, history: &History, of: &[String]) -> HashMap<String, Position> {
    let mut tops = HashMap::new();
    for ch in of {
        let mut since = "0".to_owned();
        loop {
            let page = format!("/history?channel={ch}&since={since}&limit=1000");
            let page = ask(servers, &page).await;
            for event in page["events"].as_array().expect("events") {
                let pos: Position = text(event, "pos").parse().expect("a position");
                let id = text(event, "id").to_owned();
                history.add(Record::Logged { ch: ch.clone(), pos: pos.clone(), id });
                tops.insert(ch.clone(), pos);
            }
            if page["more"] != true {
                break;
            }
            text(&page, "pos").clone_into(&mut since);
        }
    }
    tops
}

/// Asks one node after the other, as some may be gone.
async fn ask(servers: &Servers, path: &str) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        for node in servers.addresses() {
            let request = Request::get(&format!("/api{path}"));
            let request = request.header("authorization", &format!("Bearer {API_KEY}"));
            if let Ok(answer) = request.send(*node).await
                && answer.status == 200
            {
                return answer.json();
            }
        }
        assert!(Instant::now() < until, "no node answers {path}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
