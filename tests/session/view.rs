//! What the client sees, judged frame by frame (the history checker).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use throughline::protocol::position::{Epoch, Position};
use throughline::session::input::ChannelKind;

use crate::engine::Stored;

/// A frame down, as far as a client reads it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Down {
    pub l: Option<String>,
    pub t: Option<String>,
    pub ch: Option<String>,
    pub pos: Option<Position>,
    pub at: Option<u64>,
    pub key: Option<String>,
    pub n: Option<u64>,
    pub re: Option<u64>,
    pub v: Option<u64>,
    pub id: Option<String>,
    pub link: Option<u64>,
    pub from: Option<u64>,
    pub up: Option<u64>,
    pub next: Option<u64>,
    pub reason: Option<String>,
    pub member: Option<Member>,
    pub members: Option<Vec<Member>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    pub id: String,
    pub state: String,
}

/// One channel as the client sees it.
#[derive(Debug, Default)]
pub struct Seen {
    pub subscribed: bool,
    pub last: Option<Position>,
    pub gap: Option<Position>,
    pub begun_at: u64,
    pub delivered: u64,
    pub replaying: bool,
    pub keys: BTreeMap<String, Position>,
    pub members: BTreeMap<String, String>,
    pub version: u64,
}

/// Everything the client sees.
#[derive(Debug, Default)]
pub struct View {
    pub channels: BTreeMap<String, Seen>,
    pub skipped: u64,
    pub settled: BTreeSet<u64>,
    /// The tops when a link was taken after a detachment or with something to replay: a `caught_up`
    /// is to come after them.
    pub owed: Option<BTreeMap<String, Position>>,
    /// How many `caught_up` may come.
    pub may: u64,
    pub caught_up: u64,
}

/// What a frame is judged against.
pub struct Judge<'a> {
    pub engine: &'a BTreeMap<String, Stored>,
    /// The tops when the shell began each subscription.
    pub begun: &'a BTreeMap<String, Position>,
    /// When the link that carries the frame was taken.
    pub taken: u64,
    /// The oldest that an ephemeral event may be at that time.
    pub age: u64,
}

impl View {
    /// Takes one counted session frame.
    pub fn take(&mut self, frame: Down, judge: &Judge<'_>) {
        if let Some(seq) = frame.re {
            assert!(self.settled.insert(seq), "S3: {seq} is settled twice");
        }
        let Some(kind) = frame.t.clone() else { return };
        match kind.as_str() {
            "skipped" => self.skipped += frame.n.unwrap(),
            "caught_up" if frame.ch.is_none() => self.caught_up_whole(),
            "ok" | "error" => {}
            _ => {
                let ch = frame.ch.clone().unwrap();
                let stored = &judge.engine[&ch];
                let seen = self.channels.entry(ch.clone()).or_default();
                seen.take(&kind, frame, stored, judge.begun.get(&ch), judge);
                assert!(self.missing(judge) <= self.skipped, "D7: an event before its count");
            }
        }
    }

    /// How many ephemeral events before the last that came did not.
    fn missing(&self, judge: &Judge<'_>) -> u64 {
        let ephemeral = |ch: &String| judge.engine[ch].kind == ChannelKind::Ephemeral;
        let missing = |seen: &Seen| {
            let last = seen.last.as_ref().map_or(seen.begun_at, |last| last.offset);
            last.saturating_sub(seen.begun_at).saturating_sub(seen.delivered)
        };
        self.channels.iter().filter(|(ch, _)| ephemeral(ch)).map(|(_, seen)| missing(seen)).sum()
    }

    pub fn owe(&mut self, tops: BTreeMap<String, Position>, may: u64) {
        (self.owed, self.may) = (Some(tops), may);
    }

    fn caught_up_whole(&mut self) {
        assert!(self.may > 0, "M33: a caught_up that nothing called for");
        self.may -= 1;
        self.caught_up += 1;
        for (ch, top) in self.owed.take().unwrap_or_default() {
            let Some(seen) = self.channels.get(&ch).filter(|seen| seen.subscribed) else {
                continue;
            };
            let last = seen.last.as_ref().unwrap();
            let whole = last.epoch != top.epoch || last.offset >= top.offset;
            assert!(whole, "D4, M33: caught up on {ch} at {last}, before {top}");
        }
    }
}

impl Seen {
    fn take(
        &mut self,
        kind: &str,
        frame: Down,
        stored: &Stored,
        begun: Option<&Position>,
        judge: &Judge<'_>,
    ) {
        match kind {
            "subscribed" => self.begin(frame.pos.unwrap(), stored, begun),
            "unsubscribed" => self.subscribed = false,
            "gap" => self.miss(frame.pos.unwrap(), &frame.reason.unwrap(), stored),
            "caught_up" => self.catch_up(begun),
            "event" => self.event(frame, stored, judge),
            "members" => {
                let members = frame.members.unwrap().into_iter();
                self.members = members.map(|member| (member.id, member.state)).collect();
                self.version = frame.v.unwrap();
            }
            "join" | "update" | "leave" => self.change(kind, frame),
            other => panic!("a frame that is not known: {other}"),
        }
    }

