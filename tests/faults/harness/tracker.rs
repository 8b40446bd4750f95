//! What the clients have by now, read from the history while it grows.

use std::collections::{HashMap, HashSet};

use throughline::protocol::position::Position;

use crate::support::history::{Change, History, Record};

/// Where everyone stands.
#[derive(Default)]
pub struct Tracker {
    read: usize,
    /// Positions by client and channel.
    at: HashMap<(String, String), Position>,
    /// The member of each client.
    members: HashMap<String, String>,
    closed: HashSet<String>,
    /// Lists by observer and channel, and their versions.
    lists: HashMap<(String, String), (u64, HashSet<String>)>,
}

impl Tracker {
    /// Reads on.
    pub fn update(&mut self, history: &History) {
        let records = history.after(self.read);
        self.read += records.len();
        records.into_iter().for_each(|record| self.take(record));
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::Opened { client, member } => drop(self.members.insert(client, member)),
            Record::Closed { member, .. } => drop(self.closed.insert(member)),
            Record::Subscribed { client, ch, pos, .. }
            | Record::Gap { client, ch, pos }
            | Record::Delivered { client, ch, pos, .. } => {
                self.at.insert((client, ch), pos);
            }
            Record::Presence { client, ch, v, change } => {
                let list = self.lists.entry((client, ch)).or_default();
                let whole = matches!(change, Change::Members(_));
                if v <= list.0 && !whole {
                    return;
                }
                list.0 = v;
                match change {
                    Change::Members(all) => list.1 = all.into_iter().collect(),
                    Change::Join(member) => drop(list.1.insert(member)),
                    Change::Update(_) => {}
                    Change::Leave(member) => drop(list.1.remove(&member)),
                }
            }
            _ => {}
        }
    }

    /// Those of these readers that are not at a position or above it.
    pub fn behind(&self, readers: &[(String, String)], top: &HashMap<String, Position>) -> usize {
        let behind = readers.iter().filter(|(client, ch)| {
            let Some(top) = top.get(ch) else { return false };
            let at = self.at.get(&(client.clone(), ch.clone()));
            at.is_none_or(|at| at.epoch != top.epoch || at.offset < top.offset)
        });
        behind.count()
    }

    /// What is wrong with the lists: members that closed and are in one, and members of these
    /// readers that are missing in one.
    pub fn ghosts_and_missing(&self, readers: &[(String, String)]) -> (usize, usize) {
        let (mut ghosts, mut missing) = (0, 0);
        for ((_, ch), (_, list)) in &self.lists {
            ghosts += list.intersection(&self.closed).count();
            let there = readers.iter().filter(|(_, of)| of == ch);
            let there = there.filter_map(|(client, _)| self.members.get(client));
            missing += there.filter(|who| !list.contains(*who)).count();
        }
        (ghosts, missing)
    }
}
