//! What happens by the clock alone.

use std::sync::Arc;

use throughline::session::input::{ChannelKind, ConnId, ConnKind, Input};
use throughline::session::settings::Settings;

use crate::bench::{Bench, attach, exchange, lost, opened, pong, start, started};

const DAY_MS: u64 = 24 * 3_600_000;

#[test]
fn a_day_with_fresh_tokens_keeps_the_link_and_does_not_grow() {
    // spec: S6, M25, B1
    let mut bench = Bench::begin(Settings::default(), true, Some(3_600_000));
    bench.give(opened(1, ConnKind::Push));
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    let mut pings = 0;
    let mut count = 1;
    while bench.now < DAY_MS {
        let next = bench.now + 7_000;
        pings += bench.until(next).iter().filter(|(_, out)| out.contains(r#""l":"ping""#)).count();
        bench.event(1, count);
        count += 1;
        bench.give(pong(1, count));
        if bench.now % 3_500_000 < 7_000 {
            let expires_at = Some(bench.now + 3_600_000);
            bench.give(Input::Renewed { ticket: Arc::from("t"), expires_at });
        }
        assert_eq!(bench.session.outbox_len(), 0);
    }
    assert_eq!(bench.session.link_number(), 1);
    assert!(bench.session.is_attached());
    assert!(pings >= 12_000, "{pings} pings in a day");
}

#[test]
fn a_token_that_is_not_renewed_ends_delivery_and_not_the_session() {
    // spec: S6
    let mut bench = Bench::begin(Settings::default(), true, Some(20_000));
    bench.give(opened(1, ConnKind::Push));
    bench.give(pong(1, 0));
    bench.until(15_000);
    bench.give(pong(1, 0));
    assert_eq!(bench.until(20_000), [(20_000, "1 x token_expired".to_owned())]);
    assert_eq!(bench.give(exchange(2, attach(2, 0), &[])), ["2 x token_expired"]);
    bench.give(Input::Renewed { ticket: Arc::from("t"), expires_at: Some(99_000) });
    let answer = bench.give(exchange(3, attach(2, 0), &[]));
    assert!(answer.iter().any(|out| out.contains("caught_up")), "{answer:?}");
}

#[test]
fn a_profile_of_30_and_60_s_pings_and_detects_by_its_own_interval() {
    // spec: M26
    let settings = Settings { ping_visible: 30_000, ping_hidden: 60_000, ..Settings::default() };
    let mut bench = Bench::on_socket(settings);
    let pings: Vec<_> = bench.until(75_000).into_iter().map(|(at, _)| at).collect();
    assert_eq!(pings, [30_000, 60_000, 75_000], "two pings, then dead");
    assert!(!bench.session.is_attached());
}

#[test]
fn a_hidden_page_is_pinged_at_its_own_interval() {
    let mut bench = Bench::on_socket(Settings::default());
    bench.give(Input::Pong { conn: ConnId(1), count: None, visible: Some(false) });
    let pings: Vec<_> = bench.until(33_000).into_iter().map(|(at, _)| at).collect();
    assert_eq!(pings, [7_000, 32_000]);
}

#[test]
fn a_frozen_client_is_detached_at_two_and_a_half_pings_and_leaves_at_the_end_of_grace() {
    // spec: M26, R1, R3
    let mut bench = Bench::on_socket(Settings::default());
    let member = throughline::session::input::Start { member: true, ..start(ChannelKind::Durable) };
    bench.subscribed(1, "d:1", ChannelKind::Durable);
    bench.session.subscribe(throughline::protocol::up::Subscribe {
        ch: throughline::protocol::channel::Channel::parse("d:2").unwrap(),
        since: None,
        presence: false,
    });
    bench.poll();
    bench.give(started(2, member));
    let seen = bench.until(DAY_MS);
    let at = |what: &str| seen.iter().find(|(_, out)| out == what).map(|(at, _)| *at);
    assert_eq!(at("1 x dead"), Some(17_500));
    assert_eq!(at("leave d:2"), Some(27_500));
    assert_eq!(Settings::default().leave_bound(true), 27_500);
    assert_eq!(at("ended"), Some(17_500 + 120_000));
}

#[test]
fn a_page_that_goes_away_leaves_after_two_seconds_unless_it_comes_back() {
    // spec: R1, R3
    let mut bench = Bench::on_socket(Settings::default());
    bench.session.subscribe(throughline::protocol::up::Subscribe {
        ch: throughline::protocol::channel::Channel::parse("p:1").unwrap(),
        since: None,
        presence: true,
    });
    bench.poll();
    let member = throughline::session::input::Start { member: true, ..start(ChannelKind::Durable) };
    bench.give(started(1, member));
    bench.give(Input::Leaving);
    bench.now = 1_900;
    bench.give(exchange(2, attach(2, 1), &[]));
    assert!(!bench.until(5_000).iter().any(|(_, out)| out.starts_with("leave")));
    bench.give(Input::Leaving);
    let seen = bench.until(8_000);
    let leaves: Vec<_> = seen.iter().filter(|(_, out)| out == "leave p:1").collect();
    assert_eq!(leaves, [&(7_000, "leave p:1".to_owned())]);
}

/// When a page leaves that said so at 0 and from which this came a second later.
fn leaves_after(late: Input) -> Option<u64> {
    let mut bench = Bench::on_socket(Settings::default());
    bench.session.subscribe(throughline::protocol::up::Subscribe {
        ch: throughline::protocol::channel::Channel::parse("p:1").unwrap(),
        since: None,
        presence: true,
    });
    bench.poll();
    let member = throughline::session::input::Start { member: true, ..start(ChannelKind::Durable) };
    bench.give(started(1, member));
    bench.give(exchange(2, attach(1, 1), &[r#"{"t":"noop","seq":1}"#]));
    bench.give(Input::Leaving);
    bench.give(lost(1));
    bench.now = 1_000;
    bench.give(late);
    let seen = bench.until(DAY_MS);
    seen.iter().find(|(_, out)| out == "leave p:1").map(|(at, _)| *at)
}

#[test]
fn a_request_that_was_under_way_when_the_page_went_does_not_bring_it_back() {
    // spec: R1
    let repeated = exchange(3, attach(1, 1), &[r#"{"t":"noop","seq":1}"#]);
    assert_eq!(leaves_after(repeated), Some(2_000));
}

#[test]
fn a_page_that_acts_has_not_gone() {
    // spec: R3
    let acts = exchange(3, attach(1, 1), &[r#"{"t":"noop","seq":2}"#]);
    assert_eq!(leaves_after(acts), Some(10_000), "at the end of grace");
}

#[test]
fn a_provisional_session_ends_ten_seconds_after_it_was_opened() {
    // spec: M14
    let mut bench = Bench::new(Settings::default());
    bench.give(opened(1, ConnKind::Push));
    let seen = bench.until(DAY_MS);
    assert_eq!(seen.last(), Some(&(10_000, "ended".to_owned())));
}

#[test]
fn a_provisional_session_is_never_kept_for_the_window() {
    // spec: M14
    let ends: [fn(&mut Bench); 3] =
        [|bench| drop(bench.give(Input::Leaving)), |bench| drop(bench.give(lost(1))), |_| {}];
    for end in ends {
        let settings = Settings { ping_visible: 2_000, ..Settings::default() };
        let mut bench = Bench::begin(settings, true, Some(4_000));
        bench.give(opened(1, ConnKind::Push));
        end(&mut bench);
        bench.until(4_000);
        assert!(bench.session.is_ended());
    }
}

#[test]
fn any_frame_on_the_connection_answers_the_hello() {
    // spec: M14
    let mut bench = Bench::new(Settings::default());
    bench.give(opened(1, ConnKind::Push));
    bench.give(Input::Life { conn: ConnId(1) });
    bench.until(12_000);
    assert!(bench.session.is_attached());
}

#[test]
fn a_poll_is_answered_at_its_wait_and_not_before() {
    let mut bench = Bench::on_socket(Settings::default());
    bench.give(lost(1));
    let first = bench.give(exchange(2, attach(2, 0), &[]));
    assert!(first[0].contains("caught_up"), "what is there comes at once: {first:?}");
    assert!(bench.give(exchange(3, attach(3, 1), &[])).iter().all(|out| !out.starts_with("3 =")));
    assert_eq!(bench.until(4_999), []);
    assert_eq!(bench.give(Input::Tick), Vec::<String>::new());
    let seen = bench.until(5_000);
    assert_eq!(seen, [(5_000, r#"3 = {"l":"attached","link":3,"from":1,"up":0}"#.to_owned())]);
}

#[test]
fn an_open_waits_for_its_subscriptions_beyond_its_wait_without_waking() {
    let mut bench = Bench::new(Settings::default());
    let ch = throughline::protocol::channel::Channel::parse("d:1").unwrap();
    bench.session.subscribe(throughline::protocol::up::Subscribe {
        ch,
        since: None,
        presence: false,
    });
    bench.give(Input::Opened { conn: ConnId(1), kind: ConnKind::Poll, link: 1 });
    assert_eq!(bench.until(1_000), []);
    let answer = bench.give(started(1, start(ChannelKind::Durable)));
    assert!(answer[0].contains("subscribed"), "{answer:?}");
}

#[test]
fn a_polling_session_is_detached_ten_seconds_after_its_last_answer() {
    // spec: M26
    let mut bench = Bench::on_socket(Settings::default());
    bench.give(lost(1));
    bench.give(exchange(2, attach(2, 0), &[]));
    bench.until(9_999);
    assert!(bench.session.is_attached());
    bench.until(10_000);
    assert!(!bench.session.is_attached());
}

#[test]
fn what_waits_is_handed_without_any_other_input() {
    let settings = Settings { outbox_frames: 2, ..Settings::default() };
    let mut bench = Bench::begin(settings, false, None);
    bench.give(opened(1, ConnKind::Push));
    bench.give(Input::Blocked { conn: ConnId(1) });
    for seq in 1..=9 {
        let text = match seq {
            9 => r#"{"t":"publish","seq":9,"ch":"d:1","data":1}"#.to_owned(),
            _ => format!(r#"{{"t":"away","seq":{seq},"away":true}}"#),
        };
        bench.give(Input::Up { conn: ConnId(1), frame: crate::bench::numbered(&text) });
    }
    assert_eq!(bench.give(Input::Writable { conn: ConnId(1) }).len(), 8);
    let wakes = bench.until(bench.now);
    assert!(wakes.iter().any(|(_, out)| out.starts_with("command")), "{wakes:?}");
}
