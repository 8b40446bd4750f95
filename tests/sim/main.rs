//! Random histories of a whole fleet in one process and in virtual time: nodes, their store, their
//! clients, and what goes wrong, out of one seed. `THROUGHLINE_SIM_CASES` says how many,
//! `THROUGHLINE_SIM_SEED` repeats one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    clippy::pedantic,
    reason = "a failed test is what a panic is for, and scenarios read as stories"
)]

mod directed;
mod engine;
mod life;
mod losses;
mod net;
mod node;
mod outages;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::store::Mutant;
use crate::support::checker::Violation;

/// Histories of a run, unless `THROUGHLINE_SIM_CASES` says how many.
const CASES: u64 = 1000;
/// Condemned histories after which no more are run.
const SHOWN: usize = 10;
/// Histories within which a mutant is condemned.
const MUTANT_CASES: u64 = 60;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What a history broke; a panic in it counts.
fn broke(seed: u64, mutant: Option<Mutant>) -> Vec<Violation> {
    let run = catch_unwind(|| world::run(seed, mutant));
    run.unwrap_or_else(|_| vec![Violation { clause: "B2", detail: "a panic".to_owned() }])
}

/// The histories of these seeds that are condemned, on every processor.
fn condemned(
    seeds: std::ops::Range<u64>,
    mutant: Option<Mutant>,
    most: usize,
) -> BTreeMap<u64, Vec<Violation>> {
    let next = AtomicU64::new(seeds.start);
    let found = parking_lot::Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while found.lock().len() < most {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let violations = broke(seed, mutant);
                    if !violations.is_empty() {
                        found.lock().insert(seed, violations);
                    }
                }
            });
        }
    });
    found.into_inner()
}

#[test]
fn no_random_history_of_a_fleet_under_faults_is_condemned() {
    let seeds = match from_env("THROUGHLINE_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_env("THROUGHLINE_SIM_CASES").unwrap_or(CASES),
    };
    let condemned = condemned(seeds.clone(), None, SHOWN);
    for (seed, violations) in &condemned {
        println!("THROUGHLINE_SIM_SEED={seed}: {violations:#?}");
    }
    assert!(condemned.is_empty(), "of {seeds:?} these are condemned: {:?}", condemned.keys());
}

fn is_condemned(mutant: Mutant) {
    let found = condemned(0..MUTANT_CASES, Some(mutant), 1);
    let Some((seed, violations)) = found.first_key_value() else {
        panic!("{mutant:?} was not noticed in {MUTANT_CASES} histories");
    };
    println!("{mutant:?} is condemned by history {seed}: {:?}", violations.first());
}

#[test]
fn a_node_that_drops_an_event_after_its_check_is_condemned() {
    // demand: 85
    is_condemned(Mutant::DropsAfterTheCheck);
}

#[test]
fn a_store_that_delivers_twice_is_condemned() {
    is_condemned(Mutant::DeliversTwice);
}

#[test]
fn positions_without_tags_are_condemned() {
    is_condemned(Mutant::ForgetsTheTag);
}

#[test]
fn a_leave_without_a_removal_is_condemned() {
    is_condemned(Mutant::LeavesWithoutARemoval);
}
