//! What comes back after the store lost its data, told straight.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::directed::{fleet_of, open};
use crate::support::client::Client;
use crate::support::text;

/// Reads until so long after the beginning; whether its view has this member then, if anything came of it.
async fn sees(watcher: &mut Client, member: &str, (began, until): (Instant, u64)) -> Option<bool> {
    let mut seen = None;
    while began.elapsed() < Duration::from_millis(until) {
        let frame = watcher.next_within(Duration::from_millis(100)).await.unwrap_or_default();
        let is = |found: &Value| found["id"] == member;
        match text(&frame, "t") {
            "members" => seen = Some(frame["members"].as_array().unwrap().iter().any(is)),
            "join" if is(&frame["member"]) => seen = Some(true),
            "leave" if is(&frame) => seen = Some(false),
            _ => {}
        }
    }
    seen
}

async fn at(began: Instant, millis: u64) {
    tokio::time::sleep_until(began + Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn members_are_listed_again_after_a_second_loss_that_follows_at_once() {
    // spec: R2, R5
    let began = Instant::now();
    let fleet = fleet_of(2, None, 1).await;
    let mut watcher = open(&fleet, 1, "watcher").await;
    let client = open(&fleet, 0, "user").await;
    fleet.store.lock().flush();
    // Probes find it 2 s after the start, and the next one 4 s later.
    at(began, 5_000).await;
    fleet.store.lock().flush();
    // Everyone reads the lists again 5 s after they are found.
    assert_eq!(sees(&mut watcher, &client.member, (began, 15_000)).await, Some(true));
}

#[tokio::test(start_paused = true)]
async fn members_that_could_not_be_listed_again_at_once_are_and_everyone_hears_of_it() {
    // spec: R2, R5
    let began = Instant::now();
    let fleet = fleet_of(2, None, 1).await;
    let mut watcher = open(&fleet, 1, "watcher").await;
    let client = open(&fleet, 0, "user").await;
    fleet.store.lock().flush();
    // Probes find it 2 s after the start; the lists are read 5 s later.
    fleet.store.lock().takes_members(false);
    at(began, 8_500).await;
    fleet.store.lock().takes_members(true);
    assert_eq!(sees(&mut watcher, &client.member, (began, 16_000)).await, Some(true));
}
