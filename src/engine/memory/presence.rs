//! Presence over all channels (contract R3–R7).

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc::PermitIterator;

use crate::engine::types::{
    Delivery, EngineError, Entrance, Incarnation, Member, MemberId, PresenceChange,
    PresenceSnapshot, PresenceState, Seat, UserPresence,
};
use crate::protocol::channel::Channel;

use super::MemoryEngine;
use super::cell::Cell;
use super::members::Members;
use super::settings::admit;

/// How long ago a member was seen at least whose node's lease and grace are over.
pub(super) const LAPSED_IDLE: Duration = Duration::from_secs(16);

/// Which member leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exit<'a> {
    /// Its highest fence.
    pub(super) fence: u64,
    /// Who must assert it; anyone where there is none.
    pub(super) of: Option<&'a Incarnation>,
    /// How long ago it was seen.
    pub(super) idle: Duration,
}

/// Broadcasts a change of a channel's members, if this node wants it.
fn tell(
    channel: &Channel,
    cell: &Cell,
    change: PresenceChange,
    mut room: PermitIterator<'_, Delivery>,
) {
    if let (true, Some(members), Some(permit)) = (cell.interest, cell.members(), room.next()) {
        let (version, count) = (members.version(), members.count());
        permit.send(Delivery::Presence { channel: channel.clone(), version, count, change });
    }
}

impl MemoryEngine {
    pub(super) async fn enter(
        &self,
        channel: &Channel,
        member: Member,
        how: Entrance,
    ) -> Result<(), EngineError> {
        let room = self.reserve(1).await?;
        let mut shard = self.shards.lock(channel);
        if self.leases.is_swept(&member.incarnation) {
            return Err(EngineError::Conflict { top: None });
        }
        let now = self.clock.now();
        let cell = self.shards.cell(&mut shard, channel, now)?;
        let known = cell.members().is_some_and(|members| members.contains(&member.id));
        if !known && cell.members().map_or(0, Members::count) >= how.most {
            return Err(EngineError::Full("members of the channel"));
        }
        if !known && !admit(&self.shards.counts.members, self.members_max) {
            return Err(EngineError::Full("members"));
        }
        if let Some(change) = cell.join(member, now)
            && !how.again
        {
            tell(channel, cell, change, room);
        }
        Ok(())
    }

    pub(super) async fn exit(
        &self,
        channel: &Channel,
        member: &MemberId,
        Exit { fence, of, idle }: Exit<'_>,
    ) -> Result<(), EngineError> {
        let room = self.reserve(1).await?;
        let mut shard = self.shards.lock(channel);
        let now = self.clock.now();
        let Some(cell) = shard.channels.get_mut(channel) else { return Ok(()) };
        if of.is_some_and(|of| cell.members().is_none_or(|all| !all.is_of(member, of))) {
            return Ok(());
        }
        let Some(change) = cell.leave(member, fence) else { return Ok(()) };
        cell.touch(now);
        self.shards.counts.members.fetch_sub(1, Relaxed);
        tell(channel, cell, change, room);
        if channel.is_users() {
            let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
            let before = shard.last_seen.get(channel).copied().unwrap_or_default();
            shard.last_seen.insert(channel.clone(), before.max(now.saturating_sub(idle)));
        }
        Ok(())
    }

    pub(super) fn snapshot(&self, channel: &Channel) -> PresenceSnapshot {
        let shard = self.shards.lock(channel);
        match shard.channels.get(channel).and_then(Cell::members) {
            Some(members) => members.snapshot(),
            None => Members::default().snapshot(),
        }
    }

    pub(super) fn seated(&self, channel: &Channel) -> Vec<Seat> {
        let shard = self.shards.lock(channel);
        let members = shard.channels.get(channel).and_then(Cell::members);
        members.map(Members::seats).unwrap_or_default()
    }

    pub(super) fn user(&self, subject: &str) -> UserPresence {
        let unknown = UserPresence { state: PresenceState::Offline, sessions: 0, last_seen: None };
        let Ok(channel) = Channel::of_user(subject) else { return unknown };
        let shard = self.shards.lock(&channel);
        let members = shard.channels.get(&channel).and_then(Cell::members);
        match members.map_or(PresenceState::Offline, Members::state) {
            PresenceState::Offline => {
                UserPresence { last_seen: shard.last_seen.get(&channel).copied(), ..unknown }
            }
            state @ (PresenceState::Online | PresenceState::Away) => {
                UserPresence { state, sessions: members.map_or(0, Members::count), last_seen: None }
            }
        }
    }

    /// Removes the members of incarnations whose lease and grace are over (contract R1). What a
    /// full queue keeps it from is done by the next sweep.
    pub(super) async fn sweep_lapsed(&self) {
        for incarnation in self.leases.lapsed(self.clock.now()) {
            for (channel, member, fence) in self.members_of(&incarnation) {
                let exit = Exit { fence, of: None, idle: LAPSED_IDLE };
                if self.exit(&channel, &member, exit).await.is_err() {
                    return;
                }
            }
            self.leases.forget(&incarnation);
        }
    }

    pub(super) fn members_of(&self, incarnation: &Incarnation) -> Vec<(Channel, MemberId, u64)> {
        let mut found = Vec::new();
        for shard in self.shards.iter() {
            for (channel, cell) in &shard.lock().channels {
                let members = cell.members().map(|members| members.of(incarnation));
                let members = members.into_iter().flatten();
                found.extend(members.map(|(id, fence)| (channel.clone(), id, fence)));
            }
        }
        found
    }
}
