//! Settings of one session.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::{self, Secret};

/// Times and bounds of one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// How long a session without a link is kept.
    #[serde(with = "value::duration")]
    pub window: Duration,
    /// How long after its link is lost a member is still in presence.
    #[serde(with = "value::duration")]
    pub grace: Duration,
    /// The same where the page said that it goes away.
    #[serde(with = "value::duration")]
    pub leaving_grace: Duration,
    /// How long a session waits for an answer to its hello.
    #[serde(with = "value::duration")]
    pub provisional: Duration,
    /// How long a WebSocket may take to send its first frame.
    #[serde(with = "value::duration")]
    pub open_timeout: Duration,
    /// Between pings to a page that is looked at.
    #[serde(with = "value::duration")]
    pub ping_visible: Duration,
    /// Between pings to a page that is not.
    #[serde(with = "value::duration")]
    pub ping_hidden: Duration,
    /// How long a client is told to let a poll wait.
    #[serde(with = "value::duration")]
    pub hold: Duration,
    /// The longest that a poll waits, whatever it asks.
    #[serde(with = "value::duration")]
    pub hold_max: Duration,
    /// How long after its last answer a polling session counts as detached.
    #[serde(with = "value::duration")]
    pub poll_detach: Duration,
    /// Frames that wait or are not yet acknowledged; beyond, durable channels are read from the log.
    pub outbox_frames: usize,
    /// Bytes of the same.
    #[serde(with = "value::size")]
    pub outbox_bytes: usize,
    /// Channels of a session.
    pub subscriptions: usize,
    /// Frames up that are accepted and not yet settled; at the bound the link is not read.
    pub uplink_frames: usize,
    /// Connections of a session that are not its link.
    pub candidates: usize,
    /// The oldest that an ephemeral event is replayed.
    #[serde(with = "value::duration")]
    pub ephemeral_age: Duration,
    /// The age at which a stream is told to rotate.
    #[serde(with = "value::duration")]
    pub stream_age: Duration,
    /// What tickets are sealed with, at least 32 bytes; random at each start if absent.
    #[serde(with = "value::optional")]
    pub secret: Option<Secret>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            window: Duration::from_mins(2),
            grace: Duration::from_secs(10),
            leaving_grace: Duration::from_secs(2),
            provisional: Duration::from_secs(10),
            open_timeout: Duration::from_secs(10),
            ping_visible: Duration::from_secs(7),
            ping_hidden: Duration::from_secs(25),
            hold: Duration::from_secs(20),
            hold_max: Duration::from_secs(30),
            poll_detach: Duration::from_secs(10),
            outbox_frames: 1024,
            outbox_bytes: 1 << 20,
            subscriptions: 128,
            uplink_frames: 64,
            candidates: 4,
            ephemeral_age: Duration::from_secs(2),
            stream_age: Duration::from_mins(10),
            secret: None,
        }
    }
}
