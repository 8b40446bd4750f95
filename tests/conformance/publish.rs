//! Publishing: P1, P2, P5, P6, P7, O1, O2.

use std::sync::Arc;
use std::time::Duration;

use throughline::engine::types::{Publish, Retention};
use throughline::protocol::position::{Epoch, Position, Since, Tag};

use super::Harness;
use super::fixture::{ALL, DURABLE, at_once, channel, conflict, offsets, publish, with_id};

// spec: P1
pub async fn a_success_is_in_the_log_where_the_answer_says(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let send = publish(&ch, DURABLE, &["hello"]);
    let tag = send.entries[0].tag;
    let published = it.publish(send).await;
    assert!(!published.duplicate);
    assert_eq!((published.position.offset, published.position.tag), (1, tag));
    assert_eq!(published.position, it.top(&ch).await);
    let events = it.all(&ch).await;
    assert_eq!((events.len(), events[0].offset, events[0].tag), (1, 1, tag));
}

// spec: P1, O1
pub async fn offsets_count_from_one_and_each_entry_carries_its_predecessors_tag(
    harness: &impl Harness,
) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let start = it.top(&ch).await;
    assert_eq!((start.offset, start.tag), (0, Tag(0)));
    for text in ["a", "b", "c"] {
        assert_eq!(it.say(&ch, text).await.epoch, start.epoch);
    }
    let events = it.all(&ch).await;
    assert_eq!(offsets(&events), [1, 2, 3]);
    assert_eq!(events[0].prev, Tag(0));
    assert_eq!(events[1].prev, events[0].tag);
    assert_eq!(events[2].prev, events[1].tag);
}

// spec: O1
pub async fn a_frame_carries_its_own_position(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let last = it.publish(publish(&ch, DURABLE, &["a", "b"])).await.position;
    let events = it.all(&ch).await;
    for event in &events {
        let at = Position { offset: event.offset, tag: event.tag, ..last.clone() };
        let json = std::str::from_utf8(event.frame.json()).unwrap();
        assert!(json.starts_with(&format!(r#"{{"t":"event","pos":"{at}","data":"#)), "{json}");
    }
}

// spec: P5
pub async fn a_batch_is_contiguous_and_answered_with_its_last_position(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    it.say(&ch, "before").await;
    let batch = publish(&ch, DURABLE, &["a", "b", "c"]);
    let last = batch.entries[2].tag;
    let position = it.publish(batch).await.position;
    assert_eq!((position.offset, position.tag), (4, last));
    assert_eq!(offsets(&it.all(&ch).await), [1, 2, 3, 4]);
}

// spec: P5, O1
pub async fn batches_of_many_publishers_do_not_mix(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (engine, ch) = (Arc::clone(&it.engine), ch.clone());
            async move {
                let mut stored = Vec::new();
                for _ in 0..4 {
                    let batch = publish(&ch, DURABLE, &["a", "b", "c"]);
                    let tags: Vec<Tag> = batch.entries.iter().map(|entry| entry.tag).collect();
                    stored.push((engine.publish(batch).await.unwrap().position, tags));
                }
                stored
            }
        })
        .collect();
    let stored = at_once(tasks).await.concat();
    let events = it.all(&ch).await;
    assert_eq!(offsets(&events), (1..=96).collect::<Vec<u64>>());
    for (position, tags) in stored {
        let end = usize::try_from(position.offset).unwrap();
        let found: Vec<Tag> = events[end - 3..end].iter().map(|event| event.tag).collect();
        assert_eq!(found, tags);
    }
}

// spec: P2, P5
pub async fn a_refused_batch_stores_nothing(harness: &impl Harness) {
    let (mut it, ch) = (harness.fresh().await, channel("chat:a"));
    let start = it.top(&ch).await;
    it.engine.subscribe(&ch).await.unwrap();
    let first = it.say(&ch, "a").await;
    let refused = Publish { expect: Some(start), ..publish(&ch, DURABLE, &["b", "c"]) };
    conflict(it.engine.publish(refused).await);
    assert_eq!(it.top(&ch).await, first);
    let next = it.say(&ch, "d").await;
    assert_eq!(next.offset, 2);
    assert_eq!(it.next_event().await.2.tag, first.tag);
    assert_eq!(it.next_event().await.2.tag, next.tag, "what was refused is never delivered");
}

// spec: P6
pub async fn an_ephemeral_publish_moves_the_top_and_keeps_nothing(harness: &impl Harness) {
    let (mut it, ch) = (harness.fresh().await, channel("cursor:a"));
    it.engine.subscribe(&ch).await.unwrap();
    let position = it.publish(publish(&ch, Retention::None, &["a", "b"])).await.position;
    assert_eq!(position.offset, 2);
    assert_eq!(it.top(&ch).await, position);
    let page = it.page(&ch, Since::Oldest, ALL).await;
    assert!(page.events.is_empty() && page.gap.is_none());
    assert_eq!(it.next_event().await.2.offset, 1);
    assert_eq!(it.next_event().await.2.offset, 2);
}

// spec: P7
pub async fn expect_stores_only_at_the_top(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("doc:a"));
    let start = it.top(&ch).await;
    let edit = |expect: &Position| Publish {
        expect: Some(expect.clone()),
        ..publish(&ch, DURABLE, &["edit"])
    };
    let first = it.publish(edit(&start)).await.position;
    assert_eq!(conflict(it.engine.publish(edit(&start)).await), first, "with the new top");
    let second = it.publish(edit(&first)).await.position;
    assert_eq!(second.offset, 2);
}

