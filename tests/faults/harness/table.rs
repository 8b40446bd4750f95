//! The table of faults: a row for each scenario, printed, and kept where `make faults` makes the
//! table of docs/BENCHMARKS.md out of them.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::checker::{check_faults, summary};
use crate::support::history::{Change, Outcome, Record};

/// The folder where rows are kept.
const FOLDER: &str = "THROUGHLINE_FAULTS_ROWS";

/// What a scenario came to. What it does not count is left out.
#[derive(Debug, Default)]
pub struct Row {
    /// What broke; begins with its number.
    pub fault: String,
    /// Events that were stored, or handed to the backplane.
    pub published: Option<usize>,
    /// Events that were handed to applications.
    pub delivered: Option<usize>,
    /// Events that a reader had to get, and neither got nor was told of.
    pub lost: Option<usize>,
    /// Events that came twice or were stored twice.
    pub repeated: Option<usize>,
    /// Gaps that readers were told of.
    pub gaps: Option<usize>,
    /// Acknowledged events that Redis lost.
    pub gone: Option<usize>,
    /// Leaves of members that had not left.
    pub leaves: Option<usize>,
    /// How long until 99 of 100 readers had what was published after the fault.
    pub nearly: Option<Duration>,
    /// How long until all had it, or were told.
    pub healed: Option<Duration>,
    /// What publishers saw: outcomes left open and refusals, all settled by a retry, and the slowest
    /// answer.
    pub publishers: Option<String>,
    /// What else was measured.
    pub more: String,
    /// What is wrong with it.
    pub wrong: Vec<String>,
}

impl Row {
    /// What a history came to.
    pub fn of(fault: &str, records: &[Record]) -> Self {
        let count = |wanted: fn(&Record) -> bool| records.iter().filter(|r| wanted(r)).count();
        let violations = check_faults(records);
        let broken = |clauses: &[&str]| {
            Some(violations.iter().filter(|broken| clauses.contains(&broken.clause)).count())
        };
        Self {
            fault: fault.to_owned(),
            published: Some(stored(records, |_| true).len()),
            delivered: Some(count(|record| matches!(record, Record::Delivered { .. }))),
            lost: broken(&["D1", "D3", "D5", "D7", "F1", "P1"]),
            repeated: broken(&["D2", "P3"]),
            gaps: Some(count(|record| matches!(record, Record::Gap { .. }))),
            gone: Some(acknowledged_and_gone(records)),
            leaves: Some(leaves_of_those_who_stay(records)),
            wrong: summary(&violations),
            ..Self::default()
        }
        .unless(never_stored(records) == 0, "publishes did not come to an end")
    }

    /// Keeps what was counted where nothing breaks.
    pub fn counted(what: &str, counted: &str) {
        let (fault, more) = (what.to_owned(), counted.to_owned());
        Self { fault, more, ..Self::default() }.keep();
    }

    /// Several as one: counts in all, the longest times.
    pub fn sum(fault: &str, rows: &[Self]) -> Self {
        let count = |of: fn(&Self) -> Option<usize>| Some(rows.iter().filter_map(of).sum());
        let longest = |of: fn(&Self) -> Option<Duration>| rows.iter().filter_map(of).max();
        let wrong = |row: &Self| {
            row.wrong.iter().map(|wrong| format!("{}: {wrong}", row.fault)).collect::<Vec<_>>()
        };
        Self {
            fault: fault.to_owned(),
            published: count(|row| row.published),
            delivered: count(|row| row.delivered),
            lost: count(|row| row.lost),
            repeated: count(|row| row.repeated),
            gaps: count(|row| row.gaps),
            gone: count(|row| row.gone),
            leaves: count(|row| row.leaves),
            nearly: longest(|row| row.nearly),
            healed: longest(|row| row.healed),
            publishers: None,
            more: String::new(),
            wrong: rows.iter().flat_map(wrong).collect(),
        }
    }

    /// One more thing is wrong with it, unless this holds.
    pub fn unless(mut self, holds: bool, wrong: &str) -> Self {
        if !holds {
            self.wrong.push(wrong.to_owned());
        }
        self
    }

    /// Fails with what is wrong with it.
    pub fn assert(&self) {
        assert!(self.wrong.is_empty(), "{}: {:#?}", self.fault, self.wrong);
    }

    /// Whether rows are kept for a table.
    pub fn are_kept() -> bool {
        std::env::var_os(FOLDER).is_some()
    }

    /// Prints it, and keeps it for the table where there is to be one.
    pub fn keep(&self) {
        let line = self.line();
        println!("{line}");
        if let Ok(folder) = std::env::var(FOLDER) {
            let mut name = self.fault.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
            name.truncate(100);
            fs::write(Path::new(&folder).join(name), line + "\n").expect("the folder of rows");
        }
    }

    /// Its line in the table.
    pub fn line(&self) -> String {
        let counts = [
            self.published,
            self.delivered,
            self.lost,
            self.repeated,
            self.gaps,
            self.gone,
            self.leaves,
        ];
        let mut line = format!("| {} |", self.fault);
        let mut cell = |text: Option<String>| {
            let _ = write!(line, " {} |", text.unwrap_or_else(|| "–".to_owned()));
        };
        for count in counts {
            cell(count.map(|count| count.to_string()));
        }
        for time in [self.nearly, self.healed] {
            cell(time.map(|time| format!("{:.1}", time.as_secs_f64())));
        }
        cell(self.publishers.clone());
        cell(Some(self.more.clone()));
        line
    }
}

/// The ids that were answered as stored, of the channels that `of` takes.
fn stored(records: &[Record], of: fn(&str) -> bool) -> HashSet<&str> {
    let stored = records.iter().filter_map(|record| match record {
        Record::Answered { ch, id, outcome: Outcome::Stored(..), .. } => of(ch).then_some(&**id),
        _ => None,
    });
    stored.collect()
}

/// Publishes that no retry ever stored.
fn never_stored(records: &[Record]) -> usize {
    let stored = stored(records, |_| true);
    let sent = records.iter().filter_map(|record| match record {
        Record::Sent { id, .. } => Some(&**id),
        _ => None,
    });
    sent.filter(|id| !stored.contains(id)).count()
}

/// Publishes to durable channels that were acknowledged and are not in the log in the end.
fn acknowledged_and_gone(records: &[Record]) -> usize {
    let logged = records.iter().filter_map(|record| match record {
        Record::Logged { id, .. } => Some(&**id),
        _ => None,
    });
    let logged: HashSet<_> = logged.collect();
    stored(records, |ch| ch.starts_with("chat:")).difference(&logged).count()
}

/// Members that an observer saw leave and whose client had not closed, nor opened another session in
/// its place.
fn leaves_of_those_who_stay(records: &[Record]) -> usize {
    let (mut closed, mut members) = (HashSet::new(), HashMap::new());
    let mut left = HashSet::new();
    for record in records {
        match record {
            Record::Opened { client, member } => {
                closed.extend(members.insert(client, member).filter(|before| *before != member));
            }
            Record::Closed { member, .. } => drop(closed.insert(member)),
            Record::Presence { ch, change: Change::Leave(member), .. } => {
                left.insert((ch, member));
            }
            _ => {}
        }
    }
    left.iter().filter(|(_, member)| !closed.contains(member)).count()
}