    fn begin(&mut self, pos: Position, stored: &Stored, begun: Option<&Position>) {
        if std::mem::replace(&mut self.subscribed, true) {
            return;
        }
        if let Some(gap) = self.gap.take() {
            assert_eq!(gap, pos, "M31: a gap says where the subscription begins");
        }
        let begun = begun.unwrap();
        self.replaying = stored.kind == ChannelKind::State || pos != *begun;
        self.begun_at = pos.offset;
        self.delivered = 0;
        self.last = Some(pos);
    }

    /// A break is named before it shows, and it was one (D1, D5).
    fn miss(&mut self, pos: Position, reason: &str, stored: &Stored) {
        if let Some(last) = self.last.as_ref().filter(|_| self.subscribed) {
            let later = pos.epoch != last.epoch || pos.offset > last.offset;
            assert!(later, "D2: a gap goes backwards, from {last} to {pos}");
            let trimmed = stored.floor() > last.offset || stored.epoch != last.epoch;
            assert!(reason != "trimmed" || trimmed, "D4: nothing was trimmed at {last}");
            let lost = last.epoch != stored.epoch;
            assert!(reason == "trimmed" || lost, "D4: nothing was lost at {last}");
            self.last = Some(pos);
        } else {
            assert!(self.gap.is_none(), "D1: two gaps for one break");
            self.gap = Some(pos);
        }
    }

    fn catch_up(&mut self, begun: Option<&Position>) {
        let (last, begun) = (self.last.as_ref().unwrap(), begun.unwrap());
        let whole = last.epoch != begun.epoch || last.offset >= begun.offset;
        assert!(whole || self.kind_is_state(), "D4: caught up at {last}, before {begun}");
        self.replaying = false;
    }

    fn kind_is_state(&self) -> bool {
        !self.keys.is_empty()
    }

    fn event(&mut self, frame: Down, stored: &Stored, judge: &Judge<'_>) {
        let pos = frame.pos.unwrap();
        assert!(self.subscribed, "M31: an event before subscribed, or after the end: {pos}");
        let tag = stored.ever.get(&(pos.epoch.clone(), pos.offset));
        assert_eq!(tag, Some(&pos.tag), "O1: an event that never was");
        let last = self.last.clone().unwrap();
        match stored.kind {
            ChannelKind::Durable => {
                assert_eq!(pos.offset, last.offset + 1, "D1, D2: {pos} after {last}");
                self.last = Some(pos);
            }
            ChannelKind::Ephemeral => {
                assert!(pos.offset > last.offset, "D2: {pos} after {last}");
                let old = judge.taken.saturating_sub(frame.at.unwrap());
                assert!(old <= judge.age, "D7: an ephemeral event {old} ms old is replayed");
                self.delivered += 1;
                self.last = Some(pos);
            }
            ChannelKind::State => {
                let old = self.keys.insert(frame.key.unwrap(), pos.clone());
                let later =
                    old.is_none_or(|old| old.epoch != pos.epoch || old.offset <= pos.offset);
                assert!(later, "D2: a key goes backwards to {pos}");
            }
        }
    }

    fn change(&mut self, kind: &str, frame: Down) {
        let version = frame.v.unwrap();
        if version <= self.version {
            return;
        }
        assert_eq!(version, self.version + 1, "R6: a change of presence was lost");
        self.version = version;
        match (kind, frame.member, frame.id) {
            ("join" | "update", Some(member), _) => {
                self.members.insert(member.id, member.state);
            }
            ("leave", _, Some(id)) => {
                self.members.remove(&id);
            }
            other => panic!("a change without content: {other:?}"),
        }
    }

    /// Whether the client has all there is.
    pub fn judge_end(&self, ch: &str, stored: &Stored) {
        match stored.kind {
            ChannelKind::Durable => {
                assert_eq!(self.last, Some(stored.position()), "D3, D8: {ch} is not at the top");
            }
            ChannelKind::State => {
                let offset = |pos: &Position| (pos.epoch.clone(), pos.offset);
                let seen: BTreeMap<&str, (Epoch, u64)> =
                    self.keys.iter().map(|(key, pos)| (key.as_str(), offset(pos))).collect();
                let is = stored.state.iter();
                let is = is.map(|(key, r)| (key.as_str(), (stored.epoch.clone(), r.offset)));
                assert_eq!(seen, is.collect(), "D8: {ch} is not the latest of each key");
            }
            ChannelKind::Ephemeral => {}
        }
        assert!(!self.replaying, "M31, M32: no caught_up for {ch}");
        if self.version > 0 {
            let is = stored.members.iter().map(|(id, state)| (id.clone(), (*state).to_owned()));
            assert_eq!(self.members, is.collect(), "R6: the members of {ch}");
        }
    }
}
