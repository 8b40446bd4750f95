//! The bounds of every setting, and what must hold between them.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::protocol::channel::{Channel, Nonce};

use super::Config;
use super::access::{Api, Auth, TokenAlg, TokenKey};
use super::cluster::{Cluster, Drain};
use super::limits::{Limits, Over, Rate};
use super::namespaces::{Durability, Namespace, Publishers, Subscribers, USER};
use super::session::Session;
use super::value::{Secret, format_duration, format_size, parse_duration, parse_size};

/// Keys of tokens at most: each may be tried for a token without `kid`.
const TOKEN_KEYS_MAX: usize = 16;
/// Keys of the API at most: each is compared for every request.
const API_KEYS_MAX: usize = 100;
/// Bytes of an HS256 secret at least (RFC 7518 section 3.2), and of the secret of tickets.
const SECRET_BYTES_MIN: usize = 32;
/// Sessions of one user at most where the oldest is looked for: as many as an engine lists.
const OLDEST_OF_MAX: usize = 1000;
/// Bytes of an API key at least.
const API_KEY_BYTES_MIN: usize = 16;

/// Everything that is out of bounds: the key, and what is wrong.
pub(crate) fn validate(config: &Config) -> Vec<(String, String)> {
    let mut check = Check::default();
    root(config, &mut check);
    auth(&config.auth, config.development, &mut check);
    api(&config.api, config.development, &mut check);
    session(&config.session, config.development, &mut check);
    limits(&config.limits, &mut check);
    cluster(&config.cluster, config.development, &mut check);
    drain(&config.drain, &mut check);
    between(config, &mut check);
    for (name, rules) in &config.namespaces {
        namespace(name, rules, &mut check);
        let replicated = rules.durability == Durability::Replicated;
        check.must(
            !replicated || (rules.history.is_some() && !config.engine.is_memory()),
            &format!("namespaces.{name}.durability"),
            "\"replicated\" needs history, and Redis as the engine",
        );
    }
    check.found
}

#[derive(Default)]
struct Check {
    found: Vec<(String, String)>,
    #[cfg(test)]
    bounds: Vec<(String, String)>,
}

impl Check {
    fn fail(&mut self, key: impl Into<String>, message: impl fmt::Display) {
        self.found.push((key.into(), message.to_string()));
    }

    fn must(&mut self, holds: bool, key: &str, message: &str) {
        if !holds {
            self.fail(key, message);
        }
    }

    fn between<T: PartialOrd>(&mut self, key: &str, value: [&T; 3], text: &[String; 3]) {
        let [value, lowest, highest] = value;
        let [value_text, min, max] = text;
        #[cfg(test)]
        self.bounds.push((key.to_owned(), format!("{min} to {max}")));
        if value < lowest {
            self.fail(key, format!("{value_text} is below the minimum, {min}"));
        } else if value > highest {
            self.fail(key, format!("{value_text} is above the maximum, {max}"));
        }
    }

    fn count(&mut self, key: &str, value: usize, min: usize, max: usize) {
        self.between(key, [&value, &min, &max], &[value, min, max].map(|n| n.to_string()));
    }

    fn time(&mut self, key: &str, value: Duration, min: &str, max: &str) {
        let bound = |text| parse_duration(text).unwrap_or_default();
        let text = [format_duration(value), min.to_owned(), max.to_owned()];
        self.between(key, [&value, &bound(min), &bound(max)], &text);
    }

    fn size(&mut self, key: &str, value: usize, min: &str, max: &str) {
        let bound = |text| parse_size(text).unwrap_or_default();
        let text = [format_size(value), min.to_owned(), max.to_owned()];
        self.between(key, [&value, &bound(min), &bound(max)], &text);
    }

    fn rate(&mut self, key: &str, rate: Rate) {
        let Rate { per_second, burst } = rate;
        self.count(&format!("{key}.per_second"), per_second as usize, 1, 1_000_000);
        self.count(&format!("{key}.burst"), burst as usize, 1, 1_000_000);
        self.must(burst >= per_second, key, "burst is below per_second");
    }

    fn secret(&mut self, key: &str, secret: &Secret, min: usize) {
        let bytes = secret.expose().len();
        if bytes < min {
            self.fail(key, format!("has {bytes} bytes, below the minimum, {min}"));
        }
    }
}

