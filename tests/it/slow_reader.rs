//! A reader that stops reading, and what it costs. `THROUGHLINE_SLOW_MIB` (50): MiB published.

use std::time::Duration;

use serde_json::{Value, json};
use throughline::protocol::position::Position;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::server::{Servers, Setup};
use crate::support::websocket::Socket;
use crate::support::{text, unique};

const OTHERS: usize = 100;
const EVENT_BYTES: usize = 10_000;
/// An outbox, as configured, and what else a run may cost.
const OUTBOX_AND_MORE: u64 = (1 << 20) + (8 << 20);

fn published_mib() -> u64 {
    let mib = std::env::var("THROUGHLINE_SLOW_MIB").ok().and_then(|mib| mib.parse().ok());
    mib.unwrap_or(50)
}

fn events() -> u64 {
    published_mib() * 1024 * 1024 / EVENT_BYTES as u64
}

/// The bound of the log: it holds everything that is published.
fn log_mib() -> u64 {
    published_mib() * 5 / 4 + 2
}

fn servers() -> Servers {
    Setup::suite()
        .set("engine.memory.log_bytes", &format!("'{}MiB'", log_mib()))
        .set("namespaces.chat.history.size", "100000")
        .set("session.ping_visible", "'120s'")
        .set("session.ping_hidden", "'120s'")
        .servers()
}

async fn reader(servers: &Servers, room: &str) -> Socket {
    let open = json!({ "ack": false, "subs": [{ "ch": room }] });
    let mut socket = Socket::open(servers.pick(), open).await;
    socket.until("subscribed").await;
    socket
}

/// Publishes so many events to `OTHERS` readers; how long each was on its way to each of them.
async fn run(servers: &Servers, room: &str, events: u64) -> Vec<Duration> {
    let began = Instant::now();
    let mut others = JoinSet::new();
    for _ in 0..OTHERS {
        let mut socket = reader(servers, room).await;
        others.spawn(async move {
            let mut late = Vec::new();
            while late.len() < usize::try_from(events).unwrap() {
                let message = socket.raw().await.expect("the connection goes on");
                if let Some(sent) = sent_at(&message) {
                    late.push(began.elapsed().saturating_sub(sent));
                }
            }
            late
        });
    }
    let padding = "x".repeat(EVENT_BYTES);
    for number in 0..events {
        let us = u64::try_from(began.elapsed().as_micros()).unwrap();
        servers.publish(room, json!({ "at_us": us, "n": number, "padding": padding })).await;
    }
    let mut all: Vec<_> = others.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    all
}

/// When an event was sent, out of its `data`: read without parsing what is large.
fn sent_at(message: &[u8]) -> Option<Duration> {
    let (name, head) = (br#""at_us":"#, &message[..message.len().min(400)]);
    let begin = head.windows(name.len()).position(|window| window == name)? + name.len();
    let digits = head[begin..].iter().take_while(|byte| byte.is_ascii_digit());
    let us = digits.fold(0, |us: u64, digit| us * 10 + u64::from(digit - b'0'));
    Some(Duration::from_micros(us))
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_costs_bounded_memory_and_is_whole_when_it_reads_again() {
    // demand: 86
    // spec: D8, M34
    let (servers, room) = (servers(), unique("chat:"));
    let bound = (log_mib() << 20) + OUTBOX_AND_MORE;
    // The first run allocates what every connection and publish needs.
    run(&servers, &room, 100).await;
    let before = servers.own().private_memory();
    let open = json!({ "subs": [{ "ch": room }] });
    let mut slow = Socket::open(servers.pick(), open).await;
    let subscribed = slow.until("subscribed").await;
    slow.say(&json!({ "l": "pong", "count": 1 })).await;
    let all = run(&servers, &room, events()).await;
    let after = servers.own().private_memory();
    let grown = after.saturating_sub(before);
    println!(
        "slow reader: {} events of {EVENT_BYTES} bytes to {OTHERS} others; private memory {} KiB \
         before, {} KiB after, grown {} KiB of {} KiB; others' p99 {:?}",
        events(),
        before >> 10,
        after >> 10,
        grown >> 10,
        bound >> 10,
        p99(&all),
    );
    assert!(grown <= bound, "grown by {grown} bytes");
    let mut again = Again::new(&servers, &room, text(&subscribed, "pos"));
    again.read(slow, events()).await;
    println!(
        "slow reader: read again {} events and {} gaps, over {} links",
        again.got, again.gaps, again.links
    );
    assert_eq!((again.got, again.gaps), (events(), 0));
}

/// The slow reader, once it reads again.
struct Again<'a> {
    servers: &'a Servers,
    room: &'a str,
    at: Position,
    got: u64,
    gaps: u64,
    links: u64,
}

impl<'a> Again<'a> {
    fn new(servers: &'a Servers, room: &'a str, since: &str) -> Self {
        Self { servers, room, at: since.parse().unwrap(), got: 0, gaps: 0, links: 1 }
    }

    /// Reads until the last event; where its link died, it comes back with its position.
    async fn read(&mut self, mut socket: Socket, events: u64) {
        let last = self.at.offset + events;
        let mut count = 1;
        while self.at.offset < last {
            let Some(message) = socket.raw().await else {
                let since = self.at.to_string();
                let open = json!({ "subs": [{ "ch": self.room, "since": since }] });
                socket = Socket::open(self.servers.pick(), open).await;
                (count, self.links) = (0, self.links + 1);
                continue;
            };
            let frame: Value = serde_json::from_slice(&message).unwrap_or_default();
            count += u64::from(frame.get("t").is_some());
            if frame.get("t").is_some() && count % 50 == 0 {
                socket.say(&json!({ "l": "pong", "count": count })).await;
            }
            let Ok(pos) = text(&frame, "pos").parse::<Position>() else { continue };
            match text(&frame, "t") {
                "event" => {
                    assert_eq!(pos.offset, self.at.offset + 1, "no break without a gap");
                    (self.at, self.got) = (pos, self.got + 1);
                }
                "gap" => {
                    assert_eq!(text(&frame, "reason"), "trimmed");
                    (self.at, self.gaps) = (pos, self.gaps + 1);
                }
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_comes_back_to_what_the_log_holds_is_whole() {
    // demand: 86
    // spec: D8, M34
    let (servers, room) = (Servers::suite(), unique("chat:"));
    let open = json!({ "subs": [{ "ch": room }] });
    let mut slow = Client::open(&servers, Transport::WebSocket, open, &History::default()).await;
    slow.until(|frame| text(frame, "ch") == room).await;
    // Nothing is acknowledged while 2500 events come: it is behind at its bound.
    servers.publish_many(&room, (0..2500).map(Value::from)).await;
    assert_eq!(slow.data(&room, 2500).await, (0..2500).map(Value::from).collect::<Vec<_>>());
    assert_eq!(text(&slow.until_kind("caught_up").await, "ch"), room);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_of_a_reader_that_stops_are_measured_with_and_without_it() {
    // demand: 86
    let servers = servers();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for turn in 0..10 {
        let room = unique("chat:");
        let stopped = if turn % 2 == 0 { Some(reader(&servers, &room).await) } else { None };
        let figure = p99(&run(&servers, &room, 60).await);
        if stopped.is_some() { with.push(figure) } else { without.push(figure) }
    }
    for (name, figures) in [("with", &mut with), ("without", &mut without)] {
        figures.sort_unstable();
        let (first, last) = (figures[0], figures[figures.len() - 1]);
        println!(
            "neighbours' p99 {name} a reader that stops: median {:?}, {first:?} to {last:?}",
            figures[figures.len() / 2]
        );
    }
}
