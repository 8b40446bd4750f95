//! What the fuzz targets do; the session's tests run the same on bounded random input.

use std::sync::Arc;

use throughline::protocol::channel::Channel;
use throughline::protocol::frame::Frame;
use throughline::protocol::position::{Epoch, GapReason, Position, Tag};
use throughline::protocol::up::{self, Command, Numbered, Subscribe, Up};
use throughline::protocol::{body, error::ErrorCode};
use throughline::session::input::{
    AttachInput, ChannelKind, ConnId, ConnKind, EventInput, Input, PageInput, Start, SubId, Target,
};
use throughline::session::settings::Settings;
use throughline::session::{Begin, Session};

const FRAMES: usize = 8;
const FRAME_BYTES: usize = 512;
/// Subscriptions that an `open` names at most; each is answered.
const ASKED: usize = 16;

/// Reads anything as a frame and as a body.
pub fn codec(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(Up::Session(frame)) = up::parse(text)
    {
        assert!((1..1 << 53).contains(&frame.seq));
    }
    if let Ok(frames) = body::parse(bytes, FRAMES, FRAME_BYTES) {
        assert!(frames.len() <= FRAMES);
    }
}

/// Bytes as numbers; zeroes at the end.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn small(&mut self) -> u64 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        u64::from(*first)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.small() % bound
    }
}

/// Brings any inputs at any times.
pub fn session(bytes: &[u8]) {
    let mut dice = Dice(bytes);
    let settings = Arc::new(Settings {
        outbox_frames: 8,
        outbox_bytes: 2_000,
        uplink_frames: 4,
        pending_events: 4,
        subscriptions: 4,
        ..Settings::default()
    });
    let acks = dice.below(4) > 0;
    let expires_at = (dice.below(4) == 0).then_some(50_000);
    let begin = Begin { ticket: "t".into(), acks, visible: true, expires_at };
    let mut session = Session::open(Arc::clone(&settings), begin, 0);
    let (mut now, mut asked) = (0, 0);
    // Answers that no event asked for: of commands, subscriptions and lists under way.
    let slack = 64;
    while !dice.0.is_empty() {
        let input = input(&mut dice);
        now += dice.small() * dice.below(40);
        session.handle(input, now);
        if dice.below(5) == 0 && asked < ASKED {
            asked += 1;
            session.subscribe(Subscribe { ch: channel(&mut dice), since: None, presence: true });
        }
        let mut outputs = 0;
        while session.poll().is_some() {
            outputs += 1;
            assert!(outputs < 10_000);
        }
        assert!(session.outbox_len() <= settings.outbox_frames + slack, "{}", session.outbox_len());
        if dice.below(20) == 0
            && let Some(parked) = session.park(now)
        {
            session = Session::restore(Arc::clone(&settings), parked.aged(dice.small()), now);
        }
        for _ in 0..1_000 {
            if session.wake_at().is_none_or(|at| at > now) {
                break;
            }
            session.handle(Input::Tick, now);
            while session.poll().is_some() {}
        }
        assert!(session.wake_at().is_none_or(|at| at > now), "it wakes without end");
    }
}

fn channel(dice: &mut Dice<'_>) -> Channel {
    let names = ["d:1", "d:2", "e:1", "s:1", "p:1"];
    let name = names.iter().cycle().nth(usize::try_from(dice.small()).unwrap_or_default());
    Channel::parse(name.copied().unwrap_or("d:1")).unwrap_or_else(|_| unreachable!())
}

fn position(dice: &mut Dice<'_>) -> Position {
    let epoch = if dice.below(8) == 0 { "f" } else { "e" };
    let offset = dice.below(20);
    let epoch = Epoch::parse(epoch).unwrap_or_else(|_| unreachable!());
    Position { epoch, offset, tag: Tag(offset) }
}

