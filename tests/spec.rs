//! Every numbered MUST of docs/PROTOCOL.md, and every clause of the delivery contract that one node
//! can show, is cited by a test: a comment `spec: M3, D1` beside it, in Rust or TypeScript. So is every
//! numbered demand on the system, `demand: 10`, but those that are named here with their reason.
#![allow(clippy::unwrap_used, missing_docs, reason = "a failed test is a panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PLACES: &[&str] = &["src", "tests", "client-js/test"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_id(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|first| "MPODSRFB".contains(first))
        && word.len() > 1
        && chars.all(|c| c.is_ascii_digit())
}

/// The ids that must be cited.
fn defined() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/PROTOCOL.md")).unwrap();
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("| ").or_else(|| line.strip_prefix("- ")) else {
            continue;
        };
        let Some(id) = rest.split_whitespace().next() else { continue };
        if is_id(id) {
            assert!(found.insert(id.to_owned()), "{id} is defined twice");
        }
    }
    found
}

fn cited() -> BTreeSet<String> {
    named("// spec:", is_id)
}

/// What such comments name.
fn named(mark: &str, is: fn(&str) -> bool) -> BTreeSet<String> {
    fn walk(dir: &Path, (mark, is): (&str, fn(&str) -> bool), found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, (mark, is), found);
                continue;
            }
            let extension = path.extension().and_then(|extension| extension.to_str());
            if !matches!(extension, Some("rs" | "ts" | "js")) {
                continue;
            }
            for line in fs::read_to_string(&path).unwrap().lines() {
                let Some((_, ids)) = line.split_once(mark) else { continue };
                let words = ids.split([',', ' ', ';', '.']).filter(|word| is(word));
                found.extend(words.map(str::to_owned));
            }
        }
    }
    let mut found = BTreeSet::new();
    for place in PLACES {
        walk(&root().join(place), (mark, is), &mut found);
    }
    found
}

#[test]
fn every_rule_is_cited_by_a_test() {
    let due = defined();
    assert!(due.len() > 50, "the rules were not found");
    let cited = cited();
    let missing: Vec<_> = due.difference(&cited).collect();
    assert!(missing.is_empty(), "no test cites {missing:?}");
}

#[test]
fn every_citation_names_a_rule() {
    let known = defined();
    let cited = cited();
    let unknown: Vec<_> = cited.difference(&known).collect();
    assert!(unknown.is_empty(), "no rule has the id {unknown:?}");
}

/// How many demands there are.
const DEMANDS: u16 = 122;

/// Those that no test names, and why.
const WITHOUT_A_TEST: &[(&[u16], &str)] = &[
    (&[28, 29, 35, 55], "docs/SCALING.md answers them, with the commands of its figures"),
    (&[18, 27, 30, 31, 32, 34, 107, 110, 111, 112, 113, 118], "a benchmark has to measure them"),
    (&[75, 114, 116, 117], "documents have to say them"),
    (&[89, 90, 104, 105, 106], "hooks and examples have to show them"),
    (&[56, 57], "nothing shows all of their check yet, or nothing says that it does"),
];

#[test]
fn every_demand_is_named_by_a_test_or_by_the_reason_why_not() {
    let is_number = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
    let mut demands: Vec<u16> =
        named("// demand:", is_number).iter().map(|number| number.parse().unwrap()).collect();
    demands.extend(WITHOUT_A_TEST.iter().flat_map(|(numbers, _)| *numbers));
    demands.sort_unstable();
    assert_eq!(demands, (1..=DEMANDS).collect::<Vec<_>>(), "each is named once, in one of the two");
}
