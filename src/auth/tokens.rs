//! Tokens: JWT (RFC 7519) as JWS in compact form (RFC 7515 section 7.1), by the advice of RFC 8725:
//! each key has one algorithm and no other is tried with it, and nothing that a token says about
//! how to verify itself is believed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::config::access::{Auth, TokenAlg, TokenKey};
use crate::config::grants::{Pattern, Right};
use crate::protocol::channel::Channel;
use crate::protocol::error::ErrorCode;

use super::Identity;
use super::capabilities::Capabilities;

/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8192;
/// The longest `info`, in bytes.
pub const INFO_BYTES_MAX: usize = 1024;
/// The latest time that a claim may name: the end of the year 9999, in seconds.
const TIME_MAX: f64 = 253_402_300_799.0;

/// A key of `auth.keys` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("auth.keys.{index}: the public key cannot be read as {alg:?}")]
pub struct BadKey {
    index: usize,
    alg: TokenAlg,
    source: jsonwebtoken::errors::Error,
}

/// Why a token is refused: for the log, never for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than 8192 bytes")]
    TooLong,
    /// Not three parts, or a header that cannot be read; also an algorithm that does not exist.
    #[error("the token or its header cannot be read")]
    Malformed,
    /// The header brings a key of its own, or asks for what is not understood.
    #[error("the token's header holds what is not accepted: typ, crit, jku, jwk, x5u, zip or enc")]
    Header,
    /// No key of that id and algorithm.
    #[error("no key is configured for the token's kid and alg")]
    NoKey,
    /// The signature is by no key.
    #[error("the token's signature is wrong")]
    Signature,
    /// Claims that are missing, or not of their type.
    #[error("a claim is missing, or not of its type")]
    Claims,
    /// `iss` or `aud` are others.
    #[error("the token is by another issuer, or for another audience")]
    Addressee,
    /// `sub` is empty, or does not fit a channel's name.
    #[error("the token's sub does not fit a channel's name")]
    Subject,
    /// `info` is longer than [`INFO_BYTES_MAX`].
    #[error("the token's info is longer than 1024 bytes")]
    Info,
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is to come.
    #[error("the token is not valid yet")]
    NotYet,
}

impl TokenError {
    /// What the client is told.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Expired => ErrorCode::TokenExpired,
            _ => ErrorCode::Unauthorized,
        }
    }
}

struct Key {
    kid: Option<String>,
    alg: Algorithm,
    verifying: DecodingKey,
    validation: Validation,
}

/// The keys, and what is asked of a token.
pub struct Tokens {
    keys: Vec<Key>,
    has_audience: bool,
    leeway_ms: u64,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads the keys.
    /// # Errors
    /// [`BadKey`] where a public key is not one of its algorithm.
    pub fn new(auth: &Auth) -> Result<Self, BadKey> {
        let mut keys = Vec::with_capacity(auth.keys.len());
        for (index, key) in auth.keys.iter().enumerate() {
            let decoding = decoding_key(key);
            let decoding = decoding.map_err(|source| BadKey { index, alg: key.alg, source })?;
            let alg = algorithm(key.alg);
            let validation = validation(alg, auth);
            keys.push(Key { kid: key.kid.clone(), alg, verifying: decoding, validation });
        }
        let leeway_ms = u64::try_from(auth.leeway.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { keys, has_audience: auth.audience.is_some(), leeway_ms })
    }

    /// Verifies a token; `now_ms` is milliseconds since the Unix epoch.
    /// # Errors
    /// [`TokenError`] says why not.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Identity, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        check_header(&header)?;
        let claims = self.signed_claims(token, &header)?;
        if claims.aud.is_some() && !self.has_audience {
            return Err(TokenError::Addressee);
        }
        let expires_at_ms = claims.exp.0.saturating_add(self.leeway_ms);
        if now_ms >= expires_at_ms {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|nbf| nbf.0 > now_ms.saturating_add(self.leeway_ms)) {
            return Err(TokenError::NotYet);
        }
        claims.identity(expires_at_ms)
    }

    fn signed_claims(&self, token: &str, header: &Header) -> Result<Claims, TokenError> {
        let mut refused = TokenError::NoKey;
        for key in self.keys.iter().filter(|key| key.takes(header)) {
            match jsonwebtoken::decode::<Claims>(token, &key.verifying, &key.validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => refused = TokenError::Signature,
                    ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => {
                        return Err(TokenError::Addressee);
                    }
                    ErrorKind::Json(_) | ErrorKind::MissingRequiredClaim(_) => {
                        return Err(TokenError::Claims);
                    }
                    _ => return Err(TokenError::Malformed),
                },
            }
        }
        Err(refused)
    }
}

