//! The program's command line, as a person meets it.
#![allow(clippy::unwrap_used, reason = "a failed test is what a panic is for")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Output, Stdio};

fn run(args: &[&str], env: &[(&str, &str)]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    let Output { status, stdout, stderr } =
        command.args(args).envs(env.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

const DEV: [&str; 2] = ["--config", "config/dev.toml"];

#[test]
fn check_config_says_ok_and_warns_of_what_is_open() {
    let (ok, out, err) = run(&["check-config", DEV[0], DEV[1]], &[]);
    assert!(ok);
    assert_eq!(out, "ok\n");
    assert!(err.contains("warning: auth.anonymous = true"), "{err}");
}

#[test]
fn check_config_says_what_is_wrong_and_fails() {
    let (ok, out, err) = run(&["check-config"], &[("THROUGHLINE_SESSION__WINDOW", "1ms")]);
    assert!(!ok);
    assert_eq!(out, "");
    let expected = "environment THROUGHLINE_SESSION__WINDOW: session.window: \
                    1ms is below the minimum, 1s\n";
    assert!(err.starts_with(expected), "{err}");
}

#[test]
fn a_printed_configuration_loads_as_the_one_in_force() {
    let (ok, out, _) = run(&["check-config", "--print"], &[("THROUGHLINE_API__BATCH", "7")]);
    assert!(ok);
    let none = throughline::config::load::Flags::default();
    let config = throughline::config::load::assemble(Some(("printed", &out)), [], &none).unwrap();
    assert_eq!(config.api.batch, 7);
}

#[test]
fn a_token_that_it_prints_opens_a_session() {
    let caps = r#"{"room:*": ["subscribe"]}"#;
    let (ok, out, _) = run(&["token", DEV[0], DEV[1], "--sub", "alice", "--caps", caps], &[]);
    assert!(ok);
    let none = throughline::config::load::Flags::default();
    let file = include_str!("../config/dev.toml");
    let config = throughline::config::load::assemble(Some(("dev", file)), [], &none).unwrap();
    let now_ms = throughline::telemetry::clock::wall_ms();
    let authenticator = throughline::auth::Authenticator::new(&config).unwrap();
    let identity = authenticator.verify(out.trim(), now_ms).unwrap();
    assert_eq!(identity.user.as_deref(), Some("alice"));
}

#[test]
fn a_token_is_not_made_without_a_key_or_for_a_subject_that_fits_no_channel() {
    let (ok, out, err) = run(&["token", "--sub", "alice"], &[]);
    assert!(!ok && out.is_empty());
    assert_eq!(err, "auth.keys has no HS256 key\n");
    let (ok, out, _) = run(&["token", DEV[0], DEV[1], "--sub", "a b"], &[]);
    assert!(!ok && out.is_empty());
}

/// What a server that starts under these limits of open files has as its limits, and logs.
fn starts_under(limits: &str) -> (String, String) {
    let script = format!("ulimit {limits} && exec \"$0\" serve --listen 127.0.0.1:0");
    let mut server = Command::new("bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_throughline")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("listening on")));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    let mut log = String::new();
    server.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    (files.split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" "), log)
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_takes_the_open_files_that_it_may_have_and_no_more_connections_than_they_allow() {
    let (limits, log) = starts_under("-S -n 100 && ulimit -H -n 4096");
    assert_eq!(limits, "4096 4096");
    assert!(log.contains("connections=3584 wanted=200000 descriptors=4096"), "{log}");
}
