//! One history: nodes, clients, backends and what goes wrong, all out of one seed, in virtual time.

mod backend;
mod nemesis;
mod page;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::backend::Backend;
use self::page::{Page, Reads};
use crate::net::Net;
use crate::node::Fleet;
use crate::store::Mutant;
use crate::support::checker::{Violation, check_faults};
use crate::support::history::{History, Record};
use crate::support::text;

/// How long everyone is given in the end: a lease, its grace, and what detection takes.
const SETTLE: Duration = Duration::from_secs(40);

/// Runs one history and judges it.
pub(crate) fn run(seed: u64, mutant: Option<Mutant>) -> Vec<Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let (records, codes) = runtime.block_on(play(seed, mutant));
    let mut violations = check_faults(&records);
    // What a client cannot have brought about is the gateway's own; but where the records are lost,
    // nobody can prove who has a session.
    let flushed =
        records.iter().any(|record| matches!(record, Record::LossBegins { all: true, .. }));
    let wrong =
        codes.iter().filter(|code| *code == "internal" || (*code == "bad_count" && !flushed));
    violations.extend(
        wrong
            .map(|code| Violation { clause: "S2", detail: format!("a session ended with {code}") }),
    );
    violations
}

async fn play(seed: u64, mutant: Option<Mutant>) -> (Vec<Record>, Vec<String>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let fork = |rng: &mut StdRng| StdRng::seed_from_u64(rng.random());
    let nodes = rng.random_range(2..=3);
    let fleet = Fleet::start(nodes, mutant, &mut rng);
    let history = History::default();
    // Until each holds a lease.
    sleep(Duration::from_millis(100)).await;
    let channels = ["chat:a", "chat:b", "typing:c"].map(str::to_owned).to_vec();
    let stop = CancellationToken::new();
    let plan = nemesis::plan(nodes, &mut rng);
    let watches = !nemesis::flushes(&plan);
    let mut staying = JoinSet::new();
    for index in 0..rng.random_range(2..=4_usize) {
        let reads = Reads { channels: channels.clone(), watches: watches && index < 2 };
        let (net, mut rng) = (Net::new(&fleet, rng.random()), fork(&mut rng));
        let (history, stop) = (history.clone(), stop.clone());
        let name = format!("user-{index}");
        staying.spawn(async move {
            let client = page::open(&net, &name, &reads, &mut rng, &history).await?;
            Some(Page::new(client, reads).stay(rng, stop).await)
        });
    }
    let mut others = JoinSet::new();
    let reads = Reads { channels: vec!["chat:a".to_owned()], watches: false };
    let net = Net::new(&fleet, rng.random());
    let passing = page::come_and_go(net, reads, fork(&mut rng), history.clone(), stop.clone());
    others.spawn(passing);
    for index in 0..2 {
        let name = format!("backend-{index}");
        let backend = Backend::new(&fleet, &history, &name, fork(&mut rng));
        others.spawn(backend.run(channels.clone(), stop.clone()));
    }
    nemesis::run(Arc::clone(&fleet), plan, history.clone()).await;
    sleep(Duration::from_millis(rng.random_range(500..3_000))).await;
    stop.cancel();
    fleet.calm();
    let codes = settle(staying, others).await;
    for (ch, log) in fleet.store.lock().logs() {
        for (pos, frame) in log {
            let frame: Value = serde_json::from_slice(&frame).expect("frames are JSON");
            let pos = text(&frame, "pos").parse().unwrap_or(pos);
            let (ch, id) = (ch.clone(), text(&frame, "id").to_owned());
            history.add(Record::Logged { ch, pos, id });
        }
    }
    fleet.end().await;
    (history.records(), codes)
}

/// Gives everyone the time they need. Returns what sessions ended with.
async fn settle(mut staying: JoinSet<Option<Page>>, mut others: JoinSet<()>) -> Vec<String> {
    let mut settling = JoinSet::new();
    while let Some(client) = staying.join_next().await {
        let Some(mut page) = client.expect("a client goes on") else { continue };
        settling.spawn(async move {
            page.settle(SETTLE).await;
            page.codes
        });
    }
    while let Some(other) = others.join_next().await {
        other.expect("a backend goes on");
    }
    settling.join_all().await.into_iter().flatten().collect()
}
