//! State channels: the latest event of each key (D8, M32).

use throughline::engine::types::{Entry, Publish, Retention};

use super::Harness;
use super::fixture::{Fixture, channel, entry, keyed, offsets};

const KEYS: Retention = Retention::State { keys: 3 };

async fn put(it: &Fixture, entries: Vec<Entry>) {
    let channel = channel("score:a");
    let send =
        Publish { channel, retention: KEYS, entries, dedupe: None, expect: None, replicas: 0 };
    it.publish(send).await;
}

async fn keys(it: &Fixture) -> Vec<String> {
    let events = it.engine.state(&channel("score:a")).await.unwrap().events;
    events.iter().map(|event| event.key.as_ref().unwrap().to_string()).collect()
}

// spec: D8
pub async fn the_latest_event_of_each_key_comes_by_offset(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("score:a"));
    assert!(it.engine.state(&ch).await.unwrap().events.is_empty());
    put(&it, vec![keyed("a", "1"), keyed("b", "1")]).await;
    put(&it, vec![keyed("c", "1"), keyed("a", "2")]).await;
    let state = it.engine.state(&ch).await.unwrap();
    assert_eq!(offsets(&state.events), [2, 3, 4]);
    assert_eq!(keys(&it).await, ["b", "c", "a"]);
    assert_eq!(state.top, it.top(&ch).await);
    assert!(state.events[2].frame.json().ends_with(br#""data":"2"}"#));
}

// spec: B1
pub async fn the_key_longest_unchanged_goes_first(harness: &impl Harness) {
    let it = harness.fresh().await;
    put(&it, vec![keyed("a", "1"), keyed("b", "1"), keyed("c", "1"), keyed("a", "2")]).await;
    put(&it, vec![keyed("d", "1")]).await;
    assert_eq!(keys(&it).await, ["c", "a", "d"]);
}

pub async fn an_event_without_a_key_is_not_kept(harness: &impl Harness) {
    let it = harness.fresh().await;
    put(&it, vec![keyed("a", "1"), entry("passing")]).await;
    assert_eq!(keys(&it).await, ["a"]);
    assert_eq!(it.top(&channel("score:a")).await.offset, 2);
}
