//! Where a reader stands in a channel: epoch, offset and tag, as text `epoch.offset.tag`.
//!
//! An offset alone lies after a store lost its tail: the same offsets are issued again with other
//! content. The tag, 64 random bits of the entry at that offset, is what proves a position.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The highest offset: 2^53−1, the highest whole number that every JSON reader keeps exact
/// (RFC 8259 section 6).
pub const OFFSET_MAX: u64 = (1 << 53) - 1;
const EPOCH_BYTES_MAX: usize = 32;

/// Text that is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position is `epoch.offset.tag`, or `0`")]
pub struct BadPosition;

/// A channel's run of offsets: 1–32 bytes of `A-Z a-z 0-9 _ -`. Offsets of one epoch never mean two things.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// Reads an epoch.
    /// # Errors
    /// [`BadPosition`] outside the alphabet or the length.
    pub fn parse(raw: &str) -> Result<Self, BadPosition> {
        let fits = (1..=EPOCH_BYTES_MAX).contains(&raw.len())
            && raw.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if fits { Ok(Self(Arc::from(raw))) } else { Err(BadPosition) }
    }

    /// An epoch of 64 random bits, given by the caller.
    pub fn from_random(bits: u64) -> Self {
        Self(Arc::from(format!("{bits:016x}")))
    }

    /// The text of the epoch.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 64 random bits of one entry; `0` before the first entry of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Tag(pub u64);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where a reader stands: everything up to `offset` has been seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The channel's run of offsets.
    pub epoch: Epoch,
    /// The last offset seen, 0 before the first.
    pub offset: u64,
    /// The tag of the entry at `offset`.
    pub tag: Tag,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch.as_str(), self.offset, self.tag)
    }
}

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(raw: &str) -> Result<Self, BadPosition> {
        let mut parts = raw.split('.');
        let (Some(epoch), Some(offset), Some(tag), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadPosition);
        };
        let plain = !offset.is_empty() && offset.bytes().all(|b| b.is_ascii_digit());
        let canonical = plain && (offset == "0" || !offset.starts_with('0'));
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if !canonical || tag.len() != 16 || !tag.bytes().all(lower_hex) {
            return Err(BadPosition);
        }
        let offset = offset.parse().map_err(|_| BadPosition)?;
        if offset > OFFSET_MAX {
            return Err(BadPosition);
        }
        let tag = u64::from_str_radix(tag, 16).map_err(|_| BadPosition)?;
        Ok(Self { epoch: Epoch::parse(epoch)?, offset, tag: Tag(tag) })
    }
}

/// Where a read begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Since {
    /// Before the oldest retained event; `0` on the wire.
    Oldest,
    /// After a position.
    After(Position),
}

impl FromStr for Since {
    type Err = BadPosition;

    fn from_str(raw: &str) -> Result<Self, BadPosition> {
        if raw == "0" { Ok(Self::Oldest) } else { raw.parse().map(Self::After) }
    }
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oldest => f.write_str("0"),
            Self::After(position) => position.fmt(f),
        }
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let raw = std::borrow::Cow::<'de, str>::deserialize(from)?;
                raw.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(Position);
as_text!(Since);

/// Why a position could not be proven (contract D5, F1, F2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The channel has another epoch, and the tag is not found in it.
    Epoch,
    /// The position is older than what is retained.
    Trimmed,
    /// The position is above the top.
    Ahead,
    /// Another entry stands at that offset.
    Tag,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_what_it_writes() {
        let raw = "ab-9.18.00000000000000ff";
        assert_eq!(raw.parse::<Position>().unwrap().to_string(), raw);
        assert_eq!("0".parse::<Since>().unwrap().to_string(), "0");
    }

    #[test]
    fn refuses_positions_outside_the_grammar() {
        // spec: M5
        for raw in [
            "",
            "1",
            "a.1",
            "a.1.ff",
            ".1.00000000000000ff",
            "a.-1.00000000000000ff",
            "a.01.00000000000000ff",
            "a.+1.00000000000000ff",
            "a.1.00000000000000FF",
            "a.9007199254740992.00000000000000ff",
            "a.1.00000000000000ff.x",
            "ü.1.00000000000000ff",
        ] {
            assert!(raw.parse::<Position>().is_err(), "{raw}");
        }
    }
}