impl Key {
    fn takes(&self, header: &Header) -> bool {
        let by_id = match (&self.kid, &header.kid) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        };
        by_id && self.alg == header.alg
    }
}

fn algorithm(alg: TokenAlg) -> Algorithm {
    match alg {
        TokenAlg::HS256 => Algorithm::HS256,
        TokenAlg::RS256 => Algorithm::RS256,
        TokenAlg::ES256 => Algorithm::ES256,
        TokenAlg::EdDSA => Algorithm::EdDSA,
    }
}

fn decoding_key(key: &TokenKey) -> Result<DecodingKey, jsonwebtoken::errors::Error> {
    let pem = key.public_key_pem.as_deref().unwrap_or_default().as_bytes();
    match (key.alg, &key.secret) {
        (TokenAlg::HS256, Some(secret)) => Ok(DecodingKey::from_secret(secret.expose().as_bytes())),
        (TokenAlg::HS256, None) => Err(ErrorKind::InvalidKeyFormat.into()),
        (TokenAlg::RS256, _) => DecodingKey::from_rsa_pem(pem),
        (TokenAlg::ES256, _) => DecodingKey::from_ec_pem(pem),
        (TokenAlg::EdDSA, _) => DecodingKey::from_ed_pem(pem),
    }
}

/// Times are checked here, by a clock that is an argument; the library checks the rest.
fn validation(alg: Algorithm, auth: &Auth) -> Validation {
    let mut validation = Validation::new(alg);
    validation.validate_exp = false;
    let mut required = vec!["exp"];
    if let Some(issuer) = &auth.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    if let Some(audience) = &auth.audience {
        validation.set_audience(&[audience]);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    validation
}

fn check_header(header: &Header) -> Result<(), TokenError> {
    // RFC 9068 section 2.1 types access tokens `at+jwt`; RFC 7515 section 4.1.9 compares without case.
    let typed = header
        .typ
        .as_deref()
        .is_none_or(|typ| typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt"));
    let plain = header.crit.is_none()
        && header.jku.is_none()
        && header.jwk.is_none()
        && header.x5u.is_none()
        && header.zip.is_none()
        && header.enc.is_none();
    if typed && plain { Ok(()) } else { Err(TokenError::Header) }
}

/// Present but of another type is an error, never as if absent; twice is an error too.
#[derive(Deserialize)]
struct Claims {
    exp: Time,
    nbf: Option<Time>,
    #[serde(rename = "iat")]
    _iat: Option<Time>,
    aud: Option<IgnoredAny>,
    sub: Option<String>,
    #[serde(default)]
    caps: BTreeMap<Pattern, Vec<Right>>,
    info: Option<Box<RawValue>>,
}

impl Claims {
    fn identity(self, expires_at_ms: u64) -> Result<Identity, TokenError> {
        let own = match self.sub.as_deref() {
            Some("") => return Err(TokenError::Subject),
            Some(user) => Some(Channel::of_user(user).map_err(|_| TokenError::Subject)?),
            None => None,
        };
        Ok(Identity {
            user: self.sub.map(Arc::from),
            info: self.info.map(one_line).transpose()?,
            caps: Capabilities::new(self.caps, own),
            expires_at_ms: Some(expires_at_ms),
        })
    }
}

/// Frames end at a line feed. In JSON a raw one can only be white space (RFC 8259 section 7).
fn one_line(info: Box<RawValue>) -> Result<Box<RawValue>, TokenError> {
    if info.get().len() > INFO_BYTES_MAX {
        return Err(TokenError::Info);
    }
    if info.get().contains(['\n', '\r']) {
        let line = info.get().replace(['\n', '\r'], " ");
        return RawValue::from_string(line).map_err(|_| TokenError::Claims);
    }
    Ok(info)
}

/// A `NumericDate` (RFC 7519 section 2), in milliseconds.
#[derive(Clone, Copy)]
struct Time(u64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(from)?;
        if !(0.0..=TIME_MAX).contains(&seconds) {
            return Err(serde::de::Error::custom("not a time"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 0 and TIME_MAX, checked above"
        )]
        Ok(Self((seconds * 1000.0) as u64))
    }
}

/// Signs claims with an HS256 key, for development: `throughline token`.
/// # Errors
/// The library's error, where the key is not HS256.
pub fn sign(
    key: &TokenKey,
    claims: &serde_json::Value,
) -> Result<String, jsonwebtoken::errors::Error> {
    let (TokenAlg::HS256, Some(secret)) = (key.alg, &key.secret) else {
        return Err(ErrorKind::InvalidAlgorithm.into());
    };
    let mut header = Header::new(Algorithm::HS256);
    header.kid.clone_from(&key.kid);
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret.expose().as_bytes()))
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
