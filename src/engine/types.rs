//! What goes into an engine and comes out of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::protocol::channel::{Channel, PublishId, StateKey};
use crate::protocol::frame::{Frame, FrameTemplate};
use crate::protocol::position::{Epoch, GapReason, Position, Tag};

/// Wall-clock milliseconds since the Unix epoch.
pub type WallMs = u64;

/// One start of a node; never used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Incarnation(pub Arc<str>);

/// A member's public id: one session in presence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub Arc<str>);

/// What a channel keeps of what is published to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Nothing: positions only.
    None,
    /// A log by size and age: a durable channel.
    Log {
        /// Events at most.
        size: usize,
        /// The oldest an event may be.
        age: Duration,
    },
    /// The latest event of each key.
    State {
        /// Keys at most; the key longest unchanged goes first.
        keys: usize,
    },
}

/// One event to append.
#[derive(Debug, Clone)]
pub struct Entry {
    /// 64 random bits, made by the node.
    pub tag: Tag,
    /// The encoded frame without its position.
    pub frame: FrameTemplate,
    /// The key, on a state channel.
    pub key: Option<StateKey>,
}

/// What makes a publish idempotent for 5 minutes (contract P3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dedupe {
    /// Who published: `u:<subject>`, `m:<member>` or `k:<name of the API key>`.
    pub publisher: Arc<str>,
    /// The publisher's id.
    pub id: PublishId,
    /// A digest of the body as it was sent.
    pub digest: [u8; 16],
}

/// A batch for one channel, of at least one entry.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Where to.
    pub channel: Channel,
    /// What the channel keeps from here on. What it kept under another kind of retention goes;
    /// its offsets go on.
    pub retention: Retention,
    /// The events, in order.
    pub entries: Vec<Entry>,
    /// The id, if one was given.
    pub dedupe: Option<Dedupe>,
    /// Store only if this is the top.
    pub expect: Option<Position>,
    /// Replicas of the store that must have it before it is answered (contract P4); 0 for none.
    pub replicas: u8,
}

/// Where a batch was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The position of the last event of the batch.
    pub position: Position,
    /// Whether it had been stored before.
    pub duplicate: bool,
}

/// One event as it stands in a log, or comes from the broadcast.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the channel.
    pub offset: u64,
    /// Its own tag.
    pub tag: Tag,
    /// The tag of the event at the offset before.
    pub prev: Tag,
    /// When it was published.
    pub at: WallMs,
    /// The key, on a state channel.
    pub key: Option<StateKey>,
    /// The encoded frame.
    pub frame: Frame,
}

/// How much a read may return.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    /// Events at most, 1–1000.
    pub events: usize,
    /// Bytes of frames at most; one event always fits.
    pub bytes: usize,
}

/// A part of a log.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events after the position asked, oldest first; none with a gap.
    pub events: Vec<Event>,
    /// Where a reader of this page stands: its last event, else the position it asked with; with a
    /// gap the top.
    pub position: Position,
    /// The top of the channel.
    pub top: Position,
    /// Why the position could not be proven.
    pub gap: Option<GapReason>,
}

/// The latest event of each key.
#[derive(Debug, Clone)]
pub struct StateSnapshot {
    /// By offset.
    pub events: Vec<Event>,
    /// The top of the channel they belong to.
    pub top: Position,
}

/// A member's state over its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PresenceState {
    /// There, and looking.
    Online,
    /// There, not looking.
    Away,
    /// Not there.
    Offline,
}

/// A session present in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its public id.
    pub id: MemberId,
    /// Its user, if it has one. In a user's own channel every member is that user's.
    pub user: Option<Arc<str>>,
    /// The node that asserts it.
    pub incarnation: Incarnation,
    /// Rises with each assertion of the session.
    pub fence: u64,
    /// Online or away.
    pub state: PresenceState,
    /// The member as other members see it: `{"id":…,"user":…,"info":…,"state":…}`.
    pub json: Bytes,
}

/// How a member comes into a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entrance {
    /// Whether it was there before and the store lost it: it is listed again, and nobody is told.
    pub again: bool,
    /// Members that the channel may have; at the bound a new one is refused.
    pub most: usize,
}

