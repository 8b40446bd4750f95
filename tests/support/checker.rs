//! The judge of histories: says which clauses of the delivery contract (docs/PROTOCOL.md, at the
//! end) a run broke, as far as its clients saw.

mod delivery;
#[cfg(test)]
mod loss_tests;
mod losses;
mod presence;
mod publishing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::history::Record;

/// A clause that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number in the contract.
    pub clause: &'static str,
    /// What broke it.
    pub detail: String,
}

/// What broke, in no order.
#[derive(Debug, Default)]
struct Verdict(Vec<Violation>);

impl Verdict {
    fn broken(&mut self, clause: &'static str, detail: impl Into<String>) {
        self.0.push(Violation { clause, detail: detail.into() });
    }

    fn unless(&mut self, holds: bool, clause: &'static str, detail: impl FnOnce() -> String) {
        if !holds {
            self.broken(clause, detail());
        }
    }
}

/// Every clause that a history breaks.
pub fn check(history: &[Record]) -> Vec<Violation> {
    judge(history, false).0
}

fn judge(history: &[Record], faults: bool) -> Verdict {
    let mut verdict = Verdict::default();
    publishing::check(history, &mut verdict);
    delivery::check(history, &mut verdict);
    presence::check(history, faults, &mut verdict);
    links(history, &mut verdict);
    verdict
}

/// Every clause that a history of a fleet under faults breaks: those of `check`, and that a gap is
/// told where something was lost and nowhere else, and that a leave comes once over all observers.
pub fn check_faults(history: &[Record]) -> Vec<Violation> {
    let mut verdict = judge(history, true);
    losses::check(history, &mut verdict);
    presence::check_fleet(history, &mut verdict);
    verdict.0
}

/// Fails with what a history breaks.
pub fn assert_keeps_the_contract(history: &[Record]) {
    assert_none(&check(history));
}

fn assert_none(violations: &[Violation]) {
    assert!(violations.is_empty(), "{} violations: {:#?}", violations.len(), summary(violations));
}

/// How often each clause was broken, and by what, the first few of each.
pub fn summary(violations: &[Violation]) -> Vec<String> {
    let mut by_clause: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Violation { clause, detail } in violations {
        by_clause.entry(clause).or_default().push(detail);
    }
    let line = |(clause, details): (&&str, &Vec<&str>)| {
        let first = details.iter().take(5).copied().collect::<Vec<_>>();
        format!("{clause}, {} times: {}", details.len(), first.join("; "))
    };
    by_clause.iter().map(line).collect()
}

/// The clients that were given all the time they needed.
fn quiet(history: &[Record]) -> HashSet<&str> {
    let quiet = history.iter().filter_map(|record| match record {
        Record::Quiet { client } => Some(client.as_str()),
        _ => None,
    });
    quiet.collect()
}

/// S1 and S2: what links bring.
fn links(history: &[Record], verdict: &mut Verdict) {
    use super::history::Brought;
    let mut superseded = HashSet::new();
    let mut numbers = HashMap::new();
    let mut highest = HashMap::new();
    // A client whose session is gone opens another, which numbers anew.
    let mut sessions: HashMap<&String, usize> = HashMap::new();
    for record in history {
        match record {
            Record::Opened { client, .. } => {
                *sessions.entry(client).or_default() += 1;
                highest.remove(client);
            }
            Record::Arrived { client, conn, brought: Brought::Superseded } => {
                superseded.insert((client, conn));
            }
            Record::Arrived { client, conn, brought: Brought::Frame } => {
                let after = superseded.contains(&(client, conn));
                verdict.unless(!after, "S1", || {
                    format!("{client}: connection {conn} brought a frame after superseded")
                });
            }
            Record::Numbered { client, link, number, frame } => {
                let session = sessions.get(client).copied().unwrap_or_default();
                let first = numbers.entry((client, session, link, number)).or_insert(frame);
                verdict.unless(*first == frame, "S2", || {
                    format!("{client}: number {number} of link {link} is {first} and {frame}")
                });
            }
            Record::Resumed { client, link } => {
                let before = highest.insert(client, *link).unwrap_or_default();
                verdict.unless(*link > before, "S1", || {
                    format!("{client}: link {link} came after {before}")
                });
            }
            _ => {}
        }
    }
}
