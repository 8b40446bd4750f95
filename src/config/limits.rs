//! Settings that bound the node.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value;

/// Bounds of the node, and of one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Sessions of this node.
    pub sessions: usize,
    /// Sessions of one user, over all nodes; a resume never counts.
    pub sessions_per_user: usize,
    /// What happens to one more.
    pub sessions_per_user_over: Over,
    /// Sessions that come to this node: that open, or are taken from another.
    pub admission: Rate,
    /// Bytes of a request's head, all headers together.
    #[serde(with = "value::size")]
    pub header_bytes: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Bytes of a request's target.
    #[serde(with = "value::size")]
    pub uri_bytes: usize,
    /// Bytes of a client's body.
    #[serde(with = "value::size")]
    pub body_bytes: usize,
    /// Bytes of one frame up.
    #[serde(with = "value::size")]
    pub frame_bytes: usize,
    /// Frames of one body.
    pub frames: usize,
    /// How long a request's head may take.
    #[serde(with = "value::duration")]
    pub head_timeout: Duration,
    /// How long a request's body may take.
    #[serde(with = "value::duration")]
    pub body_timeout: Duration,
    /// How long a connection may be idle between requests, and an answer over HTTP/2 wait to be taken.
    #[serde(with = "value::duration")]
    pub idle_timeout: Duration,
    /// Connections of this node.
    pub connections: usize,
    /// Frames up of one session.
    pub frame_rate: Rate,
    /// Control frames of one WebSocket (RFC 6455 section 5.5).
    pub control_rate: Rate,
    /// Bytes of the `data` of one publish.
    #[serde(with = "value::size")]
    pub publish_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 100_000,
            sessions_per_user: 100,
            sessions_per_user_over: Over::Refuse,
            admission: Rate { per_second: 2000, burst: 4000 },
            header_bytes: 16 << 10,
            headers: 64,
            uri_bytes: 8 << 10,
            body_bytes: 256 << 10,
            frame_bytes: 64 << 10,
            frames: 100,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            connections: 200_000,
            frame_rate: Rate { per_second: 200, burst: 400 },
            control_rate: Rate { per_second: 10, burst: 50 },
            publish_bytes: 64 << 10,
        }
    }
}

/// What happens to a session beyond its user's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// It is refused.
    Refuse,
    /// It takes the place of the oldest, which ends.
    Oldest,
}

/// A rate: a bucket of `burst` that refills by `per_second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// What is allowed in the long run, a second.
    pub per_second: u32,
    /// What is allowed at once.
    pub burst: u32,
}

impl Rate {
    /// Between two in the long run, in microseconds.
    pub fn step_us(self) -> u64 {
        1_000_000 / u64::from(self.per_second.max(1))
    }

    /// How far ahead of the long run one may be, in microseconds.
    pub fn burst_us(self) -> u64 {
        self.step_us() * u64::from(self.burst.max(1))
    }
}
