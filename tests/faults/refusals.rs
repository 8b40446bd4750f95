//! What Redis refuses to do: each of its errors comes to an answer that says whether it is stored, a
//! retry with the same id stores it once, and readers miss nothing. FAULTS 13, 36, and the limits of
//! memory.

use serde_json::{Value, json};

use crate::support::client::{Client, Transport};
use crate::support::fleet::Fleet;
use crate::support::history::History;
use crate::support::redis::{Options, Redis};
use crate::support::server::{Servers, Setup};
use crate::support::{text, unique, wait};

/// Publishes under an id until it is stored. Returns the codes of the refusals before.
async fn publish_until_stored(servers: &Servers, ch: &str, id: &str) -> Vec<String> {
    let body = json!({ "channel": ch, "id": id, "data": id });
    let mut codes = Vec::new();
    wait::until("it is stored", async || {
        let answer = servers.api("/publish", &body).await;
        let stored = answer.status == 200;
        if !stored {
            codes.push(answer.code());
        }
        stored
    })
    .await;
    codes
}

/// Breaks a Redis, publishes, mends it, and judges what came of it.
async fn refuses(redis: &Redis, breaks: &[&[&str]], mends: &[&[&str]]) {
    let fleet = Fleet::start(&Setup::suite(), &[redis.url()]).await;
    let servers = fleet.servers();
    let (ch, history) = (unique("doc:"), History::default());
    let open = json!({ "subs": [{ "ch": ch }] });
    let mut reader = Client::open(&servers, Transport::WebSocket, open, &history).await;
    reader.until(|frame| text(frame, "t") == "subscribed" && text(frame, "ch") == ch).await;
    publish_until_stored(&servers, &ch, "before").await;
    for command in breaks {
        assert_eq!(redis.cli(command), "OK", "{command:?}");
    }
    let body = json!({ "channel": ch, "id": "while", "data": "while" });
    let answer = servers.api("/publish", &body).await;
    let code = answer.code();
    assert!(matches!(&*code, "unavailable" | "unknown_outcome"), "{breaks:?}: {}", answer.text());
    for command in mends {
        assert_eq!(redis.cli(command), "OK", "{command:?}");
    }
    publish_until_stored(&servers, &ch, "while").await;
    publish_until_stored(&servers, &ch, "after").await;
    assert_eq!(reader.data(&ch, 3).await, ["before", "while", "after"]);
    let page = servers.api_get(&format!("/history?channel={ch}")).await;
    let ids = page["events"].as_array().expect("events").iter().map(|event| text(event, "id"));
    assert_eq!(ids.collect::<Vec<_>>(), ["before", "while", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ephemeral_event_that_is_refused_reaches_nobody() {
    // spec: F4, P2, O1
    let redis = Redis::start();
    let fleet = Fleet::start(&Setup::suite(), &[redis.url()]).await;
    let (servers, ch, history) = (fleet.servers(), unique("game:"), History::default());
    let open = json!({ "subs": [{ "ch": ch }] });
    let mut reader = Client::open(&servers, Transport::WebSocket, open, &history).await;
    reader.until(|frame| text(frame, "t") == "subscribed" && text(frame, "ch") == ch).await;
    publish_until_stored(&servers, &ch, "before").await;
    let setting = "min-replicas-to-write";
    assert_eq!(redis.cli(&["CONFIG", "SET", setting, "1"]), "OK");
    let body = json!({ "channel": ch, "id": "refused", "data": "refused" });
    assert_eq!(servers.api("/publish", &body).await.code(), "unavailable");
    assert_eq!(redis.cli(&["CONFIG", "SET", setting, "0"]), "OK");
    assert!(publish_until_stored(&servers, &ch, "after").await.is_empty());
    assert_eq!(reader.data(&ch, 2).await, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_stores_nothing_and_says_so() {
    // spec: F4, P2
    let redis = Redis::with(Options::new().arg("maxmemory-policy", "noeviction"));
    let full: &[&[&str]] = &[&["CONFIG", "SET", "maxmemory", "1"]];
    refuses(&redis, full, &[&["CONFIG", "SET", "maxmemory", "0"]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_cannot_save_stores_nothing_and_says_so() {
    // spec: F4, P2
    let redis = Redis::start();
    // A snapshot cannot take the place of a folder: MISCONF.
    std::fs::create_dir_all(redis.folder().join("dump.rdb/full")).expect("a folder in the way");
    assert_eq!(redis.cli(&["CONFIG", "SET", "save", "3600 1"]), "OK");
    let fails = || redis.info("rdb_last_bgsave_status") == "err";
    // Before the node starts it is mended, for the lease of the node.
    assert_eq!(redis.cli(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]), "OK");
    redis.cli(&["BGSAVE"]);
    wait::until_now("a snapshot fails", fails);
    let setting = "stop-writes-on-bgsave-error";
    let breaks: &[&[&str]] = &[&["CONFIG", "SET", setting, "yes"]];
    refuses(&redis, breaks, &[&["CONFIG", "SET", setting, "no"]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_became_a_replica_stores_nothing_and_says_so() {
    // spec: F4, P2
    let redis = Redis::start();
    let breaks: &[&[&str]] = &[&["REPLICAOF", "127.0.0.1", "1"]];
    refuses(&redis, breaks, &[&["REPLICAOF", "NO", "ONE"]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_without_enough_replicas_stores_nothing_and_says_so() {
    // spec: F4, P2
    let redis = Redis::start();
    let breaks: &[&[&str]] = &[&["CONFIG", "SET", "min-replicas-to-write", "1"]];
    refuses(&redis, breaks, &[&["CONFIG", "SET", "min-replicas-to-write", "0"]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_redis_that_loses_a_right_stores_nothing_and_says_so() {
    // spec: F4, P2
    let redis = Redis::with(Options::new().user("node", "word", "~* &* +@all"));
    let breaks: &[&[&str]] = &[&["ACL", "SETUSER", "node", "-eval", "-evalsha", "-fcall"]];
    refuses(&redis, breaks, &[&["ACL", "SETUSER", "node", "+@all"]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_busy_with_a_script_leaves_the_outcome_open_at_most() {
    // spec: F4, P2
    let redis = Redis::with(Options::new().arg("lua-time-limit", "50"));
    let fleet = Fleet::start(&Setup::suite(), &[redis.url()]).await;
    let (servers, ch) = (fleet.servers(), unique("doc:"));
    publish_until_stored(&servers, &ch, "before").await;
    std::thread::scope(|scope| {
        scope.spawn(|| redis.cli(&["EVAL", "while true do end", "0"]));
        wait::until_now("the script runs", || redis.cli(&["PING"]).contains("BUSY"));
        assert_eq!(redis.cli(&["SCRIPT", "KILL"]), "OK");
    });
    publish_until_stored(&servers, &ch, "after").await;
    let page: Value = servers.api_get(&format!("/history?channel={ch}")).await;
    assert_eq!(page["events"].as_array().map(Vec::len), Some(2), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_redis_forgot_are_loaded_again() {
    // spec: F4
    let redis = Redis::start();
    let fleet = Fleet::start(&Setup::suite(), &[redis.url()]).await;
    let (servers, ch) = (fleet.servers(), unique("doc:"));
    publish_until_stored(&servers, &ch, "before").await;
    assert_eq!(redis.cli(&["SCRIPT", "FLUSH"]), "OK");
    assert!(publish_until_stored(&servers, &ch, "after").await.is_empty());
}
