//! What each error of Redis means: the one table (contract F4).

use redis::{ErrorKind, RedisError, ServerError};

use crate::engine::types::EngineError;

/// What to do about an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing was done, and the script is to be loaded first.
    Load,
    /// Nothing was done: the partition has moved there.
    Moved(String),
    /// Nothing was done: it is moving, and this once the other server is to be asked.
    Ask(String),
    /// Nothing was done: it may be soon.
    Later,
    /// Nothing was done: this server is no master. Who is must be asked again.
    Reroute,
    /// Nothing was done, and will not be until someone acts.
    Refused(&'static str),
    /// Nothing was done: the server has no memory left.
    Full,
    /// The connection is gone: it may have been done.
    Lost,
    /// No answer in time: it may have been done, or will be.
    Late,
    /// The script failed half-way, or answered what is not understood.
    Broken,
}

impl Failure {
    /// Reads an error.
    pub(super) fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::AuthenticationFailed => return Self::Refused("WRONGPASS"),
            ErrorKind::Server(_) | ErrorKind::Extension => {}
            _ if error.is_timeout() => return Self::Late,
            _ if error.is_connection_refusal() => return Self::Later,
            _ if error.is_unrecoverable_error() || error.is_io_error() => return Self::Lost,
            _ => return Self::Broken,
        }
        // That of a pipeline keeps those of its commands within.
        match error.clone().into_server_errors() {
            Some(errors) => errors.first().map_or(Self::Broken, |(_, error)| Self::said(error)),
            None => Self::Broken,
        }
    }

    fn said(error: &ServerError) -> Self {
        let detail = error.details().unwrap_or_default();
        let redirect = || detail.split(' ').nth(1).map(str::to_owned);
        match error.code() {
            "NOSCRIPT" => Self::Load,
            "MOVED" => redirect().map_or(Self::Later, Self::Moved),
            "ASK" => redirect().map_or(Self::Later, Self::Ask),
            "LOADING" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "BUSY" => Self::Later,
            "READONLY" => Self::Reroute,
            "OOM" => Self::Full,
            "MISCONF" => Self::Refused("MISCONF"),
            "NOREPLICAS" => Self::Refused("NOREPLICAS"),
            "NOPERM" => Self::Refused("NOPERM"),
            "NOAUTH" => Self::Refused("NOAUTH"),
            "WRONGTYPE" => Self::Refused("WRONGTYPE"),
            "CROSSSLOT" => Self::Refused("CROSSSLOT"),
            _ => Self::Broken,
        }
    }

    /// What the caller is told once nothing more can be tried. `doubt`: the caller must know that
    /// it may have been done; else doing it again does no harm.
    pub(super) fn told(&self, doubt: bool) -> EngineError {
        match self {
            Self::Full => EngineError::Full("memory of the Redis server"),
            Self::Lost | Self::Late | Self::Broken if doubt => EngineError::Unknown,
            _ => EngineError::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::{Value, make_extension_error, parse_redis_value};

    use super::*;

    /// What the library makes of a line that a server sends.
    fn line(text: &str) -> Failure {
        let value = parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
        Failure::of(&value.extract_error().unwrap_err())
    }

    // spec: F4
    #[test]
    fn each_error_of_redis_has_its_meaning() {
        let there = "127.0.0.1:6381".to_owned();
        assert_eq!(line("MOVED 3999 127.0.0.1:6381"), Failure::Moved(there.clone()));
        assert_eq!(line("ASK 3999 127.0.0.1:6381"), Failure::Ask(there));
        for later in ["LOADING", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "BUSY"] {
            assert_eq!(line(&format!("{later} why")), Failure::Later, "{later}");
        }
        assert_eq!(line("READONLY You can't write against a read only replica."), Failure::Reroute);
        assert_eq!(line("NOSCRIPT No matching script."), Failure::Load);
        assert_eq!(line("OOM command not allowed. script: abc, on @user_script:1."), Failure::Full);
        for refused in ["MISCONF", "NOREPLICAS", "WRONGTYPE", "NOPERM", "CROSSSLOT"] {
            assert_eq!(line(&format!("{refused} why")), Failure::Refused(refused));
        }
        assert_eq!(line("ERR something"), Failure::Broken);
        let local = make_extension_error("SOMETHING".to_owned(), None);
        assert_eq!(Failure::of(&local), Failure::Broken);
        assert!(Value::Nil.extract_error().is_ok());
    }

    // spec: P2, F4
    #[test]
    fn only_what_may_have_been_done_is_unknown() {
        let unknown = |failure: Failure| matches!(failure.told(true), EngineError::Unknown);
        for failure in [Failure::Lost, Failure::Late, Failure::Broken] {
            assert!(unknown(failure.clone()), "{failure:?}");
            assert!(matches!(failure.told(false), EngineError::Unavailable));
        }
        for failure in
            [Failure::Later, Failure::Reroute, Failure::Refused("MISCONF"), Failure::Full]
        {
            assert!(!unknown(failure));
        }
    }
}
