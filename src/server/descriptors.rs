//! File descriptors: every connection takes one, and a process that has none left answers nobody.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::limits::Limits;

/// One of so many is kept for what is no connection of a client: Redis, the other nodes, files.
const KEPT: u64 = 8;

/// Raises the limit of this process as far as it may, and lowers `limits.connections` to what that
/// allows: a connection beyond it is refused at once, where one that cannot be accepted waits.
pub(super) fn fit(limits: &mut Limits) {
    let may = raised();
    let connections = usize::try_from(may - may / KEPT).unwrap_or(usize::MAX);
    if connections < limits.connections {
        let wanted = limits.connections;
        tracing::warn!(
            connections,
            wanted,
            descriptors = may,
            "limits.connections is above what the limit of open files allows, and lowered: \
             raise LimitNOFILE or `ulimit -n`"
        );
        limits.connections = connections;
    }
}

/// The limit of open files, after the soft one was raised to the hard one.
fn raised() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the limit of open files was not raised");
        return current.unwrap_or(u64::MAX);
    }
    maximum.unwrap_or(u64::MAX)
}
