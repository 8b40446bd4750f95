//! What goes into a session and what comes out of it.

use std::sync::Arc;

use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::position::{Epoch, GapReason, Position, Since, Tag};
use crate::protocol::up::{Command, Numbered};

use super::Millis;

/// One connection or request of a session, named by the shell; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// One subscription of a session; never used again.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct SubId(pub u32);

/// How a connection carries frames down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnKind {
    /// A WebSocket, or a stream: frames are pushed as they come.
    Push,
    /// A request that is answered once.
    Poll,
}

/// An `attach` as the shell read it.
#[derive(Debug, Clone, Copy)]
pub struct AttachInput {
    /// The link's number.
    pub link: u64,
    /// The client's count.
    pub count: u64,
    /// What becomes the link.
    pub target: Target,
    /// Whether the page is watched, if it was said.
    pub visible: Option<bool>,
    /// How long an exchange may wait, in milliseconds.
    pub wait: Millis,
}

/// What an `attach` makes the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The connection it came on.
    Own,
    /// The candidate that `via` named; `None` where the shell found none.
    Via(Option<ConnId>),
}

/// What a channel keeps, as far as a session must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ChannelKind {
    /// A log: nothing is lost without a gap.
    Durable,
    /// Nothing.
    Ephemeral,
    /// The latest event of each key.
    State,
}

/// One event for one subscription.
#[derive(Debug, Clone)]
pub struct EventInput {
    /// Its place in the channel.
    pub offset: u64,
    /// Its own tag.
    pub tag: Tag,
    /// The tag of the event before.
    pub prev: Tag,
    /// The encoded frame.
    pub frame: Frame,
}

/// Where a subscription begins.
#[derive(Debug)]
pub struct Start {
    /// What the channel keeps.
    pub kind: ChannelKind,
    /// Whether the session is a member of the channel's presence.
    pub member: bool,
    /// Whether changes of presence are sent.
    pub watches: bool,
    /// The position that the answer names; the top after a gap.
    pub position: Position,
    /// Why `since` was not proven.
    pub gap: Option<GapReason>,
    /// What follows the position: the first page of the log, or the state by key.
    pub events: Vec<EventInput>,
    /// The top when that was read.
    pub top: Position,
    /// Whether events were asked for (`since`, or a state channel), so that a `caught_up` follows.
    pub replays: bool,
    /// The encoded list of members, where presence is watched.
    pub members: Option<Frame>,
}

/// A page of the log.
#[derive(Debug)]
pub struct PageInput {
    /// The events after the position asked.
    pub events: Vec<EventInput>,
    /// The top when it was read.
    pub top: Position,
    /// Why the position was not proven; the reader goes on at the top.
    pub gap: Option<GapReason>,
}

