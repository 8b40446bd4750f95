//! An engine as simple as can be: what the shared state means, without any care for cost.

use std::collections::{BTreeMap, HashMap, VecDeque};

use throughline::protocol::channel::Channel;
use throughline::protocol::down;
use throughline::protocol::frame::Frame;
use throughline::protocol::position::{Epoch, GapReason, Position, Tag};
use throughline::session::input::{ChannelKind, EventInput, PageInput};

/// Events that one read returns.
pub const PAGE: usize = 5;

#[derive(Debug, Clone)]
pub struct Record {
    pub offset: u64,
    pub tag: Tag,
    pub prev: Tag,
    pub frame: Frame,
}

impl Record {
    pub fn input(&self) -> EventInput {
        let (offset, tag, prev) = (self.offset, self.tag, self.prev);
        EventInput { offset, tag, prev, frame: self.frame.clone() }
    }
}

/// One channel.
#[derive(Debug)]
pub struct Stored {
    pub kind: ChannelKind,
    pub epoch: Epoch,
    pub top: u64,
    pub top_tag: Tag,
    pub log: VecDeque<Record>,
    pub state: BTreeMap<String, Record>,
    pub members: BTreeMap<String, &'static str>,
    pub version: u64,
    keep: usize,
    epochs: u64,
    /// Every event there ever was, to judge what a client is handed.
    pub ever: HashMap<(Epoch, u64), Tag>,
}

impl Stored {
    pub fn new(kind: ChannelKind, keep: usize) -> Self {
        Self {
            kind,
            epoch: Epoch::from_random(0),
            top: 0,
            top_tag: Tag(0),
            log: VecDeque::new(),
            state: BTreeMap::new(),
            members: BTreeMap::new(),
            version: 0,
            keep,
            epochs: 0,
            ever: HashMap::new(),
        }
    }

    pub fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), offset: self.top, tag: self.top_tag }
    }

    /// The offset before the oldest that is retained.
    pub fn floor(&self) -> u64 {
        self.log.front().map_or(self.top, |record| record.offset - 1)
    }

    pub fn publish(
        &mut self,
        ch: &Channel,
        tag: u64,
        key: Option<String>,
        size: usize,
        at: u64,
    ) -> Record {
        let (offset, prev, tag) = (self.top + 1, self.top_tag, Tag(tag));
        (self.top, self.top_tag) = (offset, tag);
        self.ever.insert((self.epoch.clone(), offset), tag);
        let with_key = key.as_ref().map_or(String::new(), |key| format!(r#","key":"{key}""#));
        let (pos, data) = (self.position(), "x".repeat(size));
        let json = format!(
            r#"{{"t":"event","ch":"{ch}","pos":"{pos}","id":"i","at":{at}{with_key},"data":"{data}"}}"#
        );
        let record = Record { offset, tag, prev, frame: Frame::new(json.as_bytes()) };
        match (self.kind, key) {
            (ChannelKind::Durable, _) => {
                self.log.push_back(record.clone());
                self.trim(self.keep);
            }
            (ChannelKind::State, Some(key)) => {
                self.state.insert(key, record.clone());
            }
            (ChannelKind::State | ChannelKind::Ephemeral, _) => {}
        }
        record
    }

    pub fn trim(&mut self, keep: usize) {
        while self.log.len() > keep {
            self.log.pop_front();
        }
    }

    /// The newest events are lost; what comes next has another epoch.
    pub fn lose_tail(&mut self, many: usize) {
        for _ in 0..many {
            let Some(lost) = self.log.pop_back() else { break };
            (self.top, self.top_tag) = (lost.offset - 1, lost.prev);
        }
        self.next_epoch();
    }

    /// Everything is lost.
    pub fn lose_all(&mut self) {
        self.log.clear();
        (self.top, self.top_tag) = (0, Tag(0));
        self.next_epoch();
    }

    fn next_epoch(&mut self) {
        self.epochs += 1;
        self.epoch = Epoch::from_random(self.epochs);
    }

    fn is_proven(&self, at: &Position) -> bool {
        if at.offset == self.top {
            return at.tag == self.top_tag;
        }
        self.log.iter().any(|record| record.offset == at.offset + 1 && record.prev == at.tag)
    }

    fn gap(&self, at: &Position) -> Option<GapReason> {
        if self.is_proven(at) {
            return None;
        }
        Some(match () {
            () if at.epoch != self.epoch => GapReason::Epoch,
            () if at.offset > self.top => GapReason::Ahead,
            () if at.offset < self.floor() => GapReason::Trimmed,
            () => GapReason::Tag,
        })
    }

    pub fn read(&self, after: &Position) -> PageInput {
        let gap = self.gap(after);
        let later = self.log.iter().filter(|record| gap.is_none() && record.offset > after.offset);
        let events = later.take(PAGE).map(Record::input).collect();
        PageInput { events, top: self.position(), gap }
    }

    pub fn snapshot(&self) -> PageInput {
        let mut records: Vec<_> = self.state.values().collect();
        records.sort_by_key(|record| record.offset);
        let events = records.into_iter().map(Record::input).collect();
        PageInput { events, top: self.position(), gap: None }
    }

    pub fn members_frame(&self, ch: &Channel) -> Frame {
        let members = self.members.iter().map(|(id, state)| member_json(id, state).into());
        down::members(ch, self.version, &members.collect::<Vec<_>>())
    }

    /// A member comes or changes; returns what is broadcast.
    pub fn join(&mut self, ch: &Channel, id: &str, state: &'static str) -> Option<Frame> {
        let old = self.members.insert(id.to_owned(), state);
        if old == Some(state) {
            return None;
        }
        self.version += 1;
        let kind = if old.is_none() { "join" } else { "update" };
        Some(down::member_change(kind, ch, self.version, member_json(id, state).as_bytes()))
    }

    /// A member leaves; returns what is broadcast.
    pub fn leave(&mut self, ch: &Channel, id: &str) -> Option<Frame> {
        self.members.remove(id)?;
        self.version += 1;
        Some(down::SessionDown::Leave { ch, v: self.version, id }.encode())
    }
}

fn member_json(id: &str, state: &str) -> String {
    format!(r#"{{"id":"{id}","state":"{state}"}}"#)
}
