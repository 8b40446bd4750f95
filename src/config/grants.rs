//! What may be granted: rights, on the channels that a pattern names.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::protocol::channel::{BadName, Channel};

/// What a capability allows on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// To receive its events.
    Subscribe,
    /// To publish to it, where its namespace lets members publish.
    Publish,
    /// To be in its presence, and to see who else is.
    Presence,
    /// To read its log.
    History,
}

/// Text that is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// A `*` that is not the last character.
    #[error("a pattern is a channel, or the beginning of one and a final `*`")]
    Star,
    /// The rest is not of a channel's alphabet.
    #[error(transparent)]
    Name(#[from] BadName),
}

/// The channels that a capability is for: one by its whole name, or all that begin alike (`room:*`).
///
/// `*` alone is every channel but the reserved ones: names that begin with `@` are matched only by
/// a pattern that begins so too, or `*` would open every user's inbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// This channel.
    Exact(Channel),
    /// Every channel that begins so.
    Prefix(Box<str>),
}

impl Pattern {
    /// Reads a pattern.
    /// # Errors
    /// [`BadPattern`] where `*` is not last, or outside the alphabet and length of channels.
    pub fn parse(raw: &str) -> Result<Self, BadPattern> {
        match raw.strip_suffix('*') {
            Some(prefix) if prefix.contains('*') => Err(BadPattern::Star),
            Some("") => Ok(Self::Prefix(Box::from(""))),
            Some(prefix) => {
                Channel::parse(prefix)?;
                Ok(Self::Prefix(Box::from(prefix)))
            }
            None if raw.contains('*') => Err(BadPattern::Star),
            None => Ok(Self::Exact(Channel::parse(raw)?)),
        }
    }

    /// Whether the channel is one of those.
    pub fn matches(&self, channel: &Channel) -> bool {
        match self {
            Self::Exact(name) => name == channel,
            Self::Prefix(prefix) => {
                channel.as_str().starts_with(&**prefix)
                    && (prefix.starts_with('@') || !channel.is_reserved())
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}
