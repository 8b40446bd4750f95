//! Presence: R1, R3–R7.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use throughline::engine::types::{
    EngineError, Entrance, MEMBERS_LISTED_MAX, Member, MemberId, PresenceChange, PresenceState,
    Seat, UserPresence,
};

use super::Harness;
use super::fixture::{Fixture, channel, incarnation, member};

use PresenceState::{Away, Offline, Online};

const ROOM: &str = "room:a";

async fn watched(harness: &impl Harness) -> Fixture {
    let it = harness.fresh().await;
    it.engine.subscribe(&channel(ROOM)).await.unwrap();
    it
}

async fn join(it: &Fixture, id: &str, fence: u64, state: PresenceState, info: &str) {
    it.join(&channel(ROOM), member(id, fence, state, info)).await.unwrap();
}

async fn leave(it: &Fixture, id: &str, fence: u64) {
    it.engine.leave(&channel(ROOM), &MemberId(id.into()), fence, Duration::ZERO).await.unwrap();
}

fn json(id: &str, info: &str) -> Bytes {
    member(id, 0, Online, info).json
}

// spec: R1
pub async fn a_join_is_idempotent(harness: &impl Harness) {
    let mut it = watched(harness).await;
    for _ in 0..3 {
        join(&it, "m1", 1, Online, "").await;
    }
    join(&it, "m2", 1, Online, "").await;
    assert_eq!(it.next_change().await, (1, 1, PresenceChange::Join(json("m1", ""))));
    assert_eq!(it.next_change().await, (2, 2, PresenceChange::Join(json("m2", ""))));
}

// spec: R3
pub async fn a_resume_emits_nothing(harness: &impl Harness) {
    let mut it = watched(harness).await;
    join(&it, "m1", 1, Online, "").await;
    join(&it, "m1", 2, Online, "").await;
    leave(&it, "m1", 1).await;
    join(&it, "m2", 1, Online, "").await;
    assert_eq!(it.next_change().await.0, 1);
    let next = it.next_change().await;
    assert_eq!(next, (2, 2, PresenceChange::Join(json("m2", ""))), "the old link's leave is void");
}

// spec: R6
pub async fn changed_details_are_an_update(harness: &impl Harness) {
    let mut it = watched(harness).await;
    join(&it, "m1", 1, Online, "a").await;
    join(&it, "m1", 2, Online, "b").await;
    join(&it, "m1", 3, Away, "b").await;
    assert_eq!(it.next_change().await, (1, 1, PresenceChange::Join(json("m1", "a"))));
    assert_eq!(it.next_change().await, (2, 1, PresenceChange::Update(json("m1", "b"))));
    assert_eq!(it.next_change().await, (3, 1, PresenceChange::Update(json("m1", "b"))));
}

// spec: R4
pub async fn an_old_fence_changes_nothing(harness: &impl Harness) {
    // demand: 66
    let it = watched(harness).await;
    join(&it, "m1", 5, Online, "new").await;
    join(&it, "m1", 5, Away, "equal").await;
    join(&it, "m1", 4, Away, "old").await;
    leave(&it, "m1", 4).await;
    let now = it.engine.members(&channel(ROOM)).await.unwrap();
    assert_eq!((now.version, now.count, now.members), (1, 1, vec![json("m1", "new")]));
}

// spec: R1
pub async fn the_removal_alone_broadcasts_a_leave(harness: &impl Harness) {
    let mut it = watched(harness).await;
    leave(&it, "m1", 9).await;
    join(&it, "m1", 1, Online, "").await;
    for _ in 0..3 {
        leave(&it, "m1", 1).await;
    }
    join(&it, "m2", 1, Online, "").await;
    assert_eq!(it.next_change().await.0, 1);
    assert_eq!(it.next_change().await, (2, 0, PresenceChange::Leave(MemberId("m1".into()))));
    assert_eq!(it.next_change().await, (3, 1, PresenceChange::Join(json("m2", ""))));
}

