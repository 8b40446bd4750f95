//! TLS on the clients' listener.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value;

/// Where and with what TLS is spoken. Off where there is no `cert_file`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificate and those that lead to its authority, as a PEM file.
    #[serde(with = "value::optional")]
    pub cert_file: Option<String>,
    /// Its private key, as a PEM file.
    #[serde(with = "value::optional")]
    pub key_file: Option<String>,
    /// A listener beside the plain one.
    pub listen: TlsListen,
    /// Handshakes at once; more wait, within `limits.head_timeout`.
    pub handshakes: usize,
}

impl Default for Tls {
    fn default() -> Self {
        Self { cert_file: None, key_file: None, listen: TlsListen::Main, handshakes: 1000 }
    }
}

impl Tls {
    /// Whether it is spoken.
    pub fn is_on(&self) -> bool {
        self.cert_file.is_some() || self.key_file.is_some()
    }
}

/// Where TLS is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsListen {
    /// On the main listener, in place of plain HTTP (`""`).
    #[default]
    Main,
    /// On a listener of its own; the main one stays plain.
    Addr(SocketAddr),
}

impl Serialize for TlsListen {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Main => to.serialize_str(""),
            Self::Addr(address) => to.collect_str(address),
        }
    }
}

impl<'de> Deserialize<'de> for TlsListen {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match String::deserialize(from)?.as_str() {
            "" => Ok(Self::Main),
            address => address.parse().map(Self::Addr).map_err(|_| {
                serde::de::Error::custom(
                    "must be an address and port, or \"\" for the main listener",
                )
            }),
        }
    }
}
