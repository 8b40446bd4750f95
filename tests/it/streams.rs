//! What a stream's writes look like on the wire.

use serde_json::json;

use crate::support::http::Request;
use crate::support::server::Servers;
use crate::support::unique;

fn stream(kind: &str, filler: bool, channel: &str) -> Request {
    let open = json!([{ "l": "open", "v": 1, "filler": filler, "subs": [{ "ch": channel }] }]);
    Request::post(&format!("/realtime/n1/{kind}"), open.to_string())
}

#[tokio::test]
async fn a_filler_follows_each_write_in_a_write_of_its_own_where_it_was_asked_for() {
    // spec: M27, M10
    let servers = Servers::suite();
    let channel = unique("chat:");
    for (kind, filler) in [("s", "{\"l\":\"filler\"}\n"), ("e", "data: {\"l\":\"filler\"}\n\n")] {
        let (head, mut body) = stream(kind, true, &channel).begin(servers.pick()).await.unwrap();
        assert_eq!(head.status, 200);
        let mut piece = async || String::from_utf8(body.piece().await.unwrap().unwrap()).unwrap();
        let first = piece().await;
        assert!(first.contains("\"l\":\"hello\""), "{first}");
        // What opening brings may come in several writes, each of them followed.
        let (mut said, mut last) = (first.clone(), first);
        while last != filler || said.matches("\"t\":\"subscribed\"").count() < 2 {
            assert!(last == filler || !last.contains("filler"), "{last}");
            last = piece().await;
            said += &last;
        }
        servers.publish(&channel, 1).await;
        while last == filler {
            last = piece().await;
        }
        assert!(last.contains("\"t\":\"event\"") && !last.contains("filler"), "{last}");
        assert_eq!(piece().await, filler);
    }
}

#[tokio::test]
async fn no_filler_comes_where_none_was_asked_for() {
    // spec: M27
    let servers = Servers::suite();
    let channel = unique("chat:");
    let (_, mut body) = stream("s", false, &channel).begin(servers.pick()).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("\"t\":\"subscribed\"") {
        seen += &String::from_utf8(body.piece().await.unwrap().unwrap()).unwrap();
    }
    for number in 1..=3 {
        servers.publish(&channel, number).await;
        while !seen.contains(&format!("\"data\":{number}")) {
            seen += &String::from_utf8(body.piece().await.unwrap().unwrap()).unwrap();
        }
    }
    assert!(!seen.contains("filler"), "{seen}");
}
