//! Settings of a node among others: how they reach each other, and how one goes away.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::{self, Secret};

/// How nodes reach each other. In force only where the engine is shared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Where this node listens for the others.
    pub listen: SocketAddr,
    /// The address that the others are told, `host:port`; the one listened on if absent.
    #[serde(with = "value::optional")]
    pub advertise: Option<String>,
    /// What nodes show each other, at least 32 bytes; derived from `session.secret` if absent.
    #[serde(with = "value::optional")]
    pub secret: Option<Secret>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), advertise: None, secret: None }
    }
}

/// How a node goes away that is told to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// Over how long the sessions are moved to other nodes.
    #[serde(with = "value::duration")]
    pub window: Duration,
    /// How long going away takes at most, the window included.
    #[serde(with = "value::duration")]
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), timeout: Duration::from_secs(25) }
    }
}
