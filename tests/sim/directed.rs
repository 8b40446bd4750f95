//! What random histories found, told straight.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use throughline::gateway::peers::{self, Question};
use tokio::time::sleep;

use crate::life::{Running, Way};
use crate::net::Net;
use crate::node::Fleet;
use crate::store::Mutant;
use crate::support::client::target::Wires as _;
use crate::support::client::{Client, Target, Transport};
use crate::support::history::History;
use crate::support::{text, token};

pub(crate) const CHANNEL: &str = "chat:a";

pub(crate) async fn fleet(nodes: usize) -> Arc<Fleet> {
    fleet_of(nodes, None, 1).await
}

pub(crate) async fn fleet_of(nodes: usize, mutant: Option<Mutant>, seed: u64) -> Arc<Fleet> {
    let fleet = Fleet::start(nodes, mutant, &mut StdRng::seed_from_u64(seed));
    fleet.calm();
    sleep(Duration::from_millis(100)).await;
    fleet
}

/// A session whose requests go to this node alone, and that watches the channel.
pub(crate) async fn open(fleet: &Arc<Fleet>, place: usize, name: &str) -> Client {
    let net = Net::to(fleet, place);
    let watch =
        json!({ "token": token::user(name), "subs": [{ "ch": CHANNEL, "presence": true }] });
    let history = History::default();
    let target = Target::Wires(net);
    let mut client = Client::open(target, Transport::Poll, watch, &history).await;
    client.wait = 500;
    // Answered, so that it is no longer provisional.
    client.call(json!({ "t": "presence", "users": [] })).await;
    client
}

/// Reads until this member leaves. False where it does not within a minute.
pub(crate) async fn sees_leave(watcher: &mut Client, member: &str) -> bool {
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while tokio::time::Instant::now() < until {
        let frame = watcher.next_within(Duration::from_secs(1)).await.unwrap_or_default();
        if text(&frame, "t") == "leave" && frame["id"] == member {
            return true;
        }
    }
    false
}

/// Reads for so long; whether this member is seen to leave.
async fn saw_leave(watcher: &mut Client, member: &str, time: Duration) -> bool {
    let (began, mut left) = (tokio::time::Instant::now(), false);
    while began.elapsed() < time {
        let frame = watcher.next_within(Duration::from_millis(100)).await.unwrap_or_default();
        left |= text(&frame, "t") == "leave" && frame["id"] == member;
    }
    left
}

