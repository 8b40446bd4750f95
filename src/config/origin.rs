//! Web origins (RFC 6454, and the HTML standard's "Origins"): what a page is, and which are listed.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that is not an origin, or not a rule for some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is scheme://host or scheme://host:port, its host perhaps beginning with `*.`; \
     or one of the words same-host, loopback"
)]
pub struct BadOrigin;

/// A page's origin: lower case, its port always there where the scheme has a default one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Reads an origin as browsers write it: `scheme://host[:port]` and nothing after. `null`,
    /// user information, a path, a final dot and anything outside ASCII are refused.
    /// # Errors
    /// [`BadOrigin`] for anything else.
    pub fn parse(raw: &str) -> Result<Self, BadOrigin> {
        let (scheme, rest) = raw.split_once("://").ok_or(BadOrigin)?;
        let letters = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !letters || !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(BadOrigin);
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = split_port(rest).ok_or(BadOrigin)?;
        let port = port.or_else(|| default_port(&scheme));
        Ok(Self { scheme, host, port })
    }

    /// The host, in lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether a `Host` header (RFC 9110 section 7.2) names this origin's host and port. The
    /// scheme is not compared: the gateway does not see whether a proxy before it spoke TLS.
    pub fn is_at(&self, host_header: &str) -> bool {
        let web = matches!(self.scheme.as_str(), "http" | "https");
        let there = split_port(host_header)
            .map(|(host, port)| (host, port.or_else(|| default_port(&self.scheme))));
        web && there.is_some_and(|(host, port)| host == self.host && port == self.port)
    }

    /// Whether the page comes from this machine: `localhost` and names below it (RFC 6761 section
    /// 6.3), `127.0.0.0/8`, `[::1]`.
    pub fn is_loopback(&self) -> bool {
        let inner = self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || self.host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
            || inner.and_then(|ip| ip.parse().ok()).is_some_and(|ip: Ipv6Addr| ip.is_loopback())
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Splits `host[:port]`, the host in lower case and of labels, or an IPv6 address in brackets.
fn split_port(raw: &str) -> Option<(String, Option<u16>)> {
    let end =
        if raw.starts_with('[') { raw.find(']')? + 1 } else { raw.find(':').unwrap_or(raw.len()) };
    let (host, port) = raw.split_at_checked(end)?;
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        None if port.is_empty() => None,
        _ => return None,
    };
    let host = host.to_ascii_lowercase();
    let ipv6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let valid = match ipv6 {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_label),
    };
    valid.then_some((host, port))
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A rule of `auth.origins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginRule {
    /// Exactly this origin.
    Exact(Origin),
    /// One or more labels before this one: `https://*.a.example` is `https://b.a.example` and
    /// `https://c.b.a.example`, never `https://a.example` nor `https://ba.example`.
    Below(Origin),
    /// The origin whose host and port are those that the request was sent to.
    SameHost,
    /// Every origin of this machine, at any port: for development.
    Loopback,
}

impl OriginRule {
    /// Reads a rule.
    /// # Errors
    /// [`BadOrigin`] for anything but an origin, one with `*.` before at least two labels, or one
    /// of the two words.
    pub fn parse(raw: &str) -> Result<Self, BadOrigin> {
        match raw {
            "same-host" => return Ok(Self::SameHost),
            "loopback" => return Ok(Self::Loopback),
            _ => {}
        }
        match raw.split_once("://*.") {
            None => Origin::parse(raw).map(Self::Exact),
            Some((scheme, rest)) => {
                let parent = Origin::parse(&format!("{scheme}://{rest}"))?;
                let labels = parent.host.split('.').count();
                let is_ip = parent.host.starts_with('[') || parent.host.parse::<Ipv4Addr>().is_ok();
                if labels < 2 || is_ip { Err(BadOrigin) } else { Ok(Self::Below(parent)) }
            }
        }
    }

    /// Whether the rule lists an origin; `host` is the request's `Host` header.
    pub fn lists(&self, origin: &Origin, host: Option<&str>) -> bool {
        match self {
            Self::Exact(listed) => listed == origin,
            Self::Below(parent) => {
                let above = origin.host.strip_suffix(parent.host.as_str());
                let below = above.and_then(|labels| labels.strip_suffix('.'));
                below.is_some_and(|labels| !labels.is_empty())
                    && origin.scheme == parent.scheme
                    && origin.port == parent.port
            }
            Self::SameHost => host.is_some_and(|host| origin.is_at(host)),
            Self::Loopback => origin.is_loopback(),
        }
    }
}

impl fmt::Display for OriginRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (star, origin) = match self {
            Self::SameHost => return f.write_str("same-host"),
            Self::Loopback => return f.write_str("loopback"),
            Self::Exact(origin) => ("", origin),
            Self::Below(parent) => ("*.", parent),
        };
        write!(f, "{}://{star}{}", origin.scheme, origin.host)?;
        match origin.port {
            Some(port) if default_port(&origin.scheme) != Some(port) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

impl Serialize for OriginRule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OriginRule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = String::deserialize(from)?;
        Self::parse(&raw).map_err(|bad| serde::de::Error::custom(format!("{raw:?}: {bad}")))
    }
}
