//! Tokens, signed with the suite's key.

use serde_json::{Value, json};
use throughline::auth::tokens;
use throughline::config::access::{TokenAlg, TokenKey};
use throughline::telemetry::clock::wall_ms;

/// The secret in `suite.toml`.
pub const SECRET: &str = "the secret of the suite, which everyone knows";

/// A token with these claims, besides `exp` where they have none.
pub fn signed(mut claims: Value) -> String {
    if claims.get("exp").is_none() {
        claims["exp"] = (wall_ms() / 1000 + 3600).into();
    }
    let key: TokenKey = serde_json::from_value(json!({ "alg": TokenAlg::HS256, "secret": SECRET }))
        .expect("the key of the suite");
    tokens::sign(&key, &claims).expect("claims can be signed")
}

/// A user that may do everything.
pub fn user(name: &str) -> String {
    signed(json!({ "sub": name, "caps": { "*": ["subscribe", "publish", "presence", "history"] } }))
}

/// A user with these capabilities.
pub fn with(name: &str, caps: &Value) -> String {
    signed(json!({ "sub": name, "caps": caps }))
}

/// A user whose token ends in so many seconds.
pub fn expiring(name: &str, seconds: u64) -> String {
    let exp = wall_ms() / 1000 + seconds;
    signed(json!({ "sub": name, "exp": exp, "caps": { "*": ["subscribe", "publish"] } }))
}