pub(crate) fn session_of(fleet: &Fleet, client: &Client) -> String {
    let node = fleet.node(0).unwrap();
    let ticket = node.gateway.auth.tickets().open_session(client.ticket()).unwrap();
    format!("{:032x}", ticket.session)
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_parked_and_that_nobody_comes_for_leaves_in_its_time() {
    // spec: R1
    let fleet = fleet(2).await;
    let mut watcher = open(&fleet, 1, "watcher").await;
    let mut client = open(&fleet, 0, "user").await;
    let (member, session) = (client.member.clone(), session_of(&fleet, &client));
    client.cut();
    // As a node does that is lost before it takes the session.
    peers::answer(
        &fleet.node(0).unwrap().gateway,
        Question::Park(session, client.link() + 1, u64::MAX),
    )
    .await;
    let parked = tokio::time::Instant::now();
    assert!(sees_leave(&mut watcher, &member).await);
    // Detection, grace, and what its node takes to notice.
    assert!(parked.elapsed() < Duration::from_secs(10 + 20 + 2), "{:?}", parked.elapsed());
}

/// The ids in the log of the channel.
fn logged(fleet: &Fleet) -> Vec<String> {
    let logs = fleet.store.lock().logs();
    let log = logs.into_iter().find(|(ch, _)| ch == CHANNEL).map(|(_, log)| log);
    let id = |frame: &[u8]| {
        let frame: serde_json::Value = serde_json::from_slice(frame).unwrap();
        text(&frame, "id").to_owned()
    };
    log.unwrap_or_default().iter().map(|(_, frame)| id(frame)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_publish_of_unknown_outcome_holds_the_later_ones_of_its_channel_until_it_is_settled() {
    // spec: O3, M29
    let fleet = fleet(2).await;
    let mut client = open(&fleet, 0, "user").await;
    fleet.ways[0].set(Way::Hung);
    let (first, second) =
        (client.publish_as(CHANNEL, 1, "first"), client.publish_as(CHANNEL, 2, "second"));
    for seq in [first, second] {
        assert_eq!(client.settled(seq).await["code"], "unknown_outcome");
    }
    fleet.ways[0].set(Way::Open);
    sleep(Duration::from_secs(1)).await;
    // The first had been under way to the store; the second never was.
    assert_eq!(logged(&fleet), ["first"]);
    let third = client.publish_as(CHANNEL, 3, "third");
    assert_eq!(client.settled(third).await["t"], "ok");
    let again = client.publish_as(CHANNEL, 2, "second");
    assert_eq!(client.settled(again).await["duplicate"], true);
    assert_eq!(logged(&fleet), ["first", "second", "third"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_opened_again_and_never_answered_leaves_in_its_time() {
    // spec: R1, M44
    let fleet = fleet(3).await;
    let mut watcher = open(&fleet, 1, "watcher").await;
    let mut client = open(&fleet, 0, "user").await;
    let member = client.member.clone();
    client.cut();
    // Its record is raised by the open of which no answer comes, so that its node lets it go.
    fleet.node(0).unwrap().running.set(Running::Paused);
    sleep(Duration::from_millis(9_000)).await;
    let open = json!({
        "l": "open", "v": 1, "ticket": client.ticket(), "token": token::user("user"),
        "link": 9, "subs": [{ "ch": CHANNEL }],
    });
    let answer = Net::to(&fleet, 2).exchange(vec![open]).await.unwrap();
    assert_eq!((&answer[0]["rebuilt"], &answer[0]["me"]["id"]), (&json!(true), &json!(member)));
    fleet.node(0).unwrap().running.set(Running::Yes);
    assert!(sees_leave(&mut watcher, &member).await);
}

/// Opens again at another node in the place of a session whose node others took for lost.
async fn goes_on_elsewhere(fleet: &Arc<Fleet>, client: &mut Client) {
    let member = client.member.clone();
    client.cut();
    client.goes_to(Target::Wires(Net::to(fleet, 1)));
    sleep(Duration::from_millis(9_000)).await;
    while client.ended.is_none() {
        client.next_within(Duration::from_millis(100)).await;
    }
    client.open_again(&[CHANNEL]).await;
    assert_eq!((client.hello["rebuilt"] == true, &client.member), (true, &member));
    client.call(json!({ "t": "presence", "users": [] })).await;
}

pub(crate) async fn goes_on(client: &mut Client) {
    let answer = client.call(json!({ "t": "presence", "users": [] })).await;
    assert_eq!((answer["t"].as_str(), client.ended.as_deref()), (Some("ok"), None), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stood_still_for_longer_than_its_lease_does_not_answer_for_a_session_it_lost() {
    // spec: R4, S5
    let fleet = fleet(2).await;
    let mut client = open(&fleet, 0, "user").await;
    let node = fleet.node(0).unwrap();
    node.running.set(Running::Paused);
    goes_on_elsewhere(&fleet, &mut client).await;
    node.running.set(Running::Yes);
    client.goes_to(Target::Wires(Net::to(&fleet, 0)));
    goes_on(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_know_that_it_lost_a_session_learns_it_from_the_ticket() {
    // spec: S5, F3
    let fleet = fleet(2).await;
    let mut client = open(&fleet, 0, "user").await;
    fleet.ways[0].set(Way::Refused);
    goes_on_elsewhere(&fleet, &mut client).await;
    client.goes_to(Target::Wires(Net::to(&fleet, 0)));
    // What it must ask the store for has to wait; that it is no longer its own it says.
    while client.next_within(Duration::from_secs(1)).await.is_some() {}
    assert_eq!(client.ended, None);
    fleet.ways[0].set(Way::Open);
    goes_on(&mut client).await;
}

/// The same attach of a parked session comes to two nodes at once: how many nodes have it then.
async fn owners(mutant: Option<Mutant>, seed: u64) -> usize {
    let fleet = fleet_of(3, mutant, seed).await;
    let mut client = open(&fleet, 0, "user").await;
    client.cut();
    let link = client.link() + 1;
    let park = Question::Park(session_of(&fleet, &client), link, u64::MAX);
    peers::answer(&fleet.node(0).unwrap().gateway, park).await;
    let attach = json!({
        "l": "attach", "ticket": client.ticket(), "link": link, "count": client.counted(),
        "wait": 1,
    });
    let [one, other] = [1, 2].map(|place| Net::to(&fleet, place).exchange(vec![attach.clone()]));
    let (one, other) = tokio::join!(one, other);
    for answer in [one, other] {
        assert_eq!(answer.unwrap()[0]["l"], "attached");
    }
    (0..3).map(|place| fleet.node(place).unwrap().gateway.sessions()).sum()
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_that_want_a_session_at_once_one_takes_it() {
    // spec: S1
    for seed in 0..20 {
        assert_eq!(owners(None, seed).await, 1, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_two_nodes_take_is_noticed() {
    for seed in 0..20 {
        let owners = owners(Some(Mutant::TakesOverWithoutTheCompare), seed).await;
        assert_eq!(owners, 2, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_comes_while_its_node_withdraws_what_it_does_not_hold_is_not_seen_to_leave()
{
    // spec: R3, R5
    for step in 0..30 {
        let began = tokio::time::Instant::now();
        let fleet = fleet_of(2, None, step).await;
        let mut watcher = open(&fleet, 1, "watcher").await;
        let mut client = open(&fleet, 0, "user").await;
        fleet.store.lock().flush();
        // A probe finds it 2 s after the start; a grace of 20 s later nodes withdraw what they do not
        // hold. The session comes then, a little earlier or later each time.
        while began.elapsed() < Duration::from_millis(21_960 + 2 * step) {
            client.next_within(Duration::from_millis(1)).await;
        }
        client.goes_to(Target::Wires(Net::to(&fleet, 1)));
        client.move_to(Transport::WebSocket).await;
        goes_on(&mut client).await;
        let left = saw_leave(&mut watcher, &client.member, Duration::from_secs(2)).await;
        assert!(!left, "step {step}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_on_its_way_while_its_node_withdraws_what_it_does_not_hold_is_not_seen_to_leave()
 {
    // spec: R3, R5
    let began = tokio::time::Instant::now();
    let fleet = fleet(2).await;
    let mut watcher = open(&fleet, 1, "watcher").await;
    let mut client = open(&fleet, 0, "user").await;
    fleet.store.lock().flush();
    while began.elapsed() < Duration::from_secs(21) {
        client.next_within(Duration::from_millis(1)).await;
    }
    client.cut();
    let park = Question::Park(session_of(&fleet, &client), client.link() + 1, u64::MAX);
    peers::answer(&fleet.node(0).unwrap().gateway, park).await;
    // Its node withdraws what it does not hold meanwhile.
    assert!(!saw_leave(&mut watcher, &client.member, Duration::from_secs(3)).await);
    client.goes_to(Target::Wires(Net::to(&fleet, 1)));
    goes_on(&mut client).await;
    assert!(!saw_leave(&mut watcher, &client.member, Duration::from_secs(30)).await);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_opened_again_after_a_loss_of_data_is_not_taken_for_what_a_node_still_has()
 {
    // spec: S5
    let fleet = fleet(3).await;
    let mut client = open(&fleet, 0, "user").await;
    client.cut();
    // It goes on at another node, and the answer that says so is lost.
    let link = client.link() + 1;
    let park = Question::Park(session_of(&fleet, &client), link, u64::MAX);
    peers::answer(&fleet.node(0).unwrap().gateway, park).await;
    let attach = json!({
        "l": "attach", "ticket": client.ticket(), "link": link, "count": client.counted(),
        "wait": 1,
    });
    assert_eq!(Net::to(&fleet, 1).exchange(vec![attach]).await.unwrap()[0]["l"], "attached");
    fleet.store.lock().flush();
    client.goes_to(Target::Wires(Net::to(&fleet, 2)));
    client.until_ended().await;
    client.open_again(&[CHANNEL]).await;
    goes_on(&mut client).await;
    client.goes_to(Target::Wires(Net::to(&fleet, 1)));
    goes_on(&mut client).await;
    assert_eq!(fleet.node(1).unwrap().gateway.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_ends_its_session_though_what_says_so_meets_a_node_that_is_gone() {
    for seed in 0..10 {
        let fleet = fleet_of(3, None, seed).await;
        let net = Net::to(&fleet, 1);
        let (open, history) = (json!({ "subs": [{ "ch": CHANNEL }] }), History::default());
        let mut client = Client::open(Target::Wires(net), Transport::Stream, open, &history).await;
        goes_on(&mut client).await;
        fleet.kill(0);
        client.goes_to(Target::Wires(Net::new(&fleet, seed)));
        client.close().await;
        assert_eq!(fleet.node(1).unwrap().gateway.sessions(), 0, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_of_before_a_session_was_opened_again_does_not_move_what_came_in_its_place() {
    // spec: M44, S1
    let fleet = fleet(3).await;
    let mut client = open(&fleet, 0, "user").await;
    let session = session_of(&fleet, &client);
    let attach =
        json!({ "l": "attach", "ticket": client.ticket(), "link": 99, "count": 0, "wait": 0 });
    fleet.kill(0);
    goes_on_elsewhere(&fleet, &mut client).await;
    let late = async || Net::to(&fleet, 2).exchange(vec![attach.clone()]).await;
    let gone = |answer: Result<_, Option<serde_json::Value>>| {
        answer.is_err_and(|error| error.is_some_and(|error| error["code"] == "session_gone"))
    };
    assert!(gone(late().await));
    goes_on(&mut client).await;
    client.cut();
    let park = Question::Park(session, client.link() + 1, u64::MAX);
    peers::answer(&fleet.node(1).unwrap().gateway, park).await;
    assert!(gone(late().await));
    goes_on(&mut client).await;
}
