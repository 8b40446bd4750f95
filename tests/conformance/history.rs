//! Reading the log: D4, D5, F2.

use std::time::Duration;

use throughline::engine::types::{PageLimit, Retention};
use throughline::protocol::position::{Epoch, GapReason, Position, Since, Tag};

use super::Harness;
use super::fixture::{ALL, DURABLE, Fixture, channel, offsets, publish};

fn kept(size: usize, secs: u64) -> Retention {
    Retention::Log { size, age: Duration::from_secs(secs) }
}

/// Publishes `count` events one by one, and answers the positions from the start on.
async fn filled(it: &Fixture, name: &str, retention: Retention, count: usize) -> Vec<Position> {
    let ch = channel(name);
    let mut positions = vec![it.top(&ch).await];
    for _ in 0..count {
        positions.push(it.publish(publish(&ch, retention, &["x"])).await.position);
    }
    positions
}

// spec: D4
pub async fn a_reader_at_the_top_of_a_quiet_channel_is_no_gap(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let start = it.top(&ch).await;
    assert_eq!(it.gap(&ch, &start).await, None, "nothing published yet");
    let positions = filled(&it, "chat:a", kept(10, 60), 3).await;
    it.advance(Duration::from_secs(90)).await;
    let page = it.page(&ch, Since::After(positions[3].clone()), ALL).await;
    assert_eq!((page.gap, page.events.len()), (None, 0));
    assert_eq!((&page.position, &page.top), (&positions[3], &positions[3]));
}

// spec: D4, D5
pub async fn a_reader_exactly_at_the_bound_is_no_gap_and_one_more_is(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let positions = filled(&it, "chat:a", kept(5, 3600), 12).await;
    let page = it.page(&ch, Since::After(positions[7].clone()), ALL).await;
    assert_eq!((page.gap, offsets(&page.events)), (None, vec![8, 9, 10, 11, 12]));
    assert_eq!(it.gap(&ch, &positions[6]).await, Some(GapReason::Trimmed));
    assert_eq!(it.gap(&ch, &positions[0]).await, Some(GapReason::Trimmed));
}

// spec: D5
pub async fn what_is_too_old_is_trimmed(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let old = filled(&it, "chat:a", kept(100, 60), 3).await;
    it.advance(Duration::from_secs(40)).await;
    filled(&it, "chat:a", kept(100, 60), 2).await;
    assert_eq!(offsets(&it.all(&ch).await), [1, 2, 3, 4, 5]);
    it.advance(Duration::from_secs(40)).await;
    assert_eq!(offsets(&it.all(&ch).await), [4, 5]);
    assert_eq!(it.gap(&ch, &old[2]).await, Some(GapReason::Trimmed));
    assert_eq!(it.gap(&ch, &old[3]).await, None, "nothing after it is missing");
}

// spec: D5
pub async fn a_position_that_is_not_proven_is_a_gap_with_its_reason(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let positions = filled(&it, "chat:a", DURABLE, 4).await;
    let (middle, top) = (&positions[2], &positions[4]);
    let other_tag = |of: &Position| Position { tag: Tag(of.tag.0 ^ 1), ..of.clone() };
    let other_epoch =
        |of: &Position| Position { epoch: Epoch::parse("another").unwrap(), ..of.clone() };
    let cases = [
        (other_tag(middle), GapReason::Tag),
        (other_tag(top), GapReason::Tag),
        (other_tag(&positions[0]), GapReason::Tag),
        (Position { offset: 5, ..top.clone() }, GapReason::Ahead),
        (other_epoch(&other_tag(middle)), GapReason::Epoch),
        (other_epoch(&Position { offset: 5, ..top.clone() }), GapReason::Epoch),
    ];
    for (since, reason) in cases {
        assert_eq!(it.gap(&ch, &since).await, Some(reason), "{since}");
    }
}

// spec: D5, F1
pub async fn the_start_of_another_epoch_is_a_gap(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let positions = filled(&it, "chat:a", DURABLE, 2).await;
    let start = Position { epoch: Epoch::parse("another").unwrap(), ..positions[0].clone() };
    assert_eq!(
        it.gap(&ch, &start).await,
        Some(GapReason::Epoch),
        "offset 0 has no tag to prove it"
    );
    assert_eq!(it.gap(&ch, &positions[0]).await, None);
}

