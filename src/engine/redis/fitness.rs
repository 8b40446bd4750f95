//! Whether a server is one that the engine can use, by what it says of itself: asked once of each
//! connection for commands.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, pipe};

/// The oldest version that has the commands that scripts use.
const OLDEST: (u32, u32) = (6, 2);
/// The oldest that broadcasts within a partition of a Cluster.
const OLDEST_CLUSTER: (u32, u32) = (7, 0);

/// What matters of a server's `INFO`. What it does not say is taken to be right.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fitness {
    version: Option<(u32, u32)>,
    cluster: Option<bool>,
    /// What it drops when its memory is full, where it has a bound.
    evicts: Option<String>,
}

impl Fitness {
    /// Asks a server.
    pub(super) async fn ask(connection: &mut MultiplexedConnection) -> Result<Self, RedisError> {
        let mut asked = pipe();
        for section in ["server", "cluster", "memory"] {
            asked.cmd("INFO").arg(section);
        }
        let sections: Vec<String> = asked.query_async(connection).await?;
        Ok(Self::read(&sections.concat()))
    }

    fn read(info: &str) -> Self {
        let field = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(str::trim_end)
        };
        let version = field("redis_version").and_then(|version| {
            let mut numbers = version.split('.').map(str::parse::<u32>);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        let bounded = field("maxmemory").is_some_and(|bytes| bytes != "0");
        let evicts = field("maxmemory_policy").filter(|policy| bounded && *policy != "noeviction");
        Self {
            version,
            cluster: field("cluster_enabled").map(|enabled| enabled == "1"),
            evicts: evicts.map(str::to_owned),
        }
    }

    /// Refuses a server on which things would go wrong in silence. `cluster`: what `engine.url`
    /// calls it.
    pub(super) fn check(&self, cluster: bool) -> Result<(), RedisError> {
        if let Some(why) = self.unfit(cluster) {
            let kind = ErrorKind::InvalidClientConfig;
            return Err((kind, "the gateway cannot use this server", why).into());
        }
        Ok(())
    }

    fn unfit(&self, cluster: bool) -> Option<String> {
        let oldest = if cluster { OLDEST_CLUSTER } else { OLDEST };
        if let Some((major, minor)) = self.version.filter(|version| *version < oldest) {
            return Some(format!("it is {major}.{minor}, older than {}.{}", oldest.0, oldest.1));
        }
        match (self.cluster, cluster) {
            (Some(true), false) => {
                Some("it is part of a Cluster: engine.url must begin with redis+cluster".to_owned())
            }
            (Some(false), true) => {
                Some("it is no part of a Cluster: engine.url must begin with redis://".to_owned())
            }
            _ => None,
        }
    }

    /// What an operator should change, though it works until memory is full.
    pub(super) fn advice(&self) -> Option<String> {
        let policy = self.evicts.as_deref()?;
        Some(format!(
            "maxmemory-policy is {policy}: full, it drops whole channels in silence; \
             set it to noeviction"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(info: &str) -> Fitness {
        Fitness::read(&info.replace('\n', "\r\n"))
    }

    #[test]
    fn a_server_is_fit_by_its_version_and_kind() {
        let one = of("# Server\nredis_version:6.2.14\n# Cluster\ncluster_enabled:0\n");
        assert_eq!((one.unfit(false), one.advice()), (None, None));
        assert!(one.unfit(true).unwrap().contains("older than 7.0"));
        let part = of("redis_version:7.0.15\ncluster_enabled:1\n");
        assert_eq!(part.unfit(true), None);
        assert!(part.unfit(false).unwrap().contains("redis+cluster"));
        assert!(of("redis_version:6.0.16\n").unfit(false).unwrap().contains("6.0"));
        assert!(of("redis_version:7.0.15\ncluster_enabled:0\n").unfit(true).is_some());
        assert!(one.check(false).is_ok() && part.check(false).is_err());
        assert_eq!(of("something else"), Fitness::default());
        assert_eq!(Fitness::default().unfit(true), None);
    }

    #[test]
    fn a_server_that_may_drop_keys_is_named() {
        let evicts = |info: &str| of(info).advice();
        assert_eq!(evicts("maxmemory:0\nmaxmemory_policy:allkeys-lru\n"), None);
        assert_eq!(evicts("maxmemory:1000\nmaxmemory_policy:noeviction\n"), None);
        let advice = evicts("maxmemory:1000\nmaxmemory_policy:volatile-lru\n").unwrap();
        assert!(advice.contains("volatile-lru") && advice.contains("noeviction"), "{advice}");
    }
}
