//! What comes back after the store lost its data, told straight.

use std::time::Duration;

use serde_json::Value;
use throughline::gateway::disconnect::{Whose, disconnect};
use throughline::gateway::peers::{self, Question};
use tokio::time::Instant;

use crate::directed::{fleet_of, open, session_of};
use crate::net::Net;
use crate::node::Fleet;
use crate::support::client::{Client, Target};
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

async fn end(fleet: &Fleet, place: usize, user: &str) {
    let gateway = &fleet.node(place).unwrap().gateway;
    disconnect(gateway, Whose::User(user.to_owned())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_that_is_said_just_after_a_loss_of_data_ends_sessions_of_every_node() {
    // spec: S6
    let fleet = fleet_of(2, None, 1).await;
    let mut client = open(&fleet, 0, "user").await;
    let mut other = open(&fleet, 0, "other").await;
    end(&fleet, 1, "somebody").await;
    end(&fleet, 1, "other").await;
    other.until_ended().await;
    let mut other = open(&fleet, 0, "other").await;
    fleet.store.lock().flush();
    end(&fleet, 1, "user").await;
    let said = Instant::now();
    client.until_ended().await;
    assert!(said.elapsed() < Duration::from_secs(5), "{:?}", said.elapsed());
    // What was said before is not obeyed again.
    while other.next_within(Duration::from_secs(1)).await.is_some() {}
    assert_eq!(other.ended, None);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_that_is_said_after_a_loss_of_data_ends_a_session_that_was_parked_before_it() {
    // spec: S6
    let fleet = fleet_of(2, None, 1).await;
    let mut client = open(&fleet, 0, "user").await;
    let parked = Question::Park(session_of(&fleet, &client), client.link() + 1, u64::MAX);
    client.cut();
    peers::answer(&fleet.node(0).unwrap().gateway, parked).await;
    fleet.store.lock().forget("@system:control");
    end(&fleet, 1, "user").await;
    client.goes_to(Target::Wires(Net::to(&fleet, 1)));
    client.until_ended().await;
}
