//! D1–D7: what readers are handed.

use std::collections::{BTreeMap, HashMap, HashSet};

use throughline::protocol::position::{Epoch, Position};

use super::super::history::{Outcome, Record};
use super::Verdict;

/// What one reader knows of one channel.
#[derive(Default)]
struct Reading {
    durable: bool,
    /// Where it stands.
    at: Option<Position>,
    /// Where its subscription began.
    began: u64,
    /// A gap was told since the last event.
    gap: bool,
    /// A replay was asked for and is not done.
    replaying: bool,
    /// Ephemeral events that did not come.
    missing: u64,
    ids: HashSet<String>,
    /// Where each publisher stands, in each epoch.
    publishers: HashMap<(String, Epoch), u64>,
}

type Readings<'a> = BTreeMap<(&'a str, &'a str), Reading>;

/// Judges it.
pub(super) fn check(history: &[Record], verdict: &mut Verdict) {
    let mut readings = Readings::new();
    let mut skipped: HashMap<&str, u64> = HashMap::new();
    for record in history {
        match record {
            Record::Subscribed { client, ch, since, pos, durable } => {
                let reading = readings.entry((client, ch)).or_default();
                subscribed(reading, (client, ch), (since.as_ref(), pos, *durable), verdict);
            }
            Record::Gap { client, ch, pos } => {
                let reading = readings.entry((client, ch)).or_default();
                verdict
                    .unless(!reading.gap, "D1", || format!("{client}: {ch} has two gaps at once"));
                reading.gap = true;
                reading.at = Some(pos.clone());
            }
            Record::Delivered { client, ch, pos, id, by } => {
                let reading = readings.entry((client, ch)).or_default();
                delivered(reading, (client, ch), (pos, id, by.as_deref()), verdict);
            }
            // Who was told of one loss is told of the next.
            Record::LossBegins { .. } => readings.values_mut().for_each(|r| r.gap = false),
            Record::Skipped { client, n } => *skipped.entry(client).or_default() += n,
            Record::CaughtUp { client, ch: Some(ch) } => {
                readings.entry((client, ch)).or_default().replaying = false;
            }
            _ => {}
        }
    }
    let mut missing: HashMap<&str, u64> = HashMap::new();
    for ((client, _), reading) in &readings {
        *missing.entry(client).or_default() += reading.missing;
    }
    for (client, missing) in missing {
        let told = skipped.get(client).copied().unwrap_or_default();
        verdict.unless(missing <= told, "D7", || {
            format!("{client}: {missing} ephemeral events did not come and {told} were told")
        });
    }
    in_the_end(history, &readings, verdict);
}

fn subscribed(
    reading: &mut Reading,
    (client, ch): (&str, &str),
    (since, pos, durable): (Option<&Position>, &Position, bool),
    verdict: &mut Verdict,
) {
    if let Some(since) = since
        && durable
        && !reading.gap
    {
        verdict.unless(since == pos, "D5", || {
            format!("{client}: {ch} resumes at {since} but begins at {pos} without a gap")
        });
    }
    reading.durable = durable;
    reading.at = Some(pos.clone());
    reading.began = pos.offset;
    reading.gap = false;
    reading.replaying = since.is_some() && durable;
}

fn delivered(
    reading: &mut Reading,
    (client, ch): (&str, &str),
    (pos, id, by): (&Position, &str, Option<&str>),
    verdict: &mut Verdict,
) {
    let at = reading.at.as_ref().map_or(0, |at| at.offset);
    let same_epoch = reading.at.as_ref().is_none_or(|at| at.epoch == pos.epoch);
    let place = || format!("{client}: {ch} has {pos} after {at}");
    if reading.durable {
        if same_epoch && pos.offset <= at {
            let clause = if pos.offset <= reading.began { "D6" } else { "D2" };
            verdict.broken(clause, place());
        } else if pos.offset != at + 1 {
            // Another epoch alone is no break: a reader whose tag is proven goes on.
            verdict.broken("D1", place());
        }
    } else {
        verdict.unless(reading.ids.insert(format!("{pos} {id}")), "D7", place);
        if let Some(by) = by {
            let by = (by.to_owned(), pos.epoch.clone());
            let last = reading.publishers.entry(by).or_default();
            verdict.unless(pos.offset > *last, "D7", place);
            *last = pos.offset;
        }
        if same_epoch {
            reading.missing += pos.offset.saturating_sub(at + 1);
        }
    }
    reading.gap = false;
    if !same_epoch || pos.offset > at {
        reading.at = Some(pos.clone());
    }
}

/// D3 and D4, of readers that were given all the time they needed.
fn in_the_end(history: &[Record], readings: &Readings<'_>, verdict: &mut Verdict) {
    let mut tops: HashMap<&str, &Position> = HashMap::new();
    for record in history {
        let (Record::Answered { ch, outcome: Outcome::Stored(pos, _), .. }
        | Record::Logged { ch, pos, .. }) = record
        else {
            continue;
        };
        let top = tops.entry(ch).or_insert(pos);
        if pos.epoch != top.epoch || pos.offset > top.offset {
            *top = pos;
        }
    }
    let quiet = super::quiet(history);
    for ((client, ch), reading) in readings {
        if !reading.durable || !quiet.contains(client) {
            continue;
        }
        verdict.unless(!reading.replaying, "D4", || {
            format!("{client}: the replay of {ch} was never caught up")
        });
        let at = reading.at.as_ref().map_or(0, |at| at.offset);
        if let Some(top) = tops.get(ch) {
            verdict.unless(at >= top.offset, "D3", || {
                format!("{client}: {ch} is at {at} and the top is {top}")
            });
        }
    }
}
