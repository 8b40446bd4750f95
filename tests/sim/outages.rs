//! The store is away from every node for longer than anything waits for it at once.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use throughline::gateway::peers::{self, Question};
use throughline::protocol::channel::Channel;
use tokio::time::{Instant, sleep};

use crate::directed::{CHANNEL, fleet, fleet_of, goes_on, open, sees_leave, session_of};
use crate::life::Way;
use crate::net::Net;
use crate::node::Fleet;
use crate::support::client::{Client, Target};
use crate::support::text;

/// A publish is answered within 2 s, and the network takes some of its own.
const ANSWERED: Duration = Duration::from_millis(2_100);

fn all(fleet: &Fleet, way: Way) {
    fleet.ways.iter().for_each(|node| node.set(way));
}

fn members(fleet: &Fleet) -> usize {
    fleet.store.lock().snapshot(&Channel::parse(CHANNEL).unwrap()).count
}

/// Both poll for so long. Whether the watcher sees this member leave.
async fn saw_leave(watcher: &mut Client, client: &mut Client, time: Duration) -> bool {
    let until = Instant::now() + time;
    let member = client.member.clone();
    let goes_on = async {
        while Instant::now() < until {
            client.next_within(Duration::from_millis(100)).await;
        }
    };
    let watches = async {
        let mut left = false;
        while Instant::now() < until {
            let frame = watcher.next_within(Duration::from_millis(100)).await.unwrap_or_default();
            left |= text(&frame, "t") == "leave" && frame["id"] == member;
        }
        left
    };
    tokio::join!(goes_on, watches).1
}

#[tokio::test(start_paused = true)]
async fn a_member_that_comes_back_while_the_store_is_away_is_listed_after_it_and_not_seen_to_leave()
{
    // spec: R2, R1
    for way in [Way::Refused, Way::Hung] {
        let fleet = fleet(2).await;
        let mut watcher = open(&fleet, 1, "watcher").await;
        let mut client = open(&fleet, 0, "user").await;
        all(&fleet, way);
        client.cut();
        // Its grace is over, and presence is to forget it.
        sleep(Duration::from_secs(35)).await;
        assert!(!saw_leave(&mut watcher, &mut client, Duration::from_secs(35)).await);
        all(&fleet, Way::Open);
        assert!(!saw_leave(&mut watcher, &mut client, Duration::from_secs(60)).await, "{way:?}");
        assert_eq!((members(&fleet), client.ended.as_deref()), (2, None), "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_had_left_and_comes_back_while_the_store_is_away_is_listed_after_it() {
    // spec: R1, F3
    let fleet = fleet(2).await;
    let mut watcher = open(&fleet, 1, "watcher").await;
    let mut client = open(&fleet, 0, "user").await;
    client.cut();
    assert!(sees_leave(&mut watcher, &client.member).await);
    all(&fleet, Way::Refused);
    saw_leave(&mut watcher, &mut client, Duration::from_secs(60)).await;
    assert_eq!(members(&fleet), 1);
    all(&fleet, Way::Open);
    assert!(!saw_leave(&mut watcher, &mut client, Duration::from_secs(5)).await);
    assert_eq!(members(&fleet), 2);
}

#[tokio::test(start_paused = true)]
async fn a_publish_while_the_store_is_away_does_not_wait_for_a_join_before_it() {
    // spec: F3
    for way in [Way::Refused, Way::Hung] {
        let fleet = fleet(1).await;
        let mut client = open(&fleet, 0, "user").await;
        all(&fleet, way);
        for away in [true, false, true] {
            sleep(Duration::from_secs(5)).await;
            client.send(json!({ "t": "away", "away": away }));
            let sent = Instant::now();
            let seq = client.publish(CHANNEL, 1);
            let answer = client.settled(seq).await;
            assert!(sent.elapsed() <= ANSWERED, "{way:?}: {:?}, {answer}", sent.elapsed());
        }
        all(&fleet, Way::Open);
        sleep(Duration::from_secs(4)).await;
        let listed = fleet.store.lock().snapshot(&Channel::parse(CHANNEL).unwrap()).members;
        let listed: serde_json::Value = serde_json::from_slice(&listed[0]).unwrap();
        assert_eq!(listed["state"], "away");
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_its_join_waits_for_the_store_is_not_listed_by_it() {
    // spec: R1
    for way in [Way::Refused, Way::Hung] {
        let fleet = fleet(2).await;
        let mut watcher = open(&fleet, 1, "watcher").await;
        let mut client = open(&fleet, 0, "user").await;
        all(&fleet, way);
        client.call(json!({ "t": "away", "away": true })).await;
        sleep(Duration::from_secs(10)).await;
        client.call(json!({ "t": "unsubscribe", "ch": CHANNEL })).await;
        all(&fleet, Way::Open);
        saw_leave(&mut watcher, &mut client, Duration::from_secs(60)).await;
        assert_eq!(members(&fleet), 1, "{way:?}");
    }
}

/// Has the session leave its node, as its client does that attaches elsewhere.
async fn parks(fleet: &Arc<Fleet>, client: &mut Client) {
    client.cut();
    let park = Question::Park(session_of(fleet, client), client.link() + 1, u64::MAX);
    peers::answer(&fleet.node(0).unwrap().gateway, park).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_moved_just_before_the_store_was_away_is_not_seen_to_leave() {
    // spec: R2, R3
    let mut unlisted = 0;
    for seed in 0..10 {
        let fleet = fleet_of(2, None, seed).await;
        let mut watcher = open(&fleet, 0, "watcher").await;
        let mut client = open(&fleet, 0, "user").await;
        parks(&fleet, &mut client).await;
        client.goes_to(Target::Wires(Net::to(&fleet, 1)));
        let taker = fleet.node(1).unwrap().gateway.clone();
        let falls = async {
            while taker.sessions() == 0 {
                sleep(Duration::from_millis(1)).await;
            }
            all(&fleet, Way::Refused);
        };
        let comes = async {
            loop {
                client.next_within(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = falls => {}
            () = comes => {}
        }
        let of = taker.incarnation();
        let listed = |part| !fleet.store.lock().asserted(&of, part, 32).is_empty();
        unlisted += usize::from(!(0..32).any(listed));
        assert!(!saw_leave(&mut watcher, &mut client, Duration::from_secs(60)).await);
        all(&fleet, Way::Open);
        assert!(!saw_leave(&mut watcher, &mut client, Duration::from_secs(60)).await, "{seed}");
        goes_on(&mut client).await;
        assert_eq!((members(&fleet), taker.sessions()), (2, 1), "seed {seed}");
    }
    assert!(unlisted > 0, "the store was away too late");
}

#[tokio::test(start_paused = true)]
async fn a_parked_session_whose_time_ended_while_the_store_was_away_leaves_after_it() {
    // spec: R1
    let fleet = fleet(2).await;
    let mut watcher = open(&fleet, 1, "watcher").await;
    let mut client = open(&fleet, 0, "user").await;
    parks(&fleet, &mut client).await;
    all(&fleet, Way::Refused);
    let until = Instant::now() + Duration::from_secs(200);
    while Instant::now() < until {
        watcher.next_within(Duration::from_millis(100)).await;
    }
    all(&fleet, Way::Open);
    assert!(sees_leave(&mut watcher, &client.member).await);
}
