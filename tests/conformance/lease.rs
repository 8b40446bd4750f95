//! Nodes that stop: R1, R2, R4, S5.

use std::time::Duration;

use bytes::Bytes;
use throughline::engine::types::{
    Delivery, EngineError, Member, MemberId, NodeStatus, PresenceChange, PresenceState::Online,
};

use super::Harness;
use super::fixture::{Fixture, channel, incarnation, member};

/// Lease 8 s, grace 10 s, and a little.
const OVER: Duration = Duration::from_millis(18_500);

fn of(node: &str, id: &str, fence: u64) -> Member {
    Member { incarnation: incarnation(node), ..member(id, fence, Online, "") }
}

/// Two nodes with leases, and one member of each in a watched room.
async fn two_nodes(harness: &impl Harness) -> Fixture {
    let (mut it, room) = (harness.fresh().await, channel("room:a"));
    it.engine.subscribe(&room).await.unwrap();
    for node in ["one", "two"] {
        it.engine.renew(&incarnation(node), None).await.unwrap();
        it.join(&room, of(node, node, 1)).await.unwrap();
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
        it.engine.renew(&incarnation("one"), None).await.unwrap();
    }
    assert_eq!(it.next_change().await, (3, 1, PresenceChange::Leave(MemberId("two".into()))));
    it.join(&channel("room:a"), of("one", "more", 1)).await.unwrap();
    assert_eq!(it.next_change().await.0, 4, "and nothing else");
}

// spec: R2
pub async fn a_late_renewal_removes_nobody(harness: &impl Harness) {
    let it = two_nodes(harness).await;
    it.advance(Duration::from_secs(14)).await;
    it.engine.renew(&incarnation("one"), None).await.unwrap();
    it.engine.renew(&incarnation("two"), None).await.unwrap();
    it.advance(Duration::from_secs(14)).await;
    it.engine.renew(&incarnation("one"), None).await.unwrap();
    assert_eq!(count(&it).await, 2);
}

// spec: R4
pub async fn a_swept_incarnation_is_never_used_again(harness: &impl Harness) {
    let it = two_nodes(harness).await;
    it.advance(OVER).await;
    it.engine.renew(&incarnation("one"), None).await.unwrap();
    let renewed = it.engine.renew(&incarnation("two"), None).await;
    assert!(matches!(renewed, Err(EngineError::Conflict { top: None })), "{renewed:?}");
    let joined = it.join(&channel("room:a"), of("two", "two", 2)).await;
    assert!(matches!(joined, Err(EngineError::Conflict { top: None })), "{joined:?}");
    it.engine.renew(&incarnation("two again"), None).await.unwrap();
    it.join(&channel("room:a"), of("two again", "two", 2)).await.unwrap();
    assert_eq!(count(&it).await, 2);
}

// spec: R4
pub async fn a_lapsed_node_removes_nothing_newer(harness: &impl Harness) {
    // demand: 66
    let mut it = two_nodes(harness).await;
    it.join(&channel("room:a"), of("one", "two", 2)).await.unwrap();
    it.advance(OVER).await;
    it.engine.renew(&incarnation("one"), None).await.unwrap();
    assert_eq!(count(&it).await, 2, "the session had moved");
    it.engine.leave(&channel("room:a"), &MemberId("two".into()), 1, Duration::ZERO).await.unwrap();
    it.engine.leave(&channel("room:a"), &MemberId("two".into()), 2, Duration::ZERO).await.unwrap();
    assert_eq!(it.next_change().await, (3, 1, PresenceChange::Leave(MemberId("two".into()))));
}

// spec: R2
pub async fn a_node_without_a_lease_has_none_to_lose(harness: &impl Harness) {
    let it = two_nodes(harness).await;
    it.join(&channel("room:a"), of("three", "three", 1)).await.unwrap();
    it.advance(OVER).await;
    it.engine.renew(&incarnation("one"), None).await.unwrap();
    assert_eq!(count(&it).await, 2, "only the second node's member left");
}

// spec: R4
pub async fn a_renewal_says_whether_it_was_late(harness: &impl Harness) {
    let it = two_nodes(harness).await;
    let late =
        async |it: &Fixture, node| it.engine.renew(&incarnation(node), None).await.unwrap().late;
    it.advance(Duration::from_secs(6)).await;
    assert!(!late(&it, "one").await && !late(&it, "new").await);
    it.advance(Duration::from_secs(4)).await;
    assert!(!late(&it, "one").await && late(&it, "two").await);
    // The answer that said it first may have been lost.
    assert!(late(&it, "two").await && !late(&it, "one").await);
}

// spec: S5
pub async fn a_node_is_alive_where_it_says_until_its_lease_ends(harness: &impl Harness) {
    let it = harness.fresh().await;
    let address = Some("127.0.0.1:9000");
    it.engine.renew(&incarnation("one"), address).await.unwrap();
    it.engine.renew(&incarnation("two"), None).await.unwrap();
    let alive = NodeStatus::Alive { address: address.map(Into::into) };
    assert_eq!(it.engine.node(&incarnation("one")).await.unwrap(), alive);
    let silent = NodeStatus::Alive { address: None };
    assert_eq!(it.engine.node(&incarnation("two")).await.unwrap(), silent);
    it.advance(Duration::from_secs(7)).await;
    it.engine.renew(&incarnation("two"), None).await.unwrap();
    it.advance(Duration::from_secs(2)).await;
    assert_eq!(it.engine.node(&incarnation("one")).await.unwrap(), NodeStatus::Dead);
    assert_eq!(it.engine.node(&incarnation("two")).await.unwrap(), silent);
    assert_eq!(it.engine.node(&incarnation("three")).await.unwrap(), NodeStatus::Dead);
}

// spec: S5
pub async fn a_message_reaches_the_node_it_is_for(harness: &impl Harness) {
    let mut it = harness.fresh().await;
    it.engine.renew(&incarnation("one"), None).await.unwrap();
    let message = Bytes::from_static(b"to \0 one\n");
    assert!(!it.engine.tell(&incarnation("two"), message.clone()).await.unwrap());
    assert!(it.engine.tell(&incarnation("one"), message.clone()).await.unwrap());
    assert!(matches!(it.next().await, Delivery::Control(came) if came == message));
}
