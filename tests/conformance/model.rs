//! Random publishes, reads and time against a model that keeps everything and searches it.

use std::collections::HashMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use throughline::engine::types::{EngineError, Page, PageLimit, Publish, Published, Retention};
use throughline::protocol::position::{Epoch, GapReason, Position, Since, Tag};

use super::Harness;
use super::fixture::{Fixture, channel, entry, keyed, with_id};

const WINDOW_SECS: u64 = 300;
const CHANNELS: [(&str, Retention); 3] = [
    ("chat:a", Retention::Log { size: 6, age: Duration::from_millis(100_500) }),
    ("score:a", Retention::State { keys: 3 }),
    ("cursor:a", Retention::None),
];

#[derive(Debug, Clone)]
enum Step {
    Publish { ch: usize, keys: Vec<u8>, id: Option<(u8, u8)>, expect: Option<usize> },
    Read { ch: usize, since: Option<(usize, u64, bool, bool)>, events: usize, bytes: usize },
    State { ch: usize },
    Wait { secs: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let ch = 0..CHANNELS.len();
    let rare = || prop::bool::weighted(0.15);
    let ahead = prop_oneof![9 => Just(0u64), 1 => 1..3u64];
    let since = (any::<usize>(), ahead, rare(), rare());
    let (events, bytes) = (1..8usize, prop_oneof![0..200usize, Just(1 << 20)]);
    let id = prop::option::of((0..4u8, prop_oneof![5 => Just(0u8), 1 => Just(1u8)]));
    let expect = prop::option::weighted(0.2, any::<usize>());
    prop_oneof![
        5 => (ch.clone(), vec(0..6u8, 1..4), id, expect)
            .prop_map(|(ch, keys, id, expect)| Step::Publish { ch, keys, id, expect }),
        4 => (ch.clone(), prop::option::weighted(0.9, since), events, bytes)
            .prop_map(|(ch, since, events, bytes)| Step::Read { ch, since, events, bytes }),
        1 => ch.prop_map(|ch| Step::State { ch }),
        1 => prop_oneof![1..60u64, 200..700u64].prop_map(|secs| Step::Wait { secs }),
    ]
}

struct Stored {
    tag: Tag,
    key: u8,
    at: u64,
    bytes: usize,
}

/// One channel with all that was ever published to it.
struct Channel {
    name: &'static str,
    retention: Retention,
    epoch: Epoch,
    events: Vec<Stored>,
    ids: HashMap<u8, (u8, u64, Position)>,
}

impl Channel {
    fn position(&self, offset: usize) -> Position {
        let tag = if offset == 0 { Tag(0) } else { self.events[offset - 1].tag };
        Position { epoch: self.epoch.clone(), offset: offset as u64, tag }
    }

    fn top(&self) -> Position {
        self.position(self.events.len())
    }

    /// The offset after which everything is retained.
    fn floor(&self, now: u64) -> usize {
        let Retention::Log { size, age } = self.retention else { return self.events.len() };
        let young = |event: &&Stored| now - event.at <= age.as_secs();
        self.events.len() - self.events.iter().rev().take(size).take_while(young).count()
    }

    fn gap(&self, since: &Position, now: u64) -> Option<GapReason> {
        let known = since.epoch == self.epoch;
        let at = usize::try_from(since.offset).unwrap();
        let reason = if at > self.events.len() {
            GapReason::Ahead
        } else if at < self.floor(now) {
            GapReason::Trimmed
        } else if self.position(at).tag != since.tag || (at == 0 && !known) {
            GapReason::Tag
        } else {
            return None;
        };
        Some(if known { reason } else { GapReason::Epoch })
    }

