//! What each error of Redis means: the one table (contract F4).

use redis::{ErrorKind, RedisError, ServerErrorKind};

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
        let redirect = || error.redirect_node().map(|(address, _)| address.to_owned());
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => {
                redirect().map_or(Self::Later, Self::Moved)
            }
            ErrorKind::Server(ServerErrorKind::Ask) => redirect().map_or(Self::Later, Self::Ask),
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::Load,
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown,
            ) => Self::Later,
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::Reroute,
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Refused("NOPERM"),
            ErrorKind::Server(ServerErrorKind::CrossSlot) => Self::Refused("CROSSSLOT"),
            ErrorKind::AuthenticationFailed => Self::Refused("WRONGPASS"),
            _ if error.is_timeout() => Self::Late,
            _ if error.is_connection_refusal() => Self::Later,
            _ if error.is_unrecoverable_error() || error.is_io_error() => Self::Lost,
            _ => Self::of_code(error),
        }
    }

    /// What the library has no name for, and what a script was refused within: there the code may
    /// stand in the text.
    fn of_code(error: &RedisError) -> Self {
        let (code, detail) = (error.code().unwrap_or_default(), error.detail().unwrap_or_default());
        let says = |name: &str| {
            code == name || detail.starts_with(name) || detail.contains(&format!("-{name} "))
        };
        match () {
            () if says("BUSY") => Self::Later,
            () if says("OOM") => Self::Full,
            () if says("READONLY") => Self::Reroute,
            () if says("MISCONF") => Self::Refused("MISCONF"),
            () if says("NOREPLICAS") => Self::Refused("NOREPLICAS"),
            () if says("NOPERM") => Self::Refused("NOPERM"),
            () if says("NOAUTH") => Self::Refused("NOAUTH"),
            () if says("WRONGTYPE") => Self::Refused("WRONGTYPE"),
            () => Self::Broken,
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
    use redis::make_extension_error;

    use super::*;

    fn server(kind: ServerErrorKind, detail: &str) -> RedisError {
        (ErrorKind::Server(kind), "", detail.to_owned()).into()
    }

    fn code(code: &str) -> Failure {
        Failure::of(&make_extension_error(code.to_owned(), Some("why".to_owned())))
    }

    // spec: F4
    #[test]
    fn each_error_of_redis_has_its_meaning() {
        use ServerErrorKind as Kind;
        let moved = server(Kind::Moved, "3999 127.0.0.1:6381");
        assert_eq!(Failure::of(&moved), Failure::Moved("127.0.0.1:6381".to_owned()));
        let ask = server(Kind::Ask, "3999 127.0.0.1:6381");
        assert_eq!(Failure::of(&ask), Failure::Ask("127.0.0.1:6381".to_owned()));
        for kind in [Kind::BusyLoading, Kind::TryAgain, Kind::ClusterDown, Kind::MasterDown] {
            assert_eq!(Failure::of(&server(kind, "")), Failure::Later);
        }
        assert_eq!(Failure::of(&server(Kind::ReadOnly, "")), Failure::Reroute);
        assert_eq!(Failure::of(&server(Kind::NoScript, "")), Failure::Load);
        assert_eq!(Failure::of(&server(Kind::NoPerm, "")), Failure::Refused("NOPERM"));
        assert_eq!(code("BUSY"), Failure::Later);
        assert_eq!(code("OOM"), Failure::Full);
        for refused in ["MISCONF", "NOREPLICAS", "WRONGTYPE"] {
            assert_eq!(code(refused), Failure::Refused(refused));
        }
        assert_eq!(code("SOMETHING"), Failure::Broken);
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
