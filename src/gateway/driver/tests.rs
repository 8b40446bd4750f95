//! What a session's shell keeps from others: panics, a hello that is answered too soon, and how long
//! it takes to let go of the session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::engine::clock::Clock;
use crate::engine::types::Entrance;
use crate::gateway::Gateway;
use crate::gateway::driver::Taker;
use crate::gateway::listing;
use crate::gateway::testing::{Opened, WITHIN, in_time, node};
use crate::hub::wheel::TURN_MS;
use crate::protocol::channel::Channel;
use crate::protocol::error::ErrorCode;
use crate::session::input::Input;
use crate::telemetry::clock::now_ms;

/// One session that breaks at a frame that holds a text, and one that does not; both read the same channel.
async fn two(gateway: &Arc<Gateway>, breaks_at: &'static str) -> (Opened, Opened) {
    let breaks = move |frame: &str| {
        assert!(breaks_at.is_empty() || !frame.contains(breaks_at), "it breaks");
    };
    let broken = Opened::new(gateway, Box::new(breaks));
    let mut whole = Opened::new(gateway, Box::new(|_| {}));
    whole.until("subscribed").await;
    (broken, whole)
}

/// Publishes, and waits for the event.
async fn publishes(session: &mut Opened, seq: u64) {
    session.say(&format!(r#"{{"t":"publish","seq":{seq},"ch":"chat:1","data":"no {seq}"}}"#));
    session.until(&format!("no {seq}")).await;
}

/// The broken session is over and leaves nothing; the other goes on.
async fn is_contained(gateway: &Gateway, broken: &Opened, whole: &mut Opened, seq: u64) {
    // Not by the runtime's clock, which may stand still.
    let until = Instant::now() + WITHIN;
    while broken.closed().is_none() {
        assert!(Instant::now() < until, "not within {WITHIN:?}: the session that broke is over");
        tokio::task::yield_now().await;
    }
    assert_eq!(broken.closed(), Some((ErrorCode::Internal, true)));
    assert_eq!((gateway.sessions(), gateway.metrics.panics.get()), (1, 1));
    publishes(whole, seq).await;
    // What it has to give back is given back.
    gateway.tasks.close();
    in_time("what the node does ends", gateway.tasks.wait()).await;
    let channel = Channel::parse("chat:1").unwrap();
    assert_eq!(gateway.engine.members(&channel).await.unwrap().count, 1);
    // This comes to the fan-out after its end.
    publishes(whole, seq + 1).await;
    assert_eq!(Arc::strong_count(&broken.driver), 1);
    assert_eq!(whole.closed(), None);
}

#[tokio::test]
async fn a_panic_in_the_fan_out_ends_one_session() {
    // spec: B2
    let gateway = node(Clock::wall());
    let (mut broken, mut whole) = two(&gateway, r#""t":"event""#).await;
    broken.until("subscribed").await;
    publishes(&mut whole, 1).await;
    is_contained(&gateway, &broken, &mut whole, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_wheels_turn_ends_one_session() {
    // spec: B2
    let gateway = node(Clock::wall());
    let (mut broken, mut whole) = two(&gateway, r#""l":"ping""#).await;
    broken.until("subscribed").await;
    tokio::time::advance(Duration::from_secs(7)).await;
    gateway.turn(now_ms() + TURN_MS);
    whole.until(r#""l":"ping""#).await;
    is_contained(&gateway, &broken, &mut whole, 1).await;
}

#[tokio::test]
async fn a_panic_while_the_answer_of_an_effect_is_written_ends_one_session() {
    // spec: B2
    let gateway = node(Clock::wall());
    let (broken, mut whole) = two(&gateway, r#""t":"subscribed""#).await;
    is_contained(&gateway, &broken, &mut whole, 1).await;
}

#[tokio::test]
async fn a_panic_of_the_engine_ends_the_session_that_asked() {
    // spec: B2
    static BREAKS: AtomicBool = AtomicBool::new(false);
    let clock = Clock::from_fn(|| {
        assert!(!BREAKS.swap(false, Ordering::SeqCst), "it breaks");
        1_700_000_000_000
    });
    let gateway = node(clock);
    let (mut broken, mut whole) = two(&gateway, "").await;
    broken.until("subscribed").await;
    publishes(&mut broken, 1).await;
    whole.until("no 1").await;
    BREAKS.store(true, Ordering::SeqCst);
    broken.say(r#"{"t":"publish","seq":2,"ch":"chat:1","data":2}"#);
    is_contained(&gateway, &broken, &mut whole, 1).await;
}

#[tokio::test]
async fn whoever_answers_a_hello_finds_the_session_that_it_opened() {
    // spec: M14, M20
    let gateway = node(Clock::wall());
    let (answered, answers) = std::sync::mpsc::channel();
    let node = Arc::clone(&gateway);
    let on_frame = move |frame: &str| {
        if !frame.contains(r#""l":"hello""#) {
            return;
        }
        // A client as fast as can be: it answers while the hello is being written.
        let (gateway, answered) = (Arc::clone(&node), answered.clone());
        let (began, begins) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let driver = gateway.registry.all().pop().unwrap();
            let _ = began.send(());
            answered.send(driver.with(|session| session.link_number())).unwrap();
        });
        begins.recv_timeout(WITHIN).unwrap();
    };
    let _session = Opened::new(&gateway, Box::new(on_frame));
    assert_eq!(answers.recv_timeout(WITHIN).unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_client_is_elsewhere_does_not_leave_while_it_settles() {
    // spec: R3
    for (taker, members) in [(Taker::Link(2), 1), (Taker::Request, 1), (Taker::Nobody, 0)] {
        let gateway = node(Clock::wall());
        let mut session = Opened::new(&gateway, Box::new(|_| {}));
        publishes(&mut session, 1).await;
        session.driver.handle(Input::Leaving);
        let _settled = session.driver.begin_leaving(taker);
        tokio::time::advance(Duration::from_secs(3)).await;
        gateway.turn(now_ms() + TURN_MS);
        gateway.tasks.close();
        in_time("what the node does ends", gateway.tasks.wait()).await;
        let channel = Channel::parse("chat:1").unwrap();
        assert_eq!(gateway.engine.members(&channel).await.unwrap().count, members, "{taker:?}");
    }
}

#[tokio::test]
async fn who_ends_a_session_that_was_about_to_leave_and_stays_is_told_to_come_back() {
    // spec: S3
    let gateway = node(Clock::wall());
    let session = Opened::new(&gateway, Box::new(|_| {}));
    let _settled = session.driver.begin_leaving(Taker::Request);
    session.closes();
    session.driver.stay();
    assert_eq!(session.closed(), Some((ErrorCode::Moved, false)));
}

#[tokio::test]
async fn a_session_that_is_gone_is_not_listed_by_what_was_still_under_way() {
    // spec: R4
    let gateway = node(Clock::wall());
    let session = Opened::new(&gateway, Box::new(|_| {}));
    session.driver.depart();
    let channel = Channel::parse("chat:2").unwrap();
    let entered = listing::enter(&session.driver, &channel, false, Entrance::default()).await;
    assert!(entered.is_err());
    assert_eq!(gateway.engine.members(&channel).await.unwrap().count, 0);
}

#[tokio::test]
async fn whoever_comes_as_the_session_ends_is_told_why() {
    // spec: M45
    let gateway = node(Clock::wall());
    let session = Opened::new(&gateway, Box::new(|_| {}));
    // A request that is about to be brought to it.
    let before = session.connects(&gateway);
    session.driver.end(ErrorCode::TooManySessions);
    assert_eq!(before.closed(), Some((ErrorCode::TooManySessions, true)));
    let after = session.connects(&gateway);
    assert_eq!(after.closed(), Some((ErrorCode::TooManySessions, true)));
}
