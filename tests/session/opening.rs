//! What an `open` is answered with, and when.

use throughline::protocol::channel::Channel;
use throughline::protocol::down;
use throughline::protocol::error::ErrorCode;
use throughline::protocol::up::Subscribe;
use throughline::session::input::{ChannelKind, ConnKind, Input, SubId};
use throughline::session::settings::Settings;

use crate::bench::{Bench, attach, exchange, opened, start, started};

/// The subscriptions that an `open` names.
fn asks(bench: &mut Bench, channels: &[&str]) {
    for ch in channels {
        let ch = Channel::parse(ch).unwrap();
        bench.session.subscribe(Subscribe { ch, since: None, presence: false });
    }
    bench.poll();
}

/// Kind and channel of each frame.
fn answers(seen: &[String]) -> Vec<String> {
    let of = |name: &str, out: &str| {
        let (_, rest) = out.split_once(&format!(r#""{name}":""#))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let short = |out: &String| Some(format!("{} {}", of("t", out)?, of("ch", out)?));
    seen.iter().filter_map(short).collect()
}

#[test]
fn each_subscription_of_an_open_is_answered_in_order() {
    // spec: M38
    let mut bench = Bench::on_socket(Settings { subscriptions: 2, ..Settings::default() });
    asks(&mut bench, &["d:1", "d:2", "d:1", "d:3", "d:2"]);
    assert!(!bench.session.is_settled());
    let first = bench.give(started(1, start(ChannelKind::Durable)));
    assert_eq!(answers(&first), ["subscribed d:1"]);
    let rest = bench.give(started(2, start(ChannelKind::Durable)));
    let due = ["subscribed d:2", "subscribed d:1", "error d:3", "subscribed d:2"];
    assert_eq!(answers(&rest), due);
    assert!(bench.session.is_settled());
}

#[test]
fn a_channel_that_an_open_names_twice_is_refused_twice() {
    // spec: M38
    let mut bench = Bench::on_socket(Settings::default());
    asks(&mut bench, &["d:1", "d:2", "d:1"]);
    let refusal = ErrorCode::UnknownChannel.into();
    let frame = down::frame_error(&refusal, None, Some(&Channel::parse("d:1").unwrap()));
    let seen = bench.give(Input::Subscribed { sub: SubId(1), re: None, result: Err(frame) });
    assert_eq!(answers(&seen), ["error d:1"]);
    let seen = bench.give(started(2, start(ChannelKind::Durable)));
    assert_eq!(answers(&seen), ["subscribed d:2", "error d:1"]);
    assert!(seen[1].contains("unknown_channel"), "{seen:?}");
}

#[test]
fn a_channel_that_was_revoked_while_it_began_is_answered_all_the_same() {
    // spec: M38
    let mut bench = Bench::on_socket(Settings::default());
    asks(&mut bench, &["d:1", "d:1"]);
    bench.give(Input::Revoke { sub: SubId(1), code: ErrorCode::Forbidden });
    let seen = bench.give(started(1, start(ChannelKind::Durable)));
    assert_eq!(answers(&seen), ["error d:1"]);
}

#[test]
fn an_exchange_that_opens_is_answered_at_once_where_no_subscription_begins() {
    // spec: M14
    let mut bench = Bench::new(Settings::default());
    let seen = bench.give(opened(1, ConnKind::Poll));
    assert_eq!(seen, [r#"1 = {"l":"attached","link":1,"from":0,"up":0}"#]);
}

#[test]
fn an_exchange_that_opens_is_answered_in_time_for_its_hello_to_be_answered() {
    // spec: M14
    let mut bench = Bench::new(Settings::default());
    asks(&mut bench, &["d:1"]);
    bench.give(opened(1, ConnKind::Poll));
    let answer = r#"1 = {"l":"attached","link":1,"from":0,"up":0}"#.to_owned();
    assert_eq!(bench.until(9_000), [(5_000, answer)]);
    bench.give(exchange(2, attach(2, 0), &[]));
    let seen = bench.give(started(1, start(ChannelKind::Durable)));
    assert!(seen[0].starts_with("2 =") && seen[0].contains("subscribed"), "{seen:?}");
}
