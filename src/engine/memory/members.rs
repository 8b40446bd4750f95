//! Who is in one channel (contract R3–R6).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::engine::types::{
    Incarnation, MEMBERS_LISTED_MAX, Member, MemberId, PresenceChange, PresenceSnapshot,
    PresenceState, SEATS_MAX, Seat, WallMs,
};

/// The members of a channel, and the version that each change raises by one.
#[derive(Debug, Default)]
pub(super) struct Members {
    version: u64,
    /// Each with when it came.
    by_id: BTreeMap<MemberId, (Member, WallMs)>,
}

impl Members {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn count(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn contains(&self, id: &MemberId) -> bool {
        self.by_id.contains_key(id)
    }

    /// Makes or renews a member, and answers what others see of it.
    pub(super) fn join(&mut self, member: Member, now: WallMs) -> Option<PresenceChange> {
        let json = member.json.clone();
        let change = match self.by_id.entry(member.id.clone()) {
            Entry::Vacant(place) => {
                place.insert((member, now));
                PresenceChange::Join(json)
            }
            Entry::Occupied(stored) if stored.get().0.fence >= member.fence => return None,
            Entry::Occupied(mut stored) => {
                let (stored, _) = stored.get_mut();
                let last = std::mem::replace(stored, member);
                if last.json == json && last.state == stored.state {
                    return None;
                }
                PresenceChange::Update(json)
            }
        };
        self.version += 1;
        Some(change)
    }

    /// Removes a member that no higher fence holds, and answers what others see of it.
    pub(super) fn leave(&mut self, id: &MemberId, fence: u64) -> Option<PresenceChange> {
        let stored = self.by_id.get(id)?;
        if stored.0.fence > fence {
            return None;
        }
        self.by_id.remove(id);
        self.version += 1;
        Some(PresenceChange::Leave(id.clone()))
    }

    /// Whether this incarnation asserts a member.
    pub(super) fn is_of(&self, id: &MemberId, incarnation: &Incarnation) -> bool {
        self.by_id.get(id).is_some_and(|(member, _)| member.incarnation == *incarnation)
    }

    /// The members that an incarnation asserts, with their fences.
    pub(super) fn of(&self, incarnation: &Incarnation) -> Vec<(MemberId, u64)> {
        let of = |member: &&Member| member.incarnation == *incarnation;
        self.by_id
            .values()
            .map(|(member, _)| member)
            .filter(of)
            .map(|member| (member.id.clone(), member.fence))
            .collect()
    }

    pub(super) fn snapshot(&self) -> PresenceSnapshot {
        let listed = self.count() <= MEMBERS_LISTED_MAX;
        let members = self.by_id.values().filter(|_| listed).map(|(m, _)| m.json.clone());
        let members = members.collect();
        PresenceSnapshot { version: self.version, count: self.count(), members }
    }

    pub(super) fn seats(&self) -> Vec<Seat> {
        let seat = |(member, since): &(Member, WallMs)| Seat {
            id: member.id.clone(),
            incarnation: member.incarnation.clone(),
            state: member.state,
            since: *since,
            fence: member.fence,
        };
        self.by_id.values().take(SEATS_MAX).map(seat).collect()
    }

    /// Online if any member is, away if all that remain are (contract R7).
    pub(super) fn state(&self) -> PresenceState {
        let any = |state| self.by_id.values().any(|(member, _)| member.state == state);
        if any(PresenceState::Online) {
            PresenceState::Online
        } else if any(PresenceState::Away) {
            PresenceState::Away
        } else {
            PresenceState::Offline
        }
    }
}
