//! What happens between nodes and Redis: FAULTS 20 to 24.

use std::time::Duration;

use crate::harness::load::Plan;
use crate::harness::stage::Stage;
use crate::support::redis::{Options, Redis};
use crate::support::shim::{Cut, Shim, Weather};

const SECOND: Duration = Duration::from_secs(1);

/// The weather between every node and Redis for some time, and then none.
async fn weather(fault: &str, weather: Weather, time: Duration) {
    let redis = Redis::start();
    let (stage, shims) = Stage::shimmed(&redis, &Plan::default()).await;
    shims.iter().for_each(|shim| shim.weather(weather));
    stage.run(time).await;
    shims.iter().for_each(|shim| shim.weather(Weather::default()));
    stage.finish(fault).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_between_nodes_and_redis_disconnects_nobody() {
    // demand: 52
    // spec: F3, R2
    let redis = Redis::start();
    let (stage, shims) = Stage::shimmed(&redis, &Plan::default()).await;
    let all = |weather| shims.iter().for_each(|shim: &Shim| shim.weather(weather));
    all(Weather { refuse: true, ..Weather::default() });
    shims.iter().for_each(|shim| shim.cut(Cut::Rst));
    stage.run(3 * SECOND).await;
    all(Weather::default());
    stage.finish("20 nodes and Redis cut for 3 s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_silent_wire_to_redis_is_found() {
    // demand: 52
    // spec: F3, F5, P2
    let silent = Weather { stall_up: true, stall_down: true, ..Weather::default() };
    weather("21 nothing passes for 6 s", silent, 6 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn answers_of_redis_that_do_not_come_are_unknown_outcomes() {
    // spec: P2, P3, F5
    let deaf = Weather { stall_down: true, ..Weather::default() };
    weather("21 requests land, answers do not come, 6 s", deaf, 6 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_the_pub_sub_link_is_gone_is_filled_from_the_log() {
    // demand: 52, 53
    // spec: D3, F5
    let redis = Redis::start();
    let stage = Stage::start(&redis.url()).await;
    for _ in 0..30 {
        redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        stage.run(SECOND / 10).await;
    }
    stage.finish("22 CLIENT KILL TYPE pubsub, ten times a second").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn what_redis_cuts_off_for_being_slow_is_filled_from_the_log() {
    // spec: D3, F5
    let options = Options::new().arg("client-output-buffer-limit", "pubsub 64kb 32kb 1");
    let redis = Redis::with(options);
    let plan = Plan { per_second: 200, ..Plan::default() };
    let (stage, shims) = Stage::shimmed(&redis, &plan).await;
    let slow = Weather { bytes_per_second: 20_000, ..Weather::default() };
    shims.iter().for_each(|shim| shim.weather(slow));
    stage.run(8 * SECOND).await;
    shims.iter().for_each(|shim| shim.weather(Weather::default()));
    stage.finish("23 small output buffers, 20 kB/s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_slow_wire_to_redis_breaks_nothing() {
    // spec: F3, R2
    let delay = Duration::from_millis(150);
    let jitter = Duration::from_millis(100);
    let slow = Weather { delay, jitter, ..Weather::default() };
    weather("24 a delay of 150 to 250 ms", slow, 10 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_wire_that_carries_ten_bytes_at_a_time_breaks_nothing() {
    // spec: F3
    weather("24 ten bytes at a time", Weather { split: 10, ..Weather::default() }, 5 * SECOND)
        .await;
}
