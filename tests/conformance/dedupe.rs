//! Publish ids: P3.

use std::sync::Arc;
use std::time::Duration;

use throughline::engine::types::{EngineError, Publish, Published, Retention};

use super::Harness;
use super::fixture::{DURABLE, at_once, channel, conflict, publish, with_id};

const WINDOW: Duration = Duration::from_mins(5);

// spec: P3
pub async fn a_repeat_is_answered_with_the_first_position(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let send = || with_id(publish(&ch, DURABLE, &["hello"]), "u:ann", "1", 7);
    let first = it.publish(send()).await;
    it.say(&ch, "between").await;
    for _ in 0..2 {
        let again = it.publish(send()).await;
        assert_eq!(again, Published { duplicate: true, ..first.clone() });
    }
    assert_eq!(it.all(&ch).await.len(), 2, "stored once");
}

// spec: P3
pub async fn a_repeat_is_not_delivered_again(harness: &impl Harness) {
    let (mut it, ch) = (harness.fresh().await, channel("chat:a"));
    it.engine.subscribe(&ch).await.unwrap();
    for _ in 0..3 {
        it.publish(with_id(publish(&ch, DURABLE, &["hello"]), "u:ann", "1", 7)).await;
    }
    let after = it.say(&ch, "after").await;
    assert_eq!(it.next_event().await.2.offset, 1);
    assert_eq!(it.next_event().await.2.tag, after.tag);
}

// spec: P3
pub async fn another_body_under_an_id_is_refused(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let send = |body| with_id(publish(&ch, DURABLE, &["hello"]), "u:ann", "1", body);
    let first = it.publish(send(1)).await;
    let refused = it.engine.publish(send(2)).await;
    assert!(matches!(refused, Err(EngineError::DuplicateId)), "{refused:?}");
    assert_eq!(it.top(&ch).await, first.position);
    assert!(it.publish(send(1)).await.duplicate, "the first body is still known");
}

// spec: P3
pub async fn a_batch_has_one_id(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let send = || with_id(publish(&ch, DURABLE, &["a", "b", "c"]), "u:ann", "1", 7);
    let first = it.publish(send()).await;
    assert_eq!(it.publish(send()).await, Published { duplicate: true, ..first });
    assert_eq!(it.top(&ch).await.offset, 3);
}

// spec: P3
pub async fn ids_are_scoped_by_channel_and_publisher(harness: &impl Harness) {
    let (it, a, b) = (harness.fresh().await, channel("chat:a"), channel("chat:b"));
    for (ch, publisher) in [(&a, "u:ann"), (&a, "u:bob"), (&b, "u:ann"), (&b, "k:ann")] {
        let sent = it.publish(with_id(publish(ch, DURABLE, &["x"]), publisher, "1", 7)).await;
        assert!(!sent.duplicate, "{ch} {publisher}");
    }
}

// spec: P3
pub async fn an_id_is_known_for_five_minutes_whenever_it_came(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let almost = WINDOW.checked_sub(Duration::from_secs(1)).unwrap();
    for n in 0..6 {
        let send = || with_id(publish(&ch, DURABLE, &["x"]), "u:ann", &format!("id-{n}"), 7);
        let first = it.publish(send()).await;
        it.advance(almost).await;
        assert_eq!(it.publish(send()).await, Published { duplicate: true, ..first });
        it.advance(Duration::from_secs(70 * n)).await;
    }
}

// spec: P3
pub async fn an_id_is_new_again_long_after(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let send = || with_id(publish(&ch, DURABLE, &["x"]), "u:ann", "1", 7);
    it.publish(send()).await;
    it.advance(WINDOW * 2 + Duration::from_secs(1)).await;
    assert!(!it.publish(send()).await.duplicate);
}

// spec: P3
pub async fn of_many_repeats_at_once_one_is_stored(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let send = with_id(publish(&ch, DURABLE, &["x", "y"]), "u:ann", "1", 7);
            let engine = Arc::clone(&it.engine);
            async move { engine.publish(send).await.unwrap() }
        })
        .collect();
    let answers = at_once(tasks).await;
    assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
    let top = it.top(&ch).await;
    assert_eq!(top.offset, 2);
    assert!(answers.iter().all(|answer| answer.position == top));
}

// spec: P3, P7
pub async fn a_repeat_is_known_though_the_top_it_expected_has_moved(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("doc:a"));
    let start = it.top(&ch).await;
    let send = || {
        let edit = with_id(publish(&ch, DURABLE, &["edit"]), "u:ann", "1", 7);
        Publish { expect: Some(start.clone()), ..edit }
    };
    let first = it.publish(send()).await;
    assert_eq!(it.publish(send()).await, Published { duplicate: true, ..first });
}

// spec: P3, P7
pub async fn an_id_refused_by_expect_may_come_again(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("doc:a"));
    let start = it.top(&ch).await;
    let top = it.say(&ch, "a").await;
    let send = |expect| Publish {
        expect: Some(expect),
        ..with_id(publish(&ch, DURABLE, &["edit"]), "u:ann", "1", 7)
    };
    conflict(it.engine.publish(send(start)).await);
    assert!(!it.publish(send(top)).await.duplicate);
}

// spec: P3, P6
pub async fn an_ephemeral_repeat_is_known_too(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("cursor:a"));
    let send = || with_id(publish(&ch, Retention::None, &["x"]), "u:ann", "1", 7);
    let first = it.publish(send()).await;
    assert_eq!(it.publish(send()).await, Published { duplicate: true, ..first });
}
