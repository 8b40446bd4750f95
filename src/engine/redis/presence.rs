//! Who is in channels (contract R1–R7).

use std::time::Duration;

use bytes::Bytes;
use redis::{Value, pipe};

use crate::engine::types::{
    EngineError, Entrance, Incarnation, MEMBERS_LISTED_MAX, Member, MemberId, PresenceSnapshot,
    PresenceState, SEATS_MAX, Seat, UserPresence, WallMs,
};
use crate::protocol::channel::Channel;

use super::call::Call;
use super::keys::PARTITIONS;
use super::reply::Reply;
use super::script::{ASSERTIONS, JOIN, LEAVE, SNAPSHOT};
use super::store::Store;

/// Assertions of a swept incarnation that are read at once.
const SWEPT_AT_ONCE: usize = 100;
/// Partitions that are swept at once.
const PARTITIONS_AT_ONCE: usize = 32;

/// How long ago a member was seen at least whose node's lease and grace are over, or whose leave was lost.
pub(super) const LAPSED_IDLE: Duration = Duration::from_secs(16);

/// Which member leaves.
pub(super) struct Exit<'a> {
    /// Its highest fence; any where there is none.
    pub(super) fence: Option<u64>,
    /// Who must assert it; anyone where there is none.
    pub(super) of: Option<&'a Incarnation>,
    /// How long ago it was seen.
    pub(super) idle: Duration,
}

impl Store {
    fn presence_call(
        &self,
        script: &'static redis::Script,
        channel: &Channel,
        more_keys: &[String],
    ) -> Call {
        let (partition, mut keys) = self.keys.presence(channel);
        keys.extend_from_slice(more_keys);
        Call::new(script, partition, keys).arg(self.skew())
    }

    pub(super) async fn enter(
        &self,
        channel: &Channel,
        member: &Member,
        how: Entrance,
    ) -> Result<(), EngineError> {
        let partition = super::keys::partition(channel.as_str());
        let most = if how.most == usize::MAX { 0 } else { how.most };
        let call = self
            .presence_call(&JOIN, channel, &self.keys.assertions(partition, &member.incarnation))
            .arg(&*self.keys.broadcast(channel))
            .arg(self.publish_command())
            .arg(channel.as_str())
            .arg(&*member.id.0)
            .arg(&*member.incarnation.0)
            .arg(format!("{:020}", member.fence))
            .arg(if member.state == PresenceState::Away { "a" } else { "o" })
            .arg(if how.again { "1" } else { "0" })
            .arg(most)
            .arg(&*member.json);
        let mut reply = Reply::of(self.caller.run(call).await?)?;
        match reply.text()?.as_str() {
            "ok" => {
                let before = reply.text()?;
                if !before.is_empty() {
                    self.unassert(channel, &member.id, &Incarnation(before.into())).await;
                }
                Ok(())
            }
            "swept" => Err(EngineError::Conflict { top: None }),
            "full" => Err(EngineError::Full("members of the channel")),
            _ => Err(EngineError::Unavailable),
        }
    }

