//! The same events for everyone, whichever node each is at, and for those who come back.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::real::Fleet;
use crate::support::checker::assert_keeps_the_contract;
use crate::support::client::{Client, PATIENCE, Target, Transport};
use crate::support::history::History;
use crate::support::http::Request;
use crate::support::server::Setup;
use crate::support::{text, token, unique, wait};

/// Messages of a chat, and how many each side has on their way at once.
const MESSAGES: usize = 1000;
const AT_ONCE: usize = 50;

async fn reader(at: impl Into<Target>, by: Transport, ch: &str, history: &History) -> Client {
    let open = json!({ "subs": [{ "ch": ch }] });
    let mut reader = Client::open(at, by, open, history).await;
    reader.call(json!({ "t": "presence", "users": [] })).await;
    reader
}

/// A reader that goes on after a position, on any node.
async fn back(at: impl Into<Target>, by: Transport, sub: &Value, history: &History) -> Client {
    Client::open(at, by, json!({ "subs": [sub] }), history).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_between_two_nodes_has_one_order_at_both() {
    // demand: 36
    // spec: D1, O1, O3
    let fleet = Fleet::start(2, &[]).await;
    for (one, other) in
        [(Transport::WebSocket, Transport::Poll), (Transport::Stream, Transport::Sse)]
    {
        let (ch, history) = (unique("chat:"), History::default());
        let mut alice = reader(fleet.at(0), one, &ch, &history).await;
        let mut bob = reader(fleet.at(1), other, &ch, &history).await;
        let (mut heard, mut said) = ([Vec::new(), Vec::new()], 0);
        while said < MESSAGES {
            for n in said..said + AT_ONCE {
                alice.publish(&ch, format!("alice {n}"));
                bob.publish(&ch, format!("bob {n}"));
            }
            said += 2 * AT_ONCE;
            let (from_alice, from_bob) =
                tokio::join!(alice.data(&ch, 2 * AT_ONCE), bob.data(&ch, 2 * AT_ONCE));
            heard[0].extend(from_alice);
            heard[1].extend(from_bob);
        }
        assert_eq!(heard[0].len(), MESSAGES);
        assert_eq!(heard[0], heard[1], "{one:?} and {other:?}");
        assert_keeps_the_contract(&history.records());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_on_every_transport_and_two_nodes_get_what_a_driver_on_a_third_says() {
    // demand: 14, 109
    // spec: D1, D3
    let fleet = Fleet::start(3, &[]).await;
    let (ch, history) = (unique("chat:"), History::default());
    let mut driver = reader(fleet.at(0), Transport::WebSocket, &ch, &history).await;
    let mut customers = Vec::new();
    for transport in Transport::ALL {
        for node in [1, 2] {
            customers.push(reader(fleet.at(node), transport, &ch, &history).await);
        }
    }
    for n in 0..100 {
        let seq = driver.publish(&ch, n);
        driver.settled(seq).await;
    }
    let reads = customers.iter_mut().map(async |customer| {
        let mut events = Vec::new();
        for _ in 0..100 {
            events.push(customer.event(&ch).await);
        }
        events
    });
    let lists = futures::future::join_all(reads).await;
    assert!(
        lists[0]
            .iter()
            .map(|event| &event["data"])
            .eq((0..100).map(Value::from).collect::<Vec<_>>().iter())
    );
    for (list, customer) in lists.iter().zip(&customers) {
        assert_eq!(*list, lists[0], "{:?}", customer.transport);
        customer.is_quiet();
    }
    assert_keeps_the_contract(&history.records());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_backend_sends_to_a_user_by_one_node_reaches_the_devices_on_the_others() {
    // demand: 39, 101
    let fleet = Fleet::start(3, &[]).await;
    let (user, history) = (unique("user"), History::default());
    let own = format!("@user:{user}");
    let mut devices = Vec::new();
    for transport in Transport::ALL {
        for node in [0, 1] {
            let open = json!({ "token": token::user(&user) });
            let mut device = Client::open(fleet.at(node), transport, open, &history).await;
            device.call(json!({ "t": "presence", "users": [] })).await;
            devices.push(device);
        }
    }
    let body = json!({ "user": user, "data": "to all devices" });
    let answer = fleet.servers(&[2]).api("/publish", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for device in &mut devices {
        let event = device.event(&own).await;
        assert_eq!(event["data"], "to all devices", "{:?}", device.transport);
        device.is_quiet();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_while_a_client_was_away_comes_in_order_after_a_restart_of_its_node_too()
{
    // demand: 47
    // spec: D4, S5
    let mut fleet = Fleet::start(1, &[]).await;
    let (ch, history) = (unique("chat:"), History::default());
    let mut clients = Vec::new();
    for transport in Transport::ALL {
        clients.push(reader(fleet.at(0), transport, &ch, &history).await);
    }
    let numbers = |from: usize| (from..from + 500).map(Value::from).collect::<Vec<_>>();
    fleet.servers(&[0]).publish(&ch, "before").await;
    let mut away = Vec::new();
    for mut client in clients {
        client.event(&ch).await;
        let sub = json!({ "ch": ch, "since": client.position(&ch).unwrap().to_string() });
        away.push((client.transport, sub));
        client.close().await;
    }
    fleet.servers(&[0]).publish_many(&ch, numbers(0)).await;
    for (transport, sub) in &away {
        let mut client = back(fleet.at(0), *transport, sub, &history).await;
        assert_eq!(client.data(&ch, 500).await, numbers(0), "{transport:?}");
        client.close().await;
    }
    fleet.nodes[0].signal(Signal::TERM);
    assert!(fleet.nodes[0].ends(PATIENCE).await);
    let again = Setup::suite().set("engine.url", &format!("'{}'", fleet.redis.url())).start();
    fleet.nodes[0] = again;
    let servers = fleet.servers(&[0]);
    let ready = async || servers.send(Request::get("/ready")).await.status == 200;
    wait::until("the node is ready again", ready).await;
    servers.publish_many(&ch, numbers(500)).await;
    for (transport, sub) in &away {
        let mut client = back(fleet.at(0), *transport, sub, &history).await;
        assert_eq!(client.data(&ch, 1000).await, [numbers(0), numbers(500)].concat());
        assert_eq!(text(&client.until_kind("caught_up").await, "ch"), ch);
        client.close().await;
    }
    assert_keeps_the_contract(&history.records());
}
