//! P1–P3, P5, O1–O3, S3: what publishing comes to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use throughline::protocol::position::Position;

use super::super::history::{Outcome, Record};
use super::Verdict;
use super::losses::Lost;

/// An offset of a channel, as long as its log is whole.
type Place = (String, String, u64);

fn place(ch: &str, pos: &Position) -> Place {
    (ch.to_owned(), pos.epoch.as_str().to_owned(), pos.offset)
}

/// What a log holds: ids and positions by offset.
type Log<'a> = BTreeMap<u64, (&'a str, &'a Position)>;

/// Judges it.
pub(super) fn check(history: &[Record], verdict: &mut Verdict) {
    stored(history, verdict);
    outcomes(history, verdict);
    answers_agree(history, verdict);
    batches(history, verdict);
    one_id_an_offset(history, verdict);
    order(history, verdict);
}

/// P1, O1: what was acknowledged is in the log, as far back as the log goes.
fn stored(history: &[Record], verdict: &mut Verdict) {
    let mut logs: HashMap<&str, Log<'_>> = HashMap::new();
    for record in history {
        if let Record::Logged { ch, pos, id } = record {
            logs.entry(ch).or_default().insert(pos.offset, (id, pos));
        }
    }
    // An answer may be read long after it was given, so it is when it was sent that counts.
    let gone = Lost::of(history).sent_before(history);
    for record in history {
        let Record::Answered { ch, id, outcome: Outcome::Stored(pos, _), .. } = record else {
            continue;
        };
        let may_be_gone = gone.contains(&(ch.as_str(), id.as_str()));
        let Some(log) = logs.get(ch.as_str()).filter(|_| !may_be_gone) else {
            continue;
        };
        let oldest = log.keys().next().copied().unwrap_or_default();
        if pos.offset < oldest {
            continue;
        }
        let found = log.get(&pos.offset).is_some_and(|(known, at)| known == id && *at == pos);
        verdict.unless(found, "P1", || format!("{ch}: {id} at {pos} is not in the log"));
    }
}

/// P2, S3: each publish ends once and as it was said.
fn outcomes(history: &[Record], verdict: &mut Verdict) {
    let mut answered: HashMap<(&str, &str), Vec<&Outcome>> = HashMap::new();
    let mut by_seq: HashSet<(&str, u64)> = HashSet::new();
    let mut delivered: HashSet<(&str, &str)> = HashSet::new();
    for record in history {
        match record {
            // Another session of the client numbers its frames anew.
            Record::Opened { client, .. } => by_seq.retain(|(who, _)| who != client),
            Record::Answered { client, ch, id, seq, outcome } => {
                answered.entry((ch, id)).or_default().push(outcome);
                if let Some(seq) = seq {
                    verdict.unless(by_seq.insert((client, *seq)), "S3", || {
                        format!("{client}: frame {seq} was settled twice")
                    });
                }
            }
            Record::Delivered { ch, id, .. } | Record::Logged { ch, id, .. } => {
                delivered.insert((ch, id));
            }
            _ => {}
        }
    }
    for ((ch, id), outcomes) in &answered {
        let refused = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Refused(_)));
        verdict.unless(!(refused && delivered.contains(&(ch, id))), "P2", || {
            format!("{ch}: {id} was refused and delivered")
        });
    }
    let quiet: HashSet<&str> = super::quiet(history);
    for record in history {
        if let Record::Sent { client, ch, id, .. } = record {
            let ended = answered.contains_key(&(ch.as_str(), id.as_str()));
            verdict.unless(ended || !quiet.contains(client.as_str()), "P2", || {
                format!("{ch}: {id} was never answered")
            });
        }
    }
}

/// P3: one id has one position, and only its first answer may say that it is new.
fn answers_agree(history: &[Record], verdict: &mut Verdict) {
    let gone = Lost::of(history).sent_before(history);
    let mut first: HashMap<(&str, &str), &Position> = HashMap::new();
    for record in history {
        let Record::Answered { ch, id, outcome: Outcome::Stored(pos, duplicate), .. } = record
        else {
            continue;
        };
        match first.get(&(ch.as_str(), id.as_str())) {
            Some(before) if *before == pos || !gone.contains(&(ch.as_str(), id.as_str())) => {
                verdict.unless(*before == pos && *duplicate, "P3", || {
                    format!("{ch}: {id} was stored at {before}, then at {pos}")
                });
            }
            _ => {
                first.insert((ch, id), pos);
            }
        }
    }
    let batches: HashMap<(&str, &str), u64> = sent(history);
    let mut places: HashMap<(&str, &str), BTreeSet<(String, u64)>> = HashMap::new();
    for record in history {
        if let Record::Delivered { ch, id, pos, .. } | Record::Logged { ch, id, pos } = record {
            let at = (pos.epoch.as_str().to_owned(), pos.offset);
            places.entry((ch, id)).or_default().insert(at);
        }
    }
    for ((ch, id), places) in places {
        let events = batches.get(&(ch, id)).copied().unwrap_or(1);
        let kept = !gone.contains(&(ch, id));
        verdict.unless(!kept || places.len() as u64 <= events, "P3", || {
            format!("{ch}: {id} is stored {} times", places.len())
        });
    }
}

