//! Each clause rejects a history that breaks it, by name; a history without a fault passes.

use super::super::history::{Brought, Change, Outcome, Record};
use super::check;
use throughline::protocol::position::Position;

fn pos(offset: u64) -> Position {
    format!("e.{offset}.{offset:016x}").parse().unwrap()
}

fn s(text: &str) -> String {
    text.to_owned()
}

fn sent(id: &str) -> Record {
    Record::Sent { client: s("p"), ch: s("chat:1"), id: s(id), events: 1 }
}

fn stored(id: &str, offset: u64) -> Record {
    let outcome = Outcome::Stored(pos(offset), false);
    Record::Answered { client: s("p"), ch: s("chat:1"), id: s(id), seq: None, outcome }
}

fn logged(id: &str, offset: u64) -> Record {
    Record::Logged { ch: s("chat:1"), pos: pos(offset), id: s(id) }
}

fn subscribed(since: Option<u64>, at: u64, durable: bool) -> Record {
    let since = since.map(pos);
    Record::Subscribed { client: s("r"), ch: s("chat:1"), since, pos: pos(at), durable }
}

fn delivered(id: &str, offset: u64) -> Record {
    let by = Some(s("p"));
    Record::Delivered { client: s("r"), ch: s("chat:1"), pos: pos(offset), id: s(id), by }
}

fn presence(v: u64, change: Change) -> Record {
    Record::Presence { client: s("r"), ch: s("chat:1"), v, change }
}

fn quiet(client: &str) -> Record {
    Record::Quiet { client: s(client) }
}

/// Two publishes, read by one who came first.
fn clean() -> Vec<Record> {
    vec![
        Record::Opened { client: s("p"), member: s("m1") },
        subscribed(Some(0), 0, true),
        Record::CaughtUp { client: s("r"), ch: Some(s("chat:1")) },
        presence(1, Change::Members(vec![])),
        presence(2, Change::Join(s("m1"))),
        sent("a"),
        stored("a", 1),
        delivered("a", 1),
        Record::Resumed { client: s("r"), link: 2 },
        sent("b"),
        delivered("b", 2),
        stored("b", 2),
        Record::Closed { client: s("p"), member: s("m1") },
        presence(3, Change::Leave(s("m1"))),
        logged("a", 1),
        logged("b", 2),
        quiet("p"),
        quiet("r"),
    ]
}

fn breaks(clause: &str, history: &[Record]) {
    let found = check(history);
    assert!(found.iter().any(|broken| broken.clause == clause), "{clause}: {found:?}");
}

/// The clean history with one record changed.
fn with(index: usize, record: Record) -> Vec<Record> {
    let mut history = clean();
    history[index] = record;
    history
}

/// The clean history with one record more.
fn and(index: usize, record: Record) -> Vec<Record> {
    let mut history = clean();
    history.insert(index, record);
    history
}

/// The clean history without one record.
fn without(index: usize) -> Vec<Record> {
    let mut history = clean();
    history.remove(index);
    history
}

#[test]
fn a_history_without_a_fault_passes() {
    assert_eq!(check(&clean()), []);
}

#[test]
fn an_acknowledged_publish_that_is_not_in_the_log_breaks_p1() {
    breaks("P1", &without(15));
}

#[test]
fn a_publish_that_is_never_answered_breaks_p2() {
    breaks("P2", &without(6));
}

#[test]
fn a_refused_publish_that_is_delivered_breaks_p2() {
    let outcome = Outcome::Refused(s("forbidden"));
    let refused =
        Record::Answered { client: s("p"), ch: s("chat:1"), id: s("a"), seq: None, outcome };
    breaks("P2", &with(6, refused));
}

#[test]
fn one_id_at_two_positions_breaks_p3() {
    breaks("P3", &and(12, stored("a", 3)));
    breaks("P3", &and(16, logged("a", 3)));
}

#[test]
fn a_torn_batch_breaks_p5() {
    let batch = Record::Sent { client: s("p"), ch: s("chat:1"), id: s("a"), events: 2 };
    breaks("P5", &with(5, batch));
}

