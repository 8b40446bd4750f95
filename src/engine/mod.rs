//! Shared state behind one trait: logs of events, state by key, presence, leases, parked sessions.
//!
//! The engine appends and broadcasts in one step; what it broadcasts comes to every node that has
//! interest in the channel, this one included, through [`Deliveries`]. One conformance suite
//! runs against every implementation; [`memory`] is the executable meaning.

pub mod clock;
pub mod memory;
pub mod redis;
pub mod types;

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::protocol::channel::Channel;
use crate::protocol::position::{Position, Since};

use self::types::{
    Delivery, EngineError, Entrance, Health, Incarnation, Member, MemberId, NodeStatus, Page,
    PageLimit, ParkedSession, PresenceSnapshot, Publish, Published, Renewal, Seat, StateSnapshot,
    UserPresence,
};

/// What the engine broadcasts to this node, in the order of each channel. Bounded: a full queue
/// makes publishers of this node wait, never drops.
pub type Deliveries = mpsc::Receiver<Delivery>;

/// An operation of an engine.
pub type Op<'a, T> = BoxFuture<'a, Result<T, EngineError>>;

/// Shared state of all nodes.
///
/// Every operation answers within 2 s: done, refused, or [`EngineError::Unknown`] where it may
/// still land.
pub trait Engine: Send + Sync + 'static {
    /// The name for logs and `/ready`: `memory`, `redis`.
    fn name(&self) -> &'static str;

    /// Whether the store can be reached now, for `/ready`.
    fn health(&self) -> Health;

    /// Appends a batch to one channel, contiguous, all or nothing, and broadcasts it, in one step
    /// (contract P1–P7). Without retention the same, less the log. The id is looked at before
    /// `expect`: a repeat is answered with its position though the top has moved since. A batch
    /// without entries stores nothing and is answered with the top.
    /// # Errors
    /// [`EngineError::Conflict`] with the top where `expect` is not the top,
    /// [`EngineError::DuplicateId`] where the id came with another body.
    fn publish(&self, publish: Publish) -> Op<'_, Published>;

    /// Reads the log after `since`, oldest first. A position that cannot be proven, or is no longer
    /// retained, is a gap in the page, never a partial splice (contract D5). From
    /// [`Since::Oldest`] there is no gap. A channel without a log retains nothing: its top is
    /// proven, everything below it is trimmed. The channel is created if it is not there.
    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: PageLimit) -> Op<'a, Page>;

    /// The top of a channel, which is created (epoch, offset 0) if it is not there.
    fn top<'a>(&'a self, channel: &'a Channel) -> Op<'a, Position>;

    /// The latest event of each key of a state channel, by offset, with the top they belong to.
    fn state<'a>(&'a self, channel: &'a Channel) -> Op<'a, StateSnapshot>;

    /// Asks for a channel's deliveries. Once this returns, every event above the then top comes.
    /// Interest is there or not: it is not counted.
    fn subscribe<'a>(&'a self, channel: &'a Channel) -> Op<'a, ()>;

    /// Ends the interest in a channel.
    fn unsubscribe<'a>(&'a self, channel: &'a Channel) -> Op<'a, ()>;

    /// Makes or renews a member of a channel. A new member is broadcast as a join, changed details
    /// as an update; an equal or lower fence than the stored one's changes nothing.
    /// # Errors
    /// [`EngineError::Conflict`] (without position) where the member's incarnation was swept;
    /// [`EngineError::Full`] where the channel has as many members as the entrance admits.
    fn join<'a>(&'a self, channel: &'a Channel, member: Member, how: Entrance) -> Op<'a, ()>;

    /// Removes a member if its stored fence is not above `fence`; the removal alone broadcasts a
    /// leave. `idle`: how long ago it showed its last sign of life, for its user's `last_seen`.
    fn leave<'a>(
        &'a self,
        channel: &'a Channel,
        member: &'a MemberId,
        fence: u64,
        idle: Duration,
    ) -> Op<'a, ()>;

    /// The same, if this incarnation is who asserts the member.
    fn withdraw<'a>(
        &'a self,
        channel: &'a Channel,
        member: &'a MemberId,
        fence: u64,
        of: &'a Incarnation,
    ) -> Op<'a, ()>;

    /// What the store holds as asserted by an incarnation, a part at a time: the first is 0, `None` comes
    /// after the last. It may name members that are asserted by another by now, or by nobody.
    fn asserted<'a>(
        &'a self,
        incarnation: &'a Incarnation,
        part: u16,
    ) -> Op<'a, Option<Vec<(Channel, MemberId)>>>;

    /// Who is in a channel.
    fn members<'a>(&'a self, channel: &'a Channel) -> Op<'a, PresenceSnapshot>;

    /// The members of a channel with the nodes that assert them, at most [`SEATS_MAX`], by id.
    ///
    /// [`SEATS_MAX`]: self::types::SEATS_MAX
    fn seats<'a>(&'a self, channel: &'a Channel) -> Op<'a, Vec<Seat>>;

    /// The presence of many users in one round trip, in the order asked.
    fn users<'a>(&'a self, subjects: &'a [String]) -> Op<'a, Vec<UserPresence>>;

    /// Renews this node's lease, then removes the members of every incarnation whose lease (8 s)
    /// and grace (10 s) are over. An incarnation that never had a lease has none to lose. A
    /// node calls this every 2 s; an engine may also use it to drop what is too old. `address` is
    /// where other nodes reach this one, if they can. After an absence of the store itself the
    /// first renewal, whoever's, extends every lease.
    /// # Errors
    /// [`EngineError::Conflict`] (without position) where this incarnation was swept: the node
    /// takes a new one and asserts its members again.
    fn renew<'a>(
        &'a self,
        incarnation: &'a Incarnation,
        address: Option<&'a str>,
    ) -> Op<'a, Renewal>;

    /// What is known of a node.
    fn node<'a>(&'a self, incarnation: &'a Incarnation) -> Op<'a, NodeStatus>;

    /// Sends a message to one node, where it comes as [`Delivery::Control`]; at most once. Answers
    /// whether a node took it.
    fn tell<'a>(&'a self, incarnation: &'a Incarnation, message: Bytes) -> Op<'a, bool>;

    /// Stores the record of a session under its id if the stored version is `expected` (0: none).
    /// # Errors
    /// [`EngineError::Conflict`] (without position) where the version is another.
    fn park<'a>(&'a self, session: &'a str, parked: ParkedSession, expected: u64) -> Op<'a, ()>;

    /// The record of a session, if there is one.
    fn parked<'a>(&'a self, session: &'a str) -> Op<'a, Option<ParkedSession>>;

    /// Drops the record of a session if its version is `expected`.
    /// # Errors
    /// [`EngineError::Conflict`] (without position) where the version is another.
    fn unpark<'a>(&'a self, session: &'a str, expected: u64) -> Op<'a, ()>;
}
