//! Which connection carries the way down.

use throughline::session::input::{AttachInput, ChannelKind, ConnId, ConnKind, Input, Target};
use throughline::session::settings::Settings;

use crate::bench::{Bench, attach, exchange, lost, pong};

/// A session whose socket is gone, with so many durable events waiting.
fn detached(events: u64) -> Bench {
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    bench.give(pong(1, 1));
    bench.give(lost(1));
    for offset in 1..=events {
        bench.event(1, offset);
    }
    bench
}

#[test]
fn an_equal_link_gets_the_same_frames_with_the_same_numbers() {
    // spec: M19, S2
    let mut bench = detached(2);
    let first = bench.give(exchange(2, attach(2, 1), &[]));
    let again = bench.give(exchange(3, attach(2, 1), &[]));
    assert!(first[0].contains(r#""n":2"#) && first[0].contains(r#""from":1"#));
    assert_eq!(first[0].replacen('2', "3", 1), again[0]);
}

#[test]
fn the_older_of_two_equal_polls_returns_empty() {
    // spec: M19, S1
    let mut bench = detached(0);
    bench.give(exchange(2, attach(2, 1), &[]));
    bench.give(exchange(3, attach(3, 2), &[]));
    let seen = bench.give(exchange(4, attach(3, 2), &[]));
    assert_eq!(seen, [r#"3 = {"l":"attached","link":3,"from":2,"up":0}"#]);
}

#[test]
fn a_higher_link_supersedes_what_is_pending_and_a_lower_one_gets_and_does_nothing() {
    // spec: M17, M18, S1
    let mut bench = detached(0);
    bench.give(exchange(2, attach(2, 1), &[]));
    bench.give(exchange(3, attach(3, 2), &[]));
    let seen = bench.give(exchange(4, attach(5, 2), &[]));
    assert_eq!(seen, [r#"3 = {"l":"superseded","link":5}"#]);
    let publish = r#"{"t":"publish","seq":1,"ch":"d:1","data":1}"#;
    let late = bench.give(exchange(5, attach(4, 2), &[publish]));
    assert_eq!(late, [r#"5 = {"l":"superseded","link":5}"#]);
    assert_eq!(bench.event(1, 1).len(), 1, "the link is what it was");
}

#[test]
fn an_exchange_at_a_live_socket_is_answered_with_attached_alone() {
    // spec: M20
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    let publish = r#"{"t":"publish","seq":1,"ch":"d:1","data":1}"#;
    let seen = bench.give(exchange(2, attach(1, 1), &[publish]));
    assert_eq!(seen, [r#"2 = {"l":"attached","link":1,"from":1,"up":0}"#, "command 1"]);
}

#[test]
fn a_count_that_cannot_be_ends_the_session_and_is_answered() {
    // spec: M22, M11
    for (link, count) in [(2, 9), (2, 0), (1, 9)] {
        let mut bench = detached(0);
        let seen = bench.give(exchange(2, attach(link, count), &[]));
        assert_eq!(seen[0], "2 x bad_count ended", "link {link}, count {count}");
        assert_eq!(seen.last().unwrap(), "ended");
    }
    let mut bench = Bench::on_socket(Settings::default());
    assert_eq!(bench.give(pong(1, 1)), ["1 x bad_count ended", "ended"]);
}

#[test]
fn a_bad_count_with_a_candidate_ends_both_once() {
    // spec: M22, M11
    let mut bench = detached(0);
    bench.give(Input::Candidate { conn: ConnId(2), kind: ConnKind::Push });
    let via = AttachInput { target: Target::Via(Some(ConnId(2))), ..attach(2, 9) };
    let mut seen = bench.give(exchange(3, via, &[]));
    seen.retain(|out| out.contains('x'));
    assert_eq!(seen, ["2 x bad_count ended", "3 x bad_count ended"]);
}

#[test]
fn a_repeat_that_comes_late_at_the_same_link_is_harmless() {
    // spec: M22
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    bench.event(1, 1);
    bench.give(exchange(2, attach(1, 2), &[]));
    let late = bench.give(exchange(3, attach(1, 1), &[]));
    assert_eq!(late, [r#"3 = {"l":"attached","link":1,"from":2,"up":0}"#]);
}

#[test]
fn a_stream_takes_over_by_its_via_and_may_attach_again() {
    // spec: M17, M19
    let mut bench = detached(1);
    bench.give(Input::Candidate { conn: ConnId(2), kind: ConnKind::Push });
    let via = |link| AttachInput { target: Target::Via(Some(ConnId(2))), ..attach(link, 1) };
    let seen = bench.give(exchange(3, via(2), &[]));
    let attached = r#"{"l":"attached","link":2,"from":1,"up":0}"#;
    assert_eq!(seen[..2], [format!("2 * {attached}"), format!("3 = {attached}")]);
    assert_eq!(seen[2..], [r#"2 < {"t":"event","n":1}"#, r#"2 < {"t":"caught_up"}"#]);
    let again = bench.give(exchange(4, via(3), &[]));
    assert_eq!(again[2..], [r#"2 < {"t":"event","n":1}"#, r#"2 < {"t":"caught_up"}"#]);
}

#[test]
fn a_via_that_is_not_here_is_refused() {
    let mut bench = detached(0);
    let via = AttachInput { target: Target::Via(None), ..attach(2, 1) };
    assert_eq!(bench.give(exchange(3, via, &[])), ["3 x bad_request"]);
}

#[test]
fn a_blocked_socket_stays_blocked_when_it_attaches() {
    let mut bench = detached(1);
    bench.give(Input::Candidate { conn: ConnId(2), kind: ConnKind::Push });
    bench.give(Input::Blocked { conn: ConnId(2) });
    let seen = bench.give(Input::Attach { conn: ConnId(2), attach: attach(2, 1) });
    assert!(seen.iter().all(|out| !out.contains('<')), "{seen:?}");
    bench.give(Input::Attach { conn: ConnId(2), attach: attach(3, 1) });
    assert_eq!(bench.give(Input::Writable { conn: ConnId(2) }).len(), 2);
}

#[test]
fn attaching_without_end_does_not_grow_the_outbox() {
    // spec: B1, M33
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "e:1", ChannelKind::Ephemeral);
    bench.give(pong(1, 1));
    for link in 2..200 {
        bench.give(Input::Candidate { conn: ConnId(link), kind: ConnKind::Push });
        bench.give(Input::Blocked { conn: ConnId(link) });
        bench.give(Input::Attach { conn: ConnId(link), attach: attach(link, 1) });
        bench.give(lost(link));
        bench.event(1, link);
    }
    assert!(bench.session.outbox_len() <= 2, "{}", bench.session.outbox_len());
}

#[test]
fn what_is_older_than_two_seconds_is_counted_and_not_replayed() {
    // spec: D7, M33
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "e:1", ChannelKind::Ephemeral);
    bench.event(1, 1);
    bench.event(1, 2);
    bench.now = 1_500;
    bench.event(1, 3);
    bench.now = 2_500;
    let seen = bench.give(exchange(2, attach(2, 1), &[]));
    let answer = seen.iter().find(|out| out.starts_with("2 =")).unwrap();
    assert!(answer.contains(r#"{"t":"skipped","n":2}"#) && answer.contains(r#""n":3"#), "{answer}");
    assert!(!answer.contains(r#"{"t":"event","n":1}"#) && answer.ends_with(r#"{"t":"caught_up"}"#));
}
