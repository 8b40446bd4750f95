//! Every key, varied: it reaches its own field, from a file and from the environment.

use std::collections::BTreeMap;

use proptest::prelude::*;
use toml::Value;

use crate::config::Config;
use crate::config::load::{ConfigError, ENV_PREFIX, Flags, assemble};
use crate::config::value::{format_duration, format_size, parse_duration, parse_size};

fn env(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    assemble(None, pairs, &Flags::default())
}

/// The settings as a table of dotted keys.
fn leaves(config: &Config) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: Value, to: &mut BTreeMap<String, Value>) {
        match value {
            Value::Table(table) if !table.is_empty() => {
                for (key, value) in table {
                    walk(&format!("{prefix}{key}."), value, to);
                }
            }
            leaf => drop(to.insert(prefix.trim_end_matches('.').to_owned(), leaf)),
        }
    }
    let mut to = BTreeMap::new();
    walk("", Value::try_from(config).unwrap(), &mut to);
    to
}

/// Another value of a key, `step` thousandths away from its default, within its bounds.
fn another(key: &str, value: &Value, step: usize) -> Value {
    let moved = |n: usize| match key {
        // These bound each other at their defaults.
        "limits.publish_bytes" => n - n * step / 1000 - 1,
        _ => n + n * step / 1000 + 1,
    };
    let text = |text: &str| Value::String(text.to_owned());
    let list = |words: &[&str]| Value::Array(words.iter().map(|word| text(word)).collect());
    let table = |source: &str| Value::Table(source.parse().unwrap());
    match (key, value) {
        ("listen", _) => Value::String(format!("127.0.0.1:{}", 1 + step)),
        ("path", _) => Value::String(format!("/path{step}")),
        ("admin.listen" | "cluster.listen" | "tls.listen", _) => {
            Value::String(format!("[::1]:{}", 1 + step))
        }
        ("engine.url", _) => text("memory:"),
        ("engine.redis.prefix", _) => Value::String(format!("p{step}")),
        ("auth.keys", _) => {
            table("v = [{ kid = \"a\", alg = \"ES256\", public_key_pem = \"p\" }]")["v"].clone()
        }
        ("api.keys", _) => table("v = [{ name = \"a\", key = \"***\" }]")["v"].clone(),
        ("session.secret" | "cluster.secret" | "engine.redis.sentinel_password", _) => text("***"),
        ("cluster.advertise", _) => Value::String(format!("node-{step}.internal:7000")),
        ("auth.anonymous_capabilities", _) => table("\"a:*\" = [\"subscribe\", \"history\"]"),
        ("auth.origins", _) => list(&["https://*.a.example", "loopback"]),
        ("auto_subscribe", _) => list(&["chat:a"]),
        (
            "auth.issuer"
            | "auth.audience"
            | "auth.cookie"
            | "engine.redis.ca_file"
            | "engine.redis.cert_file"
            | "engine.redis.key_file"
            | "engine.redis.sentinel_user"
            | "tls.cert_file"
            | "tls.key_file",
            _,
        ) => Value::String(format!("x{step}")),
        ("limits.sessions_per_user_over", _) => text("oldest"),
        ("telemetry.log", _) => text("debug"),
        ("telemetry.format", _) => text("json"),
        ("namespaces.@user.presence", _) => text("members"),
        (_, Value::Boolean(yes)) => Value::Boolean(!yes),
        (_, Value::Integer(n)) => {
            Value::Integer(moved(usize::try_from(*n).unwrap()).try_into().unwrap())
        }
        (_, Value::String(raw)) => Value::String(match (parse_duration(raw), parse_size(raw)) {
            (Ok(time), _) => format_duration(
                time.mul_f64(1.0 + f64::from(u32::try_from(step).unwrap() + 1) / 1000.0),
            ),
            (_, Ok(bytes)) => format_size(moved(bytes)),
            _ => panic!("{key} = {raw:?} is not varied"),
        }),
        _ => panic!("{key} = {value} is not varied"),
    }
}

/// What users' own channels must be is no choice, and other engines and what they bring are tested
/// where they are.
const FIXED: [&str; 5] = [
    "engine.url",
    "namespaces.@user.durability",
    "namespaces.@user.publish",
    "namespaces.@user.feed",
    "namespaces.@user.subscribe",
];

fn varied(step: usize) -> BTreeMap<String, Value> {
    leaves(&Config::default())
        .into_iter()
        .filter(|(key, _)| !FIXED.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), another(&key, &value, step)))
        .collect()
}

fn as_file(values: &BTreeMap<String, Value>) -> String {
    let line = |(key, value): (&String, &Value)| {
        format!("{} = {value}\n", key.replace("@user", "\"@user\""))
    };
    values.iter().map(line).collect::<String>() + "[namespaces.chat]\n"
}

/// Keys of maps are leaves of their own when read back.
fn flat(values: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut flat = values.clone();
    if let Some(Value::Table(grants)) = flat.remove("auth.anonymous_capabilities") {
        let inner = grants
            .into_iter()
            .map(|(key, value)| (format!("auth.anonymous_capabilities.{key}"), value));
        flat.extend(inner);
    }
    flat
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_key_of_a_file_reaches_its_field_and_no_other(step in 0usize..100) {
        let values = varied(step);
        let config = assemble(Some(("my.toml", &as_file(&values))), [], &Flags::default()).unwrap();
        let read = leaves(&config);
        for (key, value) in flat(&values) {
            prop_assert_eq!(read.get(&key), Some(&value), "{}", key);
        }
    }
}

#[test]
fn each_environment_variable_sets_its_key_alone() {
    let defaults = leaves(
        &env(&[("THROUGHLINE_DEVELOPMENT", "true"), ("THROUGHLINE_NAMESPACES__CHAT", "{}")])
            .unwrap(),
    );
    for (key, value) in varied(50) {
        if key == "development" {
            continue;
        }
        let name = format!("{ENV_PREFIX}{}", key.to_uppercase().replace('.', "__"));
        let raw = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let vars = [
            (&*name, &*raw),
            ("THROUGHLINE_DEVELOPMENT", "true"),
            ("THROUGHLINE_NAMESPACES__CHAT", "{}"),
        ];
        let read = leaves(&env(&vars).unwrap_or_else(|error| panic!("{key}: {error}")));
        let changed: BTreeMap<_, _> =
            read.into_iter().filter(|(key, value)| defaults.get(key) != Some(value)).collect();
        assert_eq!(changed, flat(&BTreeMap::from([(key, value)])));
    }
}