/// What goes in.
#[derive(Debug)]
pub enum Input {
    /// The connection that opened the session becomes its link.
    Opened {
        /// Which.
        conn: ConnId,
        /// How it carries frames.
        kind: ConnKind,
        /// The link's number.
        link: u64,
    },
    /// A connection showed the ticket and proves itself.
    Candidate {
        /// Which.
        conn: ConnId,
        /// How it carries frames.
        kind: ConnKind,
    },
    /// An `attach` on a WebSocket.
    Attach {
        /// On which connection.
        conn: ConnId,
        /// Its content.
        attach: AttachInput,
    },
    /// An exchange that began with `attach`.
    Exchange {
        /// The request.
        conn: ConnId,
        /// Its content.
        attach: AttachInput,
        /// The session frames in it.
        frames: Vec<Numbered>,
    },
    /// A session frame on a WebSocket.
    Up {
        /// On which connection.
        conn: ConnId,
        /// The frame.
        frame: Numbered,
    },
    /// A `pong`.
    Pong {
        /// On which connection.
        conn: ConnId,
        /// The client's count.
        count: Option<u64>,
        /// Whether the page is watched, if it was said.
        visible: Option<bool>,
    },
    /// A sign of life that acknowledges nothing.
    Life {
        /// On which connection.
        conn: ConnId,
    },
    /// The connection can be written to again.
    Writable {
        /// Which.
        conn: ConnId,
    },
    /// The connection cannot be written to.
    Blocked {
        /// Which.
        conn: ConnId,
    },
    /// The connection is gone.
    Lost {
        /// Which.
        conn: ConnId,
    },
    /// The page goes away.
    Leaving,
    /// A command was performed; its answer.
    Settled {
        /// Which.
        seq: u64,
        /// The answer; none for a `noop`.
        frame: Option<Frame>,
    },
    /// A subscription was begun, or refused.
    Subscribed {
        /// Which.
        sub: SubId,
        /// The frame that asked, if one did.
        re: Option<u64>,
        /// Where it begins, or the encoded refusal.
        result: Result<Box<Start>, Frame>,
    },
    /// An event of a channel came.
    Event {
        /// For which subscription.
        sub: SubId,
        /// The channel's epoch.
        epoch: Epoch,
        /// The event.
        event: EventInput,
    },
    /// A change of presence came, encoded.
    Presence {
        /// For which subscription.
        sub: SubId,
        /// The encoded change.
        frame: Frame,
    },
    /// Something of a channel may be missing that only a read from where it stands finds out.
    Missed {
        /// The subscription.
        sub: SubId,
        /// Events.
        events: bool,
        /// Changes of presence.
        members: bool,
    },
    /// The page that was asked for; `None` where the engine could not be reached.
    Page {
        /// For which subscription.
        sub: SubId,
        /// The page.
        result: Option<PageInput>,
    },
    /// The state by key that was asked for.
    State {
        /// For which subscription.
        sub: SubId,
        /// The latest event of each key, and the top.
        result: Option<PageInput>,
    },
    /// The list of members that was asked for, encoded.
    Members {
        /// For which subscription.
        sub: SubId,
        /// The encoded list; `None` where the engine could not be reached.
        frame: Option<Frame>,
    },
    /// A subscription lost the right to see who is there, and goes on without it.
    Unwatch {
        /// Which.
        sub: SubId,
        /// Why.
        code: ErrorCode,
    },
    /// A subscription lost its right.
    Revoke {
        /// Which.
        sub: SubId,
        /// Why.
        code: ErrorCode,
    },
    /// A fresh token came.
    Renewed {
        /// The new ticket.
        ticket: Arc<str>,
        /// When it expires.
        expires_at: Option<Millis>,
    },
    /// The session is ended: by the client (`closed`) or from outside.
    End {
        /// Why.
        why: Refusal,
    },
    /// Time went by.
    Tick,
}

/// What comes out.
#[derive(Debug)]
pub enum Output {
    /// A session frame for the link; it has been counted.
    Send {
        /// The link's connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// A link frame.
    Control {
        /// The connection.
        conn: ConnId,
        /// The frame.
        frame: Frame,
    },
    /// The whole answer to a request, `attached` first where there is one.
    Answer {
        /// The request.
        conn: ConnId,
        /// The frames, in order.
        frames: Vec<Frame>,
    },
    /// Close a connection, after what was sent to it.
    Close {
        /// Which.
        conn: ConnId,
        /// Why; told to the client where given.
        code: Option<Refusal>,
        /// Whether the session is over with it.
        ended: bool,
    },
    /// Something to perform outside, in this order, one after the other.
    Effect(Effect),
    /// The session is over: forget it.
    Ended,
}

/// What a session needs done outside.
#[derive(Debug)]
pub enum Effect {
    /// Begin a subscription; answered by [`Input::Subscribed`].
    Subscribe {
        /// Its id.
        sub: SubId,
        /// The frame that asked, if one did.
        re: Option<u64>,
        /// The channel.
        channel: Channel,
        /// Where to read on.
        since: Option<Since>,
        /// Whether changes of presence are wanted.
        presence: bool,
    },
    /// End a subscription.
    Unsubscribe {
        /// Its id.
        sub: SubId,
        /// The channel.
        channel: Channel,
    },
    /// Perform a command; answered by [`Input::Settled`].
    Command {
        /// Its number.
        seq: u64,
        /// What to do.
        command: Command,
    },
    /// Read the log; answered by [`Input::Page`].
    Fetch {
        /// For which subscription.
        sub: SubId,
        /// The channel.
        channel: Channel,
        /// After which position.
        after: Position,
    },
    /// Read the state by key; answered by [`Input::State`].
    FetchState {
        /// For which subscription.
        sub: SubId,
        /// The channel.
        channel: Channel,
    },
    /// Read the list of members; answered by [`Input::Members`].
    FetchMembers {
        /// For which subscription.
        sub: SubId,
        /// The channel.
        channel: Channel,
    },
    /// List this session in a channel's presence, or change how it is listed.
    Join {
        /// The channel.
        channel: Channel,
        /// Whether the user is away.
        away: bool,
    },
    /// Take this session out of a channel's presence.
    Leave {
        /// The channel.
        channel: Channel,
        /// When its client showed its last sign of life.
        seen: Millis,
    },
}