#[test]
fn two_ids_at_one_offset_break_o1() {
    breaks("O1", &with(10, delivered("c", 2)));
}

#[test]
fn an_offset_below_one_acknowledged_before_it_was_sent_breaks_o2() {
    breaks("O2", &with(6, stored("a", 5)));
}

#[test]
fn a_sessions_publishes_out_of_order_break_o3() {
    let mut history = clean();
    history.swap(6, 9);
    history[9] = stored("a", 3);
    breaks("O3", &history);
}

#[test]
fn a_break_without_a_gap_breaks_d1() {
    // demand: 85
    breaks("D1", &without(7));
    let gap = || Record::Gap { client: s("r"), ch: s("chat:1"), pos: pos(1) };
    let mut history = with(7, gap());
    assert!(check(&history).iter().all(|broken| broken.clause != "D1"));
    history.insert(7, gap());
    breaks("D1", &history);
}

#[test]
fn an_event_twice_or_backwards_breaks_d2() {
    breaks("D2", &and(11, delivered("b", 2)));
    breaks("D2", &and(11, delivered("a", 1)));
}

#[test]
fn an_acknowledged_event_that_never_comes_breaks_d3() {
    breaks("D3", &without(10));
}

#[test]
fn a_replay_that_is_never_caught_up_breaks_d4() {
    breaks("D4", &without(2));
}

#[test]
fn a_resume_elsewhere_without_a_gap_breaks_d5() {
    breaks("D5", &with(1, subscribed(Some(7), 0, true)));
}

#[test]
fn an_event_at_or_below_the_position_subscribed_to_breaks_d6() {
    breaks("D6", &with(1, subscribed(None, 1, true)));
}

#[test]
fn an_ephemeral_event_twice_backwards_or_silently_lost_breaks_d7() {
    let ephemeral = |events: &[u64]| -> Vec<Record> {
        let events = events.iter().map(|offset| delivered(&format!("i{offset}"), *offset));
        std::iter::once(subscribed(None, 0, false)).chain(events).collect()
    };
    assert_eq!(check(&ephemeral(&[1, 2, 3])), []);
    breaks("D7", &ephemeral(&[1, 1]));
    breaks("D7", &ephemeral(&[2, 1]));
    breaks("D7", &ephemeral(&[1, 3]));
    let mut told = ephemeral(&[1, 3]);
    told.push(Record::Skipped { client: s("r"), n: 1 });
    assert_eq!(check(&told), []);
}

#[test]
fn a_frame_after_superseded_breaks_s1() {
    let arrived = |brought| Record::Arrived { client: s("r"), conn: 1, brought };
    let mut history = and(11, arrived(Brought::Superseded));
    assert_eq!(check(&history), []);
    history.insert(12, arrived(Brought::Frame));
    breaks("S1", &history);
}

#[test]
fn a_link_that_does_not_rise_breaks_s1() {
    breaks("S1", &and(11, Record::Resumed { client: s("r"), link: 2 }));
}

#[test]
fn one_number_with_two_contents_breaks_s2() {
    let number =
        |frame: &str| Record::Numbered { client: s("r"), link: 1, number: 1, frame: s(frame) };
    let mut history = and(11, number("{}"));
    history.insert(12, number("{}"));
    assert_eq!(check(&history), []);
    history.insert(13, number("other"));
    breaks("S2", &history);
}

#[test]
fn a_frame_that_is_settled_twice_breaks_s3() {
    let outcome = Outcome::Stored(pos(2), true);
    let again = || Record::Answered {
        client: s("p"),
        ch: s("chat:1"),
        id: s("b"),
        seq: Some(2),
        outcome: outcome.clone(),
    };
    let mut history = and(12, again());
    assert_eq!(check(&history), []);
    history.insert(13, again());
    breaks("S3", &history);
}

#[test]
fn a_second_leave_or_a_missing_one_breaks_r1() {
    breaks("R1", &and(14, presence(4, Change::Leave(s("m1")))));
    breaks("R1", &without(13));
}

#[test]
fn a_leave_of_one_who_came_back_in_time_breaks_r3() {
    breaks("R3", &without(12));
}