    pub(super) async fn exit(
        &self,
        channel: &Channel,
        member: &MemberId,
        Exit { fence, of, idle }: Exit<'_>,
    ) -> Result<(), EngineError> {
        let call = self
            .presence_call(&LEAVE, channel, &[])
            .arg(&*self.keys.broadcast(channel))
            .arg(self.publish_command())
            .arg(&*member.0)
            .arg(fence.map_or(String::new(), |fence| format!("{fence:020}")))
            .arg(of.map_or("", |incarnation| &incarnation.0))
            .arg(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX >> 11));
        let value = self.caller.run(call).await?;
        let incarnation: String = redis::from_redis_value(value).unwrap_or_default();
        // Where its node withdraws it, it may just have come back under the same name.
        if !incarnation.is_empty() && of.is_none() {
            self.unassert(channel, member, &Incarnation(incarnation.into())).await;
        }
        Ok(())
    }

    /// Forgets that an incarnation asserted a member. What is not forgotten is found by its sweep.
    async fn unassert(&self, channel: &Channel, member: &MemberId, of: &Incarnation) {
        let partition = super::keys::partition(channel.as_str());
        let Some(server) = self.caller.router.of(partition) else { return };
        let [asserts, _] = self.keys.assertions(partition, of);
        let mut forget = pipe();
        forget.cmd("SREM").arg(asserts).arg(assertion(channel, member));
        let _ = self.caller.pipeline(&server, &forget).await;
    }

    async fn listed(&self, channel: &Channel, most: usize) -> Result<Listed, EngineError> {
        let call = self.presence_call(&SNAPSHOT, channel, &[]).arg(most);
        let mut reply = Reply::of(self.caller.run(call).await?)?;
        let (version, count) = (reply.number()?, reply.number()?);
        let mut members = Vec::with_capacity(reply.left() / 2);
        while reply.left() > 0 {
            let id = MemberId(reply.text()?.into());
            members.extend(Entry::of(&reply.bytes()?).map(|entry| (id, entry)));
        }
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(Listed { version, count, members })
    }

    pub(super) async fn snapshot(
        &self,
        channel: &Channel,
    ) -> Result<PresenceSnapshot, EngineError> {
        let Listed { version, count, members } = self.listed(channel, MEMBERS_LISTED_MAX).await?;
        let members = members.into_iter().map(|(_, entry)| entry.json).collect();
        Ok(PresenceSnapshot { version, count, members })
    }

    pub(super) async fn seated(&self, channel: &Channel) -> Result<Vec<Seat>, EngineError> {
        let listed = self.listed(channel, SEATS_MAX).await?;
        let seat = |(id, entry): (MemberId, Entry)| Seat {
            id,
            incarnation: entry.incarnation,
            state: entry.state,
            since: entry.since,
            fence: entry.fence,
        };
        Ok(listed.members.into_iter().map(seat).collect())
    }

    /// One command a user, one pipeline a server. Where the map of a Cluster was out of date it is
    /// read anew, once.
    pub(super) async fn presence_of(
        &self,
        subjects: &[String],
    ) -> Result<Vec<UserPresence>, EngineError> {
        match self.read_users(subjects).await {
            Err(_) if self.caller.router.is_cluster() => {
                self.caller.router.refresh().await;
                self.read_users(subjects).await
            }
            read => read,
        }
    }

    async fn read_users(&self, subjects: &[String]) -> Result<Vec<UserPresence>, EngineError> {
        let unknown = UserPresence { state: PresenceState::Offline, sessions: 0, last_seen: None };
        let mut found = vec![unknown; subjects.len()];
        let channels: Vec<_> = subjects.iter().map(|name| Channel::of_user(name).ok()).collect();
        for (server, _) in self.caller.router.all() {
            let (mut reads, mut places) = (pipe(), Vec::new());
            for (place, channel) in channels.iter().enumerate() {
                let Some(channel) = channel else { continue };
                let (partition, keys) = self.keys.presence(channel);
                let here = self.caller.router.of(partition);
                if here.is_some_and(|here| std::sync::Arc::ptr_eq(&here, &server)) {
                    reads.cmd("HMGET").arg(keys.first()).arg(&["n", "w", "s"]);
                    places.push(place);
                }
            }
            if places.is_empty() {
                continue;
            }
            let values = self.caller.pipeline(&server, &reads).await?;
            for (place, value) in places.into_iter().zip(values) {
                if let Some(user) = found.get_mut(place) {
                    *user = user_of(value);
                }
            }
        }
        Ok(found)
    }

    /// What a partition holds as asserted by an incarnation; nothing beyond the last.
    pub(super) async fn asserted_in(
        &self,
        partition: u16,
        of: &Incarnation,
    ) -> Result<Option<Vec<(Channel, MemberId)>>, EngineError> {
        if partition >= PARTITIONS {
            return Ok(None);
        }
        let server = self.caller.router.of(partition).ok_or(EngineError::Unavailable)?;
        let [asserts, _] = self.keys.assertions(partition, of);
        let mut read = pipe();
        read.cmd("SMEMBERS").arg(asserts);
        let values = self.caller.pipeline(&server, &read).await?;
        let entries = values.into_iter().next().map(redis::from_redis_value::<Vec<String>>);
        let entries = entries.transpose().map_err(|_| EngineError::Unavailable)?;
        Ok(Some(entries.unwrap_or_default().iter().filter_map(|entry| asserted(entry)).collect()))
    }

    /// Removes what an incarnation asserted whose lease and grace are over; its own marks keep it
    /// from ever being used again. Repeats are harmless: the removal alone is told.
    pub(super) async fn sweep(&self, incarnation: &Incarnation) -> Result<(), EngineError> {
        let partitions: Vec<u16> = (0..PARTITIONS).collect();
        for some in partitions.chunks(PARTITIONS_AT_ONCE) {
            let swept = some.iter().map(|at| self.sweep_partition(*at, incarnation));
            futures::future::try_join_all(swept).await?;
        }
        Ok(())
    }

    async fn sweep_partition(&self, at: u16, of: &Incarnation) -> Result<(), EngineError> {
        let mut done: Vec<String> = Vec::new();
        loop {
            let keys = self.keys.assertions(at, of);
            let mut call = Call::new(&ASSERTIONS, at, keys.iter()).arg(SWEPT_AT_ONCE);
            for entry in &done {
                call = call.arg(entry);
            }
            let value = self.caller.run(call).await?;
            let entries: Vec<String> = redis::from_redis_value(value).unwrap_or_default();
            if entries.is_empty() {
                return Ok(());
            }
            for entry in &entries {
                if let Some((channel, member)) = asserted(entry) {
                    let how = Exit { fence: None, of: Some(of), idle: LAPSED_IDLE };
                    self.exit(&channel, &member, how).await?;
                }
            }
            done = entries;
        }
    }
}

