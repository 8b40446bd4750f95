//! The folder tree tells the architecture: what may import what, how long files and functions may
//! be, and what the pure core may not know. Reads the sources as text; it does not see through
//! macros.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a failed test is a panic"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each module with what it may import: `main → server → {transport, api} → gateway → {session,
/// hub, engine, auth} → {config, telemetry} → protocol`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("config", &["protocol"]),
    ("telemetry", &["protocol"]),
    ("session", &["protocol"]),
    ("hub", &["protocol", "config", "telemetry"]),
    ("engine", &["protocol", "config", "telemetry"]),
    ("auth", &["protocol", "config", "telemetry"]),
    ("gateway", &["session", "hub", "engine", "auth", "config", "telemetry", "protocol"]),
    ("transport", &["gateway", "session", "auth", "config", "telemetry", "protocol"]),
    ("api", &["gateway", "config", "telemetry", "protocol"]),
    (
        "server",
        &[
            "transport",
            "api",
            "gateway",
            "hub",
            "engine",
            "auth",
            "config",
            "telemetry",
            "protocol",
        ],
    ),
];

/// The longest a source file may be, its tests included.
const FILE_LINES_MAX: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    assert!(!found.is_empty());
    found
}

fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The shipped part of a file: up to its unit tests.
fn shipped(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

/// The first segments of every `crate::…` path, groups (`crate::{a::b, c}`) included.
fn imports(text: &str) -> Vec<String> {
    let word = |text: &str| {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 1;
                let mut start = true;
                for (index, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 1 => start = true,
                        c if start && !c.is_whitespace() => {
                            found.push(word(&group[index..]));
                            start = false;
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            None => found.push(word(rest)),
        }
    }
    found
}

#[test]
fn each_module_imports_only_what_is_below_it() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let module = module_of(&path);
        if module == "lib" || module == "main" {
            continue;
        }
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            panic!("{module} has no row in MAY_IMPORT");
        };
        for import in imports(shipped(&text)) {
            if import != module && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{}: crate::{import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "sideways or upward imports:\n{}", wrong.join("\n"));
}

#[test]
fn groups_of_imports_are_seen() {
    assert_eq!(imports("use crate::{api, hub::{self, Post}, x};"), ["api", "hub", "x"]);
}

#[test]
fn the_pure_core_knows_no_runtime_no_clock_and_no_dice() {
    const BANNED: &[&str] =
        &["tokio", "axum", "redis", "hyper", "rand::", "Instant::now", "SystemTime", "std::time"];
    for (path, text) in sources("src/protocol").into_iter().chain(sources("src/session")) {
        for word in BANNED {
            assert!(!shipped(&text).contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn nothing_below_the_transports_knows_http() {
    for root in ["src/gateway", "src/hub", "src/engine", "src/auth"] {
        for (path, text) in sources(root) {
            for word in ["axum::", "hyper::", "use http::", "http_body"] {
                assert!(!shipped(&text).contains(word), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn files_stay_short() {
    let roots = ["src", "tests", "benches"];
    let all = roots.iter().filter(|root| Path::new(env!("CARGO_MANIFEST_DIR")).join(root).is_dir());
    let mut long = Vec::new();
    for (path, text) in all.flat_map(|root| sources(root)) {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{} has {lines} lines", path.display()));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn imports_do_not_climb_or_glob() {
    let tests = |path: &Path| path.to_string_lossy().ends_with("_tests.rs");
    for (path, text) in sources("src").into_iter().filter(|(path, _)| !tests(path)) {
        for line in shipped(&text).lines().filter(|line| line.trim_start().starts_with("use ")) {
            assert!(!line.contains("super::super"), "{}: {line}", path.display());
            assert!(!line.ends_with("::*;"), "{}: {line}", path.display());
        }
    }
}

/// What the product is built of, in any case.
const BUILT_OF: [&str; 10] = [
    "tokio",
    "axum",
    "tokio-tungstenite",
    "tower",
    "tower-http",
    "redis",
    "serde",
    "serde_json",
    "futures",
    "async-stream",
];

#[test]
fn every_dependency_is_used_and_the_ten_are_among_them() {
    // demand: 119
    let manifest: toml::Table =
        fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    for name in BUILT_OF {
        assert!(dependencies.contains_key(name), "{name} is no dependency");
    }
    let text: String = sources("src").into_iter().map(|(_, text)| text).collect();
    let uses = |name: &str| {
        let path = name.replace('-', "_");
        // `use name;`, `name::…`, `#[name(…)]`.
        [format!("{path}::"), format!("use {path}"), format!("{path}!")].iter().any(|form| {
            text.match_indices(form.as_str()).any(|(at, _)| {
                let before = text[..at].chars().next_back();
                !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
            })
        })
    };
    let unused: Vec<_> = dependencies.keys().filter(|name| !uses(name)).collect();
    assert!(unused.is_empty(), "no source uses {unused:?}");
}

#[test]
fn the_top_of_the_tree_holds_what_a_reader_looks_for() {
    // demand: 120
    let known = "Cargo.toml Cargo.lock src client-js tests config README.md docs benches fuzz \
                 scripts proptest-regressions Makefile CHANGELOG.md LICENSE-MIT LICENSE-APACHE \
                 clippy.toml rustfmt.toml target";
    let known: Vec<_> = known.split_whitespace().collect();
    let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    let other: Vec<_> =
        names.iter().filter(|name| !name.starts_with('.') && !known.contains(&&***name)).collect();
    assert!(other.is_empty(), "unexpected at the top: {other:?}");
    for name in ["Cargo.toml", "src", "client-js", "tests", "config", "README.md", "Makefile"] {
        assert!(names.iter().any(|there| there == name), "{name} is missing");
    }
}
