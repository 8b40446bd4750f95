//! A session that moves to another node.

use std::sync::Arc;

use throughline::session::Session;
use throughline::session::input::{AttachInput, ChannelKind, ConnId, Input};
use throughline::session::park::Parked;
use throughline::session::settings::Settings;

use crate::bench::{Bench, attach, exchange, lost, numbered, pong, text};

fn moved(bench: &Bench, ms: u64, now: u64) -> Bench {
    let text = serde_json::to_string(&bench.session.park(bench.now).unwrap()).unwrap();
    let parked: Parked = serde_json::from_str(&text).unwrap();
    let settings = Arc::new(Settings::default());
    Bench { session: Session::restore(settings, parked.aged(ms), now), now }
}

#[test]
fn what_was_handed_and_not_counted_is_read_from_the_log() {
    // spec: S5, D1
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    (1..=3).for_each(|offset| drop(bench.event(1, offset)));
    let mut taker = moved(&bench, 0, 50_000);
    let seen = taker.give(exchange(2, attach(2, 2), &[]));
    assert!(seen.contains(&"fetch 1 after 1".to_owned()), "{seen:?}");
}

#[test]
fn a_count_that_cannot_be_is_refused_by_the_taker_too() {
    // spec: M22
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    bench.event(1, 1);
    let mut taker = moved(&bench, 0, 0);
    assert_eq!(taker.give(exchange(2, attach(2, 3), &[]))[0], "2 x bad_count ended");
}

#[test]
fn the_age_of_an_ephemeral_event_moves_with_it() {
    // spec: D7
    for (ms, replays) in [(0, true), (1_000, true), (1_600, false)] {
        let mut bench = Bench::on_socket(Settings::default());
        bench.now = 70_000;
        bench.subscribed(1, "e:1", ChannelKind::Ephemeral);
        bench.event(1, 1);
        bench.now += 500;
        let mut taker = moved(&bench, ms, 30_000);
        let seen = taker.give(exchange(2, attach(2, 1), &[]));
        let answer = seen.iter().find(|out| out.starts_with("2 =")).unwrap();
        assert_eq!(answer.contains("event"), replays, "{ms} ms: {answer}");
        assert_eq!(answer.contains(r#"{"t":"skipped","n":1}"#), !replays, "{ms} ms: {answer}");
    }
}

#[test]
fn a_polled_session_is_not_detached_by_its_move() {
    // spec: S4, D7
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "e:1", ChannelKind::Ephemeral);
    bench.give(exchange(2, attach(2, 1), &[]));
    let polled = AttachInput { wait: 20_000, ..attach(3, 1) };
    bench.give(exchange(3, polled, &[]));
    let (conn, answer) = bench.session.empty_answer().unwrap();
    assert_eq!((conn, text(&answer).contains(r#""link":3,"from":1"#)), (ConnId(3), true));
    let mut taker = moved(&bench, 0, 50_000);
    assert!(taker.session.is_attached());
    taker.event(1, 1);
    let seen = taker.give(exchange(4, attach(4, 1), &[]));
    assert!(seen.iter().any(|out| out.starts_with("4 =") && out.contains("event")), "{seen:?}");
    assert!(!seen.iter().any(|out| out.contains("skipped")), "{seen:?}");
}

#[test]
fn a_poll_repeated_at_the_taker_goes_on_with_the_next() {
    // spec: S2
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    bench.give(exchange(2, attach(2, 1), &[]));
    bench.event(1, 1);
    let mut taker = moved(&bench, 0, 50_000);
    let again = taker.give(exchange(3, attach(2, 1), &[]));
    assert!(again.iter().any(|out| out.starts_with("3 =") && !out.contains("event")), "{again:?}");
    let next = taker.give(exchange(4, attach(3, 1), &[]));
    assert!(next.contains(&"fetch 1 after 0".to_owned()), "{next:?}");
}

#[test]
fn nothing_is_parked_while_a_frame_is_performed() {
    // spec: S3
    let mut bench = Bench::on_socket(Settings::default());
    let publish = r#"{"t":"publish","seq":1,"ch":"d:1","data":1}"#;
    bench.give(Input::Up { conn: ConnId(1), frame: numbered(publish) });
    assert!(bench.session.park(0).is_none());
}

#[test]
fn an_ended_session_is_not_parked() {
    let mut bench = Bench::on_socket(Settings::default());
    bench.give(pong(1, 9));
    assert!(bench.session.is_ended() && bench.session.park(0).is_none());
    let _ = lost(1);
}