// spec: P7
pub async fn expect_of_another_tag_or_epoch_is_a_conflict(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("doc:a"));
    let other = Epoch::parse("another").unwrap();
    let start = it.top(&ch).await;
    let wrong_start = Position { epoch: other.clone(), ..start };
    let edit = |expect| Publish { expect: Some(expect), ..publish(&ch, DURABLE, &["edit"]) };
    assert_eq!(conflict(it.engine.publish(edit(wrong_start)).await).offset, 0);
    let top = it.say(&ch, "a").await;
    let wrong_tag = Position { tag: Tag(top.tag.0 ^ 1), ..top.clone() };
    assert_eq!(conflict(it.engine.publish(edit(wrong_tag)).await), top);
    let ahead = Position { offset: 2, ..top.clone() };
    assert_eq!(conflict(it.engine.publish(edit(ahead)).await), top);
}

// spec: P7
pub async fn of_many_that_expect_one_top_one_is_stored(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("doc:a"));
    let start = it.top(&ch).await;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let edit = Publish { expect: Some(start.clone()), ..publish(&ch, DURABLE, &["edit"]) };
            let engine = Arc::clone(&it.engine);
            async move { engine.publish(edit).await.is_ok() }
        })
        .collect();
    let stored = at_once(tasks).await;
    assert_eq!(stored.iter().filter(|stored| **stored).count(), 1);
    assert_eq!(it.top(&ch).await.offset, 1);
}

// spec: O2
pub async fn what_was_acknowledged_is_below_what_is_sent_after(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let noise: Vec<_> = (0..4)
        .map(|_| {
            let (engine, ch) = (Arc::clone(&it.engine), ch.clone());
            async move {
                let mut last = 0;
                for _ in 0..50 {
                    let sent = engine.publish(publish(&ch, DURABLE, &["a"])).await.unwrap();
                    assert!(sent.position.offset > last);
                    last = sent.position.offset;
                }
            }
        })
        .collect();
    at_once(noise).await;
    assert_eq!(it.top(&ch).await.offset, 200);
}

pub async fn a_batch_without_entries_stores_nothing(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let top = it.say(&ch, "a").await;
    let empty = it.publish(with_id(publish(&ch, DURABLE, &[]), "u:ann", "1", 0)).await;
    assert_eq!(empty.position, top);
    assert_eq!(it.all(&ch).await.len(), 1);
}

pub async fn another_kind_of_retention_drops_what_was_kept(harness: &impl Harness) {
    const SMALL: Retention = Retention::Log { size: 1, age: Duration::from_hours(1) };
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let durable = it.say(&ch, "a").await;
    let state = it.publish(publish(&ch, Retention::State { keys: 3 }, &["b"])).await.position;
    assert_eq!((&state.epoch, state.offset), (&durable.epoch, 2));
    assert!(it.all(&ch).await.is_empty());
    it.say(&ch, "c").await;
    assert!(it.engine.state(&ch).await.unwrap().events.is_empty());
    assert_eq!(offsets(&it.all(&ch).await), [3]);
    it.publish(publish(&ch, SMALL, &["d"])).await;
    assert_eq!(offsets(&it.all(&ch).await), [4], "a smaller log applies at once");
}
