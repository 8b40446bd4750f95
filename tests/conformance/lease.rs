//! Nodes that stop: R1, R2, R4.

use std::time::Duration;

use throughline::engine::types::{
    EngineError, Member, MemberId, PresenceChange, PresenceState::Online,
};

use super::Harness;
use super::fixture::{Fixture, channel, incarnation, member};

/// Lease 8 s, grace 10 s, and a little.
const OVER: Duration = Duration::from_secs(19);

fn of(node: &str, id: &str, fence: u64) -> Member {
    Member { incarnation: incarnation(node), ..member(id, fence, Online, "") }
}

/// Two nodes with leases, and one member of each in a watched room.
async fn two_nodes(harness: &impl Harness) -> Fixture {
    let (mut it, room) = (harness.fresh().await, channel("room:a"));
    it.engine.subscribe(&room).await.unwrap();
    for node in ["one", "two"] {
        it.engine.renew(&incarnation(node)).await.unwrap();
        it.engine.join(&room, of(node, node, 1)).await.unwrap();
        assert_eq!(it.next_change().await.2, PresenceChange::Join(of(node, node, 1).json));
    }
    it
}

async fn count(it: &Fixture) -> usize {
    it.engine.members(&channel("room:a")).await.unwrap().count
}

// spec: R1
pub async fn members_of_a_lapsed_node_leave_once(harness: &impl Harness) {
    let mut it = two_nodes(harness).await;
    it.advance(OVER).await;
    for _ in 0..3 {
        it.engine.renew(&incarnation("one")).await.unwrap();
    }
    assert_eq!(it.next_change().await, (3, 1, PresenceChange::Leave(MemberId("two".into()))));
    it.engine.join(&channel("room:a"), of("one", "more", 1)).await.unwrap();
    assert_eq!(it.next_change().await.0, 4, "and nothing else");
}

// spec: R2
pub async fn a_late_renewal_removes_nobody(harness: &impl Harness) {
    let it = two_nodes(harness).await;
    it.advance(Duration::from_secs(17)).await;
    it.engine.renew(&incarnation("one")).await.unwrap();
    it.engine.renew(&incarnation("two")).await.unwrap();
    it.advance(Duration::from_secs(17)).await;
    it.engine.renew(&incarnation("one")).await.unwrap();
    assert_eq!(count(&it).await, 2);
}

// spec: R4
pub async fn a_swept_incarnation_is_never_used_again(harness: &impl Harness) {
    let it = two_nodes(harness).await;
    it.advance(OVER).await;
    it.engine.renew(&incarnation("one")).await.unwrap();
    let renewed = it.engine.renew(&incarnation("two")).await;
    assert!(matches!(renewed, Err(EngineError::Conflict { top: None })), "{renewed:?}");
    let joined = it.engine.join(&channel("room:a"), of("two", "two", 2)).await;
    assert!(matches!(joined, Err(EngineError::Conflict { top: None })), "{joined:?}");
    it.engine.renew(&incarnation("two again")).await.unwrap();
    it.engine.join(&channel("room:a"), of("two again", "two", 2)).await.unwrap();
    assert_eq!(count(&it).await, 2);
}

// spec: R4
pub async fn a_lapsed_node_removes_nothing_newer(harness: &impl Harness) {
    let mut it = two_nodes(harness).await;
    it.engine.join(&channel("room:a"), of("one", "two", 2)).await.unwrap();
    it.advance(OVER).await;
    it.engine.renew(&incarnation("one")).await.unwrap();
    assert_eq!(count(&it).await, 2, "the session had moved");
    it.engine.leave(&channel("room:a"), &MemberId("two".into()), 1).await.unwrap();
    it.engine.leave(&channel("room:a"), &MemberId("two".into()), 2).await.unwrap();
    assert_eq!(it.next_change().await, (3, 1, PresenceChange::Leave(MemberId("two".into()))));
}

// spec: R2
pub async fn a_node_without_a_lease_has_none_to_lose(harness: &impl Harness) {
    let it = two_nodes(harness).await;
    it.engine.join(&channel("room:a"), of("three", "three", 1)).await.unwrap();
    it.advance(OVER).await;
    it.engine.renew(&incarnation("one")).await.unwrap();
    assert_eq!(count(&it).await, 2, "only the second node's member left");
}
