//! Chaos: sessions of every transport through a shim, with cuts, moves, repeated and late requests,
//! judged by the checker. `THROUGHLINE_CHAOS_SECONDS` (10) and `THROUGHLINE_CHAOS_SEED`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use throughline::protocol::position::Position;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::checker::assert_keeps_the_contract;
use crate::support::client::{Client, PATIENCE, Target, Transport};
use crate::support::history::{History, Outcome, Record};
use crate::support::server::{Servers, Setup};
use crate::support::shim::{Cut, Shim, Weather};
use crate::support::{text, unique};

const SESSIONS: usize = 200;
const DURABLE: usize = 7;
const EPHEMERAL: usize = 3;
const BACKENDS: usize = 4;
/// Sessions that open at once.
const OPENING: usize = 8;

#[derive(Default)]
struct Figures {
    moves: AtomicU64,
    cuts: AtomicU64,
    repeats: AtomicU64,
}

struct Run {
    servers: Servers,
    history: History,
    durable: Vec<String>,
    ephemeral: Vec<String>,
    until: Instant,
    figures: Figures,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_repeated_or_reordered_under_cuts_moves_and_late_requests() {
    // spec: P1, P2, P3, O1, O2, O3, D1, D2, D3, D4, D6, D7, S1, S2, S3, S4, R1, R3, M17–M23, M28, M33
    let seconds = setting("THROUGHLINE_CHAOS_SECONDS", 10);
    let seed = setting("THROUGHLINE_CHAOS_SEED", rand::random::<u64>() >> 12);
    println!("chaos: THROUGHLINE_CHAOS_SEED={seed} THROUGHLINE_CHAOS_SECONDS={seconds}");
    let servers = Setup::suite()
        // A client that is done waits for the others, and answers no pings then.
        .set("session.grace", "'10m'")
        .set("session.window", "'20m'")
        .set("session.ping_visible", "'1s'")
        .set("namespaces.chat.history.size", "100000")
        .servers();
    let mut run = Run {
        servers,
        history: History::default(),
        durable: (0..DURABLE).map(|_| unique("chat:")).collect(),
        ephemeral: (0..EPHEMERAL).map(|_| unique("typing:")).collect(),
        until: Instant::now(),
        figures: Figures::default(),
    };
    // Not all at once: one that takes long to answer its first ping has no session to come back to.
    let indices = futures::stream::iter(0..SESSIONS);
    let opening = indices.map(|index| {
        let rng = StdRng::seed_from_u64(seed.wrapping_add(index as u64));
        Session::open(&run, index, rng)
    });
    let opened: Vec<_> = opening.buffer_unordered(OPENING).collect().await;
    run.until = Instant::now() + Duration::from_secs(seconds);
    let run = Arc::new(run);
    let mut sessions = JoinSet::new();
    for session in opened {
        sessions.spawn(session.run(Arc::clone(&run)));
    }
    let mut backends = JoinSet::new();
    for index in 0..BACKENDS {
        let rng = StdRng::seed_from_u64(seed.wrapping_sub(index as u64 + 1));
        backends.spawn(backend(Arc::clone(&run), rng));
    }
    backends.join_all().await;
    let clients = sessions.join_all().await;
    // First every publish is settled, then the logs are what every reader must come to.
    let clients = each(clients, Client::is_settled).await;
    let tops = logs(&run).await;
    let at_top = move |client: &Client| {
        let below =
            |(ch, top): &(String, u64)| client.position(ch).is_some_and(|at| at.offset < *top);
        !tops.iter().any(below)
    };
    let mut quiet = JoinSet::new();
    for (mut client, shim) in each(clients, at_top).await {
        quiet.spawn(async move {
            // Behind the answer nothing is left to come.
            client.call(json!({ "t": "presence", "users": [] })).await;
            client.is_quiet();
            drop(shim);
        });
    }
    quiet.join_all().await;
    let records = run.history.records();
    print(&run, &records);
    assert_keeps_the_contract(&records);
}

struct Session {
    client: Client,
    shim: Shim,
    channels: Vec<String>,
    rng: StdRng,
}

impl Session {
    async fn open(run: &Run, index: usize, mut rng: StdRng) -> Self {
        let shim = Shim::before(&run.servers).await;
        let transport = Transport::ALL[index % Transport::ALL.len()];
        let watches = index.is_multiple_of(20);
        let sub = |ch: &String| json!({ "ch": ch, "presence": watches && ch.starts_with("chat:") });
        let mut channels: Vec<_> = run.durable.sample(&mut rng, 3).cloned().collect();
        channels.extend(run.ephemeral.sample(&mut rng, 1).cloned());
        let open = json!({ "subs": channels.iter().map(sub).collect::<Vec<_>>() });
        let target = Target::Address(shim.address);
        let mut client = Client::open(target, transport, open, &run.history).await;
        client.wait = 1_000;
        // A session that was never answered is provisional: a cut ends it.
        client.call(json!({ "t": "history", "ch": channels[0], "limit": 1 })).await;
        Self { client, shim, channels, rng }
    }

