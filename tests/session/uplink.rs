//! Frames up.

use throughline::protocol::down;
use throughline::protocol::error::ErrorCode;
use throughline::session::input::{ChannelKind, ConnId, Input, SubId};
use throughline::session::settings::Settings;

use crate::bench::{Bench, numbered, pong, start};

fn up(text: &str) -> Input {
    Input::Up { conn: ConnId(1), frame: numbered(text) }
}

fn publish(seq: u64) -> Input {
    up(&format!(r#"{{"t":"publish","seq":{seq},"ch":"d:1","data":1}}"#))
}

#[test]
fn frames_apply_once_in_order_one_after_the_other() {
    // spec: O3, S3, M28
    let mut bench = Bench::on_socket(Settings::default());
    assert_eq!(bench.give(publish(1)), ["command 1"]);
    assert_eq!(bench.give(publish(1)), Vec::<String>::new());
    assert_eq!(bench.give(publish(3)), Vec::<String>::new());
    assert_eq!(bench.give(publish(2)), Vec::<String>::new());
    let settled = Input::Settled { seq: 1, frame: Some(down::ok_empty(1)) };
    assert_eq!(bench.give(settled), ["command 2", r#"1 < {"t":"ok","re":1}"#]);
}

#[test]
fn a_frame_with_wrong_content_is_settled_and_counts_as_applied() {
    // spec: M4
    let mut bench = Bench::on_socket(Settings::default());
    let seen = bench.give(up(r#"{"t":"publish","seq":1,"ch":"a b"}"#));
    assert!(seen[0].contains(r#""t":"error","re":1,"code":"bad_frame""#), "{seen:?}");
    assert_eq!(bench.give(publish(2)), ["command 2"]);
}

#[test]
fn unread_answers_at_their_bound_stop_the_uplink_and_reading_goes_on() {
    // spec: B1
    let settings = Settings { outbox_frames: 4, uplink_frames: 8, ..Settings::default() };
    let mut bench = Bench::on_socket(settings);
    bench.give(Input::Blocked { conn: ConnId(1) });
    for seq in 1..=40 {
        bench.give(up(&format!(r#"{{"t":"away","seq":{seq},"away":true}}"#)));
    }
    assert_eq!(bench.session.outbox_len(), 16, "four times the bound of events");
    assert!(!bench.session.takes_up(), "16 are answered and 8 wait");
    assert_eq!(bench.give(Input::Writable { conn: ConnId(1) }).len(), 16);
    assert_eq!(bench.give(pong(1, 8)).len(), 8, "the acknowledgement lets the next ones run");
}

#[test]
fn a_subscription_that_ends_while_it_begins_is_settled() {
    // spec: M4, S3
    let mut bench = Bench::on_socket(Settings::default());
    bench.give(up(r#"{"t":"subscribe","seq":1,"ch":"d:1"}"#));
    bench.give(Input::Revoke { sub: SubId(1), code: ErrorCode::Forbidden });
    let result = Ok(Box::new(start(ChannelKind::Durable)));
    let seen = bench.give(Input::Subscribed { sub: SubId(1), re: Some(1), result });
    assert!(seen[0].contains(r#""re":1,"code":"forbidden""#), "{seen:?}");
}

#[test]
fn a_second_subscribe_answers_a_position_before_everything_that_waits() {
    // spec: D6
    let mut bench = Bench::on_socket(Settings::default());
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    bench.event(1, 1);
    bench.give(Input::Blocked { conn: ConnId(1) });
    bench.event(1, 2);
    bench.give(up(r#"{"t":"subscribe","seq":1,"ch":"d:1"}"#));
    let seen = bench.give(Input::Writable { conn: ConnId(1) });
    assert!(seen[1].contains(r#""pos":"e.1."#), "{seen:?}");
}
