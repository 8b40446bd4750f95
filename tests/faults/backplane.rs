//! What happens to a single Redis: FAULTS 8 to 14, 32, 36.

use std::time::Duration;

use crate::harness::stage::Stage;
use crate::support::redis::{Options, Redis};

const SECOND: Duration = Duration::from_secs(1);

fn everysec() -> Redis {
    Redis::with(Options::new().append_only("everysec"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_redis_that_comes_back_empty_is_told_to_every_reader() {
    // demand: 52
    // spec: F1, F3
    let redis = Redis::start();
    let stage = Stage::start(&redis.url()).await;
    let fault = async || {
        redis.kill();
        stage.run(SECOND).await;
        redis.restart();
    };
    stage.losing(true, fault).await;
    stage.finish_in_time("8 kill -9 of Redis without a log").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_with_its_log_is_not_noticed() {
    // demand: 52
    // spec: F3, R2
    // With `everysec` the last two seconds may be gone, which is the scenario below.
    let redis = Redis::with(Options::new().append_only("always"));
    let stage = Stage::start(&redis.url()).await;
    redis.kill();
    stage.run(2 * SECOND).await;
    redis.restart();
    stage.finish_in_time("9 kill -9 of Redis, AOF always").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_its_end_is_told_and_issues_no_position_again() {
    // demand: 52
    // spec: F2, D5
    let redis = everysec();
    let stage = Stage::settled(&redis.url()).await;
    without_the_end(&redis, stage, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_leave_that_was_lost_with_the_end_of_the_log_is_said_again() {
    // spec: R1, R5
    let redis = everysec();
    let stage = Stage::start(&redis.url()).await;
    without_the_end(&redis, stage, ", while some come and go").await;
}

async fn without_the_end(redis: &Redis, stage: Stage, more: &str) {
    stage.run(3 * SECOND).await;
    let fault = async || {
        redis.kill();
        redis.truncate_aof(0.1);
        redis.restart();
    };
    stage.losing(false, fault).await;
    stage.finish_in_time(&format!("10 loss of power: 10 % of the AOF{more}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_restart_of_redis_in_order_is_not_noticed() {
    // demand: 52
    // spec: F3, F4, R2
    let redis = everysec();
    let stage = Stage::start(&redis.url()).await;
    redis.shut_down();
    redis.restart();
    stage.finish_in_time("11 SHUTDOWN of Redis and start").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_is_told_to_every_reader() {
    // demand: 52
    // spec: F1, R5
    let redis = everysec();
    let stage = Stage::start(&redis.url()).await;
    stage.losing(true, async || assert_eq!(redis.cli(&["FLUSHALL"]), "OK")).await;
    stage.finish_in_time("12 FLUSHALL").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_deleted_key_is_told_to_the_readers_of_its_channel_alone() {
    // demand: 52
    // spec: F1, F4
    let redis = everysec();
    let stage = Stage::start(&redis.url()).await;
    // Without its meta all of a channel is lost; without its log alone, what was before the top.
    for ((kind, all), ch) in [("m", true), ("s", false)].into_iter().zip(stage.load.durable()) {
        let fault = async || {
            let keys = redis.cli(&["KEYS", &format!("tl:*:{kind}:{ch}")]);
            assert_eq!(redis.cli(&["DEL", &keys]), "1", "{keys}");
        };
        stage.losing_of(Some(ch), all, fault).await;
    }
    assert_eq!(redis.cli(&["SCRIPT", "FLUSH"]), "OK");
    stage.finish_in_time("13 DEL of a key, SCRIPT FLUSH").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn keys_that_a_clock_of_redis_lets_run_out_at_once_are_told_to_every_reader() {
    // spec: F1, R5
    let redis = everysec();
    let stage = Stage::start(&redis.url()).await;
    // What a jump of its clock does to keys that are kept for a time.
    let all =
        "for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('PEXPIREAT', key, 1) end";
    stage.losing(true, async || drop(redis.cli(&["EVAL", all, "0"]))).await;
    assert!(redis.info("expired_keys") != "0" || redis.info("total_deleted_keys") != "0");
    stage.finish_in_time("32 PEXPIREAT of every key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_disk_that_is_full_loses_nothing_that_was_acknowledged() {
    // spec: F3, F4, P2, R2
    let redis = everysec();
    let stage = Stage::start(&redis.url()).await;
    redis.limit_files(Some(1));
    stage.run(5 * SECOND).await;
    assert_eq!(redis.info("aof_last_write_status"), "err");
    redis.limit_files(None);
    stage.finish_in_time("36 no room for the AOF for 5 s").await;
}

async fn stopped(time: Duration) {
    let redis = Redis::start();
    let stage = Stage::start(&redis.url()).await;
    redis.stop();
    stage.run(time).await;
    redis.cont();
    stage.finish_in_time(&format!("14 SIGSTOP of Redis for {time:?}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_shortly_loses_and_repeats_nothing() {
    // demand: 52, 69
    // spec: P2, P3, F3, R2
    stopped(3 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_redis_that_stands_still_for_longer_than_leases_makes_nobody_leave() {
    // spec: P2, P3, F3, R2
    stopped(20 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn a_redis_that_stands_still_for_longer_than_leases_and_graces_makes_nobody_leave() {
    // spec: P2, P3, F3, R2
    stopped(30 * SECOND).await;
}
