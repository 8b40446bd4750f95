//! Rules of channels, by namespace: the part of a channel's name before the first `:`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value;

/// The namespace of users' own channels, `@user:<subject>`; it is always there.
pub const USER: &str = "@user";

const DAY: Duration = Duration::from_hours(24);

/// What the channels of a namespace do, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Namespace {
    /// With it the channels are durable; without it they are ephemeral. Not with `state`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// With it the latest event of each key is kept. Not with `history`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// When a publish to a durable channel is acknowledged.
    pub durability: Durability,
    /// What is told about who is there.
    pub presence: Presence,
    /// Who may publish.
    pub publish: Publishers,
    /// Whether the plain feed reads it without a ticket or token.
    pub feed: bool,
    /// Who may subscribe.
    pub subscribe: Subscribers,
}

/// How much a durable channel keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// Events at most.
    pub size: usize,
    /// The oldest an event may be.
    #[serde(with = "value::duration")]
    pub age: Duration,
}

impl Default for History {
    fn default() -> Self {
        Self { size: 1000, age: DAY }
    }
}

/// How much a state channel keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// Keys at most; the one longest unchanged goes first.
    pub keys: usize,
}

impl Default for State {
    fn default() -> Self {
        Self { keys: 1000 }
    }
}

/// When a publish to a durable channel is acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Once it is in the log of the store.
    #[default]
    Stored,
    /// Once `engine.redis.replicas` replicas of the store have it too (contract P4).
    Replicated,
}

/// What is told about who is in a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Nothing.
    #[default]
    Off,
    /// How many they are.
    Count,
    /// Who they are.
    Members,
}

/// Who may publish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publishers {
    /// The application only, by its API.
    #[default]
    Server,
    /// Also sessions that have the `publish` capability; where everyone may subscribe, each that does.
    Members,
}

/// Who may subscribe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subscribers {
    /// Who has the `subscribe` capability.
    #[default]
    Token,
    /// Every session.
    Public,
}

/// The namespaces that are always there: users' own channels, which keep 1000 events for 7 days.
pub(crate) fn built_in() -> BTreeMap<String, Namespace> {
    let inbox = History { size: 1000, age: 7 * DAY };
    let user = Namespace { history: Some(inbox), ..Namespace::default() };
    BTreeMap::from([(USER.to_owned(), user)])
}