fn root(config: &Config, check: &mut Check) {
    check.count("tls.handshakes", config.tls.handshakes, 1, 100_000);
    check.must(is_path(&config.path), "path", "must be like /realtime: `/` and 1 to 63 of A-Z a-z 0-9 _ - . ~ /, not ending with `/`, and not /api");
    let schemes = ["redis://", "rediss://", "redis+sentinel://", "rediss+sentinel://"];
    let schemes = schemes.iter().chain(&["redis+cluster://", "rediss+cluster://"]);
    let known = config.engine.is_memory()
        || schemes.into_iter().any(|scheme| config.engine.url.expose().starts_with(scheme));
    let why = "must be \"memory:\" or begin with redis://, rediss://, redis+sentinel:// or redis+cluster://";
    check.must(known, "engine.url", why);
    let redis = &config.engine.redis;
    let prefix = (1..=32).contains(&redis.prefix.len())
        && redis.prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    check.must(prefix, "engine.redis.prefix", "must have 1 to 32 bytes of A-Z a-z 0-9 _ - .");
    check.count("engine.redis.replicas", redis.replicas, 1, 16);
    let memory = &config.engine.memory;
    check.size("engine.memory.log_bytes", memory.log_bytes, "1MiB", "64GiB");
    check.count("engine.memory.channels", memory.channels, 1, 100_000_000);
    check.count("engine.memory.presence_members", memory.presence_members, 1, 100_000_000);
    for (index, channel) in config.auto_subscribe.iter().enumerate() {
        let known = config.namespace(channel).is_some() && !channel.is_reserved();
        let key = format!("auto_subscribe.{index}");
        check.must(known, &key, &format!("{channel:?}: its namespace has no rules"));
    }
    let max = config.session.subscriptions;
    check.must(
        config.auto_subscribe.len() <= max,
        "auto_subscribe",
        "is longer than session.subscriptions",
    );
    if let Err(error) = EnvFilter::try_new(&config.telemetry.log) {
        check.fail("telemetry.log", format!("{:?}: {error}", config.telemetry.log));
    }
}

fn is_path(path: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.~/".contains(&b);
    (2..=64).contains(&path.len())
        && path.starts_with('/')
        && !path.ends_with('/')
        && path.bytes().all(allowed)
        && !path.contains("//")
        && !path.split('/').any(|part| part == "." || part == "..")
        && path.split('/').nth(1) != Some("api")
}

fn auth(auth: &Auth, development: bool, check: &mut Check) {
    check.must(auth.keys.len() <= TOKEN_KEYS_MAX, "auth.keys", "has more than 16 keys");
    for (index, key) in auth.keys.iter().enumerate() {
        token_key(&format!("auth.keys.{index}"), key, development, check);
    }
    check.time("auth.leeway", auth.leeway, "0s", "60s");
    check.must(auth.origins.len() <= 1000, "auth.origins", "has more than 1000 rules");
    check.must(
        auth.anonymous_capabilities.len() <= 1000,
        "auth.anonymous_capabilities",
        "has more than 1000 patterns",
    );
    // RFC 6265 section 4.1.1: a cookie's name is a token of RFC 9110 section 5.6.2.
    let in_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let named = auth.cookie.iter().all(|name| name.len() <= 64 && name.bytes().all(in_token));
    check.must(named, "auth.cookie", "is not a cookie's name of at most 64 bytes");
}

fn token_key(path: &str, key: &TokenKey, development: bool, check: &mut Check) {
    let named = key.kid.iter().all(|kid| (1..=256).contains(&kid.len()));
    check.must(named, &format!("{path}.kid"), "must have 1 to 256 bytes");
    let public = [key.public_key_pem.is_some(), key.public_key_file.is_some()];
    match (key.alg, &key.secret, public) {
        (TokenAlg::HS256, Some(secret), [false, false]) => {
            let min = if development { 1 } else { SECRET_BYTES_MIN };
            check.secret(&format!("{path}.secret"), secret, min);
        }
        (TokenAlg::HS256, _, _) => check.fail(path, "HS256 needs secret, and nothing else"),
        (_, None, [true, false] | [false, true]) => {}
        (alg, _, _) => {
            check.fail(
                path,
                format!("{alg:?} needs one of public_key_pem and public_key_file, and no secret"),
            );
        }
    }
}