fn assertion(channel: &Channel, member: &MemberId) -> String {
    format!("{}\n{}", channel.as_str(), member.0)
}

fn asserted(entry: &str) -> Option<(Channel, MemberId)> {
    let (channel, member) = entry.split_once('\n')?;
    Some((Channel::parse(channel).ok()?, MemberId(member.into())))
}

struct Listed {
    version: u64,
    count: usize,
    members: Vec<(MemberId, Entry)>,
}

/// A member as it is stored: fence, incarnation, state, since, JSON.
struct Entry {
    fence: u64,
    incarnation: Incarnation,
    state: PresenceState,
    since: WallMs,
    json: Bytes,
}

impl Entry {
    fn of(stored: &Bytes) -> Option<Self> {
        let mut parts = stored.splitn(5, |byte| *byte == b' ');
        let mut word = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
        let (fence, incarnation) = (word()?.parse().ok()?, Incarnation(word()?.into()));
        let state = if word()? == "a" { PresenceState::Away } else { PresenceState::Online };
        let since = word()?.parse().ok()?;
        let json = stored.slice_ref(parts.next()?);
        Some(Self { fence, incarnation, state, since, json })
    }
}

fn user_of(value: Value) -> UserPresence {
    let read: Result<(Option<i64>, Option<i64>, Option<u64>), _> = redis::from_redis_value(value);
    let (online, away, seen) = read.unwrap_or_default();
    let (online, away) = (online.unwrap_or(0).max(0), away.unwrap_or(0).max(0));
    let state = match (online, away) {
        (1.., _) => PresenceState::Online,
        (_, 1..) => PresenceState::Away,
        _ => PresenceState::Offline,
    };
    let last_seen = seen.filter(|_| state == PresenceState::Offline);
    let sessions = usize::try_from(online.saturating_add(away)).unwrap_or(usize::MAX);
    UserPresence { state, sessions, last_seen }
}
