//! The settings: one validated tree of plain structs.
//!
//! `config/throughline.toml`, embedded, lists every key at its default; [`load::load`] lays on it the
//! file given, the environment and the command line. A tree that came from there is within every
//! bound of [`validate`], so nothing after it checks again.

pub mod access;
pub mod cluster;
pub mod engine;
pub mod grants;
mod layers;
pub mod limits;
pub mod load;
pub mod namespaces;
pub mod origin;
mod read;
pub mod session;
mod suggest;
pub mod tls;
mod validate;
pub mod value;

#[cfg(test)]
mod every_key_tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::protocol::channel::Channel;

use self::access::{Api, Auth};
use self::cluster::{Cluster, Drain};
use self::engine::Engine;
use self::limits::Limits;
use self::namespaces::Namespace;
use self::session::Session;
use self::tls::Tls;

/// Every setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// The one path that everything a client does is below; begins with `/`, does not end with one.
    pub path: String,
    /// TLS for clients.
    pub tls: Tls,
    /// The operator's endpoints.
    pub admin: Admin,
    /// Where shared state lives.
    pub engine: Engine,
    /// How nodes reach each other.
    pub cluster: Cluster,
    /// How this node goes away.
    pub drain: Drain,
    /// Who may open a session.
    pub auth: Auth,
    /// The application's HTTP API.
    pub api: Api,
    /// Times and bounds of one session.
    pub session: Session,
    /// Bounds of the node.
    pub limits: Limits,
    /// The rules of channels, by the part of their name before the first `:`.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Channels that every session joins when it opens.
    pub auto_subscribe: Vec<Channel>,
    /// Logs.
    pub telemetry: Telemetry,
    /// Whether the demo page is served.
    pub demo: bool,
    /// Whether this is a development machine: short keys and secrets are accepted.
    pub development: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            path: "/realtime".to_owned(),
            tls: Tls::default(),
            admin: Admin::default(),
            engine: Engine::default(),
            cluster: Cluster::default(),
            drain: Drain::default(),
            auth: Auth::default(),
            api: Api::default(),
            session: Session::default(),
            limits: Limits::default(),
            namespaces: namespaces::built_in(),
            auto_subscribe: Vec::new(),
            telemetry: Telemetry::default(),
            demo: false,
            development: false,
        }
    }
}

impl Config {
    /// The rules of a channel; `None` where its namespace has none.
    pub fn namespace(&self, channel: &Channel) -> Option<&Namespace> {
        self.namespaces.get(channel.namespace())
    }

    /// Whether other nodes may share the state: then they are to be reached, and sessions move.
    pub fn is_shared(&self) -> bool {
        !self.engine.is_memory()
    }

    /// What an operator should know before this serves anyone: one sentence each, to be logged as
    /// warnings at the start.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |when: bool, text: &str| {
            if when {
                warnings.push(text.to_owned());
            }
        };
        warn(self.development, "development = true: short keys and secrets are accepted");
        warn(self.demo, "demo = true: the demo page is public");
        warn(
            self.admin.listen == AdminListen::Same,
            "admin.listen = \"same\": metrics and health are public on the main listener",
        );
        warn(self.auth.anonymous, "auth.anonymous = true: anyone may open a session");
        warn(
            !self.auth.anonymous && !self.auth.anonymous_capabilities.is_empty(),
            "auth.anonymous_capabilities is not in force: auth.anonymous is false",
        );
        warn(
            !self.auth.anonymous && self.auth.keys.is_empty(),
            "auth.keys is empty and auth.anonymous is false: no session can open",
        );
        warn(
            self.auth.origins.is_empty(),
            "auth.origins is empty: no web page can connect, only clients without an Origin",
        );
        warn(
            self.session.secret.is_none(),
            "session.secret is empty: tickets are void after a restart",
        );
        warn(
            self.is_shared() && self.session.secret.is_none(),
            "session.secret is empty and the engine is shared: no other node reads this one's tickets",
        );
        let told_as_it_is = self.is_shared() && self.cluster.advertise.is_none();
        let at = self.cluster.listen.ip();
        warn(
            told_as_it_is && at.is_unspecified(),
            "cluster.listen is a wildcard and cluster.advertise is empty: other nodes are led to themselves",
        );
        warn(
            told_as_it_is && at.is_loopback(),
            "cluster.listen is a loopback address and cluster.advertise is empty: no node on another machine reaches this one",
        );
        warnings
    }
}

/// Where `/metrics` is, with `/health` and `/ready` beside it, which the main listener has in any case.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Where they are.
    pub listen: AdminListen,
}

/// Where the operator's endpoints are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AdminListen {
    /// Nowhere (`""`).
    #[default]
    Off,
    /// On the main listener (`"same"`): public, for development.
    Same,
    /// On a listener of their own.
    Addr(SocketAddr),
}

impl fmt::Display for AdminListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => Ok(()),
            Self::Same => f.write_str("same"),
            Self::Addr(addr) => addr.fmt(f),
        }
    }
}

impl Serialize for AdminListen {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AdminListen {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match String::deserialize(from)?.as_str() {
            "" => Ok(Self::Off),
            "same" => Ok(Self::Same),
            addr => addr.parse().map(Self::Addr).map_err(|_| {
                serde::de::Error::custom("must be an address and port, \"same\", or \"\" for none")
            }),
        }
    }
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// What is logged: a level, or directives of tracing-subscriber's `EnvFilter`.
    pub log: String,
    /// How it is written.
    pub format: LogFormat,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How logs are written, to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for a person.
    Text,
    /// A JSON object a line.
    Json,
}