    /// The offsets of the latest event of each key.
    fn state(&self) -> Vec<u64> {
        let Retention::State { keys } = self.retention else { return Vec::new() };
        let later = |n: usize, key| self.events[n + 1..].iter().any(|event| event.key == key);
        let latest = self.events.iter().enumerate().filter(|(n, event)| !later(*n, event.key));
        let offsets: Vec<u64> = latest.map(|(n, _)| n as u64 + 1).collect();
        offsets[offsets.len().saturating_sub(keys)..].to_vec()
    }
}

struct Model {
    it: Fixture,
    now: u64,
    channels: Vec<Channel>,
}

impl Model {
    async fn publish(&mut self, ch: usize, keys: &[u8], id: Option<(u8, u8)>, at: Option<usize>) {
        let (now, model) = (self.now, &mut self.channels[ch]);
        let expect = at.map(|at| model.position(at % (model.events.len() + 1)));
        let entries: Vec<_> = keys.iter().map(|key| keyed(&format!("k{key}"), "x")).collect();
        let tags: Vec<Tag> = entries.iter().map(|entry| entry.tag).collect();
        let (name, retention) = (channel(model.name), model.retention);
        let expected = expect.clone();
        let mut send =
            Publish { channel: name, retention, entries, dedupe: None, expect, replicas: 0 };
        if let Some((id, body)) = id {
            send = with_id(send, "u:ann", &id.to_string(), body);
        }
        let answer = self.it.engine.publish(send).await;
        if let Some((id, body)) = id
            && let Some((first, stored_at, position)) = model.ids.get(&id)
        {
            let repeat = match &answer {
                Ok(Published { position: again, duplicate: true }) => {
                    assert!(again == position && *first == body);
                    true
                }
                Err(EngineError::DuplicateId) => {
                    assert_ne!(*first, body);
                    true
                }
                Ok(_) | Err(_) => false,
            };
            let age = now - stored_at;
            assert!(repeat || age >= WINDOW_SECS, "known for a window");
            assert!(!repeat || age <= WINDOW_SECS * 2, "and for two at most");
            if repeat {
                return;
            }
        }
        let top = model.top();
        if expected.is_some_and(|expected| expected != top) {
            assert!(matches!(answer, Err(EngineError::Conflict { top: Some(now) }) if now == top));
            return;
        }
        for (tag, key) in tags.into_iter().zip(keys) {
            model.events.push(Stored { tag, key: *key, at: now, bytes: 0 });
            let frame = entry("x").frame.with_position(&model.top());
            model.events.last_mut().unwrap().bytes = frame.len();
        }
        let position = model.top();
        if let Some((id, body)) = id {
            model.ids.insert(id, (body, now, position.clone()));
        }
        assert_eq!(answer.unwrap(), Published { position, duplicate: false });
    }

    async fn read(&self, ch: usize, since: Option<(usize, u64, bool, bool)>, limit: PageLimit) {
        let model = &self.channels[ch];
        let (asked, from) = match since {
            None => (Since::Oldest, model.position(model.floor(self.now))),
            Some((at, ahead, other_tag, other_epoch)) => {
                let mut from = model.position(at % (model.events.len() + 1));
                from.offset += ahead;
                from.tag.0 ^= u64::from(other_tag);
                if other_epoch {
                    from.epoch = Epoch::parse("another").unwrap();
                }
                (Since::After(from.clone()), from)
            }
        };
        let page = self.it.page(&channel(model.name), asked, limit).await;
        let gap = model.gap(&from, self.now);
        assert_eq!((page.gap, &page.top), (gap, &model.top()), "{from}");
        if gap.is_some() {
            assert!(page.events.is_empty() && page.position == page.top);
        } else {
            check_page(model, &page, usize::try_from(from.offset).unwrap(), limit);
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Publish { ch, keys, id, expect } => self.publish(ch, &keys, id, expect).await,
            Step::Read { ch, since, events, bytes } => {
                self.read(ch, since, PageLimit { events, bytes }).await;
            }
            Step::State { ch } => {
                let state = self.it.engine.state(&channel(self.channels[ch].name)).await.unwrap();
                assert_eq!(super::fixture::offsets(&state.events), self.channels[ch].state());
                assert_eq!(state.top, self.channels[ch].top());
            }
            Step::Wait { secs } => {
                self.now += secs;
                self.it.advance(Duration::from_secs(secs)).await;
            }
        }
    }
}

/// A page holds the events after `from`, whole and in order, and as many as fit.
fn check_page(model: &Channel, page: &Page, from: usize, limit: PageLimit) {
    let mut fit = 0;
    let mut bytes = 0;
    for stored in model.events[from..].iter().take(limit.events) {
        bytes += stored.bytes;
        if fit > 0 && bytes > limit.bytes {
            break;
        }
        fit += 1;
    }
    assert_eq!(page.events.len(), fit);
    assert_eq!(page.position, model.position(from + fit));
    for (n, event) in page.events.iter().enumerate() {
        let (before, at) = (model.position(from + n), model.position(from + n + 1));
        assert_eq!((event.offset, event.tag, event.prev), (at.offset, at.tag, before.tag));
    }
}

async fn run(harness: &impl Harness, steps: Vec<Step>) {
    let it = harness.fresh().await;
    let mut channels = Vec::new();
    for (name, retention) in CHANNELS {
        let epoch = it.top(&channel(name)).await.epoch;
        channels.push(Channel { name, retention, epoch, events: Vec::new(), ids: HashMap::new() });
    }
    let mut model = Model { it, now: 0, channels };
    for step in steps {
        model.take(step).await;
    }
}

// spec: P3, P5, P7, O1, D4, D5
pub async fn random_operations_agree_with_a_naive_model(harness: &impl Harness) {
    let config = Config { cases: 256, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Handle::current();
    // What harnesses share ends with the last fixture.
    let _kept = harness.fresh().await;
    tokio::task::block_in_place(|| {
        TestRunner::new(config)
            .run(&vec(step(), 1..80), |steps| {
                runtime.block_on(run(harness, steps));
                Ok(())
            })
            .unwrap();
    });
}
