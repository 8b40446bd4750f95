//! Under faults: what may be lost is lost with a gap, and nothing else is.

use super::super::history::{Change, Outcome, Record};
use super::check_faults;
use throughline::protocol::position::Position;

/// A position whose tag tells the life of the log that wrote it.
fn pos(epoch: &str, offset: u64, life: u64) -> Position {
    format!("{epoch}.{offset}.{:016x}", offset * 16 + life).parse().unwrap()
}

fn s(text: &str) -> String {
    text.to_owned()
}

fn delivered(id: &str, pos: Position) -> Record {
    Record::Delivered { client: s("r"), ch: s("chat:1"), pos, id: s(id), by: None }
}

fn gap(pos: Position) -> Record {
    Record::Gap { client: s("r"), ch: s("chat:1"), pos }
}

fn stored(id: &str, pos: Position) -> Record {
    let (client, ch, id, seq) = (s("p"), s("chat:1"), s(id), None);
    Record::Answered { client, ch, id, seq, outcome: Outcome::Stored(pos, false) }
}

fn logged(id: &str, pos: Position) -> Record {
    Record::Logged { ch: s("chat:1"), pos, id: s(id) }
}

fn begins(all: bool) -> Record {
    Record::LossBegins { ch: None, all }
}

/// The log loses b of a and b, and takes x in its place; the reader had both and is told.
fn tail_lost() -> Vec<Record> {
    let sent = |id: &str| Record::Sent { client: s("p"), ch: s("chat:1"), id: s(id), events: 1 };
    let begin = pos("e", 0, 0);
    let (client, ch, durable) = (s("r"), s("chat:1"), true);
    vec![
        Record::Subscribed { client, ch, since: None, pos: begin, durable },
        sent("a"),
        stored("a", pos("e", 1, 0)),
        delivered("a", pos("e", 1, 0)),
        sent("b"),
        stored("b", pos("e", 2, 0)),
        delivered("b", pos("e", 2, 0)),
        begins(false),
        Record::LossEnds { ch: None },
        sent("x"),
        stored("x", pos("f", 2, 1)),
        gap(pos("f", 2, 1)),
        sent("y"),
        stored("y", pos("f", 3, 1)),
        delivered("y", pos("f", 3, 1)),
        logged("a", pos("e", 1, 0)),
        logged("x", pos("f", 2, 1)),
        logged("y", pos("f", 3, 1)),
        Record::Quiet { client: s("r") },
        Record::Quiet { client: s("p") },
    ]
}

fn breaks(clause: &str, history: &[Record]) {
    let found = check_faults(history);
    assert!(found.iter().any(|broken| broken.clause == clause), "{clause}: {found:?}");
}

#[test]
fn a_lost_tail_that_is_told_passes() {
    assert_eq!(check_faults(&tail_lost()), []);
}

#[test]
fn a_lost_tail_that_is_not_told_breaks_d5() {
    let mut history = tail_lost();
    history.remove(11);
    breaks("D5", &history);
}

#[test]
fn a_reader_before_the_lost_tail_goes_on_into_another_epoch_without_a_gap() {
    let mut history = tail_lost();
    history[11] = delivered("x", pos("f", 2, 1));
    history.remove(6);
    assert_eq!(check_faults(&history), []);
}

#[test]
fn a_gap_where_nothing_was_lost_breaks_d4() {
    let mut history = tail_lost();
    history.remove(7);
    breaks("D4", &history);
}

#[test]
fn a_second_gap_for_one_loss_breaks_d4() {
    let mut history = tail_lost();
    history.insert(14, gap(pos("f", 3, 1)));
    breaks("D4", &history);
}

#[test]
fn what_was_acknowledged_after_a_loss_must_be_in_the_log() {
    let mut history = tail_lost();
    history.remove(17);
    breaks("P1", &history);
}

#[test]
fn offsets_that_are_used_again_in_their_epoch_break_o1() {
    let mut history = tail_lost();
    history[10] = stored("x", pos("e", 2, 1));
    breaks("O1", &history);
}

#[test]
fn a_reader_that_is_not_told_that_all_was_lost_breaks_f1() {
    let mut history = tail_lost();
    history[7] = begins(true);
    assert_eq!(check_faults(&history), []);
    history.remove(11);
    history.truncate(11);
    history.push(Record::Quiet { client: s("r") });
    breaks("F1", &history);
}

#[test]
fn a_second_leave_that_another_observer_sees_breaks_r1() {
    let presence = |client: &str, v, change| Record::Presence {
        client: s(client),
        ch: s("chat:1"),
        v,
        change,
    };
    let mut history = vec![
        Record::Opened { client: s("a"), member: s("m") },
        presence("r", 1, Change::Join(s("m"))),
        presence("o", 1, Change::Join(s("m"))),
        Record::Closed { client: s("a"), member: s("m") },
        presence("r", 2, Change::Leave(s("m"))),
        presence("o", 2, Change::Leave(s("m"))),
    ];
    assert_eq!(check_faults(&history), []);
    history[5] = presence("o", 3, Change::Leave(s("m")));
    breaks("R1", &history);
}

#[test]
fn an_observer_that_does_not_see_who_is_there_breaks_r5() {
    let subscribed = Record::Subscribed {
        client: s("a"),
        ch: s("chat:1"),
        since: None,
        pos: pos("e", 0, 0),
        durable: true,
    };
    let history = [
        Record::Opened { client: s("a"), member: s("m") },
        subscribed,
        Record::Presence { client: s("o"), ch: s("chat:1"), v: 1, change: Change::Members(vec![]) },
        Record::Quiet { client: s("a") },
        Record::Quiet { client: s("o") },
    ];
    breaks("R5", &history);
}