fn event(dice: &mut Dice<'_>) -> EventInput {
    let at = position(dice);
    let size = if dice.below(10) == 0 { 900 } else { 20 };
    let json = format!(r#"{{"t":"event","data":"{}"}}"#, "x".repeat(size));
    let prev = Tag(at.offset.saturating_sub(1));
    EventInput { offset: at.offset, tag: at.tag, prev, frame: Frame::new(json.as_bytes()) }
}

fn page(dice: &mut Dice<'_>) -> Option<PageInput> {
    let many = dice.below(6);
    let gap = (dice.below(6) == 0).then_some(GapReason::Trimmed);
    let events = (0..many).map(|_| event(dice)).collect();
    (dice.below(6) > 0).then(|| PageInput { events, top: position(dice), gap })
}

fn attach(dice: &mut Dice<'_>) -> AttachInput {
    let via = ConnId(dice.below(12));
    let target = if dice.below(3) == 0 { Target::Via(Some(via)) } else { Target::Own };
    let (link, count) = (1 + dice.below(30), dice.below(30));
    AttachInput { link, count, target, visible: Some(dice.below(2) == 0), wait: dice.small() * 100 }
}

fn numbered(dice: &mut Dice<'_>) -> Numbered {
    let seq = 1 + dice.below(20);
    let command = match dice.below(5) {
        0 => Ok(Command::Noop),
        1 => Ok(Command::Away(dice.below(2) == 0)),
        2 => Ok(Command::Unsubscribe(channel(dice))),
        3 => Ok(Command::Subscribe(Subscribe { ch: channel(dice), since: None, presence: false })),
        _ => Err(ErrorCode::BadFrame.into()),
    };
    Numbered { seq, command }
}

fn start(dice: &mut Dice<'_>) -> Start {
    let page = page(dice).unwrap_or(PageInput { events: vec![], top: position(dice), gap: None });
    let kinds = [ChannelKind::Durable, ChannelKind::Ephemeral, ChannelKind::State];
    let kind = kinds.into_iter().cycle().nth(usize::try_from(dice.small()).unwrap_or_default());
    Start {
        kind: kind.unwrap_or(ChannelKind::Durable),
        member: dice.below(2) == 0,
        watches: dice.below(2) == 0,
        position: position(dice),
        gap: page.gap,
        events: page.events,
        top: page.top,
        replays: dice.below(2) == 0,
        members: Some(Frame::new(b"{\"t\":\"members\"}")),
    }
}

fn input(dice: &mut Dice<'_>) -> Input {
    let (conn, sub) =
        (ConnId(dice.below(12)), SubId(1 + u32::try_from(dice.below(6)).unwrap_or(0)));
    let kind = if dice.below(2) == 0 { ConnKind::Push } else { ConnKind::Poll };
    let epoch = position(dice).epoch;
    match dice.below(22) {
        0 => Input::Opened { conn, kind, link: 1 },
        1 => Input::Candidate { conn, kind: ConnKind::Push },
        2 => Input::Attach { conn, attach: attach(dice) },
        3 => {
            let frames = (0..dice.below(4)).map(|_| numbered(dice)).collect();
            Input::Exchange { conn, attach: attach(dice), frames }
        }
        4 => Input::Up { conn, frame: numbered(dice) },
        5 => Input::Pong { conn, count: Some(dice.below(30)), visible: None },
        6 => Input::Life { conn },
        7 => Input::Writable { conn },
        8 => Input::Blocked { conn },
        9 => Input::Lost { conn },
        10 => Input::Leaving,
        11 => Input::Settled { seq: 1 + dice.below(20), frame: Some(Frame::new(b"{}")) },
        12 => Input::Subscribed { sub, re: None, result: Ok(Box::new(start(dice))) },
        13 => Input::Subscribed {
            sub,
            re: Some(1 + dice.below(20)),
            result: Ok(Box::new(start(dice))),
        },
        14 => Input::Presence { sub, frame: Frame::new(b"{\"t\":\"join\"}") },
        15 => Input::Page { sub, result: page(dice) },
        16 => Input::State { sub, result: page(dice) },
        17 => Input::Members { sub, frame: Some(Frame::new(b"{}")) },
        18 => Input::Unwatch { sub, code: ErrorCode::Forbidden },
        19 => Input::Revoke { sub, code: ErrorCode::Forbidden },
        20 => Input::Tick,
        _ => Input::Event { sub, epoch, event: event(dice) },
    }
}
