//! Changes of servers in order, in which nothing is lost, and longer pauses: FAULTS 7, 17, 18.

use std::time::{Duration, Instant};

use crate::harness::stage::Stage;
use crate::support::client::PATIENCE;
use crate::support::history::{History, Record};
use crate::support::redis::cluster::Cluster;
use crate::support::redis::sentinel::Sentinel;

const SECOND: Duration = Duration::from_secs(1);

fn gaps(history: &History) -> usize {
    history.records().iter().filter(|record| matches!(record, Record::Gap { .. })).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_failover_in_order_gives_nobody_a_gap() {
    // demand: 52
    // spec: F2, F3, F4, R2
    let sentinel = Sentinel::start(SECOND);
    let stage = Stage::start(&sentinel.url()).await;
    let history = stage.load.history.clone();
    let (master, replica) = (sentinel.master(), sentinel.replica());
    // Nothing is written from here on, so that nothing is on its way when the replica takes over.
    assert_eq!(master.cli(&["CLIENT", "PAUSE", "10000", "WRITE"]), "OK");
    let until = Instant::now() + PATIENCE;
    while master.info("master_repl_offset") != replica.info("slave_repl_offset") {
        assert!(Instant::now() < until, "the replica does not have all");
    }
    sentinel.fail_over();
    stage.finish_in_time("17 failover in order").await;
    assert_eq!(gaps(&history), 0, "a failover that lost nothing gave a gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_slot_that_moves_key_by_key_gives_nobody_a_gap() {
    // demand: 52
    // spec: F4, R2
    let cluster = Cluster::start();
    let stage = Stage::start(&cluster.url()).await;
    let history = stage.load.history.clone();
    for ch in stage.load.durable() {
        let find = |node: &crate::support::redis::Redis| {
            Some(node.cli(&["KEYS", &format!("tl:*:m:{ch}")])).filter(|key| !key.is_empty())
        };
        let key = cluster.nodes.iter().find_map(find).expect("a channel has its key");
        let slot = cluster.slot(&key);
        let to = (cluster.owner(slot) + 1) % cluster.nodes.len();
        cluster.begin_move(slot, to);
        for _ in 0..5 {
            cluster.move_keys(slot, to, 1);
            stage.run(SECOND / 10).await;
        }
        cluster.end_move(slot, to);
    }
    stage.finish_in_time("18 slots of all channels, key by key").await;
    assert_eq!(gaps(&history), 0, "a slot that moved gave a gap");
}
