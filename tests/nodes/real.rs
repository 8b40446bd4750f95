//! Real nodes on a real Redis: processes that are killed, stopped and drained.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::checker::assert_keeps_the_contract;
use crate::support::client::{Client, PATIENCE, Transport};
use crate::support::history::History;
use crate::support::http::Request;
use crate::support::redis::Redis;
use crate::support::server::{Server, Servers, Setup};
use crate::support::{text, token, unique, wait};

const TAKEN: &str = "throughline_sessions_taken_total";
const LOST: &str = "throughline_leases_lost_total";

/// Sessions stay where nobody reads what their clients are sent, as long as a test takes.
pub(crate) const LASTING: &[(&str, &str)] = &[
    ("session.ping_visible", "'120s'"),
    ("session.ping_hidden", "'120s'"),
    ("session.poll_detach", "'120s'"),
];

/// Nodes, and the Redis that they share.
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Server>,
    pub(crate) redis: Redis,
}

impl Fleet {
    /// Starts so many nodes, each with these settings too, and waits until they are ready.
    pub(crate) async fn start(many: usize, settings: &[(&str, &str)]) -> Self {
        let redis = Redis::start();
        let start = |_| {
            let setup = Setup::suite().set("engine.url", &format!("'{}'", redis.url()));
            settings.iter().fold(setup, |setup, (key, value)| setup.set(key, value)).start()
        };
        let fleet = Self { nodes: (0..many).map(start).collect(), redis };
        for node in 0..many {
            let (ready, at) = (Request::get("/ready"), fleet.at(node));
            let is_ready = async || ready.send(at).await.expect("an answer").status == 200;
            wait::until("the node is ready", is_ready).await;
        }
        fleet
    }

    pub(crate) fn at(&self, node: usize) -> SocketAddr {
        self.nodes[node].address
    }

    pub(crate) fn servers(&self, nodes: &[usize]) -> Servers {
        Servers::of(&nodes.iter().map(|node| self.at(*node)).collect::<Vec<_>>())
    }
}

fn subs(channels: &[&str]) -> Value {
    let subs: Vec<_> = channels.iter().map(|ch| json!({ "ch": ch })).collect();
    json!({ "subs": subs })
}

/// Someone who watches who is in a channel, on a node.
async fn watcher(at: SocketAddr, ch: &str, history: &History) -> Client {
    let watch = json!({ "subs": [{ "ch": ch, "presence": true }] });
    let mut watcher = Client::open(at, Transport::WebSocket, watch, history).await;
    watcher.until_kind("members").await;
    watcher.until_kind("join").await;
    watcher
}

