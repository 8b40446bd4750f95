//! What comes to a node that has interest: D6, O1.

use std::sync::Arc;

use throughline::engine::types::{Delivery, PresenceState};

use super::Harness;
use super::fixture::{DURABLE, at_once, channel, member, offsets, publish};

// spec: D6
pub async fn after_a_subscribe_everything_above_the_top_comes(harness: &impl Harness) {
    let (mut it, ch) = (harness.fresh().await, channel("chat:a"));
    it.say(&ch, "before").await;
    it.engine.subscribe(&ch).await.unwrap();
    let top = it.top(&ch).await;
    it.publish(publish(&ch, DURABLE, &["a", "b"])).await;
    it.say(&ch, "c").await;
    for above in 1..=3 {
        let (to, epoch, event) = it.next_event().await;
        assert_eq!((to, epoch, event.offset), (ch.clone(), top.epoch.clone(), top.offset + above));
    }
}

// spec: O1
pub async fn deliveries_history_and_answers_agree(harness: &impl Harness) {
    let (mut it, ch) = (harness.fresh().await, channel("chat:a"));
    it.engine.subscribe(&ch).await.unwrap();
    let answer = it.publish(publish(&ch, DURABLE, &["a", "b", "c"])).await.position;
    let events = it.all(&ch).await;
    for event in &events {
        let (_, epoch, delivered) = it.next_event().await;
        assert_eq!(epoch, answer.epoch);
        assert_eq!((delivered.offset, delivered.tag), (event.offset, event.tag));
        assert_eq!((delivered.prev, delivered.at), (event.prev, event.at));
        assert_eq!(delivered.frame, event.frame);
    }
    assert_eq!(events[2].tag, answer.tag);
}

// spec: O1
pub async fn deliveries_come_in_the_order_of_offsets(harness: &impl Harness) {
    let (mut it, names) = (harness.fresh().await, ["chat:a", "chat:b"]);
    for name in names {
        it.engine.subscribe(&channel(name)).await.unwrap();
    }
    let tasks: Vec<_> = (0..8usize)
        .map(|n| {
            let (engine, ch) = (Arc::clone(&it.engine), channel(names[n % 2]));
            async move {
                for _ in 0..100 {
                    engine.publish(publish(&ch, DURABLE, &["a", "b"])).await.unwrap();
                }
            }
        })
        .collect();
    at_once(tasks).await;
    let (mut seen_a, mut seen_b) = (Vec::new(), Vec::new());
    for _ in 0..1600 {
        let (ch, _, event) = it.next_event().await;
        if ch.as_str() == "chat:a" { seen_a.push(event) } else { seen_b.push(event) }
    }
    for seen in [seen_a, seen_b] {
        assert_eq!(offsets(&seen), (1..=800).collect::<Vec<u64>>());
        assert!(seen.windows(2).all(|pair| pair[1].prev == pair[0].tag));
    }
}

// spec: B1
pub async fn interest_ends_and_is_not_counted(harness: &impl Harness) {
    let mut it = harness.fresh().await;
    let (quiet, live) = (channel("chat:a"), channel("chat:b"));
    it.engine.unsubscribe(&quiet).await.unwrap();
    for _ in 0..2 {
        it.engine.subscribe(&quiet).await.unwrap();
    }
    it.engine.unsubscribe(&quiet).await.unwrap();
    it.engine.subscribe(&live).await.unwrap();
    it.say(&quiet, "unheard").await;
    it.join(&quiet, member("m1", 1, PresenceState::Online, "")).await.unwrap();
    it.say(&live, "heard").await;
    assert!(matches!(it.next().await, Delivery::Event { channel, .. } if channel == live));
    it.engine.subscribe(&quiet).await.unwrap();
    it.say(&quiet, "heard again").await;
    assert_eq!(it.next_event().await.2.offset, 2);
}