impl Default for Entrance {
    fn default() -> Self {
        Self { again: false, most: usize::MAX }
    }
}

/// The most seats that are read at once.
pub const SEATS_MAX: usize = 1000;

/// A member and the node that asserts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The member.
    pub id: MemberId,
    /// The node that asserts it.
    pub incarnation: Incarnation,
    /// Online or away.
    pub state: PresenceState,
    /// When it came into the channel.
    pub since: WallMs,
    /// Its highest fence.
    pub fence: u64,
}

/// What a renewal found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// The lease had lapsed before, now or at any renewal: other nodes may have taken this one's
    /// sessions. Said again each time, since the answer that said it first may have been lost.
    pub late: bool,
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeStatus {
    /// It holds a lease.
    Alive {
        /// Where other nodes reach it, if they can.
        address: Option<Arc<str>>,
    },
    /// It holds none, and the store was reachable with unchanged data for a full lease.
    Dead,
    /// It holds none, but the store may have lost it.
    Unknown,
}

/// Whether the store can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The store has not been reached since the start.
    Starting,
    /// It can be reached.
    Ready,
    /// It cannot: publishes are refused, sessions stay.
    Degraded,
}

/// The most members that a snapshot lists; of a larger channel it gives the count (contract R6).
pub const MEMBERS_LISTED_MAX: usize = 1000;

/// Who is in a channel, at a version.
#[derive(Debug, Clone)]
pub struct PresenceSnapshot {
    /// Rises by one with each change; 0 before the first.
    pub version: u64,
    /// How many.
    pub count: usize,
    /// The members' JSON, by id; none where `count` is above [`MEMBERS_LISTED_MAX`].
    pub members: Vec<Bytes>,
}

/// The state of one user over all sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPresence {
    /// Online if any session is, away if all that remain are, else offline.
    pub state: PresenceState,
    /// How many sessions.
    pub sessions: usize,
    /// When the last session was seen, if it is known and the user is offline.
    pub last_seen: Option<WallMs>,
}

/// A change of presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceChange {
    /// A member came: its JSON.
    Join(Bytes),
    /// A member's details changed: its JSON.
    Update(Bytes),
    /// A member left.
    Leave(MemberId),
}

/// What the engine broadcasts.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// An event of a channel.
    Event {
        /// Where it was published.
        channel: Channel,
        /// The channel's epoch.
        epoch: Epoch,
        /// The event.
        event: Event,
    },
    /// A change of who is in a channel.
    Presence {
        /// Where.
        channel: Channel,
        /// The version after the change.
        version: u64,
        /// How many are there after it.
        count: usize,
        /// What changed.
        change: PresenceChange,
    },
    /// Something of a channel may be missing that only its readers can find out, each from where
    /// it stands.
    Missed {
        /// Where.
        channel: Channel,
        /// Events, and they are not in the log.
        events: bool,
        /// Changes of presence.
        members: bool,
    },
    /// The store may have lost changes of presence: this node's members are to be listed again
    /// ([`Entrance::again`]), and what it holds of this node beside them is to be withdrawn.
    Lost,
    /// A message of another node to this one.
    Control(Bytes),
}

/// The record of a session that more than one node may want: who owns it, or its whole state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedSession {
    /// Rises with each owner.
    pub version: u64,
    /// What the nodes wrote, sealed.
    pub state: Bytes,
    /// How long it is kept.
    pub ttl: Duration,
}

/// Why an operation did not do what was asked, by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The condition does not hold; nothing was stored.
    #[error("the condition does not hold")]
    Conflict {
        /// The top of the channel.
        top: Option<Position>,
    },
    /// The id was used with another body; nothing was stored.
    #[error("the id was used with another body")]
    DuplicateId,
    /// A bound of the engine is reached; nothing was stored.
    #[error("the engine is full: {0}")]
    Full(&'static str),
    /// The store cannot be reached; nothing was stored.
    #[error("the engine cannot be reached")]
    Unavailable,
    /// It may or may not have been stored.
    #[error("the outcome is unknown")]
    Unknown,
}