// spec: R6
pub async fn each_change_raises_the_version_by_one(harness: &impl Harness) {
    let mut it = watched(harness).await;
    let before = it.engine.members(&channel(ROOM)).await.unwrap();
    assert_eq!((before.version, before.count), (0, 0));
    for round in 0..5 {
        join(&it, "m1", round * 3 + 1, Online, "a").await;
        join(&it, "m1", round * 3 + 2, Online, "b").await;
        leave(&it, "m1", round * 3 + 3).await;
    }
    for version in 1..=15 {
        assert_eq!(it.next_change().await.0, version);
    }
}

// spec: R6
pub async fn a_snapshot_and_the_changes_after_it_converge(harness: &impl Harness) {
    let mut it = watched(harness).await;
    for n in 0..20u64 {
        join(&it, &format!("m{}", n % 5), n + 1, Online, &n.to_string()).await;
        if n % 3 == 0 {
            leave(&it, &format!("m{}", n % 4), n + 1).await;
        }
        if n == 10 {
            join(&it, "m9", 1, Online, "middle").await;
        }
    }
    let last = it.engine.members(&channel(ROOM)).await.unwrap();
    let mut replica: BTreeMap<String, Bytes> = BTreeMap::new();
    let id_of = |json: &Bytes| {
        let value: serde_json::Value = serde_json::from_slice(json).unwrap();
        value["id"].as_str().unwrap().to_owned()
    };
    for expected in 1..=last.version {
        let (version, count, change) = it.next_change().await;
        match change {
            PresenceChange::Join(json) => {
                assert!(replica.insert(id_of(&json), json).is_none(), "one join for a member");
            }
            PresenceChange::Update(json) => {
                assert!(replica.insert(id_of(&json), json).is_some(), "an update of a member");
            }
            PresenceChange::Leave(id) => {
                assert!(replica.remove(id.0.as_ref()).is_some(), "one leave for a join");
            }
        }
        assert_eq!((version, count), (expected, replica.len()));
    }
    assert_eq!(replica.into_values().collect::<Vec<_>>(), last.members);
}

// spec: R6
pub async fn members_come_by_id_and_a_large_channel_gives_its_count(harness: &impl Harness) {
    let it = harness.fresh().await;
    for n in (0..MEMBERS_LISTED_MAX).rev() {
        join(&it, &format!("m{n:05}"), 1, Online, "").await;
    }
    let full = it.engine.members(&channel(ROOM)).await.unwrap();
    assert_eq!((full.count, full.members.len()), (MEMBERS_LISTED_MAX, MEMBERS_LISTED_MAX));
    assert!(full.members.is_sorted());
    join(&it, "one more", 1, Online, "").await;
    let large = it.engine.members(&channel(ROOM)).await.unwrap();
    assert_eq!((large.count, large.members.len()), (MEMBERS_LISTED_MAX + 1, 0));
}

async fn users(it: &Fixture, subjects: &[&str]) -> Vec<UserPresence> {
    let subjects: Vec<String> = subjects.iter().map(|subject| (*subject).to_owned()).collect();
    it.engine.users(&subjects).await.unwrap()
}

// spec: R7
pub async fn a_user_is_online_if_any_session_is(harness: &impl Harness) {
    let it = harness.fresh().await;
    let ann = channel("@user:ann");
    let never = UserPresence { state: Offline, sessions: 0, last_seen: None };
    assert_eq!(users(&it, &["ann", "not a subject"]).await, [never.clone(), never.clone()]);
    it.join(&ann, member("phone", 1, Away, "")).await.unwrap();
    assert_eq!(users(&it, &["ann"]).await[0].state, Away);
    it.join(&ann, member("laptop", 1, Online, "")).await.unwrap();
    let both = users(&it, &["bob", "ann"]).await;
    assert_eq!((&both[0], both[1].state), (&never, Online), "in the order asked");
    assert_eq!(both[1].sessions, 2);
    it.join(&ann, member("laptop", 2, Away, "")).await.unwrap();
    assert_eq!(
        users(&it, &["ann"]).await,
        [UserPresence { state: Away, sessions: 2, last_seen: None }]
    );
}

