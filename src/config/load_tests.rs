use toml::{Table, Value};

use super::*;
use crate::config::namespaces::{Presence, Publishers, Subscribers};
use crate::config::origin::OriginRule;
use crate::config::{AdminListen, LogFormat};
use crate::protocol::channel::Channel;

fn file(text: &str) -> Result<Config, ConfigError> {
    assemble(Some(("my.toml", text)), [], &Flags::default())
}

fn env(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    assemble(None, pairs, &Flags::default())
}

fn refusal(outcome: Result<Config, ConfigError>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn the_embedded_file_lists_every_key_at_its_default() {
    let embedded: Table = DEFAULTS.parse().unwrap();
    assert_eq!(Value::Table(embedded), Value::try_from(Config::default()).unwrap());
    assert_eq!(assemble(None, [], &Flags::default()).unwrap(), Config::default());
}

#[test]
fn every_key_of_the_embedded_file_has_a_comment() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for pair in lines.windows(2) {
        let is_key = pair[1].contains(" = ") && !pair[1].starts_with('#');
        let in_inbox = ["presence", "publish", "feed", "subscribe"];
        if is_key && !in_inbox.iter().any(|name| pair[1].starts_with(name)) {
            assert!(pair[0].starts_with('#'), "{} has no comment", pair[1]);
        }
    }
}

#[test]
fn the_examples_of_the_embedded_file_can_be_used() {
    let examples = DEFAULTS.lines().filter_map(|line| {
        line.strip_prefix("#: ").or_else(|| Some(line).filter(|line| line.starts_with('[')))
    });
    let config = file(&examples.collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!((config.auth.keys.len(), config.api.keys.len()), (2, 1));
    assert_eq!(config.namespaces["chat"].publish, Publishers::Members);
    assert!(config.namespaces["scores"].state.is_some());
    assert_eq!(config.auth.anonymous_capabilities.len(), 1);
}

#[test]
fn the_development_file_is_valid_and_warns_of_what_it_opens() {
    let config = file(include_str!("../../config/dev.toml")).unwrap();
    assert!(config.development && config.demo && config.auth.anonymous);
    assert_eq!(config.admin.listen, AdminListen::Same);
    assert_eq!(config.auth.origins, [OriginRule::SameHost, OriginRule::Loopback]);
    assert_eq!(config.api.keys[0].key.expose(), "dev");
    let rules = |name: &str| config.namespace(&Channel::parse(name).unwrap()).unwrap();
    let chat = rules("chat:lobby");
    assert_eq!((chat.presence, chat.publish), (Presence::Members, Publishers::Members));
    assert_eq!((chat.feed, chat.subscribe), (true, Subscribers::Public));
    assert_eq!(chat.history.as_ref().unwrap().size, 1000);
    assert!(rules("typing").history.is_none() && rules("cursors:1").state.is_none());
    assert_eq!(rules("scores:a").state.as_ref().unwrap().keys, 1000);
    assert_eq!(rules("scores:a").publish, Publishers::Server);
    let warnings = config.warnings().join("\n");
    for word in ["development", "demo", "\"same\"", "anonymous"] {
        assert!(warnings.contains(word), "{word} is not in {warnings}");
    }
}

#[test]
fn an_address_that_leads_other_nodes_nowhere_is_warned_of_where_there_are_others() {
    let said = |engine: &str, cluster: &str| {
        let text = format!("[engine]\nurl = \"{engine}\"\n[cluster]\n{cluster}\n");
        let warnings = file(&text).unwrap().warnings();
        warnings.into_iter().filter(|text| text.contains("cluster.listen")).collect::<Vec<_>>()
    };
    let shared = "redis://127.0.0.1:6379";
    assert!(said(shared, "")[0].contains("another machine"));
    assert!(said(shared, "listen = \"0.0.0.0:8001\"")[0].contains("themselves"));
    for told in ["listen = \"10.0.0.7:8001\"", "advertise = \"node1:8001\""] {
        assert_eq!(said(shared, told), [""; 0]);
    }
    assert_eq!(said("memory:", "listen = \"0.0.0.0:8001\""), [""; 0]);
}

#[test]
fn a_later_layer_wins_over_an_earlier_one() {
    let text = "listen = \"127.0.0.1:1\"\n[session]\nwindow = \"60s\"\ngrace = \"5s\"";
    let vars = [
        ("THROUGHLINE_LISTEN".to_owned(), "127.0.0.1:2".to_owned()),
        ("THROUGHLINE_SESSION__WINDOW".to_owned(), "30s".to_owned()),
    ];
    let flags = Flags { listen: Some("127.0.0.1:3".to_owned()), ..Flags::default() };
    let config = assemble(Some(("my.toml", text)), vars, &flags).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.session.window.as_secs(), 30);
    assert_eq!(config.session.grace.as_secs(), 5);
    assert_eq!(config.session.hold.as_secs(), 20);
}