fn api(api: &Api, development: bool, check: &mut Check) {
    check.must(api.keys.len() <= API_KEYS_MAX, "api.keys", "has more than 100 keys");
    let mut names = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for (index, key) in api.keys.iter().enumerate() {
        let path = format!("api.keys.{index}");
        let fits = Nonce::parse(&key.name).is_ok() && names.insert(&key.name);
        check.must(fits, &format!("{path}.name"), "must be its own, 1 to 64 of A-Z a-z 0-9 _ -");
        let min = if development { 1 } else { API_KEY_BYTES_MIN };
        check.secret(&format!("{path}.key"), &key.key, min);
        check.must(
            key.key.expose().len() <= 256,
            &format!("{path}.key"),
            "has more than 256 bytes",
        );
        check.must(
            keys.insert(key.key.expose()),
            &format!("{path}.key"),
            "is the key of another name",
        );
    }
    check.size("api.body_bytes", api.body_bytes, "1KiB", "64MiB");
    check.count("api.batch", api.batch, 1, 10_000);
}

fn session(session: &Session, development: bool, check: &mut Check) {
    check.time("session.window", session.window, "1s", "24h");
    check.time("session.grace", session.grace, "0s", "10m");
    check.time("session.leaving_grace", session.leaving_grace, "0s", "1m");
    check.time("session.provisional", session.provisional, "1s", "2m");
    check.time("session.open_timeout", session.open_timeout, "1s", "2m");
    check.time("session.ping_visible", session.ping_visible, "1s", "120s");
    check.time("session.ping_hidden", session.ping_hidden, "1s", "120s");
    check.time("session.hold", session.hold, "1s", "60s");
    check.time("session.hold_max", session.hold_max, "1s", "60s");
    check.time("session.poll_detach", session.poll_detach, "1s", "2m");
    check.count("session.outbox_frames", session.outbox_frames, 16, 65_536);
    check.size("session.outbox_bytes", session.outbox_bytes, "64KiB", "64MiB");
    check.count("session.subscriptions", session.subscriptions, 1, 10_000);
    check.count("session.uplink_frames", session.uplink_frames, 1, 10_000);
    check.count("session.candidates", session.candidates, 1, 16);
    check.time("session.ephemeral_age", session.ephemeral_age, "0s", "1m");
    check.time("session.stream_age", session.stream_age, "10s", "24h");
    if let Some(secret) = &session.secret {
        let min = if development { 1 } else { SECRET_BYTES_MIN };
        check.secret("session.secret", secret, min);
    }
}

fn limits(limits: &Limits, check: &mut Check) {
    check.count("limits.sessions", limits.sessions, 1, 10_000_000);
    check.count("limits.sessions_per_user", limits.sessions_per_user, 1, 100_000);
    check.must(
        limits.sessions_per_user_over == Over::Refuse || limits.sessions_per_user <= OLDEST_OF_MAX,
        "limits.sessions_per_user_over",
        "\"oldest\" needs a limits.sessions_per_user of at most 1000",
    );
    check.size("limits.header_bytes", limits.header_bytes, "8KiB", "1MiB");
    check.count("limits.headers", limits.headers, 16, 1000);
    check.size("limits.uri_bytes", limits.uri_bytes, "1KiB", "64KiB");
    check.size("limits.body_bytes", limits.body_bytes, "1KiB", "16MiB");
    check.size("limits.frame_bytes", limits.frame_bytes, "1KiB", "4MiB");
    check.count("limits.frames", limits.frames, 1, 10_000);
    check.time("limits.head_timeout", limits.head_timeout, "1s", "2m");
    check.time("limits.body_timeout", limits.body_timeout, "1s", "5m");
    check.time("limits.idle_timeout", limits.idle_timeout, "1s", "1h");
    check.count("limits.connections", limits.connections, 1, 10_000_000);
    check.rate("limits.admission", limits.admission);
    check.rate("limits.frame_rate", limits.frame_rate);
    check.rate("limits.control_rate", limits.control_rate);
    check.size("limits.publish_bytes", limits.publish_bytes, "1B", "4MiB");
}