// spec: R7
pub async fn a_user_who_left_was_last_seen_then(harness: &impl Harness) {
    let it = harness.fresh().await;
    let ann = channel("@user:ann");
    for id in ["phone", "laptop"] {
        it.join(&ann, member(id, 1, Online, "")).await.unwrap();
    }
    it.engine.leave(&ann, &MemberId("phone".into()), 1, Duration::ZERO).await.unwrap();
    assert_eq!(users(&it, &["ann"]).await[0].state, Online);
    it.engine.leave(&ann, &MemberId("laptop".into()), 1, Duration::ZERO).await.unwrap();
    let seen = users(&it, &["ann"]).await[0].last_seen.expect("a time");
    it.advance(Duration::from_secs(5)).await;
    it.join(&ann, member("phone", 2, Online, "")).await.unwrap();
    assert_eq!(
        users(&it, &["ann"]).await,
        [UserPresence { state: Online, sessions: 1, last_seen: None }]
    );
    it.engine.leave(&ann, &MemberId("phone".into()), 2, Duration::ZERO).await.unwrap();
    let again = users(&it, &["ann"]).await[0].last_seen.expect("a time");
    assert!(again >= seen + 5000, "{seen} {again}");
}

// spec: R7
pub async fn of_several_devices_the_one_that_was_seen_last_counts(harness: &impl Harness) {
    let it = harness.fresh().await;
    let ann = channel("@user:ann");
    for id in ["phone", "laptop"] {
        it.join(&ann, member(id, 1, Online, "")).await.unwrap();
    }
    let silent = Duration::from_mins(1);
    it.engine.leave(&ann, &MemberId("laptop".into()), 1, Duration::from_secs(10)).await.unwrap();
    it.engine.leave(&ann, &MemberId("phone".into()), 1, silent).await.unwrap();
    let seen = users(&it, &["ann"]).await[0].last_seen.expect("a time");
    it.join(&ann, member("phone", 2, Online, "")).await.unwrap();
    it.engine.leave(&ann, &MemberId("phone".into()), 2, Duration::ZERO).await.unwrap();
    let now = users(&it, &["ann"]).await[0].last_seen.expect("a time");
    assert!((seen + 10_000..seen + 50_000).contains(&now), "{seen} {now}");
}

// spec: R5
pub async fn members_who_are_asserted_again_make_presence_whole(harness: &impl Harness) {
    let it = watched(harness).await;
    for id in ["m1", "m2", "m3"] {
        join(&it, id, 1, Online, "").await;
    }
    let whole = it.engine.members(&channel(ROOM)).await.unwrap();
    leave(&it, "m2", 1).await;
    for id in ["m1", "m2", "m3"] {
        join(&it, id, 2, Online, "").await;
    }
    let again = it.engine.members(&channel(ROOM)).await.unwrap();
    assert_eq!(again.members, whole.members);
    assert_eq!(again.version, whole.version + 2, "one leave, one join, no other change");
}

// spec: B1
pub async fn a_channel_has_no_more_members_than_an_entrance_admits(harness: &impl Harness) {
    let it = harness.fresh().await;
    let two = Entrance { most: 2, ..Entrance::default() };
    let enter = async |id, fence| {
        it.engine.join(&channel("@user:ann"), member(id, fence, Online, ""), two).await
    };
    enter("m1", 1).await.unwrap();
    enter("m2", 1).await.unwrap();
    let third = enter("m3", 1).await;
    assert!(matches!(third, Err(EngineError::Full(_))), "{third:?}");
    enter("m2", 2).await.unwrap();
    it.engine
        .leave(&channel("@user:ann"), &MemberId("m1".into()), 1, Duration::ZERO)
        .await
        .unwrap();
    enter("m3", 1).await.unwrap();
}

