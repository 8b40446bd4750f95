//! R1, R3: what observers of presence are told.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::history::{Change, Record};
use super::Verdict;

/// What one observer knows of one channel.
#[derive(Default)]
struct Seen<'a> {
    v: u64,
    there: HashSet<&'a str>,
    /// Who was seen to leave.
    left: HashSet<&'a str>,
}

/// Judges it: each session of the run that was never closed is taken to have come back in time.
///
/// Under faults an observer may have missed a join: a first leave of a member that there was is then
/// no lie.
pub(super) fn check(history: &[Record], faults: bool, verdict: &mut Verdict) {
    let mut known: HashSet<&str> = HashSet::new();
    let mut closed: HashSet<&str> = HashSet::new();
    let mut seen: BTreeMap<(&str, &str), Seen<'_>> = BTreeMap::new();
    let mut leaves: HashMap<(&str, &str, &str), u64> = HashMap::new();
    for record in history {
        match record {
            Record::Opened { member, .. } => {
                known.insert(member);
            }
            Record::Closed { member, .. } => {
                closed.insert(member);
            }
            Record::Presence { client, ch, v, change } => {
                let list = seen.entry((client, ch)).or_default();
                if *v <= list.v && !matches!(change, Change::Members(_)) {
                    continue;
                }
                list.v = *v;
                match change {
                    Change::Members(all) => {
                        list.there = all.iter().map(String::as_str).collect();
                    }
                    Change::Join(member) => {
                        verdict.unless(list.there.insert(member), "R1", || {
                            format!("{client}: {member} joined {ch} and was there")
                        });
                    }
                    Change::Update(_) => {}
                    Change::Leave(member) => {
                        let was_there = list.there.remove(member.as_str());
                        let left = leaves.entry((client, ch, member)).or_default();
                        *left += 1;
                        let missed = faults && *left == 1 && known.contains(member.as_str());
                        verdict.unless(was_there || missed, "R1", || {
                            format!("{client}: {member} left {ch} and was not there")
                        });
                        let stays =
                            known.contains(member.as_str()) && !closed.contains(member.as_str());
                        verdict.unless(!stays, "R3", || {
                            format!("{client}: {member} left {ch}, but it came back in time")
                        });
                    }
                }
            }
            _ => {}
        }
    }
    for record in history {
        let Record::Quiet { client } = record else { continue };
        for ((observer, ch), list) in seen.iter().filter(|((who, _), _)| who == client) {
            let ghosts: Vec<_> = list.there.intersection(&closed).collect();
            verdict.unless(ghosts.is_empty(), "R1", || {
                format!("{observer}: {ghosts:?} are closed and were never seen to leave {ch}")
            });
        }
    }
}

/// R1 over the fleet: whoever observes it, each join has one leave; and in the end every observer
/// sees those who are there (R5, R6).
pub(super) fn check_fleet(history: &[Record], verdict: &mut Verdict) {
    let mut leaves: BTreeMap<(&str, &str), HashSet<u64>> = BTreeMap::new();
    let mut joins: HashMap<(&str, &str), HashSet<u64>> = HashMap::new();
    let mut member_of: HashMap<&str, &str> = HashMap::new();
    let mut closed: HashSet<&str> = HashSet::new();
    let mut reads: HashSet<(&str, &str)> = HashSet::new();
    let mut seen: BTreeMap<(&str, &str), Seen<'_>> = BTreeMap::new();
    let (mut losses, mut back) = (0, HashMap::<(&str, &str), HashSet<u64>>::new());
    for record in history {
        match record {
            Record::LossBegins { .. } => losses += 1,
            Record::Opened { client, member } => {
                member_of.insert(client, member);
            }
            Record::Closed { member, .. } => {
                closed.insert(member);
            }
            Record::Subscribed { client, ch, .. } => {
                reads.insert((client, ch));
            }
            Record::Presence { client, ch, v, change } => {
                let list = seen.entry((client, ch)).or_default();
                if *v <= list.v && !matches!(change, Change::Members(_)) {
                    continue;
                }
                list.v = *v;
                match change {
                    Change::Members(all) => {
                        list.there = all.iter().map(String::as_str).collect();
                        // Where the store lost a leave, who left is back and leaves once more; the versions
                        // of before the loss are given again.
                        for member in all.iter().filter(|_| losses > 0) {
                            if list.left.remove(member.as_str()) {
                                back.entry((ch, member)).or_default().insert(losses);
                            }
                        }
                    }
                    Change::Update(_) => {}
                    Change::Join(member) => {
                        list.there.insert(member);
                        joins.entry((ch, member)).or_default().insert(*v);
                    }
                    Change::Leave(member) => {
                        list.there.remove(member.as_str());
                        list.left.insert(member);
                        leaves.entry((ch, member)).or_default().insert(*v);
                    }
                }
            }
            _ => {}
        }
    }
    for ((ch, member), left) in leaves {
        let came = joins.get(&(ch, member)).map_or(1, HashSet::len).max(1);
        let joined = came + back.get(&(ch, member)).map_or(0, HashSet::len);
        verdict.unless(left.len() <= joined, "R1", || {
            format!("{member} joined {ch} {joined} times and left it at {left:?}")
        });
    }
    let quiet = super::quiet(history);
    for ((observer, ch), list) in seen.iter().filter(|((observer, _), _)| quiet.contains(observer))
    {
        let there = reads.iter().filter(|(client, of)| of == ch && quiet.contains(client));
        let there = there.filter_map(|(client, _)| member_of.get(client));
        let missing: Vec<_> =
            there.filter(|who| !closed.contains(*who) && !list.there.contains(*who)).collect();
        verdict.unless(missing.is_empty(), "R5", || {
            format!("{observer}: {missing:?} are in {ch} and are not seen there")
        });
    }
}
