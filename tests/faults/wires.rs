//! What happens between nodes and Redis: FAULTS 20 to 24.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::load::Plan;
use crate::harness::stage::Stage;
use crate::support::history::Record;
use crate::support::redis::{Options, Redis};
use crate::support::shim::{Cut, Shim, Weather};

const SECOND: Duration = Duration::from_secs(1);

/// Each wire loses one of so many of the messages that Redis broadcasts on it, and nobody is told.
async fn loses_one_of(messages: u32, plan: &Plan, time: Duration) {
    let redis = Redis::start();
    let (stage, shims) = Stage::shimmed(&redis, plan).await;
    let lossy = Weather { loses_one_of: messages, ..Weather::default() };
    shims.iter().for_each(|shim| shim.weather(lossy));
    // It is new connections that lose.
    shims.iter().for_each(|shim| shim.cut(Cut::Fin));
    stage.run(time).await;
    shims.iter().for_each(|shim| shim.weather(Weather::default()));
    let lost: u64 = shims.iter().map(Shim::lost).sum();
    let fault = format!("22 one of {messages} broadcasts is lost on the wire, {}", plan.words());
    stage.finish_with(&fault, &format!("{lost} were lost")).await;
    assert!(lost > 0, "nothing was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn broadcasts_that_are_lost_on_the_wire_are_read_from_the_log() {
    // demand: 85
    // spec: D1, D2, D3, D7, R6
    let plan = Plan { per_second: 300, ..Plan::default() };
    loses_one_of(1000, &plan, 20 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn one_broadcast_in_twenty_that_is_lost_on_the_wire_is_read_from_the_log() {
    // demand: 85
    // spec: D1, D2, D3, D7, R6
    loses_one_of(20, &Plan::default(), 10 * SECOND).await;
}

/// The weather between every node and Redis for some time, and then none.
async fn weather(fault: &str, weather: Weather, time: Duration) {
    let redis = Redis::start();
    let (stage, shims) = Stage::shimmed(&redis, &Plan::default()).await;
    shims.iter().for_each(|shim| shim.weather(weather));
    stage.run(time).await;
    shims.iter().for_each(|shim| shim.weather(Weather::default()));
    stage.finish_in_time(fault).await;
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
    stage.finish_in_time("20 nodes and Redis cut for 3 s").await;
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
    // demand: 52
    // spec: D3, F5
    let redis = Redis::start();
    let stage = Stage::start(&redis.url()).await;
    for _ in 0..30 {
        redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        stage.run(SECOND / 10).await;
    }
    stage.finish_in_time("22 CLIENT KILL TYPE pubsub, ten times a second").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_pub_sub_link_that_is_killed_a_thousand_times_a_second_gives_nobody_a_gap() {
    // demand: 53
    // spec: D1, D3, F5
    let redis = Redis::start();
    let stage = Stage::start(&redis.url()).await;
    let history = stage.load.history.clone();
    let mut wire = TcpStream::connect(("127.0.0.1", redis.port())).await.expect("a connection");
    let mut turns = tokio::time::interval(Duration::from_millis(1));
    let until = tokio::time::Instant::now() + 5 * SECOND;
    let (mut answer, mut times, mut killed) = ([0; 64], 0, 0);
    while tokio::time::Instant::now() < until {
        turns.tick().await;
        wire.write_all(b"CLIENT KILL TYPE pubsub\r\n").await.expect("a command");
        let read = wire.read(&mut answer).await.expect("an answer");
        times += 1;
        killed += u32::from(answer[..read] != *b":0\r\n");
    }
    assert!(killed > 0, "there was no link to kill");
    let more = format!("{times} times in 5 s, {killed} of them where there was a link");
    stage.finish_with("22 CLIENT KILL TYPE pubsub, each millisecond", &more).await;
    let gaps = |record: &&Record| matches!(record, Record::Gap { .. });
    assert_eq!(history.records().iter().filter(gaps).count(), 0, "a link gave a gap");
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
