//! The one table of errors: code, HTTP status, WebSocket close code, retry verdict, sentence.
//!
//! PROTOCOL.md section 8 and the JavaScript client carry the same rows; tests compare them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a client may do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request fails again.
    No,
    /// After `retry_ms`, else by backoff.
    Later,
    /// At once, with a fresh token.
    Token,
    /// With a new session and the positions it has.
    Open,
}

impl Retry {
    /// The word of PROTOCOL.md.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Later => "later",
            Self::Token => "token",
            Self::Open => "open",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The code on the wire.
    pub code: &'static str,
    /// HTTP status of a refusal (RFC 9110 section 15).
    pub http: u16,
    /// WebSocket close code: RFC 6455 section 7.4.1, or 4000–4999, the private range of 7.4.2.
    pub close: u16,
    /// What a client may do.
    pub retry: Retry,
    /// A sentence that says what to do.
    pub message: &'static str,
}

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $http:literal, $close:literal, $retry:ident, $message:literal;)*) => {
        /// Everything that can go wrong, as the wire names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The row of this code.
            pub fn row(self) -> Row {
                match self {
                    $(Self::$name => Row { code: $code, http: $http, close: $close, retry: Retry::$retry, message: $message },)*
                }
            }
        }
    };
}

errors! {
    /// Not JSON, not an object of a known kind, or in a place where it may not stand.
    BadFrame = "bad_frame", 400, 4400, No, "this is not a frame that may stand here; see PROTOCOL.md";
    /// An HTTP request that cannot be read.
    BadRequest = "bad_request", 400, 4401, No, "this request cannot be read; see PROTOCOL.md";
    /// A channel name outside the grammar, or reserved.
    BadChannel = "bad_channel", 400, 4402, No, "a channel has 1 to 200 bytes of A-Z a-z 0-9 _ - . : @ = ~ + |";
    /// A position outside the grammar.
    BadPosition = "bad_position", 400, 4403, No, "a position is epoch.offset.tag as the server gave it, or 0";
    /// Over the limit in bytes.
    TooLarge = "too_large", 413, 1009, No, "this is larger than the limit; send less";
    /// A text message that is not UTF-8, or a binary one.
    Unsupported = "unsupported", 415, 1003, No, "send UTF-8 JSON as text, without content encoding";
    /// No token where one is needed, or one that cannot be verified.
    Unauthorized = "unauthorized", 401, 4410, Token, "a valid token is needed";
    /// The token's time is over.
    TokenExpired = "token_expired", 401, 4411, Token, "the token has expired; bring a fresh one";
    /// The identity may not do this.
    Forbidden = "forbidden", 403, 4412, No, "this identity has no capability for that; check the token's grants";
    /// The page's origin is not listed.
    BadOrigin = "bad_origin", 403, 4413, No, "this origin is not listed in auth.origins";
    /// The namespace has no rules.
    UnknownChannel = "unknown_channel", 404, 4414, No, "the namespace of this channel is not configured";
    /// No such path.
    NotFound = "not_found", 404, 4415, No, "there is nothing at this path";
    /// The verb does not fit the path.
    BadMethod = "bad_method", 405, 4416, No, "this path does not take that method";
    /// `expect` is not the top.
    Conflict = "conflict", 409, 4417, No, "the channel has moved on; read from pos and try again";
    /// The id was used with another body.
    DuplicateId = "duplicate_id", 409, 4418, No, "this id was used with another body; take a new id";
    /// A plain GET of the WebSocket path, or another version.
    UpgradeRequired = "upgrade_required", 426, 4419, No, "send Upgrade: websocket with version 13";
    /// Not a subscriber.
    NotSubscribed = "not_subscribed", 409, 4420, No, "subscribe to the channel first";
    /// The channel's rules do not provide that.
    NotProvided = "not_provided", 400, 4421, No, "the namespace of this channel does not provide that";
    /// Too many subscriptions, frames or members of a list.
    TooMany = "too_many", 429, 4429, No, "this is over the limit in number; see limits in the hello";
    /// Over the rate.
    RateLimited = "rate_limited", 429, 4430, Later, "too fast; slow down";
    /// A frame flood on a WebSocket.
    Flood = "flood", 429, 1008, Later, "too many frames at once; slow down";
    /// The node is full.
    TooManySessions = "too_many_sessions", 503, 4431, Later, "the node holds as many sessions as it may; try again";
    /// The node is going away.
    Draining = "draining", 503, 1012, Later, "this node is going away; connect again";
    /// The shared state is away.
    Unavailable = "unavailable", 503, 4432, Later, "the engine cannot be reached; nothing was stored; try again";
    /// It may or may not have happened.
    UnknownOutcome = "unknown_outcome", 504, 4433, Later, "the outcome is unknown; try again with the same id";
    /// The owner of a session cannot be asked.
    SessionKept = "session_kept", 503, 4434, Later, "the session's node cannot be reached yet; try again";
    /// The session is on its way to another node.
    Moved = "moved", 503, 4435, Later, "the session is moving to another node; attach again";
    /// The session is over.
    SessionGone = "session_gone", 410, 4440, Open, "the session is over; open a new one with the positions you have";
    /// The ticket cannot be read here.
    BadTicket = "bad_ticket", 410, 4441, Open, "this ticket cannot be read; open a new session with the positions you have";
    /// A count that cannot be.
    BadCount = "bad_count", 409, 4442, Open, "the count is not one that was handed out; open a new session";
    /// A higher link has the session.
    Superseded = "superseded", 409, 4443, No, "another link has this session";
    /// Nothing was opened in time.
    OpenTimeout = "open_timeout", 400, 4444, Later, "no open or candidate came in time";
    /// No life was seen.
    Dead = "dead", 400, 4445, Later, "no answer to pings; attach again";
    /// The backend ended the session.
    Disconnected = "disconnected", 403, 4446, No, "the application ended this session";
    /// The client ended the session.
    Closed = "closed", 410, 1000, Open, "the session was closed";
    /// A fault of the server.
    Internal = "internal", 500, 1011, Later, "the server failed; try again";
}

impl ErrorCode {
    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        self.row().code
    }

    /// Whether a client may try the same again by itself.
    pub fn is_retryable(self) -> bool {
        matches!(self.row().retry, Retry::Later | Retry::Token)
    }
}

/// An error for one request or frame: the code, and a sentence that is more exact than the table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What went wrong.
    pub code: ErrorCode,
    /// More exact than the table's sentence, where something can be said.
    pub detail: Option<Box<str>>,
    /// When to try again, in milliseconds.
    pub retry_ms: Option<u32>,
}

impl Refusal {
    /// A refusal with the table's sentence.
    pub fn new(code: ErrorCode) -> Self {
        Self { code, detail: None, retry_ms: None }
    }

    /// The same with a more exact sentence.
    #[must_use]
    pub fn because(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same with a time after which to try again.
    #[must_use]
    pub fn retry_in(mut self, ms: u32) -> Self {
        self.retry_ms = Some(ms);
        self
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        self.detail.as_deref().unwrap_or(self.code.row().message)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message())
    }
}

impl std::error::Error for Refusal {}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_and_close_codes_are_unique() {
        let codes: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.row().code).collect();
        let closes: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.row().close).collect();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
        assert_eq!(closes.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn close_reasons_fit_a_control_frame() {
        for code in ErrorCode::ALL {
            assert!(code.as_str().len() <= 123, "RFC 6455 section 5.5");
        }
    }
}
