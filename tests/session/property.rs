//! The properties: whatever the network, the engine and the user do, the client sees what the
//! contract says (D1, D2, D4, D6–D8, O3, S1–S5, R3, R6, M17–M33). Each case is a list of steps.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use throughline::session::input::{ConnKind, Input};
use throughline::session::settings::Settings;

use crate::client::Way;
use crate::network::UpMsg;
use crate::world::World;

/// One step of a case.
#[derive(Debug, Clone)]
pub enum Step {
    Publish { ch: &'static str, many: u64, size: usize },
    Say(Saying),
    Go(Way),
    AttachAgain,
    Cut { client: bool, server: bool },
    Block,
    Unblock,
    Repeat,
    Acknowledge,
    Freeze(u64),
    EngineDown(bool),
    Trim(usize),
    LoseTail(usize),
    LoseAll,
    Member(&'static str, Option<&'static str>),
    Leaving,
    Revoke,
    Park,
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
pub enum Saying {
    Publish,
    Noop,
    Away(bool),
    Subscribe,
    SubscribeAgain,
    Unsubscribe,
    Wrong,
}

fn saying() -> impl Strategy<Value = Saying> {
    prop_oneof![
        4 => Just(Saying::Publish),
        1 => Just(Saying::Noop),
        1 => any::<bool>().prop_map(Saying::Away),
        3 => Just(Saying::Subscribe),
        1 => Just(Saying::SubscribeAgain),
        2 => Just(Saying::Unsubscribe),
        1 => Just(Saying::Wrong),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ch = prop::sample::select(vec!["d:1", "d:2", "e:1", "s:1", "p:1"]);
    let way = prop::sample::select(vec![Way::Socket, Way::Stream, Way::Poll]);
    let member = prop::sample::select(vec!["a", "b", "c"]);
    let state = prop::sample::select(vec![None, Some("online"), Some("away")]);
    prop_oneof![
        14 => (ch, 1..6u64, prop_oneof![9 => 0..40usize, 1 => 400..900usize])
            .prop_map(|(ch, many, size)| Step::Publish { ch, many, size }),
        6 => saying().prop_map(Step::Say),
        6 => way.prop_map(Step::Go),
        2 => Just(Step::AttachAgain),
        5 => (any::<bool>(), any::<bool>())
            .prop_map(|(client, server)| Step::Cut { client, server }),
        2 => Just(Step::Block),
        2 => Just(Step::Unblock),
        4 => Just(Step::Repeat),
        2 => Just(Step::Acknowledge),
        1 => (100..40_000u64).prop_map(Step::Freeze),
        1 => any::<bool>().prop_map(Step::EngineDown),
        1 => (0..6usize).prop_map(Step::Trim),
        1 => (1..6usize).prop_map(Step::LoseTail),
        1 => Just(Step::LoseAll),
        4 => (member, state).prop_map(|(id, state)| Step::Member(id, state)),
        1 => Just(Step::Leaving),
        1 => Just(Step::Revoke),
        1 => Just(Step::Park),
        10 => prop_oneof![6 => 10..1_500u64, 1 => 3_000..16_000u64].prop_map(Step::Wait),
    ]
}

#[derive(Debug, Clone)]
pub struct Case {
    seed: u64,
    opens: Way,
    outbox: (usize, usize),
    slow_pings: bool,
    ends: Way,
    steps: Vec<Step>,
}

pub fn case() -> impl Strategy<Value = Case> {
    let way = || prop::sample::select(vec![Way::Socket, Way::Stream, Way::Poll]);
    let outbox = prop_oneof![Just((16, 4_000)), Just((40, 6_000)), Just((200, 100_000))];
    let steps = prop::collection::vec(step(), 1..80);
    (any::<u64>(), way(), outbox, any::<bool>(), way(), steps).prop_map(
        |(seed, opens, outbox, slow_pings, ends, steps)| Case {
            seed,
            opens,
            outbox,
            slow_pings,
            ends,
            steps,
        },
    )
}

pub fn settings(case: &Case) -> Settings {
    Settings {
        outbox_frames: case.outbox.0,
        outbox_bytes: case.outbox.1,
        uplink_frames: 16,
        pending_events: 4,
        answer_frames: 8,
        answer_bytes: 2_000,
        ping_visible: if case.slow_pings { 3_600_000 } else { 7_000 },
        ..Settings::default()
    }
}

impl World {
    pub fn step(&mut self, step: &Step) {
        match step {
            Step::Publish { ch, many, size } => {
                for _ in 0..*many {
                    let key = self.roll(3);
                    self.publish(ch, *size, key);
                }
            }
            Step::Say(saying) => self.says(*saying),
            Step::Go(way) => self.go(*way),
            Step::AttachAgain => self.attach_again(),
            Step::Cut { client, server } => self.cut_carrier(*client, *server),
            Step::Block => self.flow(|conn| Input::Blocked { conn }),
            Step::Unblock => self.flow(|conn| Input::Writable { conn }),
            Step::Repeat => self.repeat_last(),
            Step::Acknowledge => self.acknowledge(),
            Step::Freeze(ms) => self.frozen_until = self.frozen_until.max(self.now + ms),
            Step::EngineDown(down) => self.engine_up = !down,
            Step::Trim(keep) => self.engine.get_mut("d:1").unwrap().trim(*keep),
            Step::LoseTail(many) => self.lose("d:1", |stored| stored.lose_tail(*many)),
            Step::LoseAll => {
                self.lose("d:2", crate::engine::Stored::lose_all);
                self.lose("s:1", |stored| {
                    stored.lose_all();
                });
            }
            Step::Member(id, Some(state)) => self.joins("p:1", id, state),
            Step::Member(id, None) => self.leaves("p:1", id),
            Step::Leaving => {
                let conn = self.connect(ConnKind::Poll);
                self.send_up(conn, UpMsg::Leaving);
            }
            Step::Revoke => self.revoke("d:2"),
            Step::Park => {
                self.park();
            }
            Step::Wait(ms) => self.run_until(self.now + ms),
        }
        let pause = self.roll(120);
        self.run_until(self.now + pause);
    }

    /// What a store loses shows at the next append.
    fn lose(&mut self, ch: &'static str, how: impl Fn(&mut crate::engine::Stored)) {
        how(self.engine.get_mut(ch).unwrap());
        for key in 0..3 {
            self.publish(ch, 1, key);
        }
    }

    fn says(&mut self, saying: Saying) {
        if self.client.unsettled() >= self.settings.uplink_frames {
            return;
        }
        let seen = self.client.view.channels.get("d:2").filter(|seen| seen.subscribed);
        let since = self.client.view.channels.get("d:2").and_then(|seen| seen.last.clone());
        match saying {
            Saying::Publish => self.say(r#""t":"publish","ch":"d:1","data":1"#),
            Saying::Noop => self.say(r#""t":"noop""#),
            Saying::Away(away) => self.say(&format!(r#""t":"away","away":{away}"#)),
            Saying::SubscribeAgain => self.say(r#""t":"subscribe","ch":"d:1""#),
            Saying::Wrong => self.say(r#""t":"publish","ch":"a b""#),
            Saying::Unsubscribe if seen.is_some() && !self.client.changing => {
                self.say(r#""t":"unsubscribe","ch":"d:2""#)
            }
            Saying::Subscribe if seen.is_none() && !self.client.changing => {
                let since = match (self.roll(3), since) {
                    (0, Some(since)) => format!(r#","since":"{since}""#),
                    (1, _) => r#","since":"0""#.to_owned(),
                    _ => String::new(),
                };
                self.say(&format!(r#""t":"subscribe","ch":"d:2"{since}"#))
            }
            Saying::Unsubscribe | Saying::Subscribe => return,
        };
    }

    fn cut_carrier(&mut self, client: bool, server: bool) {
        let carrier = self.client.carrier.map(|carrier| carrier.conn);
        let conns = self.conns.iter().filter(|(_, conn)| conn.at_server && !conn.cut);
        let open: Vec<_> = conns.map(|(id, _)| *id).collect();
        let pick = self.roll(7);
        let some = open.iter().cycle().zip(0..=pick).last().map(|(conn, _)| *conn);
        if let Some(conn) = carrier.or(some) {
            self.cut(conn, client, server);
        }
    }

    fn flow(&mut self, input: impl Fn(throughline::session::input::ConnId) -> Input) {
        if let Some(carrier) = self.client.carrier.filter(|c| self.conns[&c.conn].at_server) {
            self.feed(input(carrier.conn));
        }
    }

    /// Heals everything, and judges that the client then gets all there is.
    pub fn heal_and_judge(&mut self, ends: Way) {
        self.run_until(self.now + 1_000);
        self.engine_up = true;
        self.run_until(self.frozen_until);
        self.flow(|conn| Input::Writable { conn });
        self.take_poll();
        self.run_until(self.now + 4_000);
        self.go(ends);
        self.run_until(self.now + 15_000);
        for ch in ["d:1", "d:2", "e:1", "s:1", "p:1"] {
            self.publish(ch, 3, 0);
        }
        self.run_until(self.now + 20_000);
        if self.ended.is_some() {
            return;
        }
        self.judge_channels();
        self.take_poll();
        self.run_until(self.now + 4_000);
        self.take_poll();
        self.run_until(self.now + 15_000);
        self.judge_channels();
        let waits = |kind| kind == ConnKind::Poll;
        for (id, conn) in self.conns.iter().filter(|(_, c)| c.asked && c.at_server && waits(c.kind))
        {
            let link = self.session.link_conn() == Some(*id);
            assert!(link, "M11, M17: {id:?} was never answered: {conn:?}");
        }
        assert!(self.client.view.owed.is_none(), "M33: no caught_up");
        assert_eq!(self.client.unsettled(), 0, "S3: not every frame was applied");
        let said = 1..=self.client.seq;
        let answered = said.filter(|seq| !self.client.silent.contains(seq));
        assert!(answered.eq(self.client.view.settled.iter().copied()), "S3: an answer is missing");
    }

    fn judge_channels(&self) {
        let (mut published, mut delivered) = (0, self.client.view.skipped);
        for (ch, seen) in &self.client.view.channels {
            let stored = &self.engine[ch];
            if seen.subscribed {
                seen.judge_end(ch, stored);
            }
            if stored.kind == throughline::session::input::ChannelKind::Ephemeral {
                published += stored.top - seen.begun_at;
                delivered += seen.delivered;
            }
        }
        assert_eq!(published, delivered, "D7: delivered and skipped are not all");
    }
}

/// Runs one case to its end.
pub fn run(case: &Case) {
    let mut world = World::new(settings(case), case.seed);
    let kind = if case.opens == Way::Poll { ConnKind::Poll } else { ConnKind::Push };
    world.open(kind, &["d:1", "e:1", "s:1", "p:1"]);
    world.run_until(3_000);
    world.take_poll();
    world.run_until(6_000);
    world.go(case.opens);
    for step in &case.steps {
        world.step(step);
        if let Some(code) = world.ended {
            let gone = world.detached_at.is_some_and(|at| at + world.settings.window <= world.now);
            assert!(gone, "the session ended: {code:?}");
            return;
        }
    }
    world.heal_and_judge(case.ends);
}

/// A number of cases or steps, unless the environment says otherwise.
fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

pub fn check<S: Strategy>(seed: u64, default: u32, strategy: S, test: impl Fn(S::Value)) {
    let config = Config {
        cases: setting("PROPTEST_CASES", default),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: setting("PROPTEST_MAX_SHRINK_ITERS", 4_000),
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&strategy, |value| {
        test(value);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn the_client_sees_what_the_contract_says_whatever_happens() {
    check(1, 2_000, case(), |case| run(&case));
}

#[test]
fn parking_at_any_step_is_not_seen() {
    // spec: S4, S5
    check(2, 300, case(), |mut case| {
        let steps = std::mem::take(&mut case.steps);
        case.steps = steps.into_iter().flat_map(|step| [step, Step::Park]).collect();
        run(&case);
    });
}
