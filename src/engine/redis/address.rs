//! Where Redis is: `engine.url` as a person writes it.
//!
//! `redis://[user:password@]host:port[/db]`, `redis+sentinel://[…@]host:port,…/master[/db]`,
//! `redis+cluster://[…@]host:port,…`; `rediss` in place of `redis` is TLS.

use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisError, TlsCertificates};

/// How long what was written may stay unacknowledged (RFC 5482).
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Text that is no address of Redis, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("engine.url: {0}")]
pub struct BadAddress(String);

impl From<RedisError> for BadAddress {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

/// How the servers are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// One server.
    Single,
    /// The master that Sentinels name.
    Sentinel,
    /// The masters of a Cluster.
    Cluster,
}

/// Where Redis is, and how to log in.
#[derive(Debug, Clone)]
pub struct Address {
    pub(super) mode: Mode,
    /// `host:port` of the server, the Sentinels, or some servers of the Cluster.
    pub(super) hosts: Vec<String>,
    /// The name of the master that Sentinels watch.
    pub(super) master: String,
    pub(super) database: i64,
    tls: bool,
    /// `user:password`, percent-encoded as in the URL.
    login: Option<String>,
    /// The certificate authority's certificates as PEM, where it is a private one.
    authority: Option<Vec<u8>>,
}

impl Address {
    /// Reads `engine.url`.
    /// # Errors
    /// [`BadAddress`] with what is wrong.
    pub fn parse(url: &str) -> Result<Self, BadAddress> {
        let bad = |why: &str| BadAddress(why.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("a scheme is missing"))?;
        let (tls, mode) = match scheme {
            "redis" => (false, Mode::Single),
            "rediss" => (true, Mode::Single),
            "redis+sentinel" => (false, Mode::Sentinel),
            "rediss+sentinel" => (true, Mode::Sentinel),
            "redis+cluster" => (false, Mode::Cluster),
            "rediss+cluster" => (true, Mode::Cluster),
            _ => return Err(bad("the scheme is none of redis, redis+sentinel, redis+cluster")),
        };
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login.to_owned()), rest),
            None => (None, rest),
        };
        let mut path = rest.split('/');
        let hosts: Vec<String> =
            path.next().unwrap_or_default().split(',').map(with_port).collect();
        if hosts.iter().any(|host| host.starts_with(':')) {
            return Err(bad("a host is missing"));
        }
        let master = if mode == Mode::Sentinel {
            let name = path.next().filter(|name| !name.is_empty());
            name.ok_or_else(|| bad("the name of the master is missing after the Sentinels"))?
        } else {
            ""
        };
        let database = match path.next() {
            None | Some("") => 0,
            Some(text) => text.parse().map_err(|_| bad("the database is not a number"))?,
        };
        if mode == Mode::Cluster && database != 0 {
            return Err(bad("a Cluster has database 0 only"));
        }
        if mode == Mode::Single && hosts.len() != 1 {
            return Err(bad("several hosts are for redis+sentinel and redis+cluster"));
        }
        let master = master.to_owned();
        let address = Self { mode, hosts, master, database, tls, login, authority: None };
        for host in &address.hosts {
            address.client(host)?;
        }
        Ok(address)
    }

    /// The same, trusting a private certificate authority.
    #[must_use]
    pub fn trusting(mut self, pem: Option<Vec<u8>>) -> Self {
        self.authority = pem;
        self
    }

    /// A client of the server at `host:port`.
    pub(super) fn client(&self, host: &str) -> Result<Client, RedisError> {
        let login = self.login.as_deref().map_or(String::new(), |login| format!("{login}@"));
        self.open(&format!("{login}{host}/{}?protocol=resp3", self.database))
    }

    /// A client of the Sentinel at `host:port`, which has no databases and no login of ours.
    pub(super) fn sentinel(&self, host: &str) -> Result<Client, RedisError> {
        self.open(host)
    }

    fn open(&self, rest: &str) -> Result<Client, RedisError> {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let info = format!("{scheme}://{rest}").into_connection_info()?;
        let info = info.set_tcp_settings(tcp());
        match &self.authority {
            Some(pem) if self.tls => trust(info, pem.clone()),
            Some(_) | None => Client::open(info),
        }
    }
}

fn trust(info: ConnectionInfo, pem: Vec<u8>) -> Result<Client, RedisError> {
    Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(pem) })
}

fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5));
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(USER_TIMEOUT);
    settings
}

fn with_port(host: &str) -> String {
    let bare_v6 = host.ends_with(']');
    if !bare_v6 && host.rsplit_once(':').is_some() {
        host.to_owned()
    } else {
        format!("{host}:6379")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_is_read() {
        let one = Address::parse("redis://127.0.0.1:7000/5").unwrap();
        assert_eq!((one.mode, one.database), (Mode::Single, 5));
        assert_eq!(one.hosts, ["127.0.0.1:7000"]);
        let many = Address::parse("redis+sentinel://u:p%40x@a:26379,b/main/2").unwrap();
        assert_eq!((many.mode, &*many.master, many.database), (Mode::Sentinel, "main", 2));
        assert_eq!(many.hosts, ["a:26379", "b:6379"]);
        assert_eq!(many.login.as_deref(), Some("u:p%40x"));
        let cluster = Address::parse("rediss+cluster://[::1]:7000,b:7001").unwrap();
        assert_eq!((cluster.mode, cluster.tls), (Mode::Cluster, true));
        assert_eq!(cluster.hosts, ["[::1]:7000", "b:7001"]);
    }

    #[test]
    fn what_is_no_address_says_why() {
        let why = |url: &str| Address::parse(url).unwrap_err().to_string();
        assert!(why("127.0.0.1").contains("scheme"));
        assert!(why("http://a").contains("scheme"));
        assert!(why("redis://a,b").contains("several hosts"));
        assert!(why("redis://").contains("host"));
        assert!(why("redis://a/x").contains("database"));
        assert!(why("redis+cluster://a/1").contains("database 0"));
        assert!(why("redis+sentinel://a").contains("master"));
    }
}
