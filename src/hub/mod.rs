//! This node: which sessions it holds, which of them read a channel, and when each wants to wake.
//!
//! The hub knows neither sessions nor engines: it holds anything that is a [`Mailbox`], and carries
//! [`Post`]s. Subscriber lists are split over shards, each owned by one task, so that one hot
//! channel fans out on every core and no list is behind a lock.

pub mod fanout;
pub mod registry;
pub mod wheel;

use crate::protocol::channel::Channel;
use crate::protocol::frame::Frame;
use crate::protocol::position::{Epoch, Tag};

/// Whoever reads channels: receives in the order of each channel. Must contain its own panics: one
/// that came out would end what everyone else is served by.
pub trait Mailbox: Send + Sync + 'static {
    /// Takes what came for one subscription, in order. Must not block.
    fn receive(&self, sub: u32, posts: &[Post]);

    /// Time went by that the mailbox asked to be told of.
    fn wake(&self);
}

/// What goes to every reader of a channel, encoded once.
#[derive(Debug, Clone)]
pub struct Post {
    /// The channel.
    pub channel: Channel,
    /// What it is.
    pub kind: PostKind,
    /// The encoded frame.
    pub frame: Frame,
}

/// What a post is.
#[derive(Debug, Clone)]
pub enum PostKind {
    /// An event.
    Event {
        /// The channel's epoch.
        epoch: Epoch,
        /// The event's place.
        offset: u64,
        /// Its tag.
        tag: Tag,
        /// The tag of the event before.
        prev: Tag,
    },
    /// A change of who is there.
    Presence,
    /// Something may be missing that each reader finds out from where it stands. There is no frame.
    Missed {
        /// Events.
        events: bool,
        /// Changes of who is there.
        members: bool,
    },
}
