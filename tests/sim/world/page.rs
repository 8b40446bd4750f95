//! The clients: sessions that read, publish, move from one transport to another and back, and lose
//! their connections; and some that come and go.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::net::Net;
use crate::support::client::{Client, Target, Transport};
use crate::support::history::{History, Record};
use crate::support::{text, token};

/// What a client reads.
#[derive(Debug, Clone)]
pub(crate) struct Reads {
    pub(crate) channels: Vec<String>,
    /// Whether it watches who is there.
    pub(crate) watches: bool,
}

impl Reads {
    fn sub(&self, ch: &str) -> Value {
        json!({ "ch": ch, "presence": self.watches && ch.starts_with("chat:") })
    }

    fn open(&self, name: &str) -> Value {
        let subs: Vec<_> = self.channels.iter().map(|ch| self.sub(ch)).collect();
        json!({ "subs": subs, "token": token::user(name) })
    }
}

/// Opens a session, and tries until there is one.
pub(crate) async fn open(
    net: &Arc<Net>,
    name: &str,
    reads: &Reads,
    rng: &mut StdRng,
    history: &History,
) -> Option<Client> {
    let until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until {
        let transport = Transport::ALL[rng.random_range(0..Transport::ALL.len())];
        let target = Target::Wires(Arc::clone(net) as Arc<_>);
        if let Ok(mut client) = Client::try_open(target, transport, reads.open(name), history).await
        {
            (client.wait, client.attach_within) = (1_000, Duration::from_secs(3));
            client.proves = rng.random_bool(0.7);
            return Some(client);
        }
        sleep(Duration::from_millis(200)).await;
    }
    None
}

/// A client as its application uses it.
pub(crate) struct Page {
    client: Client,
    reads: Reads,
    /// Frames that ask for a subscription again.
    asked: HashSet<u64>,
    /// What its sessions ended with.
    pub(crate) codes: Vec<String>,
}

impl Page {
    pub(crate) fn new(client: Client, reads: Reads) -> Self {
        Self { client, reads, asked: HashSet::new(), codes: Vec::new() }
    }

    /// Reads for so long, and opens again where the session is gone.
    async fn read(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if let Some(code) = &self.client.ended {
                self.codes.push(code.clone());
                self.asked.clear();
                self.client.reopens = true;
            }
            let left = until.saturating_duration_since(Instant::now());
            let frame = self.client.next_within(left).await.unwrap_or_default();
            self.client.reopens = false;
            self.note(&frame).await;
        }
    }

    /// A subscription that the store was not there for is asked for again.
    async fn note(&mut self, frame: &Value) {
        let asked = frame["re"].as_u64().is_none_or(|re| self.asked.remove(&re));
        let ch = text(frame, "ch");
        if text(frame, "t") != "error" || ch.is_empty() || !asked {
            return;
        }
        let mut again = self.reads.sub(ch);
        (again["t"], again["since"]) = ("subscribe".into(), self.client.resumes_at(ch));
        sleep(Duration::from_millis(200)).await;
        self.asked.insert(self.client.send(again));
    }

    /// Reads and does something, until it is told to stop.
    pub(crate) async fn stay(mut self, mut rng: StdRng, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            self.read(Duration::from_millis(rng.random_range(20..400))).await;
            if self.client.ended.is_none() {
                self.act(&mut rng).await;
            }
        }
        self
    }

    async fn act(&mut self, rng: &mut StdRng) {
        let (client, channels) = (&mut self.client, &self.reads.channels);
        let transport = Transport::ALL[rng.random_range(0..Transport::ALL.len())];
        match rng.random_range(0..100) {
            0..=19 => drop(client.publish(&channels[rng.random_range(0..channels.len())], 1)),
            20..=26 => {
                client.transport = transport;
                client.tries_to_move(Instant::now() + Duration::from_secs(2)).await;
            }
            27..=31 => {
                client.transport = transport;
                client.cut();
            }
            32..=34 => client.poll_again(),
            35..=37 => drop(client.send(json!({ "t": "presence", "users": [] }))),
            _ => {}
        }
    }

    /// The end of one that stayed: it is given all the time it needs.
    pub(crate) async fn settle(&mut self, time: Duration) {
        self.read(time).await;
        self.client.is_quiet();
    }

    /// Closes, as far as the network lets it.
    async fn close(mut self, history: &History) {
        let (client, member) = (self.client.name.clone(), self.client.member.clone());
        history.add(Record::Closed { client, member });
        self.client.comes_back = false;
        self.client.say(&json!({ "l": "close" }));
        self.client.next_within(Duration::from_millis(500)).await;
        self.client.cut();
    }
}

/// Sessions that come and go, one after the other.
pub(crate) async fn come_and_go(
    net: Arc<Net>,
    reads: Reads,
    mut rng: StdRng,
    history: History,
    stop: CancellationToken,
) {
    for turn in 0.. {
        sleep(Duration::from_millis(rng.random_range(0..1_000))).await;
        if stop.is_cancelled() {
            return;
        }
        let name = format!("passing-{turn}");
        let Some(mut client) = open(&net, &name, &reads, &mut rng, &history).await else { return };
        client.send(json!({ "t": "presence", "users": [] }));
        let mut page = Page::new(client, reads.clone());
        page.read(Duration::from_millis(rng.random_range(500..4_000))).await;
        page.close(&history).await;
    }
}
