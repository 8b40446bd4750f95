//! Clients that are cut off for a while, and come back at another node and over another transport.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::harness::table::Row;
use crate::support::client::{Client, Transport};
use crate::support::fleet::Fleet;
use crate::support::history::History;
use crate::support::redis::Redis;
use crate::support::server::Setup;
use crate::support::unique;

const EVENTS: u32 = 300;
/// After which a session that does not poll is detached.
const DETECTION: Duration = Duration::from_secs(10);

/// One client for each pair of transports reads at the first node and is cut; then 300 events are
/// published over so long a time. Each comes back elsewhere and has them all, in order, once.
async fn away_for(time: Duration) -> Row {
    let redis = Redis::start();
    let fleet = Fleet::start(&Setup::suite(), &vec![redis.url(); 3]).await;
    let others: Vec<_> = fleet.nodes[1..].iter().map(|node| node.servers()).collect();
    let (ch, history) = (unique("chat:"), History::default());
    let mut clients = Vec::new();
    for from in Transport::ALL {
        for to in Transport::ALL.into_iter().filter(|to| *to != from) {
            let open = json!({ "subs": [{ "ch": ch }] });
            let node = fleet.nodes[0].servers();
            let mut client = Client::open(&node, from, open, &history).await;
            client.until_kind("subscribed").await;
            client.call(json!({ "t": "presence", "users": [] })).await;
            clients.push((client, from, to));
        }
    }
    let cut = Instant::now();
    for (client, ..) in &mut clients {
        client.cut();
    }
    let numbers: Vec<Value> = (0..EVENTS).map(Value::from).collect();
    for (n, number) in (0..EVENTS).zip(&numbers) {
        others[0].publish(&ch, number.clone()).await;
        sleep_until(cut + time * (n + 1) / EVENTS).await;
    }
    let back =
        clients.into_iter().zip(others.iter().cycle()).map(|((mut client, from, to), node)| {
            let (ch, numbers) = (ch.clone(), numbers.clone());
            async move {
                client.transport = to;
                client.goes_to(node);
                assert_eq!(client.data(&ch, numbers.len()).await, numbers, "{to:?}");
                // Then one word, before the live stream. Between two polls a session is not away.
                if from != Transport::Poll || time > DETECTION {
                    client.until_kind("caught_up").await;
                }
                client
            }
        });
    let mut clients = futures::future::join_all(back).await;
    others[1].publish(&ch, "live").await;
    for client in &mut clients {
        assert_eq!(client.event(&ch).await["data"], "live");
        client.is_quiet();
        assert_eq!((client.lost, client.rebuilt, &client.ended), (0, 0, &None));
    }
    let published = numbers.len() + 1;
    let row = Row {
        published: Some(published),
        more: format!("{} clients, each to another node and transport", clients.len()),
        ..Row::of(
            &format!("77 clients: cut for {time:?}, 300 events meanwhile"),
            &history.records(),
        )
    };
    let once = row.delivered == Some(published * clients.len());
    row.unless(once, "not each event came once")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn who_was_cut_off_for_a_minute_reads_what_was_missed_at_another_node_and_transport() {
    // demand: 77
    // spec: D1, D2, D4, S4, S5
    let row = away_for(Duration::from_mins(1)).await;
    row.keep();
    row.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_cut_off_reads_what_was_missed_at_another_node_and_transport() {
    // demand: 77
    // spec: D1, D2, D4, S4, S5
    away_for(Duration::from_secs(3)).await.assert();
}
