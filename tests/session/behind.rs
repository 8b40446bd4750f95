//! Readers that do not keep up.

use throughline::protocol::position::{Epoch, GapReason, Tag};
use throughline::session::input::{ChannelKind, ConnId, EventInput, Input, PageInput, SubId};
use throughline::session::settings::Settings;

use crate::bench::{Bench, attach, epoch, event, exchange, lost, pong, position};

fn small() -> Settings {
    Settings { outbox_frames: 8, ..Settings::default() }
}

fn page(events: impl Iterator<Item = u64>, top: u64) -> PageInput {
    PageInput { events: events.map(event).collect(), top: position(top), gap: None }
}

fn give_page(bench: &mut Bench, result: Option<PageInput>) -> Vec<String> {
    bench.give(Input::Page { sub: SubId(1), result })
}

/// Blocked with more events than fit; everything up to 20 was published.
fn overflown(kind: ChannelKind) -> Bench {
    let mut bench = Bench::on_socket(small());
    bench.subscribed(1, "d:1", kind);
    bench.give(pong(1, 1));
    bench.give(Input::Blocked { conn: ConnId(1) });
    for offset in 1..=20 {
        bench.event(1, offset);
    }
    bench
}

#[test]
fn a_reader_at_its_bound_drops_what_waits_and_pages_from_the_log() {
    // spec: D8, M34
    let mut bench = overflown(ChannelKind::Durable);
    assert_eq!(bench.session.outbox_len(), 0, "what waited is in the log");
    bench.give(Input::Writable { conn: ConnId(1) });
    let seen = give_page(&mut bench, Some(page(1..=20, 20)));
    assert_eq!(seen.iter().filter(|out| out.contains("event")).count(), 8);
    bench.give(pong(1, 9));
    let seen = give_page(&mut bench, Some(page(9..=16, 20)));
    assert!(seen.iter().all(|out| !out.contains("caught_up")));
    let seen = bench.give(pong(1, 17));
    assert_eq!(seen, ["fetch 1 after 16"]);
    let seen = give_page(&mut bench, Some(page(17..=20, 20)));
    assert_eq!(seen.last().unwrap(), r#"1 < {"t":"caught_up","ch":"d:1"}"#);
    assert_eq!(bench.event(1, 21), [r#"1 < {"t":"event","n":21}"#]);
}

#[test]
fn the_first_read_is_after_what_was_handed() {
    // spec: D1, D2, D8
    let mut bench = Bench::on_socket(small());
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    bench.event(1, 1);
    bench.give(Input::Blocked { conn: ConnId(1) });
    let seen: Vec<_> = (2..=9).flat_map(|offset| bench.event(1, offset)).collect();
    assert_eq!(seen, ["fetch 1 after 1"]);
}

#[test]
fn what_came_while_a_page_was_read_is_read_too() {
    // spec: D3
    let mut bench = overflown(ChannelKind::Durable);
    bench.give(Input::Writable { conn: ConnId(1) });
    bench.event(1, 21);
    give_page(&mut bench, Some(page(1..=3, 3)));
    assert_eq!(bench.until(0), [(0, "fetch 1 after 3".to_owned())], "there are 21");
}

#[test]
fn an_engine_that_cannot_be_reached_is_asked_again_later() {
    let mut bench = overflown(ChannelKind::Durable);
    assert_eq!(give_page(&mut bench, None), Vec::<String>::new());
    assert_eq!(bench.until(499), []);
    assert_eq!(bench.until(500), [(500, "fetch 1 after 0".to_owned())]);
}

#[test]
fn a_change_of_epoch_does_not_keep_a_reader_behind() {
    // spec: F1, D5
    let mut bench = overflown(ChannelKind::Durable);
    bench.give(Input::Writable { conn: ConnId(1) });
    let mut top = position(2);
    top.epoch = Epoch::parse("f").unwrap();
    let gap = PageInput { events: Vec::new(), top, gap: Some(GapReason::Epoch) };
    let seen = give_page(&mut bench, Some(gap));
    assert!(seen[1].contains("gap"), "{seen:?}");
    assert_eq!(seen[0], "fetch 1 after 2", "what came meanwhile may be newer");
    let mut top = position(2);
    top.epoch = Epoch::parse("f").unwrap();
    let seen = give_page(&mut bench, Some(PageInput { events: Vec::new(), top, gap: None }));
    assert!(seen[0].contains("caught_up"), "{seen:?}");
}

#[test]
fn falling_behind_never_reads_back_past_a_gap() {
    // spec: D1, D2
    let mut bench = overflown(ChannelKind::Durable);
    give_page(&mut bench, Some(page(1..=2, 20)));
    let (epoch, gap) = (Epoch::parse("f").unwrap(), Some(GapReason::Epoch));
    let mut top = position(20);
    top.epoch = epoch.clone();
    assert_eq!(bench.until(0), [], "the read is under way");
    bench.give(Input::Page {
        sub: SubId(1),
        result: Some(PageInput { events: Vec::new(), top, gap }),
    });
    let mut fetches = Vec::new();
    for offset in 21..=40 {
        let event = EventInput { prev: Tag(offset - 1), ..event(offset) };
        fetches.extend(bench.give(Input::Event { sub: SubId(1), epoch: epoch.clone(), event }));
    }
    fetches.extend(bench.give(Input::Writable { conn: ConnId(1) }));
    fetches.extend(bench.until(0).into_iter().map(|(_, out)| out));
    assert!(fetches.contains(&"fetch 1 after 20".to_owned()), "{fetches:?}");
}

#[test]
fn a_caught_up_never_comes_before_what_was_dropped() {
    // spec: D4, M33
    let mut bench = Bench::on_socket(small());
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    bench.give(pong(1, 1));
    bench.give(lost(1));
    (1..=6).for_each(|offset| drop(bench.event(1, offset)));
    bench.give(Input::Candidate {
        conn: ConnId(2),
        kind: throughline::session::input::ConnKind::Push,
    });
    bench.give(Input::Blocked { conn: ConnId(2) });
    bench.give(Input::Attach { conn: ConnId(2), attach: attach(2, 1) });
    (7..=12).for_each(|offset| drop(bench.event(1, offset)));
    let seen = bench.give(Input::Writable { conn: ConnId(2) });
    assert!(seen.iter().all(|out| !out.contains("caught_up")), "{seen:?}");
    let seen = give_page(&mut bench, Some(page(1..=12, 12)));
    assert!(seen.iter().all(|out| !out.contains("caught_up")), "{seen:?}");
    bench.give(pong(2, 9));
    let seen = give_page(&mut bench, Some(page(9..=12, 12)));
    assert_eq!(seen[4..], [r#"2 < {"t":"caught_up","ch":"d:1"}"#, r#"2 < {"t":"caught_up"}"#]);
}

#[test]
fn a_reader_of_state_gets_the_latest_of_each_key() {
    // spec: D8, M32
    let mut bench = overflown(ChannelKind::State);
    let seen = bench.give(Input::Writable { conn: ConnId(1) });
    assert_eq!(seen, Vec::<String>::new());
    let seen = bench.give(Input::State { sub: SubId(1), result: Some(page(19..=20, 20)) });
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen[2].contains("caught_up"));
}

#[test]
fn a_hole_on_a_channel_with_state_is_read_as_state() {
    // spec: D3
    let mut bench = Bench::on_socket(small());
    bench.subscribed(1, "s:1", ChannelKind::State);
    assert_eq!(bench.event(1, 2), ["state 1"]);
}

#[test]
fn a_hole_on_a_durable_channel_or_a_wrong_tag_is_read_from_the_log() {
    // spec: D1, D3, D5
    let mut bench = Bench::on_socket(small());
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    let wrong = EventInput { prev: Tag(99), ..event(1) };
    let input = Input::Event { sub: SubId(1), epoch: epoch(), event: wrong };
    assert_eq!(bench.give(input), ["fetch 1 after 0"]);
}

#[test]
fn an_event_that_comes_twice_is_dropped() {
    // spec: D2
    for kind in [ChannelKind::Durable, ChannelKind::Ephemeral, ChannelKind::State] {
        let mut bench = Bench::on_socket(small());
        bench.subscribed(1, "d:1", kind);
        assert_eq!(bench.event(1, 1).len(), 1);
        assert_eq!(bench.event(1, 1), Vec::<String>::new());
    }
}

#[test]
fn a_page_that_does_not_follow_is_not_taken() {
    // spec: D1
    let mut bench = overflown(ChannelKind::Durable);
    bench.give(Input::Writable { conn: ConnId(1) });
    let seen = give_page(&mut bench, Some(page(5..=9, 20)));
    assert!(seen.iter().all(|out| !out.contains("event")), "{seen:?}");
}

#[test]
fn detached_ephemeral_events_are_counted() {
    // spec: D7
    let mut bench = Bench::on_socket(small());
    bench.subscribed(1, "e:1", ChannelKind::Ephemeral);
    bench.give(lost(1));
    (1..=20).for_each(|offset| drop(bench.event(1, offset)));
    let seen = bench.give(exchange(2, attach(2, 1), &[]));
    let answer = seen.iter().find(|out| out.starts_with("2 =")).unwrap();
    assert!(answer.contains(r#"{"t":"skipped","n":20}"#), "{answer}");
}

#[test]
fn a_count_of_what_was_missed_comes_before_what_followed_it() {
    // spec: D7
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "e:1", ChannelKind::Ephemeral);
    bench.give(Input::Blocked { conn: ConnId(1) });
    bench.event(1, 1);
    bench.event(1, 3);
    let seen = bench.give(exchange(2, attach(2, 1), &[]));
    let answer = seen.iter().find(|out| out.starts_with("2 =")).unwrap();
    let count = answer.find(r#"{"t":"skipped","n":1}"#).unwrap();
    assert!(count < answer.find(r#""n":3"#).unwrap(), "{answer}");
}