/// The next change that a watcher sees is that this member leaves, which it now does.
async fn leaves_next(watcher: &mut Client, member: Client) {
    let id = member.member.clone();
    member.close().await;
    let next = watcher.until(|f| matches!(text(f, "t"), "join" | "update" | "leave")).await;
    assert_eq!((text(&next, "t"), text(&next, "id")), ("leave", &id[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_over_every_transport_and_three_nodes_under_publishes() {
    // demand: 77, 94
    // spec: S4, S5, D1, D2, D7, O3, P3, R3, M43
    let fleet = Fleet::start(3, &[]).await;
    let (ch, typing, history) = (unique("chat:"), unique("typing:"), History::default());
    let mut watcher = watcher(fleet.at(0), &ch, &history).await;
    let servers = fleet.servers(&[0, 1, 2]);
    let mut client = Client::open(&servers, Transport::Poll, subs(&[&ch, &typing]), &history).await;
    client.until_kind("subscribed").await;
    let join = watcher.until_kind("join").await;
    assert_eq!(text(&join["member"], "id"), client.member);
    for n in 0..40 {
        servers.publish(&ch, n).await;
        servers.publish(&typing, n).await;
        client.publish(&ch, format!("own {n}"));
        client.move_to(Transport::ALL[n % 4]).await;
    }
    client.until_top(&servers, &ch).await;
    assert!(servers.metric(TAKEN).await > 5.0);
    assert!(servers.metric("throughline_exchanges_relayed_total").await > 5.0);
    client.is_quiet();
    leaves_next(&mut watcher, client).await;
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_loses_and_repeats_nothing_and_nobody_is_seen_to_leave() {
    // spec: S5, D1, D2, P3, S3, M43, M44
    let mut fleet = Fleet::start(3, &[]).await;
    let (ch, history) = (unique("chat:"), History::default());
    let mut watcher = watcher(fleet.at(1), &ch, &history).await;
    let mut clients = Vec::new();
    for transport in Transport::ALL {
        let mut client = Client::open(fleet.at(0), transport, subs(&[&ch]), &history).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
        watcher.until_kind("join").await;
        clients.push(client);
    }
    let rest = fleet.servers(&[1, 2]);
    for client in &mut clients {
        // In flight when the node dies.
        client.publish(&ch, "before");
    }
    fleet.nodes[0].kill();
    let attach = json!([{ "l": "attach", "ticket": clients[0].ticket(), "link": 9, "count": 0 }]);
    let request = Request::post("/realtime/n/x", attach.to_string());
    assert_eq!(request.send(fleet.at(1)).await.unwrap().code(), "session_kept");
    rest.publish(&ch, "while it is dead").await;
    let go_on = clients.into_iter().map(|mut client| {
        let (rest, ch) = (rest.clone(), ch.clone());
        async move {
            client.goes_to(&rest);
            client.until_ended().await;
            let member = client.member.clone();
            client.open_again(&[&ch]).await;
            assert_eq!((client.hello["rebuilt"] == true, &client.member), (true, &member));
            client.settle().await;
            client
        }
    });
    let clients = futures::future::join_all(go_on).await;
    rest.publish(&ch, "last").await;
    let mut done = Vec::new();
    for mut client in clients {
        client.event(&ch).await;
        client.until_top(&rest, &ch).await;
        client.is_quiet();
        done.push(client);
    }
    for client in done {
        leaves_next(&mut watcher, client).await;
    }
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_told_to_stop_moves_its_sessions_under_publishes_and_exits_in_order() {
    // spec: B3, D1, D2, R3, M43
    let mut fleet = Fleet::start(2, &[("drain.window", "'2s'")]).await;
    let (ch, history) = (unique("chat:"), History::default());
    let mut watcher = watcher(fleet.at(1), &ch, &history).await;
    let mut clients = Vec::new();
    for transport in Transport::ALL.into_iter().cycle().take(12) {
        let mut client = Client::open(fleet.at(0), transport, subs(&[&ch]), &history).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
        watcher.until_kind("join").await;
        clients.push(client);
    }
    let other = fleet.servers(&[1]);
    fleet.nodes[0].signal(Signal::TERM);
    let go_on = clients.into_iter().map(|mut client| {
        let (other, ch) = (other.clone(), ch.clone());
        async move {
            for n in 0..20 {
                client.publish(&ch, n);
                client.next_within(Duration::from_millis(150)).await;
                // As a balancer does that has seen the node unready.
                client.goes_to(&other);
            }
            client.settle().await;
            assert_eq!(client.ended, None);
            client
        }
    });
    let going_on = futures::future::join_all(go_on);
    let (clients, exits) = tokio::join!(going_on, fleet.nodes[0].ends(PATIENCE));
    assert!(exits, "exit code 0 in time");
    let top = other.top(&ch).await;
    let mut done = Vec::new();
    for mut client in clients {
        client.call(json!({ "t": "presence", "users": [] })).await;
        client.until_at(&ch, &top).await;
        client.is_quiet();
        done.push(client);
    }
    assert_eq!(other.metric(TAKEN).await, 12.0);
    for client in done {
        leaves_next(&mut watcher, client).await;
    }
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_stopped_past_its_lease_lets_go_what_others_have_taken() {
    // demand: 66
    // spec: R4, S5, M44
    let fleet = Fleet::start(2, &[]).await;
    let (ch, history) = (unique("chat:"), History::default());
    let mut watcher = watcher(fleet.at(1), &ch, &history).await;
    let mut client = Client::open(fleet.at(0), Transport::Stream, subs(&[&ch]), &history).await;
    client.call(json!({ "t": "presence", "users": [] })).await;
    watcher.until_kind("join").await;
    fleet.nodes[0].signal(Signal::STOP);
    client.cut();
    let other = fleet.servers(&[1]);
    client.goes_to(&other);
    client.until_ended().await;
    let member = client.member.clone();
    client.open_again(&[&ch]).await;
    assert_eq!((client.hello["rebuilt"] == true, &client.member), (true, &member));
    fleet.nodes[0].signal(Signal::CONT);
    let stopped = fleet.servers(&[0]);
    let lost = async || stopped.metric(LOST).await >= 1.0;
    wait::until("the node notices that it lost its lease", lost).await;
    assert_eq!(stopped.metric("throughline_sessions{").await, 0.0);
    client.publish(&ch, 1);
    assert_eq!(client.event(&ch).await["data"], 1);
    client.settle().await;
    client.is_quiet();
    leaves_next(&mut watcher, client).await;
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_comes_from_a_node_that_only_the_engine_reaches() {
    // spec: S5, M43
    let fleet = Fleet::start(2, &[("cluster.advertise", "'127.0.0.1:1'")]).await;
    let (ch, history) = (unique("chat:"), History::default());
    let mut client = Client::open(fleet.at(0), Transport::Poll, subs(&[&ch]), &history).await;
    client.call(json!({ "t": "presence", "users": [] })).await;
    let other = fleet.servers(&[1]);
    for transport in Transport::ALL {
        client.goes_to(&fleet.servers(&[usize::from(transport != Transport::Stream)]));
        client.move_to(transport).await;
        let seq = client.publish(&ch, 1);
        client.settled(seq).await;
    }
    assert!(other.metric(TAKEN).await >= 2.0);
    assert_eq!(client.ended, None);
    client.data(&ch, 4).await;
    client.is_quiet();
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_ends_a_users_sessions_on_every_real_node() {
    // spec: S6
    let fleet = Fleet::start(3, &[]).await;
    let (user, history) = (unique("user"), History::default());
    let open = json!({ "token": token::user(&user) });
    let mut clients = Vec::new();
    for node in 0..3 {
        let at = fleet.at(node);
        let mut client = Client::open(at, Transport::WebSocket, open.clone(), &history).await;
        client.call(json!({ "t": "presence", "users": [] })).await;
        client.comes_back = false;
        clients.push(client);
    }
    let answer = fleet.servers(&[1]).api("/disconnect", &json!({ "user": user })).await;
    assert_eq!(answer.status, 200);
    for mut client in clients {
        client.until_ended().await;
        assert_eq!(client.ended.as_deref(), Some("disconnected"));
    }
}
