//! Values that a setting may have: durations, sizes, secrets, and text that may be absent.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

/// Text that is not a value of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// Not a duration.
    #[error("a duration is a whole number and a unit: 250ms, 7s, 2m, 1h, 7d")]
    Duration,
    /// Not a size.
    #[error("a size is a whole number and a unit: 512B, 64KiB, 1MiB, 2GiB")]
    Size,
}

/// Units of a duration, in milliseconds, the largest first.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// Units of a size, in bytes (IEC 80000-13), the largest first.
const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a duration: a whole number and one of `ms s m h d`.
/// # Errors
/// [`BadValue::Duration`] for anything else, or past 2^64 ms.
pub fn parse_duration(raw: &str) -> Result<Duration, BadValue> {
    parse(raw, &DURATION_UNITS).map(Duration::from_millis).ok_or(BadValue::Duration)
}

/// Writes a duration in the largest unit that holds it exactly; below a millisecond is dropped.
pub fn format_duration(value: Duration) -> String {
    format(u64::try_from(value.as_millis()).unwrap_or(u64::MAX), &DURATION_UNITS)
}

/// Reads a size in bytes: a whole number and one of `B KiB MiB GiB`.
/// # Errors
/// [`BadValue::Size`] for anything else, or past the machine's address space.
pub fn parse_size(raw: &str) -> Result<usize, BadValue> {
    parse(raw, &SIZE_UNITS).and_then(|bytes| usize::try_from(bytes).ok()).ok_or(BadValue::Size)
}

/// Writes a size in the largest unit that holds it exactly.
pub fn format_size(bytes: usize) -> String {
    format(bytes as u64, &SIZE_UNITS)
}

fn parse(raw: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = raw.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = raw.split_at_checked(digits)?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

fn format(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |scale: u64| value.is_multiple_of(scale) && (value > 0 || scale <= 1000);
    match units.iter().find(|(_, scale)| fits(*scale)) {
        Some((unit, scale)) => format!("{}{unit}", value / scale),
        None => value.to_string(),
    }
}

/// A secret: it prints as `***`, in logs and in a printed configuration alike.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("***")
    }
}

/// A [`Duration`] as text, for `#[serde(with)]`.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::format_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        super::parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// A size in bytes as text, for `#[serde(with)]`.
pub(crate) mod size {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(crate) fn serialize<S: Serializer>(value: &usize, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::format_size(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        super::parse_size(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// Text that may be absent, written `""`: so that the file can list every key. For `#[serde(with)]`.
pub(crate) mod optional {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(to),
            None => to.serialize_str(""),
        }
    }

    pub(crate) fn deserialize<'de, T: From<String>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        let text = String::deserialize(from)?;
        Ok((!text.is_empty()).then(|| T::from(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (raw, ms) in
            [("250ms", 250), ("7s", 7000), ("2m", 120_000), ("1h", 3_600_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(raw), Ok(Duration::from_millis(ms)), "{raw}");
            assert_eq!(format_duration(Duration::from_millis(ms)), raw);
        }
        for raw in
            ["", "7", "s", "1.5s", "-1s", "7 s", "7S", "1h30m", "99999999999999999999s", "1w"]
        {
            assert_eq!(parse_duration(raw), Err(BadValue::Duration), "{raw}");
        }
    }

    #[test]
    fn a_size_is_a_whole_number_and_a_unit() {
        for (raw, bytes) in [("512B", 512), ("64KiB", 65_536), ("1MiB", 1 << 20), ("2GiB", 2 << 30)]
        {
            assert_eq!(parse_size(raw), Ok(bytes), "{raw}");
            assert_eq!(format_size(bytes), raw);
        }
        for raw in ["", "64", "64kb", "64 KiB", "1TiB", "18446744073709551615GiB"] {
            assert_eq!(parse_size(raw), Err(BadValue::Size), "{raw}");
        }
    }

    #[test]
    fn a_secret_prints_as_stars() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.expose(), "hunter2");
    }
}