    /// Goes on until the end of the run; its last publishes are settled then.
    async fn run(self, run: Arc<Run>) -> (Client, Shim) {
        let Self { mut client, shim, channels, mut rng } = self;
        while Instant::now() < run.until {
            act(&run, &mut client, &shim, &channels, &mut rng).await;
            let pause = Duration::from_millis(rng.random_range(20..400));
            let until = (Instant::now() + pause).min(run.until);
            while client
                .next_within(until.saturating_duration_since(Instant::now()))
                .await
                .is_some()
            {}
            assert_eq!(client.ended, None, "{}", client.name);
        }
        shim.weather(Weather::default());
        (client, shim)
    }
}

async fn act(run: &Run, client: &mut Client, shim: &Shim, channels: &[String], rng: &mut StdRng) {
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    match rng.random_range(0..100) {
        0..50 => {
            for _ in 0..rng.random_range(1..4) {
                let channel = channels.choose(rng).expect("a channel");
                client.publish(channel, rng.random::<u32>());
            }
        }
        50..65 => {
            count(&run.figures.cuts);
            shim.cut(if rng.random() { Cut::Rst } else { Cut::Fin });
        }
        65..75 => {
            let delay = Duration::from_millis(rng.random_range(0..60));
            let stall_down = rng.random_bool(0.2);
            let stall_up = rng.random_bool(0.1);
            let split = rng.random_range(0..200);
            let rest = Weather::default();
            shim.weather(Weather { delay, split, stall_down, stall_up, ..rest });
        }
        75..80 => shim.weather(Weather::default()),
        80..85 => {
            count(&run.figures.repeats);
            client.poll_again();
        }
        _ => {
            count(&run.figures.moves);
            // A move needs a way that carries.
            shim.weather(Weather::default());
            client.move_to(*Transport::ALL.choose(rng).expect("a transport")).await;
        }
    }
}

/// The application's backend, which publishes, repeats itself, and sends batches.
async fn backend(run: Arc<Run>, mut rng: StdRng) {
    let client = unique("backend");
    while Instant::now() < run.until {
        let ch = run.durable.choose(&mut rng).expect("a channel").clone();
        let (id, events) = (unique("id"), rng.random_range(1..5_u64));
        let data: Vec<_> = (0..events).map(|n| json!({ "data": n })).collect();
        let body = json!({ "batches": [{ "channel": ch, "id": id, "events": data }] });
        let sent = Record::Sent { client: client.clone(), ch: ch.clone(), id: id.clone(), events };
        run.history.add(sent);
        for _ in 0..rng.random_range(1..3) {
            let answer = run.servers.api("/batch", &body).await.json();
            let result = &answer["results"][0];
            let pos = text(result, "pos").parse::<Position>();
            let pos = pos.unwrap_or_else(|_| panic!("{answer}"));
            let outcome = Outcome::Stored(pos, result["duplicate"] == true);
            let (client, ch, id) = (client.clone(), ch.clone(), id.clone());
            run.history.add(Record::Answered { client, ch, id, seq: None, outcome });
        }
    }
    run.history.add(Record::Quiet { client });
}

/// What the logs hold now goes into the history. Returns the top of each.
async fn logs(run: &Run) -> Vec<(String, u64)> {
    let mut tops = Vec::new();
    for ch in &run.durable {
        let (mut since, mut top) = ("0".to_owned(), 0);
        loop {
            let page = format!("/history?channel={ch}&since={since}&limit=1000");
            let page = run.servers.api_get(&page).await;
            for event in page["events"].as_array().expect("events") {
                let pos: Position = text(event, "pos").parse().expect("a position");
                top = pos.offset.max(top);
                let id = text(event, "id").to_owned();
                run.history.add(Record::Logged { ch: ch.clone(), pos, id });
            }
            if page["more"] != true {
                break;
            }
            text(&page, "pos").clone_into(&mut since);
        }
        tops.push((ch.clone(), top));
    }
    tops
}

/// Without faults, every client reads on until it is done; the checker judges who is not in time.
async fn each(
    clients: Vec<(Client, Shim)>,
    done: impl Fn(&Client) -> bool + Clone + Send + 'static,
) -> Vec<(Client, Shim)> {
    let mut reading = JoinSet::new();
    for (mut client, shim) in clients {
        let done = done.clone();
        reading.spawn(async move {
            let until = Instant::now() + 2 * PATIENCE;
            while !done(&client) && Instant::now() < until {
                client.next_within(Duration::from_millis(100)).await;
                assert_eq!(client.ended, None, "{}", client.name);
            }
            (client, shim)
        });
    }
    reading.join_all().await
}

fn print(run: &Run, records: &[Record]) {
    let many = |wanted: fn(&Record) -> bool| records.iter().filter(|r| wanted(r)).count();
    let stored = many(|r| matches!(r, Record::Answered { outcome: Outcome::Stored(..), .. }));
    println!(
        "chaos: {SESSIONS} sessions, {} published, {stored} answers, {} delivered, {} moves, \
         {} cuts, {} repeated polls, {} links, {} gaps, {} skipped",
        many(|r| matches!(r, Record::Sent { .. })),
        many(|r| matches!(r, Record::Delivered { .. })),
        run.figures.moves.load(Ordering::Relaxed),
        run.figures.cuts.load(Ordering::Relaxed),
        run.figures.repeats.load(Ordering::Relaxed),
        many(|r| matches!(r, Record::Resumed { .. })),
        many(|r| matches!(r, Record::Gap { .. })),
        many(|r| matches!(r, Record::Skipped { .. })),
    );
    assert_eq!(many(|r| matches!(r, Record::Gap { .. })), 0, "gaps");
}