fn sent(history: &[Record]) -> HashMap<(&str, &str), u64> {
    let sent = history.iter().filter_map(|record| match record {
        Record::Sent { ch, id, events, .. } => Some(((ch.as_str(), id.as_str()), *events)),
        _ => None,
    });
    sent.collect()
}

/// P5: a batch is contiguous, all or nothing.
fn batches(history: &[Record], verdict: &mut Verdict) {
    let mut places: HashMap<(&str, &str), BTreeSet<u64>> = HashMap::new();
    for record in history {
        if let Record::Logged { ch, pos, id } = record {
            places.entry((ch, id)).or_default().insert(pos.offset);
        }
    }
    let before = Lost::of(history).sent_before(history);
    for (batch, events) in sent(history).into_iter().filter(|(batch, _)| !before.contains(batch)) {
        let Some(offsets) = places.get(&batch) else { continue };
        let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { continue };
        verdict.unless(offsets.len() as u64 == events && last - first + 1 == events, "P5", || {
            format!("the batch {batch:?} of {events} is at {offsets:?}")
        });
    }
}

/// O1: one offset holds one id, whoever looks.
fn one_id_an_offset(history: &[Record], verdict: &mut Verdict) {
    let mut ids: HashMap<Place, (&str, &Position)> = HashMap::new();
    for record in history {
        let (Record::Answered { ch, id, outcome: Outcome::Stored(pos, _), .. }
        | Record::Delivered { ch, pos, id, .. }
        | Record::Logged { ch, pos, id }) = record
        else {
            continue;
        };
        let (known, at) = ids.entry(place(ch, pos)).or_insert((id, pos));
        verdict.unless(known == id && *at == pos, "O1", || {
            format!("{ch}: {pos} is {id}, and {at} is {known}")
        });
    }
}

/// O2, O3: what was acknowledged before another was sent is before it; a session's are in order.
fn order(history: &[Record], verdict: &mut Verdict) {
    // Of each channel, the highest offset that was acknowledged so far.
    let mut top: HashMap<(&str, String), u64> = HashMap::new();
    let mut at_least: HashMap<(&str, &str), HashMap<String, u64>> = HashMap::new();
    let mut turn: HashMap<(&str, &str), Vec<&str>> = HashMap::new();
    let mut places: HashMap<(&str, &str), &Position> = HashMap::new();
    for record in history {
        match record {
            Record::Sent { client, ch, id, .. } => {
                let known = top.iter().filter(|((of, _), _)| of == ch);
                let floor = known.map(|((_, epoch), offset)| (epoch.clone(), *offset)).collect();
                at_least.entry((ch, id)).or_insert(floor);
                turn.entry((client, ch)).or_default().push(id);
            }
            Record::Answered { ch, id, outcome: Outcome::Stored(pos, _), .. } => {
                if places.insert((ch, id), pos).is_some() {
                    continue;
                }
                let floor = at_least.get(&(ch.as_str(), id.as_str()));
                let floor = floor.and_then(|floor| floor.get(&pos.epoch.as_str().to_owned()));
                verdict.unless(floor.is_none_or(|floor| pos.offset > *floor), "O2", || {
                    format!("{ch}: {id} at {pos} was sent after {floor:?} was acknowledged")
                });
                let top = top.entry((ch, pos.epoch.as_str().to_owned())).or_default();
                *top = (*top).max(pos.offset);
            }
            _ => {}
        }
    }
    for ((client, ch), ids) in turn {
        let found: Vec<_> = ids.iter().filter_map(|id| places.get(&(ch, *id))).collect();
        let rises = found
            .windows(2)
            .all(|two| two[0].epoch != two[1].epoch || two[0].offset < two[1].offset);
        verdict.unless(rises, "O3", || format!("{client}: {ch} is not in the order it sent"));
    }
}
