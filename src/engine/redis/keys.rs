//! The keys: `tl:{p}:…`, where the partition p of 1024 is the hash tag, so that all of a channel
//! changes in one script, in a Cluster too.

use std::sync::Arc;

use crate::engine::types::Incarnation;
use crate::protocol::channel::Channel;

/// Partitions; the number is for good, since it is in every key.
pub(super) const PARTITIONS: u16 = 1024;
/// Where the leases of all nodes are.
pub(super) const LEASES: u16 = 0;
/// Slots of a Cluster.
const SLOTS: u16 = 16384;

/// The partition of a name.
pub(super) fn partition(name: &str) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(name.as_bytes()) % PARTITIONS
}

/// The Cluster slot of a partition: that of its hash tag.
pub(super) fn slot(partition: u16) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(partition.to_string().as_bytes()) % SLOTS
}

/// Makes keys, and names of Pub/Sub channels, which no database number separates.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: Arc<str>,
    database: i64,
}

impl Keys {
    pub(super) fn new(prefix: &str, database: i64) -> Self {
        Self { prefix: prefix.into(), database }
    }

    pub(super) fn key(&self, partition: u16, kind: &str, name: &str) -> String {
        format!("{}:{{{partition}}}:{kind}:{name}", self.prefix)
    }

    fn name(&self, partition: u16, kind: &str, name: &str) -> Arc<str> {
        format!("{}:{{{partition}}}:{kind}@{}:{name}", self.prefix, self.database).into()
    }

    /// Meta, log, state by key, order of the keys: what every script of a log has.
    pub(super) fn log(&self, channel: &Channel) -> (u16, Vec<String>) {
        let (at, name) = (partition(channel.as_str()), channel.as_str());
        (at, ["m", "s", "k", "o"].map(|kind| self.key(at, kind, name)).into())
    }

    /// The two hashes of publish ids.
    pub(super) fn ids(&self, channel: &Channel) -> [String; 2] {
        let (at, name) = (partition(channel.as_str()), channel.as_str());
        ["d0", "d1"].map(|kind| self.key(at, kind, name))
    }

    /// Presence and members: what every script of presence has.
    pub(super) fn presence(&self, channel: &Channel) -> (u16, Vec<String>) {
        let (at, name) = (partition(channel.as_str()), channel.as_str());
        (at, ["q", "p"].map(|kind| self.key(at, kind, name)).into())
    }

    /// What an incarnation asserts in a partition, and the mark that it was swept.
    pub(super) fn assertions(&self, partition: u16, incarnation: &Incarnation) -> [String; 2] {
        ["n", "x"].map(|kind| self.key(partition, kind, &incarnation.0))
    }

    /// The name that a channel is broadcast under.
    pub(super) fn broadcast(&self, channel: &Channel) -> Arc<str> {
        self.name(partition(channel.as_str()), "c", channel.as_str())
    }

    /// The name that messages to one node are sent under.
    pub(super) fn control(&self, incarnation: &Incarnation) -> (u16, Arc<str>) {
        let at = partition(&incarnation.0);
        (at, self.name(at, "i", &incarnation.0))
    }

    /// The name under which a node's link hears itself.
    pub(super) fn probe(&self, partition: u16, link: &str) -> Arc<str> {
        self.name(partition, "t", link)
    }

    /// The mark of the data that one server holds.
    pub(super) fn mark(&self, partition: u16) -> String {
        self.key(partition, "w", "")
    }

    /// Leases, addresses, swept incarnations, the last renewal, the mark of the data.
    pub(super) fn leases(&self) -> Vec<String> {
        ["leases", "nodes", "swept", "renewed", "marked"]
            .map(|kind| self.key(LEASES, "fleet", kind))
            .into()
    }

    /// The record of a session.
    pub(super) fn session(&self, session: &str) -> (u16, String) {
        let at = partition(session);
        (at, self.key(at, "z", session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_channel_has_one_hash_tag() {
        let keys = Keys::new("tl", 3);
        let channel = Channel::parse("chat:a").unwrap();
        let at = partition(channel.as_str());
        let (_, log) = keys.log(&channel);
        let (_, presence) = keys.presence(&channel);
        let named = [keys.broadcast(&channel).to_string()];
        for key in log.iter().chain(&presence).chain(&keys.ids(&channel)).chain(&named) {
            assert!(key.starts_with(&format!("tl:{{{at}}}:")), "{key}");
        }
        assert_eq!(&*keys.broadcast(&channel), format!("tl:{{{at}}}:c@3:chat:a"));
    }

    #[test]
    fn the_slot_is_that_of_the_hash_tag() {
        // Redis: CLUSTER KEYSLOT of {0}, {1023}.
        assert_eq!((slot(0), slot(1023)), (13907, 14911));
    }
}
