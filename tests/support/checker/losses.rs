//! F1, F2, D5: a gap is told where the log lost something, and nowhere else; nobody is handed what
//! follows on something else than what it has.

use std::collections::{BTreeMap, HashMap, HashSet};

use throughline::protocol::position::Position;

use super::super::history::Record;
use super::Verdict;

/// When what was acknowledged may have been lost.
pub(super) struct Lost<'a>(Vec<Loss<'a>>);

struct Loss<'a> {
    /// Of this channel, or of every one.
    ch: Option<&'a str>,
    ends: usize,
}

impl<'a> Lost<'a> {
    /// Of a history.
    pub(super) fn of(history: &'a [Record]) -> Self {
        let ends = history.iter().enumerate().filter_map(|(ends, record)| match record {
            Record::LossEnds { ch } => Some(Loss { ch: ch.as_deref(), ends }),
            _ => None,
        });
        Self(ends.collect())
    }

    /// Whether what was acknowledged at this point may be lost since.
    pub(super) fn may_be_gone(&self, ch: &str, at: usize) -> bool {
        self.0.iter().any(|loss| loss.ch.is_none_or(|of| of == ch) && at < loss.ends)
    }

    /// The publishes, by channel and id, that were sent before something was lost.
    pub(super) fn sent_before(&self, history: &'a [Record]) -> HashSet<(&'a str, &'a str)> {
        let sent = history.iter().enumerate().filter_map(|(at, record)| match record {
            Record::Sent { ch, id, .. } if self.may_be_gone(ch, at) => {
                Some((ch.as_str(), id.as_str()))
            }
            _ => None,
        });
        sent.collect()
    }
}

/// What one reader knows of one channel.
#[derive(Default)]
struct Reading<'a> {
    at: Option<&'a Position>,
    durable: bool,
    /// Losses that began so far.
    losses: usize,
    gaps: usize,
    /// All that it had read is lost, and it was not told yet.
    must_be_told: bool,
}

type Readings<'a> = BTreeMap<(&'a str, &'a str), Reading<'a>>;

/// Judges it.
pub(super) fn check(history: &[Record], verdict: &mut Verdict) {
    let logs = logs(history);
    let mut readings = Readings::new();
    let mut lossy: Vec<Option<&str>> = Vec::new();
    for record in history {
        match record {
            Record::LossBegins { ch, all } => {
                begins(&mut readings, ch.as_deref(), *all);
                lossy.push(ch.as_deref());
            }
            Record::LossEnds { ch } => lossy.retain(|of| *of != ch.as_deref()),
            Record::Subscribed { client, ch, pos, durable, .. } => {
                // What it begins with may be of before the loss.
                let losses = lossy.iter().filter(|of| of.is_none_or(|of| of == ch)).count();
                let fresh = || Reading { losses, ..Reading::default() };
                let reading = readings.entry((client, ch)).or_insert_with(fresh);
                reading.durable = *durable;
                reading.at = Some(pos);
            }
            Record::Gap { client, ch, pos } => {
                let reading = readings.entry((client, ch)).or_default();
                reading.gaps += 1;
                verdict.unless(reading.gaps <= reading.losses, "D4", || {
                    format!("{client}: {ch} has a gap at {pos}, and nothing was lost")
                });
                reading.at = Some(pos);
                reading.must_be_told = false;
            }
            Record::Delivered { client, ch, pos, .. } => {
                let reading = readings.entry((client, ch)).or_default();
                if reading.durable {
                    let follows =
                        logs.get(ch.as_str()).is_none_or(|log| follows(log, reading, pos));
                    verdict.unless(follows, "D5", || {
                        format!("{client}: {ch} has {pos}, which does not follow {:?}", reading.at)
                    });
                }
                reading.at = Some(pos);
            }
            _ => {}
        }
    }
    let quiet = super::quiet(history);
    for ((client, ch), reading) in &readings {
        let told = !reading.must_be_told || !quiet.contains(client);
        verdict.unless(told, "F1", || format!("{client}: all of {ch} was lost without a gap"));
    }
}

fn begins(readings: &mut Readings<'_>, ch: Option<&str>, all: bool) {
    let of = |(_, name): &(&str, &str)| ch.is_none_or(|ch| ch == *name);
    for (_, reading) in readings.iter_mut().filter(|(key, _)| of(key)) {
        reading.losses += 1;
        // Who had read nothing has lost nothing.
        let had = reading.at.is_some_and(|at| at.offset > 0);
        reading.must_be_told |= all && had && reading.durable;
    }
}

type Log<'a> = HashMap<u64, &'a Position>;

fn logs(history: &[Record]) -> HashMap<&str, Log<'_>> {
    let mut logs: HashMap<&str, Log<'_>> = HashMap::new();
    for record in history {
        if let Record::Logged { ch, pos, .. } = record {
            logs.entry(ch).or_default().insert(pos.offset, pos);
        }
    }
    logs
}

/// What the log holds before this entry is what the reader has, as far as the log tells.
fn follows(log: &Log<'_>, reading: &Reading<'_>, pos: &Position) -> bool {
    let Some(at) = reading.at else { return true };
    let is_logged = log.get(&pos.offset).is_some_and(|logged| *logged == pos);
    !is_logged || log.get(&at.offset).is_none_or(|before| *before == at)
}
