//! The Lua scripts, each known by the hash of its text.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($(#[$about:meta])* $name:ident = $($part:literal)+;)+) => {
        $($(#[$about])* pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!($(include_str!(concat!("scripts/", $part, ".lua")), "\n"),+))
        });)+

        #[cfg(test)]
        pub(super) fn all() -> Vec<&'static Script> {
            vec![$(&*$name),+]
        }
    };
}

scripts! {
    /// Appends and broadcasts.
    PUBLISH = "prelude" "publish";
    /// The top of a channel.
    TOP = "prelude" "top";
    /// Reads the log.
    HISTORY = "prelude" "history";
    /// Reads the state by key.
    STATE = "prelude" "state";
    /// Makes or renews a member.
    JOIN = "members" "join";
    /// Removes a member.
    LEAVE = "members" "leave";
    /// Reads the members.
    SNAPSHOT = "members" "snapshot";
    /// Reads and forgets what a swept incarnation asserts.
    ASSERTIONS = "assertions";
    /// Renews a lease.
    RENEW = "renew";
    /// Reads a lease.
    NODE = "node";
    /// Changes the record of a session.
    PARK = "park";
    /// Reads the record of a session.
    PARKED = "parked";
    /// Whether the server and its data are still those of before.
    PROBE = "probe";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_scripts_have_one_hash() {
        let hashes: HashSet<_> = all().into_iter().map(Script::get_hash).collect();
        assert_eq!(hashes.len(), all().len());
    }
}
