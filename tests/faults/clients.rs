//! What happens between clients and nodes: FAULTS 24, 25, 27, 28, 30.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::load::Plan;
use crate::harness::stage::Stage;
use crate::harness::table::Row;
use crate::support::client::{Client, Transport};
use crate::support::fleet::Fleet;
use crate::support::history::History;
use crate::support::redis::Redis;
use crate::support::server::Setup;
use crate::support::shim::{Cut, Shim, Weather};
use crate::support::unique;

const SECOND: Duration = Duration::from_secs(1);

/// What everyone sends and gets comes by a shim, to which something is done.
async fn between(fault: &str, breaks: impl AsyncFnOnce(&Stage, &Shim)) {
    let redis = Redis::start();
    let (stage, shim) = Stage::behind(&redis.url(), &Plan::default()).await;
    breaks(&stage, &shim).await;
    shim.weather(Weather::default());
    stage.finish(fault).await;
}

/// The weather for some time.
async fn weather(fault: &str, weather: Weather, time: Duration) {
    let breaks = async |stage: &Stage, shim: &Shim| {
        shim.weather(weather);
        stage.run(time).await;
    };
    between(fault, breaks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn slow_wires_of_clients_break_nothing() {
    // spec: S2, S3, D1, D2
    let (delay, jitter) = (Duration::from_millis(150), Duration::from_millis(100));
    let slow = Weather { delay, jitter, ..Weather::default() };
    weather("24 clients: a delay of 150 to 250 ms", slow, 8 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn wires_of_clients_that_carry_ten_bytes_at_a_time_break_nothing() {
    // spec: S2, D1, D2
    let pieces = Weather { split: 10, ..Weather::default() };
    weather("24 clients: ten bytes at a time", pieces, 5 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn clients_whose_wires_fall_silent_go_on_over_others() {
    // spec: S1, S4, R3, D1, D2
    let breaks = async |stage: &Stage, shim: &Shim| {
        shim.freeze();
        stage.run(12 * SECOND).await;
        // What was held comes after all, when other links have the sessions.
        shim.thaw();
    };
    between("25, 30 clients: every wire silent for 12 s, then its bytes come", breaks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn requests_that_come_twice_are_done_once() {
    // spec: P3, S1, S2, S3
    let twice = Weather { repeat: true, ..Weather::default() };
    weather("27 clients: each POST once more, to another node", twice, 8 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn requests_out_of_order_and_answers_that_are_lost_break_nothing() {
    // spec: S2, S3, P2, D1, D2
    let late = Weather { jitter: Duration::from_millis(400), ..Weather::default() };
    let breaks = async |stage: &Stage, shim: &Shim| {
        shim.weather(late);
        for _ in 0..20 {
            stage.run(Duration::from_millis(400)).await;
            shim.cut(Cut::Rst);
        }
    };
    between("28 clients: up to 400 ms late, all cut 20 times", breaks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn clients_that_are_silent_for_good_leave_after_the_detection_and_the_grace() {
    // spec: R1
    let redis = Redis::start();
    let setup = Setup::suite().set("session.ping_visible", "'2s'");
    let fleet = Fleet::start(&setup, &[redis.url()]).await;
    let shim = Shim::to(fleet.nodes[0].address).await;
    let (ch, history) = (unique("room:"), History::default());
    let watched = json!({ "subs": [{ "ch": ch, "presence": true }] });
    let servers = fleet.servers();
    let mut observer = Client::open(&servers, Transport::WebSocket, watched, &history).await;
    let mut silent = Vec::new();
    for transport in Transport::ALL {
        let open = json!({ "subs": [{ "ch": ch }] });
        let mut client = Client::open(shim.address, transport, open, &history).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
        observer.until_kind("join").await;
        silent.push(client);
    }
    let began = Instant::now();
    shim.weather(Weather { stall_up: true, stall_down: true, ..Weather::default() });
    for _ in &silent {
        observer.until_kind("leave").await;
    }
    let row = Row {
        fault: "25 clients: every wire silent for good".to_owned(),
        healed: Some(began.elapsed()),
        more: "until all were seen to leave: pings each 2 s, grace 3 s".to_owned(),
        ..Row::default()
    };
    row.keep();
}
