//! Names: channels, nonces, publish ids and state keys. Each is parsed once into a type that
//! cannot be wrong (PROTOCOL.md section 3).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest channel name, in bytes.
pub const CHANNEL_BYTES_MAX: usize = 200;
/// The longest nonce, in bytes.
pub const NONCE_BYTES_MAX: usize = 64;
/// The longest publish id, in bytes.
pub const ID_BYTES_MAX: usize = 128;
/// The longest key of a state channel, in bytes.
pub const KEY_BYTES_MAX: usize = 128;

/// A name outside its grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Empty, or longer than its kind allows.
    #[error("a {kind} has 1 to {max} bytes")]
    Length {
        /// What was being read.
        kind: &'static str,
        /// The most bytes it may have.
        max: usize,
    },
    /// A byte outside the alphabet of its kind.
    #[error("a {kind} may not contain byte {byte:#04x}")]
    Byte {
        /// What was being read.
        kind: &'static str,
        /// The first byte that may not stand in it.
        byte: u8,
    },
}

fn check(
    kind: &'static str,
    raw: &str,
    max: usize,
    allowed: fn(u8) -> bool,
) -> Result<(), BadName> {
    if raw.is_empty() || raw.len() > max {
        return Err(BadName::Length { kind, max });
    }
    match raw.bytes().find(|byte| !allowed(*byte)) {
        Some(byte) => Err(BadName::Byte { kind, byte }),
        None => Ok(()),
    }
}

fn in_channel(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.:@=~+|".contains(&byte)
}

fn in_nonce(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn in_id(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads a name.
            /// # Errors
            /// [`BadName`] when it is empty, too long, or outside the alphabet.
            pub fn parse(raw: &str) -> Result<Self, BadName> {
                check($kind, raw, $max, $allowed)?;
                Ok(Self(Arc::from(raw)))
            }

            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let raw = std::borrow::Cow::<'de, str>::deserialize(from)?;
                Self::parse(&raw).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A channel's name: 1–200 bytes of `A-Z a-z 0-9 _ - . : @ = ~ + |`.
    Channel, "channel", CHANNEL_BYTES_MAX, in_channel
);
name!(
    /// A request's nonce: 1–64 bytes of `A-Z a-z 0-9 _ -`. It busts caches; it is never authority.
    Nonce, "nonce", NONCE_BYTES_MAX, in_nonce
);
name!(
    /// A publish's id, given by the publisher: 1–128 printable ASCII bytes.
    PublishId, "id", ID_BYTES_MAX, in_id
);
name!(
    /// A key of a state channel: 1–128 bytes of the channel alphabet.
    StateKey, "key", KEY_BYTES_MAX, in_channel
);

/// What the names of users' own channels begin with.
pub const USER_CHANNEL_PREFIX: &str = "@user:";

impl Channel {
    /// The part before the first `:`, which sets the channel's rules; the whole name if none.
    pub fn namespace(&self) -> &str {
        self.as_str().split(':').next().unwrap_or_default()
    }

    /// Whether the name belongs to the gateway (begins with `@`).
    pub fn is_reserved(&self) -> bool {
        self.as_str().starts_with('@')
    }

    /// The subject of the user whose own channel it is.
    pub fn user(&self) -> Option<&str> {
        self.as_str().strip_prefix(USER_CHANNEL_PREFIX).filter(|subject| !subject.is_empty())
    }

    /// Whether it is a user's own channel.
    pub fn is_users(&self) -> bool {
        self.user().is_some()
    }

    /// The own channel of a user, `@user:<subject>`.
    /// # Errors
    /// [`BadName`] when the subject does not fit a channel's name.
    pub fn of_user(subject: &str) -> Result<Self, BadName> {
        Self::parse(&format!("{USER_CHANNEL_PREFIX}{subject}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_outside_the_alphabet() {
        // spec: M5
        for raw in ["", "a b", "a/b", "a,b", "a%2f", "a\u{202e}", "a*", "a{x}", "a\0", "ü"] {
            assert!(Channel::parse(raw).is_err(), "{raw:?}");
        }
        assert!(Channel::parse(&"x".repeat(201)).is_err());
        assert!(Channel::parse(&"x".repeat(200)).is_ok());
    }

    #[test]
    fn the_namespace_is_what_stands_before_the_first_colon() {
        let namespace = |raw| Channel::parse(raw).unwrap().namespace().to_owned();
        assert_eq!(namespace("chat:a:b"), "chat");
        assert_eq!(namespace("news"), "news");
        assert_eq!(namespace("@user:bob"), "@user");
    }
}
