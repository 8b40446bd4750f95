//! Frames up: what a client says, read once into types that cannot be wrong.

mod parse;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::channel::{Channel, PublishId, StateKey};
use super::error::Refusal;
use super::position::{Position, Since};

pub use self::parse::parse;

/// The one version of the protocol.
pub const VERSION: u64 = 1;
/// Bytes of `info` in an `open` at most.
pub const INFO_BYTES_MAX: usize = 1024;
/// Characters of an echo's id at most.
pub const ECHO_BYTES_MAX: usize = 64;
/// Channels and users in one presence query at most.
pub const PRESENCE_NAMES_MAX: usize = 1000;
/// Events that one `history` answers at most.
pub const HISTORY_LIMIT_MAX: usize = 1000;
/// Events that one `history` answers where it gives no limit.
pub const HISTORY_LIMIT_DEFAULT: usize = 100;

/// One frame up.
#[derive(Debug, Clone)]
pub enum Up {
    /// Of this connection.
    Link(LinkUp),
    /// Of the session, numbered.
    Session(Numbered),
}

/// A session frame up with its number.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// One higher than the last.
    pub seq: u64,
    /// What to do, or why its content is wrong: settled with an error either way (M4).
    pub command: Result<Command, Refusal>,
}

/// A link frame up.
#[derive(Debug, Clone)]
pub enum LinkUp {
    /// Opens a session.
    Open(Box<Open>),
    /// Begins a connection that proves itself.
    Candidate {
        /// The session's ticket.
        ticket: String,
        /// Whether each write is followed by a filler.
        filler: bool,
    },
    /// Sets the link.
    Attach(Box<Attach>),
    /// Acknowledges.
    Pong {
        /// The client's count.
        count: Option<u64>,
        /// Whether the page is watched.
        visible: Option<bool>,
    },
    /// Proves a way up and down.
    Echo {
        /// Comes back.
        id: String,
        /// The connection that answers; this one if none.
        via: Option<String>,
    },
    /// The page goes away.
    Leaving,
    /// The session ends.
    Close,
}

/// The content of an `open`.
#[derive(Debug, Clone)]
pub struct Open {
    /// Credentials.
    pub token: Option<String>,
    /// The ticket of the session in whose place this one comes.
    pub ticket: Option<String>,
    /// Shown to other members; unverified.
    pub info: Option<Box<RawValue>>,
    /// First subscriptions.
    pub subs: Vec<Subscribe>,
    /// The number of this connection as a link.
    pub link: u64,
    /// Whether the client acknowledges.
    pub ack: bool,
    /// Whether the page is watched.
    pub visible: bool,
    /// Whether each write is followed by a filler.
    pub filler: bool,
}

/// The content of an `attach`.
#[derive(Debug, Clone)]
pub struct Attach {
    /// The session's ticket.
    pub ticket: Option<String>,
    /// The link's number.
    pub link: u64,
    /// The client's count.
    pub count: u64,
    /// The candidate that becomes the link.
    pub via: Option<String>,
    /// A fresh token.
    pub token: Option<String>,
    /// Whether the page is watched.
    pub visible: Option<bool>,
    /// Milliseconds that an exchange may take.
    pub wait: u64,
}

/// A subscription.
#[derive(Debug, Clone, Deserialize)]
pub struct Subscribe {
    /// The channel.
    pub ch: Channel,
    /// Where to read on.
    #[serde(default)]
    pub since: Option<Since>,
    /// Whether changes of presence are wanted.
    #[serde(default)]
    pub presence: bool,
}

/// What a session frame asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Begins a subscription.
    Subscribe(Subscribe),
    /// Ends one.
    Unsubscribe(Channel),
    /// Publishes.
    Publish(Box<PublishCommand>),
    /// Reads the log.
    History {
        /// The channel.
        ch: Channel,
        /// Where to begin.
        since: Since,
        /// Events at most.
        limit: usize,
    },
    /// Asks who is there.
    Presence {
        /// Channels.
        chs: Vec<Channel>,
        /// Users.
        users: Vec<String>,
    },
    /// Brings a fresh token.
    Auth(String),
    /// Says whether the user is away.
    Away(bool),
    /// Asks for a feed ticket.
    FeedTicket(Vec<Channel>),
    /// Stands for a frame that could not be sent.
    Noop,
}

/// The content of a `publish`.
#[derive(Debug, Clone)]
pub struct PublishCommand {
    /// The channel.
    pub ch: Channel,
    /// Any JSON.
    pub data: Box<RawValue>,
    /// Makes it idempotent.
    pub id: Option<PublishId>,
    /// The key, on a state channel.
    pub key: Option<StateKey>,
    /// Store only if this is the top.
    pub expect: Option<Position>,
}
