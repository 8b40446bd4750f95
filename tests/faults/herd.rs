//! Everyone comes at once: FAULTS 39.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;

use crate::harness::table::Row;
use crate::support::client::{Client, PATIENCE, Transport};
use crate::support::fleet::Node;
use crate::support::history::History;
use crate::support::redis::Redis;
use crate::support::server::{Servers, Setup};
use crate::support::{text, unique, wait};

const MANY: usize = 5000;
const RATE: usize = 200;
/// The contract's, beside the time that the rate takes.
const BESIDES: Duration = Duration::from_secs(30);
const REFUSED: &str = "throughline_sessions_refused_total{code=\"rate_limited\"}";

/// This process may open as many sockets as the system lets it.
fn takes_all_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, all).expect("a limit up to the highest");
}

fn admits(rate: usize) -> Setup {
    let rate = rate.to_string();
    // Who is idle says little: it is the herd that is to work the node.
    Setup::suite()
        .set("session.ping_visible", "'25s'")
        .set("limits.admission.per_second", &rate)
        .set("limits.admission.burst", &rate)
}

/// A session that is cut when it is told to, and comes back elsewhere. When it had what was published
/// after the cut.
async fn comes_back(
    mut client: Client,
    ch: String,
    to: Servers,
    mut cut: watch::Receiver<bool>,
    all_cut: Arc<Barrier>,
) -> (Instant, Client) {
    while !*cut.borrow() {
        tokio::select! {
            _ = cut.changed() => {}
            _ = client.next_within(PATIENCE) => {}
        }
    }
    client.cut();
    client.goes_to(&to);
    client.reopens = true;
    all_cut.wait().await;
    let until = Instant::now() + 4 * PATIENCE;
    while Instant::now() < until {
        let frame = client.next_within(PATIENCE).await.unwrap_or_default();
        if text(&frame, "ch") == ch && frame["data"] == "after" {
            return (Instant::now(), client);
        }
    }
    panic!("{:?} by {:?}: {:?}", client.name, client.transport, client.ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_herd_that_moves_to_another_node_is_back_within_its_time_and_thirty_seconds() {
    // demand: 97
    // spec: B4, S5
    let redis = Redis::start();
    takes_all_files();
    let wide = admits(100_000);
    let [lives, dies] = [&wide, &wide].map(|setup| Node::start(setup, &redis.url()));
    let takes = Node::start(&admits(RATE), &redis.url());
    for node in [&lives, &dies, &takes] {
        node.wait_until_ready().await;
    }
    let (ch, history) = (unique("doc:"), History::default());
    let (tell, told) = watch::channel(false);
    let all_cut = Arc::new(Barrier::new(MANY + 1));
    let mut herd = JoinSet::new();
    for index in 0..MANY {
        let node = if index % 2 == 0 { &lives } else { &dies };
        let transport = Transport::ALL[index / 2 % Transport::ALL.len()];
        let open = json!({ "subs": [{ "ch": ch }] });
        let mut client = Client::open(&node.servers(), transport, open, &history).await;
        client.wait = 20_000;
        client.call(json!({ "t": "presence", "users": [] })).await;
        let (to, all_cut) = (takes.servers(), Arc::clone(&all_cut));
        herd.spawn(comes_back(client, ch.clone(), to, told.clone(), all_cut));
    }
    tell.send_replace(true);
    all_cut.wait().await;
    let began = Instant::now();
    dies.kill();
    let body = json!({ "channel": ch, "id": "after", "data": "after" });
    let takes_it = async || takes.servers().api("/publish", &body).await.status == 200;
    wait::until("the node that is left publishes", takes_it).await;
    let (mut times, mut moved, mut rebuilt, mut lost) = (Vec::new(), 0, 0, 0);
    while let Some(back) = herd.join_next().await {
        let (at, client) = back.expect("a session that comes back");
        times.push(at - began);
        (rebuilt, lost) = (rebuilt + client.rebuilt, lost + client.lost);
        moved += usize::from(client.rebuilt + client.lost == 0);
    }
    times.sort();
    let (nearly, took) = (times[MANY * 99 / 100], times[MANY - 1]);
    let refused = takes.servers().metric(REFUSED).await;
    let row = Row {
        fault: format!("39 {MANY} sessions cut at once, one node takes {RATE} a second"),
        nearly: Some(nearly),
        healed: Some(took),
        more: format!(
            "{moved} sessions moved, {rebuilt} rebuilt, {lost} lost; {refused} times refused and told when"
        ),
        ..Row::default()
    };
    row.keep();
    assert_eq!((moved, rebuilt, lost), (MANY / 2, MANY as u64 / 2, 0));
    let least = Duration::from_secs((MANY / RATE - 1) as u64);
    assert!(refused > 0.0 && took + Duration::from_secs(1) >= least, "nobody was held back");
    assert!(took <= least + Duration::from_secs(1) + BESIDES, "{took:?}");
}