// spec: D5, F2
pub async fn a_tag_proves_a_position_whatever_its_epoch(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let positions = filled(&it, "chat:a", DURABLE, 4).await;
    let since = Position { epoch: Epoch::parse("another").unwrap(), ..positions[2].clone() };
    let page = it.page(&ch, Since::After(since), ALL).await;
    assert_eq!((page.gap, offsets(&page.events)), (None, vec![3, 4]));
    let top = Position { epoch: Epoch::parse("another").unwrap(), ..positions[4].clone() };
    let page = it.page(&ch, Since::After(top), ALL).await;
    assert_eq!((page.gap, &page.position), (None, &positions[4]), "in the epoch that is");
}

// spec: D4
pub async fn more_than_a_page_is_paged_not_cut_short(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let positions = filled(&it, "chat:a", DURABLE, 25).await;
    let limit = PageLimit { events: 10, bytes: 1 << 20 };
    let (mut since, mut read) = (positions[0].clone(), Vec::new());
    for expected in [10, 10, 5, 0] {
        let page = it.page(&ch, Since::After(since), limit).await;
        assert_eq!((page.gap, page.events.len()), (None, expected));
        assert_eq!(page.top, positions[25]);
        read.extend(offsets(&page.events));
        since = page.position;
        assert_eq!(since, positions[read.len()]);
    }
    assert_eq!(read, (1..=25).collect::<Vec<u64>>());
}

// spec: D4
pub async fn a_page_is_bounded_in_bytes_but_one_event_always_fits(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    filled(&it, "chat:a", DURABLE, 6).await;
    let frame = it.all(&ch).await[0].frame.len();
    for (bytes, expected) in [(0, 1), (1, 1), (frame, 1), (frame * 2 - 1, 1), (frame * 3, 3)] {
        let page = it.page(&ch, Since::Oldest, PageLimit { events: 100, bytes }).await;
        assert_eq!(page.events.len(), expected, "{bytes} bytes");
        assert_eq!(page.position.offset, expected as u64);
    }
}

// spec: D4
pub async fn from_the_oldest_there_is_no_gap(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let empty = it.page(&ch, Since::Oldest, ALL).await;
    assert_eq!((empty.gap, empty.events.len(), empty.position.offset), (None, 0, 0));
    let positions = filled(&it, "chat:a", kept(3, 60), 5).await;
    let page = it.page(&ch, Since::Oldest, ALL).await;
    assert_eq!((page.gap, offsets(&page.events)), (None, vec![3, 4, 5]));
    it.advance(Duration::from_secs(90)).await;
    let page = it.page(&ch, Since::Oldest, ALL).await;
    assert_eq!((page.gap, page.events.len(), &page.position), (None, 0, &positions[5]));
}

// spec: D5, P6
pub async fn a_channel_without_a_log_proves_its_top_alone(harness: &impl Harness) {
    for retention in [Retention::None, Retention::State { keys: 3 }] {
        let (it, ch) = (harness.fresh().await, channel("cursor:a"));
        let positions = filled(&it, "cursor:a", retention, 3).await;
        assert_eq!(it.gap(&ch, &positions[3]).await, None);
        assert_eq!(it.gap(&ch, &positions[2]).await, Some(GapReason::Trimmed));
        let ahead = Position { offset: 4, ..positions[3].clone() };
        assert_eq!(it.gap(&ch, &ahead).await, Some(GapReason::Ahead));
        let other = Position { epoch: Epoch::parse("another").unwrap(), ..positions[2].clone() };
        assert_eq!(it.gap(&ch, &other).await, Some(GapReason::Epoch));
    }
}

// spec: D5
pub async fn reading_never_changes_the_epoch(harness: &impl Harness) {
    let (it, ch) = (harness.fresh().await, channel("chat:a"));
    let claim: Position = "another.9.00000000000000ff".parse().unwrap();
    assert_eq!(it.gap(&ch, &claim).await, Some(GapReason::Epoch));
    let top = it.top(&ch).await;
    assert_eq!(it.gap(&ch, &claim).await, Some(GapReason::Epoch));
    assert_eq!(it.top(&ch).await, top);
    assert_eq!(it.say(&ch, "a").await.epoch, top.epoch);
}
