//! The layers of a configuration merged into one tree that remembers where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The file embedded in the program.
    Defaults,
    /// The file given on the command line, by its path.
    File(Arc<str>),
    /// An environment variable, by its name.
    Env(Arc<str>),
    /// An option of the command line, by its name.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => f.write_str("defaults"),
            Self::File(path) => f.write_str(path),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "option {name}"),
        }
    }
}

/// A value, and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) source: Source,
    /// The text as it stood in the environment: `12` there may be a number or a string.
    pub(crate) raw: Option<String>,
    pub(crate) kind: Kind,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Keys and their values.
    Table(BTreeMap<String, Node>),
    /// Values in order.
    Array(Vec<Node>),
    /// Anything else.
    Scalar(toml::Value),
}

impl Node {
    /// A tree of one layer.
    pub(crate) fn new(value: toml::Value, source: &Source) -> Self {
        let kind = match value {
            toml::Value::Table(table) => Kind::Table(
                table.into_iter().map(|(key, value)| (key, Self::new(value, source))).collect(),
            ),
            toml::Value::Array(items) => {
                Kind::Array(items.into_iter().map(|item| Self::new(item, source)).collect())
            }
            scalar => Kind::Scalar(scalar),
        };
        Self { source: source.clone(), raw: None, kind }
    }

    /// A tree that holds one value at a path.
    pub(crate) fn at_path(path: &[String], leaf: Self) -> Self {
        path.iter().rev().fold(leaf, |inner, key| Self {
            source: inner.source.clone(),
            raw: None,
            kind: Kind::Table(BTreeMap::from([(key.clone(), inner)])),
        })
    }

    /// Lays `over` on this tree: tables merge key by key, everything else is replaced.
    pub(crate) fn merge(&mut self, over: Self) {
        match (&mut self.kind, over.kind) {
            (Kind::Table(under), Kind::Table(over)) => {
                for (key, node) in over {
                    match under.get_mut(&key) {
                        Some(present) => present.merge(node),
                        None => drop(under.insert(key, node)),
                    }
                }
            }
            (_, kind) => *self = Self { source: over.source, raw: over.raw, kind },
        }
    }

    /// The node at a path; where there is none, the nearest that would hold it.
    pub(crate) fn nearest(&self, path: &[String]) -> &Self {
        let mut at = self;
        for key in path {
            let inner = match &at.kind {
                Kind::Table(table) => table.get(key),
                Kind::Array(items) => key.parse().ok().and_then(|index: usize| items.get(index)),
                Kind::Scalar(_) => None,
            };
            match inner {
                Some(inner) => at = inner,
                None => break,
            }
        }
        at
    }
}
