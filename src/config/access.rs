//! Settings of who may do what: tokens, anonymous access, origins, and the application's API keys.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::grants::{Pattern, Right};
use super::origin::OriginRule;
use super::value::{self, Secret};

/// Who may open a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Keys that tokens are verified by; at most 16.
    pub keys: Vec<TokenKey>,
    /// What a token's `iss` must be (RFC 7519 section 4.1.1), if anything.
    #[serde(with = "value::optional")]
    pub issuer: Option<String>,
    /// What a token's `aud` must hold (RFC 7519 section 4.1.3). Without it a token with an `aud`
    /// is refused, since it is for someone else.
    #[serde(with = "value::optional")]
    pub audience: Option<String>,
    /// How far clocks may differ: a token is good for so long after its `exp`.
    #[serde(with = "value::duration")]
    pub leeway: Duration,
    /// Whether a session opens without a token.
    pub anonymous: bool,
    /// What an anonymous session may do.
    pub anonymous_capabilities: BTreeMap<Pattern, Vec<Right>>,
    /// Pages that may connect; a request without `Origin` comes from no page.
    pub origins: Vec<OriginRule>,
    /// The cookie that may carry a token, if any; then its `Origin` must be listed.
    #[serde(with = "value::optional")]
    pub cookie: Option<String>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(3),
            anonymous: false,
            anonymous_capabilities: BTreeMap::new(),
            origins: Vec::new(),
            cookie: None,
        }
    }
}

/// A key that tokens are verified by, for one algorithm only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// Its id (RFC 7515 section 4.1.4). A key without one is tried for every token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The only algorithm it is used with.
    pub alg: TokenAlg,
    /// HS256: the shared secret, at least 32 bytes (RFC 7518 section 3.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// The others: the public key as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_pem: Option<String>,
    /// The same in a file, by a path from the working directory; loading reads it into
    /// `public_key_pem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_file: Option<PathBuf>,
}

/// Algorithms of tokens (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenAlg {
    /// HMAC with SHA-256.
    HS256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

/// The application's HTTP API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Who may call it; at most 100.
    pub keys: Vec<ApiKey>,
    /// Bytes of a request's body.
    #[serde(with = "value::size")]
    pub body_bytes: usize,
    /// Items of a batch.
    pub batch: usize,
}

impl Default for Api {
    fn default() -> Self {
        Self { keys: Vec::new(), body_bytes: 1 << 20, batch: 1000 }
    }
}

/// A key of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// What logs call it: 1–64 of `A-Z a-z 0-9 _ -`.
    pub name: String,
    /// The key: at least 16 bytes, unless `development`.
    pub key: Secret,
}