#[test]
fn an_unknown_key_names_its_place_and_the_nearest_known_one() {
    assert_eq!(
        refusal(file("lisen = 1")),
        "my.toml: lisen: unknown key `lisen`; did you mean `listen`?"
    );
    assert_eq!(
        refusal(file("[session]\nwindows = \"1s\"")),
        "my.toml: session.windows: unknown key `windows`; did you mean `window`?"
    );
    assert_eq!(
        refusal(env(&[("THROUGHLINE_SESION__WINDOW", "1s")])),
        "environment THROUGHLINE_SESION__WINDOW: sesion: unknown key `sesion`; did you mean `session`?"
    );
    assert_eq!(
        refusal(file("[[api.keys]]\nname = \"a\"\nkeey = \"b\"")),
        "my.toml: api.keys.0.keey: unknown key `keey`; did you mean `key`?"
    );
    assert_eq!(
        refusal(file("[namespaces.chat]\npresence = \"member\"")),
        "my.toml: namespaces.chat.presence: unknown word `member`; did you mean `members`?"
    );
    assert!(refusal(file("xyzzy = 1")).contains("known are listen, path, tls"));
}

#[test]
fn a_value_out_of_its_bounds_names_its_place_the_value_and_the_bound() {
    assert_eq!(
        refusal(file("[session]\nping_visible = \"10ms\"\noutbox_frames = 0")),
        "my.toml: session.ping_visible: 10ms is below the minimum, 1s\n\
         my.toml: session.outbox_frames: 0 is below the minimum, 16"
    );
    assert_eq!(
        refusal(env(&[("THROUGHLINE_LIMITS__FRAME_BYTES", "5MiB")])).lines().next().unwrap(),
        "environment THROUGHLINE_LIMITS__FRAME_BYTES: limits.frame_bytes: 5MiB is above the maximum, 4MiB"
    );
    assert_eq!(
        refusal(env(&[("THROUGHLINE_SESSION__WINDOW", "sixty")])),
        "environment THROUGHLINE_SESSION__WINDOW: session.window: \
         \"sixty\": a duration is a whole number and a unit: 250ms, 7s, 2m, 1h, 7d"
    );
    let flags = Flags { engine: Some("http://x".to_owned()), ..Flags::default() };
    assert_eq!(
        assemble(None, [], &flags).unwrap_err().to_string(),
        "option --engine: engine.url: must be \"memory:\" or begin with redis://, rediss://, \
         redis+sentinel:// or redis+cluster://"
    );
    assert_eq!(
        refusal(file("listen = \"here\"")),
        "my.toml: listen: \"here\": invalid socket address syntax"
    );
    assert_eq!(
        refusal(file("demo = 1")),
        "my.toml: demo: invalid type: integer `1`, expected a boolean"
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (text, key) in [
        ("[session]\nhold = \"40s\"", "session.hold"),
        ("[session]\nping_visible = \"30s\"", "session.ping_visible"),
        ("[session]\nleaving_grace = \"11s\"", "session.leaving_grace"),
        ("[session]\nwindow = \"5s\"", "session.grace"),
        ("[limits]\nframe_bytes = \"32KiB\"", "limits.publish_bytes"),
        ("[limits.frame_rate]\nburst = 1", "limits.frame_rate"),
        ("[namespaces.a]\nhistory = {}\nstate = {}", "namespaces.a"),
        ("[namespaces.\"@x\"]", "namespaces.@x"),
        ("[namespaces.\"a:b\"]", "namespaces.a:b"),
        ("[namespaces.\"@user\"]\nfeed = true", "namespaces.@user"),
        ("[namespaces.\"@user\"]\npublish = \"members\"", "namespaces.@user"),
        ("auto_subscribe = [\"news:all\"]", "auto_subscribe.0"),
        ("auto_subscribe = [\"@user:bob\"]", "auto_subscribe.0"),
        ("path = \"realtime\"", "path"),
        ("path = \"/api/x\"", "path"),
        ("path = \"/a/../b\"", "path"),
        ("[telemetry]\nlog = \"a=shout\"", "telemetry.log"),
        ("[auth]\ncookie = \"a b\"", "auth.cookie"),
        ("[[auth.keys]]\nalg = \"HS256\"", "auth.keys.0"),
        ("[[auth.keys]]\nalg = \"HS256\"\nsecret = \"short\"", "auth.keys.0.secret"),
        ("[[auth.keys]]\nalg = \"RS256\"\nsecret = \"x\"", "auth.keys.0"),
        (
            "[[auth.keys]]\nalg = \"RS256\"\npublic_key_pem = \"x\"\npublic_key_file = \"y\"",
            "auth.keys.0",
        ),
        ("[[api.keys]]\nname = \"a\"\nkey = \"short\"", "api.keys.0.key"),
        ("[[api.keys]]\nname = \"a b\"\nkey = \"sixteen bytes or more\"", "api.keys.0.name"),
    ] {
        let error = file(text).unwrap_err();
        assert!(error.0.iter().any(|problem| problem.key == key), "{text}: {error}");
        assert!(
            error
                .0
                .iter()
                .all(|problem| problem.source == "my.toml" || problem.source == "defaults")
        );
    }
}

#[test]
fn no_error_and_no_printed_configuration_shows_a_secret() {
    for text in [
        "[session]\nsecret = \"hunter2\"",
        "[session]\nsecret = 77777777",
        "[[api.keys]]\nname = \"a\"\nkey = \"hunter2\"",
        "[[api.keys]]\nname = \"a\"\nkey = 77777777",
        "[session]\nsecret = \"hunter2",
        "[[auth.keys]]\nalg = \"HS256\"\nsecret = \"hunter2\"",
    ] {
        let error = refusal(file(text));
        assert!(!error.contains("hunter2") && !error.contains("7777"), "{error}");
    }
    let secret = "hunter2, of more than thirty-two bytes";
    let config = env(&[
        ("THROUGHLINE_SESSION__SECRET", secret),
        ("THROUGHLINE_ENGINE__URL", "redis://user:hunter2@127.0.0.1:6379/0"),
        ("THROUGHLINE_ENGINE__REDIS__SENTINEL_PASSWORD", "hunter2"),
    ])
    .unwrap();
    assert_eq!(config.session.secret.as_ref().unwrap().expose(), secret);
    assert!(config.engine.url.expose().contains("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!toml::to_string(&config).unwrap().contains("hunter2"));
}

#[test]
fn a_value_of_the_environment_is_toml_where_it_can_be_else_text() {
    let digits = "12345678901234567890123456789012";
    let config = env(&[
        ("THROUGHLINE_DEMO", "true"),
        ("THROUGHLINE_API__BATCH", "7"),
        ("THROUGHLINE_SESSION__SECRET", digits),
        ("THROUGHLINE_AUTH__ISSUER", "2026"),
        ("THROUGHLINE_AUTH__AUDIENCE", "a\nb = 1"),
        ("THROUGHLINE_AUTH__ORIGINS", "[\"same-host\"]"),
        ("THROUGHLINE_NAMESPACES__CHAT__HISTORY", "{ size = 5 }"),
        ("THROUGHLINE_NAMESPACES__CHAT__FEED", "true"),
        ("UNRELATED", "x"),
    ])
    .unwrap();
    assert!(config.demo);
    assert_eq!(config.api.batch, 7);
    assert_eq!(config.session.secret.unwrap().expose(), digits);
    assert_eq!(config.auth.issuer.as_deref(), Some("2026"));
    assert_eq!(config.auth.audience.as_deref(), Some("a\nb = 1"));
    assert_eq!(config.auth.origins, [OriginRule::SameHost]);
    assert_eq!(config.namespaces["chat"].history.as_ref().unwrap().size, 5);
    assert!(config.namespaces["chat"].feed);
}

#[test]
fn what_kubernetes_sets_for_a_service_of_this_name_is_no_setting() {
    let config = env(&[
        ("THROUGHLINE_SERVICE_HOST", "10.0.0.1"),
        ("THROUGHLINE_SERVICE_PORT", "8000"),
        ("THROUGHLINE_SERVICE_PORT_HTTP", "8000"),
        ("THROUGHLINE_PORT", "tcp://10.0.0.1:8000"),
        ("THROUGHLINE_PORT_8000_TCP_ADDR", "10.0.0.1"),
    ]);
    assert_eq!(config.unwrap(), Config::default());
}

#[test]
fn an_environment_variable_that_names_no_key_is_an_error() {
    assert!(refusal(env(&[("THROUGHLINE_", "x")])).contains("a part of the key is empty"));
    assert!(refusal(env(&[("THROUGHLINE_SESSION____WINDOW", "1s")])).contains("is empty"));
    assert_eq!(
        refusal(env(&[("THROUGHLINE_LISTEN__PORT", "1")])),
        "environment THROUGHLINE_LISTEN__PORT: listen: is not a section"
    );
}

#[test]
fn a_file_that_is_not_toml_names_its_line() {
    let error = refusal(file("listen = \"127.0.0.1:1\"\n\nx = = 1"));
    assert!(error.starts_with("my.toml: line 3: "), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load(Some(Path::new("no/such.toml")), &Flags::default()).unwrap_err();
    assert!(error.to_string().starts_with("no/such.toml: "), "{error}");
    let key = "[[auth.keys]]\nalg = \"RS256\"\npublic_key_file = \"no/such.pem\"";
    let error = refusal(file(key));
    assert!(error.starts_with("my.toml: auth.keys.0.public_key_file: no/such.pem: "), "{error}");
}

#[test]
fn a_public_key_is_read_from_its_file() {
    let key = "[[auth.keys]]\nalg = \"RS256\"\npublic_key_file = \"tests/fixtures/keys/rs256.public.pem\"";
    let config = file(key).unwrap();
    let pem = include_str!("../../tests/fixtures/keys/rs256.public.pem");
    assert_eq!(config.auth.keys[0].public_key_pem.as_deref(), Some(pem));
}

#[test]
fn words_stand_for_what_they_say() {
    let config =
        file("[admin]\nlisten = \"127.0.0.1:9000\"\n[telemetry]\nformat = \"json\"").unwrap();
    assert_eq!(config.admin.listen, AdminListen::Addr("127.0.0.1:9000".parse().unwrap()));
    assert_eq!(config.telemetry.format, LogFormat::Json);
    assert_eq!(file("[admin]\nlisten = \"\"").unwrap().admin.listen, AdminListen::Off);
    assert!(refusal(file("[admin]\nlisten = \"there\"")).contains("\"same\""));
}