// spec: R5
pub async fn who_is_listed_again_is_told_to_nobody(harness: &impl Harness) {
    let mut it = watched(harness).await;
    let again = Entrance { again: true, ..Entrance::default() };
    it.engine.join(&channel(ROOM), member("m1", 1, Online, ""), again).await.unwrap();
    join(&it, "m2", 1, Online, "").await;
    assert_eq!(it.next_change().await, (2, 2, PresenceChange::Join(json("m2", ""))));
    assert_eq!(it.engine.members(&channel(ROOM)).await.unwrap().count, 2);
}

// spec: R7
pub async fn a_seat_names_the_node_and_the_beginning(harness: &impl Harness) {
    let it = harness.fresh().await;
    let ann = channel("@user:ann");
    assert_eq!(it.engine.seats(&ann).await.unwrap(), []);
    it.join(&ann, member("phone", 1, Online, "")).await.unwrap();
    it.advance(Duration::from_secs(5)).await;
    it.join(&ann, member("laptop", 1, Online, "")).await.unwrap();
    let moved = Member { incarnation: incarnation("other"), ..member("phone", 7, Away, "") };
    it.join(&ann, moved).await.unwrap();
    let seats = it.engine.seats(&ann).await.unwrap();
    let short = |seat: &Seat| (seat.id.0.to_string(), seat.incarnation.0.to_string(), seat.fence);
    let found: Vec<_> = seats.iter().map(short).collect();
    let named = |id: &str, node: &str, fence| (id.to_owned(), node.to_owned(), fence);
    assert_eq!(found, [named("laptop", "node", 1), named("phone", "other", 7)]);
    assert_eq!((seats[0].state, seats[1].state), (Online, Away));
    assert!(seats[1].since + 5000 <= seats[0].since, "the first assertion counts");
}

/// Everything that the store holds as asserted by a node.
async fn asserted(it: &Fixture, node: &str) -> Vec<String> {
    let (mut all, of) = (Vec::new(), incarnation(node));
    for part in 0..=u16::MAX {
        let Some(found) = it.engine.asserted(&of, part).await.unwrap() else { break };
        all.extend(found.into_iter().map(|(channel, id)| format!("{channel} {}", id.0)));
    }
    all.sort_unstable();
    all
}

// spec: R1
pub async fn what_a_node_asserts_can_be_read_and_withdrawn_by_it_alone(harness: &impl Harness) {
    let mut it = watched(harness).await;
    let (room, of) = (channel(ROOM), incarnation("node"));
    join(&it, "m1", 1, Online, "").await;
    it.join(&channel("room:b"), member("m1", 2, Online, "")).await.unwrap();
    join(&it, "m2", 5, Online, "").await;
    let other = Member { incarnation: incarnation("n2"), ..member("m3", 1, Online, "") };
    it.join(&room, other).await.unwrap();
    assert_eq!(asserted(&it, "node").await, ["room:a m1", "room:a m2", "room:b m1"]);
    assert_eq!(asserted(&it, "n2").await, ["room:a m3"]);
    let it_was = |id: &str| MemberId(id.into());
    // Of another node, and one that came back under a higher fence.
    it.engine.withdraw(&room, &it_was("m3"), 9, &of).await.unwrap();
    it.engine.withdraw(&room, &it_was("m2"), 4, &of).await.unwrap();
    it.engine.withdraw(&room, &it_was("m1"), 1, &of).await.unwrap();
    it.engine.withdraw(&room, &it_was("nobody"), 1, &of).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(it.next_change().await.2, PresenceChange::Join(_)));
    }
    assert_eq!(it.next_change().await, (4, 2, PresenceChange::Leave(it_was("m1"))));
}