fn cluster(cluster: &Cluster, development: bool, check: &mut Check) {
    let is_address = |text: &String| {
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        text.len() <= 255 && parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|p| p > 0))
    };
    let advertised = cluster.advertise.iter().all(is_address);
    check.must(advertised, "cluster.advertise", "must be host:port of at most 255 bytes");
    if let Some(secret) = &cluster.secret {
        let min = if development { 1 } else { SECRET_BYTES_MIN };
        check.secret("cluster.secret", secret, min);
    }
}

fn drain(drain: &Drain, check: &mut Check) {
    check.time("drain.window", drain.window, "0s", "1h");
    check.time("drain.timeout", drain.timeout, "1s", "2h");
    check.must(drain.window <= drain.timeout, "drain.window", "is above drain.timeout");
}

fn between(config: &Config, check: &mut Check) {
    let (session, limits) = (&config.session, &config.limits);
    check.must(session.grace <= session.window, "session.grace", "is above session.window");
    check.must(
        session.leaving_grace <= session.grace,
        "session.leaving_grace",
        "is above session.grace",
    );
    check.must(
        session.ping_visible <= session.ping_hidden,
        "session.ping_visible",
        "is above session.ping_hidden",
    );
    check.must(session.hold <= session.hold_max, "session.hold", "is above session.hold_max");
    check.must(
        limits.frame_bytes <= session.outbox_bytes,
        "limits.frame_bytes",
        "is above session.outbox_bytes",
    );
    check.must(
        limits.frame_bytes <= limits.body_bytes,
        "limits.frame_bytes",
        "is above limits.body_bytes",
    );
    check.must(
        limits.publish_bytes <= limits.frame_bytes,
        "limits.publish_bytes",
        "is above limits.frame_bytes",
    );
    check.must(
        limits.uri_bytes <= limits.header_bytes,
        "limits.uri_bytes",
        "is above limits.header_bytes",
    );
}

fn namespace(name: &str, rules: &Namespace, check: &mut Check) {
    let path = format!("namespaces.{name}");
    let named = Channel::parse(name).is_ok() && !name.contains(':') && name.len() <= 64;
    check.must(named, &path, "a namespace has 1 to 64 bytes of A-Z a-z 0-9 _ - . @ = ~ + |");
    check.must(
        name == USER || !name.starts_with('@'),
        &path,
        "names that begin with @ are the gateway's",
    );
    check.must(
        rules.history.is_none() || rules.state.is_none(),
        &path,
        "has both history and state",
    );
    if let Some(history) = &rules.history {
        check.count(&format!("{path}.history.size"), history.size, 1, 100_000);
        check.time(&format!("{path}.history.age"), history.age, "1s", "365d");
    }
    if let Some(state) = &rules.state {
        check.count(&format!("{path}.state.keys"), state.keys, 1, 100_000);
    }
    if name == USER {
        let private = !rules.feed
            && rules.publish == Publishers::Server
            && rules.subscribe == Subscribers::Token
            && rules.history.is_some();
        check.must(
            private,
            &path,
            "users' own channels are durable and private: only history and durability may change",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::DEFAULTS;

    #[test]
    fn the_defaults_are_within_their_bounds() {
        assert_eq!(validate(&Config::default()), []);
    }

    #[test]
    fn every_bound_stands_in_the_comment_of_its_key() {
        let config = Config::default();
        let mut check = Check::default();
        root(&config, &mut check);
        auth(&config.auth, false, &mut check);
        api(&config.api, false, &mut check);
        session(&config.session, false, &mut check);
        limits(&config.limits, &mut check);
        drain(&config.drain, &mut check);
        namespace(USER, &config.namespaces[USER], &mut check);
        assert!(check.bounds.len() > 40);
        for (key, bounds) in check.bounds {
            let (section, name) = key.rsplit_once('.').unwrap();
            let header = format!("\n[{section}]\n").replace("@user", "\"@user\"");
            let (_, section) = DEFAULTS.split_once(&header).unwrap_or_else(|| panic!("{header}"));
            let (before, _) = section.split_once(&format!("\n{name} = ")).unwrap();
            let comments = before.lines().rev().take_while(|line| line.starts_with('#'));
            let comment = comments.fold(String::new(), |after, line| format!("{line} {after}"));
            assert!(
                comment.contains(&format!("({bounds})")),
                "{key}: ({bounds}) is not in {comment}"
            );
        }
    }
}
