//! What happens to nodes: FAULTS 1 to 7, 31, 35.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use throughline::protocol::position::Position;

use crate::harness::load::Plan;
use crate::harness::stage::Stage;
use crate::support::client::PATIENCE;
use crate::support::fleet::{Fleet, Node};
use crate::support::http::Request;
use crate::support::redis::{Options, Redis};
use crate::support::server::{API_KEY, Setup};
use crate::support::shim::{Shim, Weather};
use crate::support::{text, unique, wait};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn nothing_is_lost_where_nothing_breaks() {
    // spec: P1, P2, P3, O1, O2, D1, D2, D3, D4, R1, R3
    let redis = Redis::start();
    let stage = Stage::start(&redis.url()).await;
    stage.run(5 * SECOND).await;
    stage.finish("none").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_ready_once_it_has_its_lease() {
    // spec: S5
    let redis = Redis::with(Options::new().user("node", "word", "~* &* +@all -eval -evalsha"));
    let node = Node::start(&Setup::suite(), &redis.url());
    let until = Instant::now() + PATIENCE;
    // It is connected, and cannot write.
    while redis.cli(&["CLIENT", "LIST"]).matches("user=node").count() == 0 {
        assert!(Instant::now() < until, "the node does not connect");
    }
    assert_eq!(node.ready().await.map(|(status, _)| status), Some(503));
    assert_eq!(redis.cli(&["ACL", "SETUSER", "node", "+@all"]), "OK");
    node.wait_until_ready().await;
}

/// The load that the figures of OPERATIONS are of.
fn many() -> Plan {
    Plan { sessions: 300, per_second: 200, durable: 60, ephemeral: 20, ..Plan::default() }
}

async fn killed(plan: Plan) {
    let redis = Redis::start();
    let mut stage = Stage::with(&vec![redis.url(); 3], &plan).await;
    stage.run(2 * SECOND).await;
    let (ghosts, nearly) = stage.kill_with_clients(0).await;
    let more = format!(
        "99 % went on after {:.1} s, the last member without a client left after {:.1} s",
        nearly.as_secs_f64(),
        ghosts.as_secs_f64()
    );
    stage.finish_with(&format!("1 kill -9 of 1 of 3 nodes, {}", plan.words()), &more).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_a_node_that_is_killed_go_on_elsewhere() {
    // demand: 54, 74
    // spec: S5, R1, D1, D2, D3, D4
    killed(Plan::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn three_hundred_sessions_survive_the_death_of_a_node() {
    // demand: 54
    // spec: S5, R1, D1, D2, D3, D4
    killed(many()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_whose_node_dies_before_it_answers_is_stored_once() {
    // spec: P2, P3
    let redis = Redis::start();
    let fleet = Fleet::start(&Setup::suite(), &vec![redis.url(); 2]).await;
    let (first, second) = (&fleet.nodes[0], fleet.nodes[1].servers());
    let shim = Shim::to(first.address).await;
    shim.weather(Weather { stall_down: true, ..Weather::default() });
    let (ch, id) = (unique("chat:"), unique("id"));
    let body = json!({ "channel": ch, "id": id, "data": "once" });
    let request = Request::post("/api/publish", body.to_string())
        .header("content-type", "application/json")
        .header("authorization", &format!("Bearer {API_KEY}"));
    let address = shim.address;
    let lost = tokio::spawn(async move { request.send(address).await });
    let mut stored = None;
    wait::until("the publish is stored", async || {
        let page = second.api_get(&format!("/history?channel={ch}")).await;
        stored = text(&page["events"][0], "pos").parse::<Position>().ok();
        stored.is_some()
    })
    .await;
    first.kill();
    drop(shim);
    assert!(lost.await.expect("a task").is_err(), "the publisher was answered");
    let again = second.api("/publish", &body).await.json();
    assert_eq!(text(&again, "pos").parse().ok(), stored, "{again}");
    assert_eq!(again["duplicate"], true);
    let page = second.api_get(&format!("/history?channel={ch}")).await;
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_node_that_drains_loses_nothing_and_ends_in_time() {
    // spec: B3, S5, R3
    let redis = Redis::start();
    let stage = Stage::with(&vec![redis.url(); 3], &many()).await;
    assert!(stage.fleet.nodes[0].drain().await.success());
    stage.finish(&format!("3 SIGTERM of a node, {}", many().words())).await;
}

/// No session of these nodes had to be opened in the place of another.
async fn nobody_was_rebuilt(nodes: &[Node]) {
    for node in nodes {
        assert_eq!(node.servers().metric("throughline_sessions_rebuilt_total").await, 0.0);
    }
}

async fn rolling(plan: Plan) {
    let redis = Redis::start();
    let stage = Stage::with(&vec![redis.url(); 3], &plan).await;
    let before = stage.load.history.records().len();
    for node in &stage.fleet.nodes {
        nobody_was_rebuilt(std::slice::from_ref(node)).await;
        assert!(node.drain().await.success());
        node.restart();
        node.wait_until_ready().await;
    }
    nobody_was_rebuilt(&stage.fleet.nodes).await;
    let p99 = stage.load.history.delivery_p99(before);
    let more = format!("no session opened anew; 99 % of the events came within {p99:.0?}");
    stage.finish_with(&format!("4 rolling restart of 3 nodes, {}", plan.words()), &more).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_is_not_noticed() {
    // demand: 96
    // spec: B3, S5, R3
    rolling(Plan::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn three_hundred_sessions_do_not_notice_a_rolling_restart() {
    // demand: 96
    // spec: B3, S5, R3
    rolling(many()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_node_that_is_stopped_for_less_than_its_lease_goes_on() {
    // spec: S1, D2
    let redis = Redis::start();
    let stage = Stage::start(&redis.url()).await;
    stage.fleet.nodes[0].stop();
    stage.run(5 * SECOND).await;
    stage.fleet.nodes[0].cont();
    stage.finish("6 SIGSTOP of a node for 5 s").await;
}

/// A node is stopped for longer than its lease; the balancer notices after 3 s.
async fn stopped_past_its_lease(seconds: u32) {
    let redis = Redis::start();
    let stage = Stage::start(&redis.url()).await;
    stage.fleet.nodes[0].stop();
    stage.run(3 * SECOND).await;
    stage.fleet.shun(0, true);
    stage.run((seconds - 3) * SECOND).await;
    stage.fleet.nodes[0].cont();
    stage.fleet.shun(0, false);
    stage.finish(&format!("7 SIGSTOP of a node for {seconds} s")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_node_that_wakes_soon_after_its_lease_removes_nothing_newer() {
    // spec: R4, S5
    stopped_past_its_lease(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_node_that_wakes_after_its_lease_removes_nothing_newer() {
    // spec: R4, S5
    stopped_past_its_lease(30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_node_whose_clock_jumps_ends_nothing() {
    // spec: S1, S5, R2
    // libfaketime reads the jump from a file, each second, and leaves the monotonic clock alone.
    let fake = std::fs::read_dir("/usr/lib").expect("libraries").filter_map(Result::ok);
    let fake = fake.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let fake = fake.filter(|file| file.exists()).map(|file| file.display().to_string());
    let fake = fake.last().expect("scripts/setup.sh faketime installs it");
    let jump = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("clock"));
    std::fs::write(&jump, "+0").expect("a file of its own");
    let environment = vec![
        ("LD_PRELOAD", fake),
        ("FAKETIME_TIMESTAMP_FILE", jump.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let redis = Redis::start();
    let stage = Stage::within(&redis.url(), environment).await;
    for to in ["+3600s", "-3600s", "+0"] {
        std::fs::write(&jump, to).expect("its file");
        stage.run(4 * SECOND).await;
    }
    stage.finish("31 the clock of a node jumps by +1 h, -2 h, +1 h").await;
    std::fs::remove_file(&jump).expect("its file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn nodes_that_have_half_of_their_time_end_nothing() {
    // spec: D1, D2, R2, R3
    let redis = Redis::start();
    let stage = Stage::start(&redis.url()).await;
    for _ in 0..200 {
        stage.fleet.nodes.iter().for_each(Node::stop);
        stage.run(SECOND / 20).await;
        stage.fleet.nodes.iter().for_each(Node::cont);
        stage.run(SECOND / 20).await;
    }
    stage.finish("35 all nodes stopped for 50 ms of each 100 ms, 20 s").await;
}
