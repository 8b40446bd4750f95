//! Who is there.

use throughline::protocol::channel::Channel;
use throughline::protocol::error::ErrorCode;
use throughline::protocol::frame::Frame;
use throughline::protocol::up::Subscribe;
use throughline::session::input::{ChannelKind, ConnId, ConnKind, Input, Start, SubId};
use throughline::session::settings::Settings;

use crate::bench::{Bench, attach, exchange, lost, opened, pong, start, started};

fn frame(text: &str) -> Frame {
    Frame::new(format!(r#"{{"t":"{text}"}}"#).as_bytes())
}

fn change(bench: &mut Bench, text: &str) -> Vec<String> {
    bench.give(Input::Presence { sub: SubId(1), frame: frame(text) })
}

fn asked(settings: Settings) -> Bench {
    let mut bench = Bench::on_socket(settings);
    let ch = Channel::parse("p:1").unwrap();
    bench.session.subscribe(Subscribe { ch, since: None, presence: true });
    bench.poll();
    bench
}

fn watching() -> Start {
    let members = Some(frame("members"));
    Start { member: true, watches: true, members, ..start(ChannelKind::Ephemeral) }
}

#[test]
fn changes_while_the_list_is_read_follow_it() {
    // spec: R6, M35
    let mut bench = asked(Settings::default());
    change(&mut bench, "join");
    let seen = bench.give(started(1, watching()));
    assert_eq!(seen[..2], ["join p:1 false".to_owned(), seen[1].clone()]);
    assert_eq!(seen[2..], [r#"1 < {"t":"members"}"#, r#"1 < {"t":"join"}"#]);
}

#[test]
fn changes_that_do_not_fit_become_a_list_read_again() {
    // spec: R6, D8
    let mut bench = asked(Settings { outbox_frames: 8, ..Settings::default() });
    bench.give(started(1, watching()));
    bench.give(Input::Blocked { conn: ConnId(1) });
    let seen: Vec<_> = (0..7).flat_map(|_| change(&mut bench, "join")).collect();
    assert_eq!(seen, ["members 1"]);
    change(&mut bench, "leave");
    bench.give(pong(1, 2));
    bench.give(Input::Members { sub: SubId(1), frame: Some(frame("members")) });
    let seen = bench.give(Input::Writable { conn: ConnId(1) });
    assert_eq!(seen[0], r#"1 < {"t":"members"}"#);
    assert_eq!(seen.last().unwrap(), r#"1 < {"t":"leave"}"#);
}

#[test]
fn a_list_that_cannot_be_read_is_read_later() {
    let mut bench = asked(Settings::default());
    bench.give(started(1, watching()));
    bench.give(lost(1));
    change(&mut bench, "join");
    let seen = bench.give(exchange(2, attach(2, 2), &[]));
    assert!(seen.contains(&"members 1".to_owned()));
    assert_eq!(bench.give(Input::Members { sub: SubId(1), frame: None }), Vec::<String>::new());
    assert_eq!(bench.until(499), []);
    assert_eq!(bench.until(500), [(500, "members 1".to_owned())]);
}

#[test]
fn a_provisional_session_is_in_no_list_until_its_hello_is_answered() {
    // spec: M14
    let mut bench = Bench::new(Settings::default());
    bench.give(opened(1, ConnKind::Push));
    let ch = Channel::parse("p:1").unwrap();
    bench.session.subscribe(Subscribe { ch, since: None, presence: true });
    bench.poll();
    let seen = bench.give(started(1, watching()));
    assert!(seen.iter().all(|out| !out.starts_with("join")));
    assert_eq!(bench.give(pong(1, 0)), ["join p:1 false"]);
}

#[test]
fn a_resume_within_grace_emits_nothing() {
    // spec: R3
    let mut bench = asked(Settings::default());
    bench.give(started(1, watching()));
    bench.give(lost(1));
    assert_eq!(bench.until(9_999), []);
    let seen = bench.give(exchange(2, attach(2, 2), &[]));
    assert!(seen.iter().all(|out| !out.starts_with("join") && !out.starts_with("leave")));
}

#[test]
fn a_resume_after_grace_joins_again() {
    // spec: R1, R3
    let mut bench = asked(Settings::default());
    bench.give(started(1, watching()));
    bench.give(lost(1));
    assert_eq!(bench.until(10_000), [(10_000, "leave p:1".to_owned())]);
    let seen = bench.give(exchange(2, attach(2, 2), &[]));
    assert_eq!(seen[0], "join p:1 false");
}

#[test]
fn a_session_that_is_taken_elsewhere_does_not_leave_while_it_settles() {
    // spec: R3
    let mut bench = asked(Settings::default());
    bench.give(started(1, watching()));
    bench.give(Input::Leaving);
    bench.session.came(bench.now);
    assert_eq!(bench.until(6_999), []);
    bench.give(lost(1));
    assert_eq!(bench.until(16_000), []);
    bench.session.came(bench.now);
    assert_eq!(bench.until(25_999), []);
    assert_eq!(bench.until(26_000), [(26_000, "leave p:1".to_owned())]);
}

#[test]
fn a_user_is_offline_before_anyone_sees_the_session_leave_a_channel() {
    // spec: R1
    let mut bench = asked(Settings::default());
    bench.give(started(1, watching()));
    let ch = Channel::parse("@user:ann").unwrap();
    bench.session.subscribe(Subscribe { ch, since: None, presence: false });
    bench.poll();
    let own = Start { member: true, ..start(ChannelKind::Durable) };
    assert_eq!(bench.give(started(2, own))[0], "join @user:ann false");
    let seen = bench.give(Input::End { why: ErrorCode::Closed.into() });
    let left: Vec<_> = seen.iter().filter(|out| out.starts_with("leave")).collect();
    assert_eq!(left, ["leave @user:ann", "leave p:1"]);
}

/// How a fresh token that no longer allows presence ends it.
fn unwatch(bench: &mut Bench) -> Vec<String> {
    bench.give(Input::Unwatch { sub: SubId(1), code: ErrorCode::Forbidden })
}

const UNWATCHED: &str = r#"1 < {"t":"unwatched","ch":"p:1","code":"forbidden"}"#;

#[test]
fn changes_end_where_the_right_to_see_them_does_and_events_go_on() {
    // spec: M39, S6
    let mut bench = asked(Settings::default());
    bench.give(started(1, watching()));
    bench.give(Input::Blocked { conn: ConnId(1) });
    assert_eq!(change(&mut bench, "join"), Vec::<String>::new());
    assert_eq!(unwatch(&mut bench), Vec::<String>::new());
    assert_eq!(bench.give(Input::Writable { conn: ConnId(1) }), [UNWATCHED]);
    assert_eq!(change(&mut bench, "leave"), Vec::<String>::new());
    assert_eq!(unwatch(&mut bench), Vec::<String>::new(), "it is told once");
    assert_eq!(bench.event(1, 1), [r#"1 < {"t":"event","n":1}"#]);
}

#[test]
fn changes_that_were_handed_and_not_counted_are_sent_again_without_content() {
    // spec: M39, S6
    let mut bench = asked(Settings::default());
    bench.give(started(1, watching()));
    change(&mut bench, "join");
    unwatch(&mut bench);
    let again = bench.give(exchange(2, attach(2, 1), &[]));
    let frames = r#"{} {} {"t":"unwatched","ch":"p:1","code":"forbidden"}"#;
    assert!(again.iter().any(|out| out.contains(frames)), "{again:?}");
}

#[test]
fn a_right_that_ends_while_the_subscription_begins_or_the_list_is_read_ends_the_changes() {
    // spec: M39, S6
    let mut bench = asked(Settings::default());
    unwatch(&mut bench);
    let seen = bench.give(started(1, watching()));
    assert_eq!(seen.last().map(String::as_str), Some(UNWATCHED));
    assert_eq!(seen.iter().filter(|out| out.contains("members")).count(), 0);
    assert_eq!(change(&mut bench, "join"), Vec::<String>::new());
    let mut bench = asked(Settings { outbox_frames: 8, ..Settings::default() });
    bench.give(started(1, watching()));
    bench.give(Input::Blocked { conn: ConnId(1) });
    (0..7).for_each(|_| drop(change(&mut bench, "join")));
    bench.give(Input::Writable { conn: ConnId(1) });
    assert_eq!(unwatch(&mut bench), [UNWATCHED]);
    let read = Input::Members { sub: SubId(1), frame: Some(frame("members")) };
    assert_eq!(bench.give(read), Vec::<String>::new());
}

#[test]
fn a_subscription_that_does_not_watch_is_not_told() {
    // spec: M39
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "p:1", ChannelKind::Ephemeral);
    assert_eq!(unwatch(&mut bench), Vec::<String>::new());
}
