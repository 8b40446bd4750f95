//! Where Redis is: `engine.url` as a person writes it.
//!
//! `redis://[user:password@]host:port[/db]`, `redis+sentinel://[…@]host:port,…/master[/db]`,
//! `redis+cluster://[…@]host:port,…`; `rediss` in place of `redis` is TLS.

use std::fmt;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Client, ClientTlsConfig, ConnectionInfo, IntoConnectionInfo, RedisError, TlsCertificates,
};

use crate::config::value::Secret;

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
    login: Option<Secret>,
    /// The certificate authority's certificates as PEM, where it is a private one.
    authority: Option<Vec<u8>>,
    certificate: Option<Certificate>,
    sentinel: Option<SentinelLogin>,
}

/// A certificate to show, and its private key, as PEM.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate, and those between it and the authority's.
    pub cert: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

/// The login at Sentinels.
#[derive(Debug, Clone)]
pub struct SentinelLogin {
    /// The default user if absent.
    pub user: Option<String>,
    /// The password.
    pub password: Secret,
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
            Some((login, rest)) => (Some(Secret::from(login.to_owned())), rest),
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
        let (authority, certificate, sentinel) = (None, None, None);
        let address =
            Self { mode, hosts, master, database, tls, login, authority, certificate, sentinel };
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

    /// The same, showing servers and Sentinels a certificate.
    #[must_use]
    pub fn showing(mut self, certificate: Option<Certificate>) -> Self {
        self.certificate = certificate;
        self
    }

    /// The same, with a login at the Sentinels.
    #[must_use]
    pub fn watched_by(mut self, sentinel: Option<SentinelLogin>) -> Self {
        self.sentinel = sentinel;
        self
    }

    /// A client of the server at `host:port`.
    pub(super) fn client(&self, host: &str) -> Result<Client, RedisError> {
        let login = self.login.as_ref().map(|login| format!("{}@", login.expose()));
        let login = login.unwrap_or_default();
        self.open(self.info(&format!("{login}{host}/{}?protocol=resp3", self.database))?)
    }

    /// A client of the Sentinel at `host:port`, which has no databases and a login of its own.
    pub(super) fn sentinel(&self, host: &str) -> Result<Client, RedisError> {
        let info = self.info(host)?;
        let Some(login) = &self.sentinel else { return self.open(info) };
        let mut settings = info.redis_settings().clone().set_password(login.password.expose());
        if let Some(user) = &login.user {
            settings = settings.set_username(user);
        }
        self.open(info.set_redis_settings(settings))
    }

    fn info(&self, rest: &str) -> Result<ConnectionInfo, RedisError> {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let info = format!("{scheme}://{rest}").into_connection_info()?;
        Ok(info.set_tcp_settings(tcp()))
    }

    fn open(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        if !self.tls || (self.authority.is_none() && self.certificate.is_none()) {
            return Client::open(info);
        }
        let client_tls = self.certificate.as_ref().map(|own| ClientTlsConfig {
            client_cert: own.cert.clone(),
            client_key: own.key.clone(),
        });
        let root_cert = self.authority.clone();
        Client::build_with_tls(info, TlsCertificates { client_tls, root_cert })
    }
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
        assert_eq!(many.login.as_ref().map(Secret::expose), Some("u:p%40x"));
        assert!(!format!("{many:?}").contains("p%40x"));
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
