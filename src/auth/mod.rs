//! Who it is, and what they may do: tokens, anonymous access, origins, API keys, tickets.
//!
//! Nothing here waits or reads a clock. What is refused is told to the client by code alone; the
//! reason is logged at `debug`.

pub mod capabilities;
pub mod keys;
pub mod origins;
pub mod records;
pub mod tickets;
pub mod tokens;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::value::RawValue;

use crate::config::Config;
use crate::protocol::error::ErrorCode;

use self::capabilities::Capabilities;
use self::keys::ApiKeys;
use self::origins::{OriginDecision, Origins};
use self::tickets::Tickets;
use self::tokens::{BadKey, Tokens};

/// Who a session belongs to, and what it may do.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The subject of its token; `None` where anonymous, or where the token names none.
    pub user: Option<Arc<str>>,
    /// What the token says about the user to other members: JSON on one line, at most 1024 bytes.
    pub info: Option<Box<RawValue>>,
    /// What it may do.
    pub caps: Capabilities,
    /// When it ends, in milliseconds since the Unix epoch: the token's `exp` and the leeway.
    pub expires_at_ms: Option<u64>,
}

/// Why authentication could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A key of `auth.keys` cannot be used.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// The system gave no randomness for the secret of tickets.
    #[error("the system gave no random bytes")]
    Random,
}

/// Everything that decides who may do what, made once from the settings.
#[derive(Debug)]
pub struct Authenticator {
    tokens: Tokens,
    anonymous: Option<Identity>,
    origins: Origins,
    tickets: Tickets,
    api_keys: ApiKeys,
    node_secret: String,
}

impl Authenticator {
    /// Reads the keys.
    /// # Errors
    /// [`SetupError`] where a public key cannot be read, or no random secret can be made.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let auth = &config.auth;
        let anonymous = auth.anonymous.then(|| Identity {
            user: None,
            info: None,
            caps: Capabilities::new(auth.anonymous_capabilities.clone(), None),
            expires_at_ms: None,
        });
        let tickets = match &config.session.secret {
            Some(secret) => Tickets::new(secret.expose().as_bytes()),
            None => Tickets::random().map_err(|_| SetupError::Random)?,
        };
        let node_secret = match &config.cluster.secret {
            Some(secret) => Tickets::new(secret.expose().as_bytes()).node_secret(),
            None => tickets.node_secret(),
        };
        Ok(Self {
            tokens: Tokens::new(auth)?,
            anonymous,
            origins: Origins::new(auth.origins.clone()),
            tickets,
            api_keys: ApiKeys::new(&config.api.keys),
            node_secret: node_secret.map_err(|_| SetupError::Random)?,
        })
    }

    /// Who comes without a token.
    /// # Errors
    /// [`ErrorCode::Unauthorized`] where a token is needed.
    pub fn anonymous(&self) -> Result<Identity, ErrorCode> {
        self.anonymous.clone().ok_or(ErrorCode::Unauthorized)
    }

    /// Who comes with a token; `now_ms` is milliseconds since the Unix epoch.
    /// # Errors
    /// [`ErrorCode::TokenExpired`] after its time, [`ErrorCode::Unauthorized`] for anything else.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Identity, ErrorCode> {
        self.tokens.verify(token, now_ms).map_err(|error| {
            tracing::debug!(%error, "token refused");
            error.code()
        })
    }

    /// Whether a page may connect: by its `Origin` and the `Host` that it asked.
    pub fn origin<'a>(&self, origin: Option<&'a str>, host: Option<&str>) -> OriginDecision<'a> {
        self.origins.decide(origin, host)
    }

    /// What seals and opens tickets.
    pub fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    /// What nodes show each other.
    pub fn node_secret(&self) -> &str {
        &self.node_secret
    }

    /// Whether another node of the same secret shows this, compared in constant time.
    pub fn is_node(&self, shown: &str) -> bool {
        verify_slices_are_equal(self.node_secret.as_bytes(), shown.as_bytes()).is_ok()
    }

    /// The name of the application's key that was shown; `None` where it is none.
    pub fn api_key(&self, shown: &str) -> Option<&str> {
        self.api_keys.check(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::grants::{Pattern, Right};
    use crate::protocol::channel::Channel;

    #[test]
    fn nobody_comes_without_a_token_unless_the_settings_say_so() {
        let mut config = Config::default();
        let everything = (Pattern::parse("*").unwrap(), vec![Right::Subscribe]);
        config.auth.anonymous_capabilities = [everything].into();
        let closed = Authenticator::new(&config).unwrap();
        assert_eq!(closed.anonymous().unwrap_err(), ErrorCode::Unauthorized);

        config.auth.anonymous = true;
        let identity = Authenticator::new(&config).unwrap().anonymous().unwrap();
        let allows = |name, right| identity.caps.allows(&Channel::parse(name).unwrap(), right);
        assert!(identity.user.is_none());
        assert!(allows("news:a", Right::Subscribe));
        assert!(!allows("news:a", Right::Publish));
        assert!(!allows("@user:bob", Right::Subscribe));
    }

    #[test]
    fn settings_with_a_key_that_is_none_are_refused() {
        let file = "[[auth.keys]]\nalg = \"RS256\"\npublic_key_pem = \"-----BEGIN\"";
        let config = crate::config::load::assemble(
            Some(("x.toml", file)),
            [],
            &crate::config::load::Flags::default(),
        );
        let error = Authenticator::new(&config.unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "auth.keys.0: the public key cannot be read as RS256");
    }
}
