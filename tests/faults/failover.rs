//! What happens to a Redis of several servers: FAULTS 15 to 19, 42.

use std::time::Duration;

use serde_json::json;

use crate::harness::load::Plan;
use crate::harness::stage::{NODES, Stage};
use crate::harness::table::Row;
use crate::support::fleet::Fleet;
use crate::support::redis::cluster::Cluster;
use crate::support::redis::sentinel::Sentinel;
use crate::support::redis::{Options, Redis};
use crate::support::server::Setup;
use crate::support::shim::{Cut, Shim, Weather};
use crate::support::{unique, wait};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lagging_replica_did_not_have_is_told_when_it_becomes_the_master() {
    // demand: 52
    // spec: F2, D5
    let master = Redis::start();
    let shim = Shim::to(([127, 0, 0, 1], master.port()).into()).await;
    let replica = Redis::with(Options::new().replica_of("127.0.0.1", shim.address.port()));
    replica.wait_in_sync();
    let sentinel = Sentinel::over(SECOND, master, replica);
    let plan = Plan { passing: 0, per_second: 150, ..Plan::default() };
    let stage = Stage::with(&vec![sentinel.url(); NODES], &plan).await;
    let fault = async || {
        shim.weather(Weather { stall_down: true, ..Weather::default() });
        stage.run(3 * SECOND).await;
        // What was held does not come after all.
        shim.weather(Weather { refuse: true, stall_down: true, ..Weather::default() });
        shim.cut(Cut::Rst);
        sentinel.servers[0].kill();
        sentinel.wait_for_master(&sentinel.servers[1]);
    };
    stage.losing(false, fault).await;
    stage.finish_in_time("15 failover to a lagging replica").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_failover_to_a_replica_that_has_all_is_got_over() {
    // spec: F2, F3, F4, R2
    let sentinel = Sentinel::start(SECOND);
    let stage = Stage::settled(&sentinel.url()).await;
    // Replication is asynchronous: what is on its way may be lost.
    stage.losing(false, async || sentinel.fail_over()).await;
    stage.finish_in_time("17 SENTINEL FAILOVER").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_master_that_dies_is_replaced() {
    // spec: F2, F3, R2
    let sentinel = Sentinel::start(SECOND);
    let stage = Stage::settled(&sentinel.url()).await;
    let fault = async || {
        sentinel.servers[0].kill();
        sentinel.wait_for_master(&sentinel.servers[1]);
    };
    stage.losing(false, fault).await;
    stage.finish_in_time("17 the master dies").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_under_load_are_not_noticed() {
    // spec: F4, R2
    let cluster = Cluster::start();
    let stage = Stage::start(&cluster.url()).await;
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        cluster.reshard(from, to, 2_000);
    }
    stage.finish_in_time("18 reshard of 6000 slots").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_master_of_a_cluster_that_dies_and_comes_back_is_got_over() {
    // spec: F3, F4, R2
    let cluster = Cluster::with(&Options::new().append_only("everysec"));
    let stage = Stage::start(&cluster.url()).await;
    cluster.nodes[1].kill();
    stage.run(4 * SECOND).await;
    cluster.nodes[1].restart();
    stage.finish_in_time("19 kill -9 of a master of a Cluster").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn what_a_node_wrote_to_a_master_that_was_replaced_is_told() {
    // spec: F2, D5, S5
    let sentinel = Sentinel::of_users(SECOND);
    let mut shims = Vec::new();
    for port in sentinel.ports() {
        shims.push(Shim::to(([127, 0, 0, 1], port).into()).await);
    }
    let ports: Vec<_> = shims.iter().map(|shim| shim.address.port()).collect();
    let plan = Plan { passing: 0, ..Plan::default() };
    // The first node hears of another master later than the others.
    let engines = [sentinel.url_by(&ports), sentinel.url(), sentinel.url()];
    let stage = Stage::with(&engines, &plan).await;
    let [old, new] = &sentinel.servers;
    let fault = async || {
        shims.iter().for_each(|shim| shim.weather(Weather { refuse: true, ..Weather::default() }));
        shims.iter().for_each(|shim| shim.cut(Cut::Rst));
        sentinel.isolate(old, true);
        sentinel.wait_for_master(new);
        stage.run(3 * SECOND).await;
        shims.iter().for_each(|shim| shim.weather(Weather::default()));
        sentinel.isolate(old, false);
        sentinel.wait_for_replica(old);
    };
    stage.losing(false, fault).await;
    stage.finish_in_time("16 two masters for 3 s, a node at each").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_that_waits_for_a_replica_holds_up_no_other() {
    // spec: P4
    let master = Redis::start();
    let shim = Shim::to(([127, 0, 0, 1], master.port()).into()).await;
    let replica = Redis::with(Options::new().replica_of("127.0.0.1", shim.address.port()));
    replica.wait_in_sync();
    let setup = Setup::suite()
        .set("namespaces.ledger.history", "{ size = 100, age = '1h' }")
        .set("namespaces.ledger.durability", "'replicated'");
    let fleet = Fleet::start(&setup, &[master.url()]).await;
    let (servers, ledger, doc) = (fleet.servers(), unique("ledger:"), unique("doc:"));
    // A busy replica may take longer than a publish waits for it.
    wait::until("a replica has it", async || {
        let body = json!({ "channel": ledger, "data": "has a replica" });
        servers.api("/publish", &body).await.status == 200
    })
    .await;
    shim.weather(Weather { stall_down: true, ..Weather::default() });
    let body = json!({ "channel": ledger, "data": "waits" });
    let (waits, mut others) = (servers.api("/publish", &body), 0);
    tokio::pin!(waits);
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut waits => break answer,
            _ = servers.publish(&doc, others) => others += 1,
        }
    };
    assert_eq!(answer.code(), "unknown_outcome");
    assert!(others > 2, "{others} others were stored while it waited");
    Row::counted(
        "42 a publish that waits for a replica",
        &format!("{others} others stored meanwhile, one after the other"),
    );
}
