//! Settings of where shared state lives.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::value::{self, Secret};

/// Where shared state lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// `memory:`, the embedded engine of one node; or where Redis is (`redis://`, `rediss://`,
    /// `redis+sentinel://`, `redis+cluster://`).
    pub url: EngineUrl,
    /// Bounds of the embedded engine.
    pub memory: Memory,
    /// How Redis is used.
    pub redis: Redis,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            url: EngineUrl("memory:".to_owned()),
            memory: Memory::default(),
            redis: Redis::default(),
        }
    }
}

impl Engine {
    /// Whether the state is this process's own.
    pub fn is_memory(&self) -> bool {
        self.url.0 == "memory:"
    }
}

/// `engine.url`. The password that it may hold prints as `***`, in logs and in a printed
/// configuration alike.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct EngineUrl(String);

impl EngineUrl {
    /// The whole text, for the one place that connects.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Without the password: what is between the first `:` and the last `@` of what follows the
    /// scheme. Text without a scheme shows nothing before its last `@`.
    fn redacted(&self) -> String {
        let Some((login, hosts)) = self.0.rsplit_once('@') else { return self.0.clone() };
        let user = login.split_once("://").and_then(|(scheme, login)| {
            let (user, _) = login.split_once(':')?;
            Some(format!("{scheme}://{user}:"))
        });
        format!("{}***@{hosts}", user.unwrap_or_default())
    }
}

impl From<&str> for EngineUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Serialize for EngineUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.redacted())
    }
}

/// How Redis is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// What every key begins with.
    pub prefix: String,
    /// The certificates of a private certificate authority, as a PEM file; "" for the public ones.
    pub ca_file: String,
    /// The certificate that the gateway shows a server which asks for one, as a PEM file.
    #[serde(with = "value::optional")]
    pub cert_file: Option<String>,
    /// Its private key, as a PEM file.
    #[serde(with = "value::optional")]
    pub key_file: Option<String>,
    /// Who the gateway is to Sentinels: the default user if absent.
    #[serde(with = "value::optional")]
    pub sentinel_user: Option<String>,
    /// The password of Sentinels; without one nobody logs in to them.
    #[serde(with = "value::optional")]
    pub sentinel_password: Option<Secret>,
    /// Replicas that must have an event of a namespace whose durability is "replicated".
    pub replicas: usize,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            prefix: "tl".to_owned(),
            ca_file: String::new(),
            cert_file: None,
            key_file: None,
            sentinel_user: None,
            sentinel_password: None,
            replicas: 1,
        }
    }
}

/// Bounds of the embedded engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// Bytes of all logs and states together.
    #[serde(with = "value::size")]
    pub log_bytes: usize,
    /// Channels that are known at once.
    pub channels: usize,
    /// Members of all channels together.
    pub presence_members: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { log_bytes: 256 << 20, channels: 1_000_000, presence_members: 1_000_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_an_engine_is_never_shown() {
        for (url, shown) in [
            ("memory:", "memory:"),
            ("redis://a:6379/0", "redis://a:6379/0"),
            ("redis://user:hunter2@a:6379/0", "redis://user:***@a:6379/0"),
            ("rediss+sentinel://:hunter2@a,b/main", "rediss+sentinel://:***@a,b/main"),
            ("redis://user:hunt@er2@a", "redis://user:***@a"),
            ("redis://hunter2@a", "***@a"),
            ("redis:/user:hunter2@a", "***@a"),
        ] {
            let url = EngineUrl::from(url);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::to_value(&url).unwrap(), shown);
        }
    }
}
