//! Who is listed in a channel is who is there, whatever became of their nodes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::real::{Fleet, LASTING};
use crate::support::checker::{assert_keeps_the_contract, check_faults, summary};
use crate::support::client::{Client, PATIENCE, Target, Transport};
use crate::support::history::{Change, History, Record};
use crate::support::server::Servers;
use crate::support::{text, unique};

/// Of the contract: how long members of a node that died are seen at most.
const LEAVE_OF_A_NODE: Duration = Duration::from_secs(20);

async fn joined(at: impl Into<Target>, by: Transport, ch: &str, history: &History) -> Client {
    let open = json!({ "subs": [{ "ch": ch }] });
    let mut client = Client::open(at, by, open, history).await;
    client.call(json!({ "t": "presence", "users": [] })).await;
    client
}

async fn observer(at: impl Into<Target>, ch: &str, history: &History) -> Client {
    let open = json!({ "subs": [{ "ch": ch, "presence": true }] });
    let mut observer = Client::open(at, Transport::WebSocket, open, history).await;
    observer.until_kind("members").await;
    observer
}

/// A session that answers its node until it is told to stop.
struct Living {
    name: String,
    member: String,
    stop: CancellationToken,
    task: JoinHandle<Client>,
}

impl Living {
    /// It goes on at any of these nodes.
    fn new(mut client: Client, at: &Servers) -> Self {
        client.goes_to(at);
        client.reopens = true;
        client.wait = 1_000;
        let (stop, name, member) =
            (CancellationToken::new(), client.name.clone(), client.member.clone());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                stopped.run_until_cancelled(client.next_within(PATIENCE)).await;
            }
            client
        });
        Self { name, member, stop, task }
    }

    async fn stop(self) -> Client {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

/// Whom an observer sees, by what it was told so far.
fn seen(history: &History, observer: &str) -> BTreeSet<String> {
    let mut list = BTreeSet::new();
    for record in history.records() {
        match record {
            Record::Presence { client, change, .. } if client == observer => match change {
                Change::Members(all) => list = all.into_iter().collect(),
                Change::Join(member) => drop(list.insert(member)),
                Change::Leave(member) => drop(list.remove(&member)),
                Change::Update(_) => {}
            },
            _ => {}
        }
    }
    list
}

/// Whom the API of a node lists.
async fn listed(node: &Servers, ch: &str) -> BTreeSet<String> {
    let answer = node.api_get(&format!("/presence?channel={ch}")).await;
    let members = answer["channels"][ch]["members"].as_array().unwrap();
    members.iter().map(|member| text(member, "id").to_owned()).collect()
}

/// So many random joins and leaves.
async fn comings_and_goings(
    many: usize,
    (members, at): (&mut Vec<Living>, &Servers),
    (ch, history): (&str, &History),
    rng: &mut StdRng,
) {
    for _ in 0..many {
        if members.len() < 5 || rng.random_bool(0.6) {
            let transport = *Transport::ALL.choose(rng).unwrap();
            members.push(Living::new(joined(at, transport, ch, history).await, at));
        } else {
            let one = members.swap_remove(rng.random_range(0..members.len()));
            one.stop().await.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_are_listed_are_those_who_are_there_after_random_joins_leaves_and_a_killed_node()
{
    // demand: 45, 74
    // spec: R1, R6, S5
    let seed = rand::random::<u64>();
    println!("{seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut fleet = Fleet::start(3, &[]).await;
    let (ch, history) = (unique("room:"), History::default());
    let (all, rest) = (fleet.servers(&[0, 1, 2]), fleet.servers(&[1, 2]));
    let mut observers = Vec::new();
    for node in 0..3 {
        observers.push(Living::new(observer(fleet.at(node), &ch, &history).await, &all));
    }
    let mut members = Vec::new();
    comings_and_goings(40, (&mut members, &all), (&ch, &history), &mut rng).await;
    // Clients that are lost with the node.
    let mut lost = Vec::new();
    for transport in Transport::ALL {
        lost.push(joined(fleet.at(0), transport, &ch, &history).await);
    }
    fleet.nodes[0].kill();
    for client in lost {
        let (client, member) = (client.name.clone(), client.member.clone());
        history.add(Record::Closed { client, member });
    }
    for transport in Transport::ALL {
        members.push(Living::new(joined(&rest, transport, &ch, &history).await, &rest));
    }
    let there = members.iter().chain(&observers).map(|one| one.member.clone());
    let there: BTreeSet<_> = there.collect();
    let until = Instant::now() + 2 * PATIENCE;
    loop {
        let mut lists: Vec<_> = observers.iter().map(|one| seen(&history, &one.name)).collect();
        for node in [1, 2] {
            lists.push(listed(&fleet.servers(&[node]), &ch).await);
        }
        if lists.iter().all(|list| *list == there) {
            break;
        }
        assert!(Instant::now() < until, "there are {there:#?}, listed {lists:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for one in members.into_iter().chain(observers) {
        let client = one.stop().await;
        assert_eq!(client.lost, 0, "{} is another member now", client.name);
        client.is_quiet();
    }
    let violations = check_faults(&history.records());
    assert!(violations.is_empty(), "{:#?}", summary(&violations));
}

fn is_change(frame: &Value) -> bool {
    matches!(text(frame, "t"), "join" | "update" | "leave")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_members_of_a_node_that_is_killed_leave_once_each() {
    // demand: 65
    // spec: R1
    let mut fleet = Fleet::start(2, LASTING).await;
    let (ch, history) = (unique("room:"), History::default());
    let mut watcher = observer(fleet.at(1), &ch, &history).await;
    watcher.until_kind("join").await;
    let mut members = BTreeSet::new();
    let mut clients = Vec::new();
    for index in 0..100 {
        let client = joined(fleet.at(0), Transport::ALL[index % 4], &ch, &history).await;
        let join = watcher.until(is_change).await;
        assert_eq!(text(&join["member"], "id"), client.member);
        members.insert(client.member.clone());
        clients.push(client);
    }
    fleet.nodes[0].kill();
    let killed = Instant::now();
    for client in clients {
        let (client, member) = (client.name.clone(), client.member.clone());
        history.add(Record::Closed { client, member });
    }
    while !members.is_empty() {
        let leave = watcher.until(is_change).await;
        assert_eq!(text(&leave, "t"), "leave");
        assert!(members.remove(text(&leave, "id")), "{leave}");
    }
    let took = killed.elapsed();
    println!("the last of 100 left {took:?} after its node");
    assert!(took < LEAVE_OF_A_NODE, "{took:?}");
    // What comes next is nobody's second leave.
    let last = joined(fleet.at(1), Transport::Sse, &ch, &history).await;
    let id = last.member.clone();
    last.close().await;
    for kind in ["join", "leave"] {
        let change = watcher.until(is_change).await;
        let who = if kind == "join" { &change["member"]["id"] } else { &change["id"] };
        assert_eq!((text(&change, "t"), who), (kind, &json!(id)));
    }
    watcher.is_quiet();
    assert_keeps_the_contract(&history.records());
}
