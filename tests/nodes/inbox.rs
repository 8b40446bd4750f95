//! What is sent to a user, who may be offline.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet;
use crate::real::Fleet;
use crate::support::checker::assert_keeps_the_contract;
use crate::support::client::{Client, Target, Transport};
use crate::support::history::History;
use crate::support::server::Servers;
use crate::support::{text, token, unique, wait};

async fn send(to: &Servers, user: &str, data: impl Into<Value>) {
    let body = json!({ "user": user, "data": data.into() });
    let answer = to.api("/publish", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn device(at: impl Into<Target>, by: Transport, user: &str, history: &History) -> Client {
    let open = json!({ "token": token::with(user, &json!({})) });
    Client::open(at, by, open, history).await
}

/// What comes of the inbox until it is caught up.
async fn read(device: &mut Client, own: &str) -> Vec<Value> {
    let mut data = Vec::new();
    loop {
        let frame = device.until(|frame| text(frame, "ch") == own).await;
        match text(&frame, "t") {
            "event" => data.push(frame["data"].clone()),
            "caught_up" => return data,
            "subscribed" => assert_eq!(frame["durable"], true),
            _ => panic!("{frame}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_while_a_user_was_offline_comes_once_to_each_device() {
    // demand: 76
    // spec: M49, D2, D4
    let fleet = Fleet::start(2, &[]).await;
    let both = fleet.servers(&[0, 1]);
    for (n, transport) in Transport::ALL.into_iter().enumerate() {
        let (user, history) = (unique("user"), History::default());
        let own = format!("@user:{user}");
        for n in 0..20 {
            send(&both, &user, n).await;
        }
        let sent: Vec<_> = (0..20).map(|n| json!(n)).collect();
        let mut first = device(fleet.at(n % 2), transport, &user, &history).await;
        assert_eq!(read(&mut first, &own).await, sent, "{transport:?}");
        let mut second = device(fleet.at((n + 1) % 2), transport, &user, &history).await;
        assert_eq!(read(&mut second, &own).await, sent, "{transport:?}");
        // Both are there: it reaches each of them, wherever it was sent.
        send(&both, &user, "live").await;
        assert_eq!(first.event(&own).await["data"], "live");
        assert_eq!(second.event(&own).await["data"], "live");
        let position = first.position(&own).unwrap().to_string();
        second.is_quiet();
        // A resume repeats nothing.
        first.cut();
        first.move_to(transport).await;
        first.call(json!({ "t": "presence", "users": [] })).await;
        first.is_quiet();
        first.close().await;
        send(&both, &user, "later").await;
        // The first device comes back with its position.
        let subs = json!([{ "ch": own, "since": position }]);
        let open = json!({ "token": token::with(&user, &json!({})), "subs": subs });
        let mut back = Client::open(fleet.at(0), transport, open, &history).await;
        assert_eq!(read(&mut back, &own).await, [json!("later")], "{transport:?}");
        assert_eq!(second.event(&own).await["data"], "later");
        for device in [back, second] {
            device.close().await;
        }
        assert_keeps_the_contract(&history.records());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_a_day_ago_comes_once_to_each_device_and_not_at_the_next_login() {
    // demand: 76
    // spec: M49, D2, D4
    let fleet = fleet::Fleet::start(2).await;
    let both = fleet.servers(&[0, 1]);
    for (n, transport) in Transport::ALL.into_iter().enumerate() {
        let (user, history) = (unique("user"), History::default());
        let own = format!("@user:{user}");
        for n in 0..20 {
            send(&both, &user, n).await;
        }
        let lapsed = both.metric("throughline_leases_lost_total").await;
        fleet.skip(Duration::from_hours(24));
        let both_lapsed =
            async || both.metric("throughline_leases_lost_total").await >= lapsed + 2.0;
        wait::until("the nodes see that a day went by", both_lapsed).await;
        for node in [n % 2, (n + 1) % 2] {
            let mut fresh = device(fleet.address(node), transport, &user, &history).await;
            let sent: Vec<_> = (0..20).map(|n| json!(n)).collect();
            assert_eq!(read(&mut fresh, &own).await, sent, "{transport:?}");
            let position = fresh.position(&own).unwrap().to_string();
            fresh.is_quiet();
            fresh.close().await;
            let subs = json!([{ "ch": own, "since": position }]);
            let open = json!({ "token": token::with(&user, &json!({})), "subs": subs });
            let mut again = Client::open(fleet.address(node), transport, open, &history).await;
            assert_eq!(read(&mut again, &own).await, Vec::<Value>::new(), "{transport:?}");
            again.close().await;
        }
        assert_keeps_the_contract(&history.records());
    }
}
