//! Loading: the embedded defaults, the file given, the environment, the command line, each laid on
//! what came before. The only place that reads the environment.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::Config;
use super::layers::{Kind, Node, Source};
use super::read::{self, ReadError};
use super::validate::validate;

/// The embedded defaults: every key, commented.
pub const DEFAULTS: &str = include_str!("../../config/throughline.toml");
/// What the names of environment variables that are settings begin with; `__` stands between the
/// parts of a key: `THROUGHLINE_SESSION__WINDOW=60s`.
pub const ENV_PREFIX: &str = "THROUGHLINE_";
/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the command line sets.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`, over `listen`.
    pub listen: Option<String>,
    /// `--engine`, over `engine.url`.
    pub engine: Option<String>,
    /// `--tls-cert`, over `tls.cert_file`.
    pub tls_cert: Option<String>,
    /// `--tls-key`, over `tls.key_file`.
    pub tls_key: Option<String>,
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands: a file, an environment variable, an option.
    pub source: String,
    /// The key, if it is about one.
    pub key: String,
    /// What is wrong, with the value and its bound.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.source, self.message),
            key => write!(f, "{}: {key}: {}", self.source, self.message),
        }
    }
}

/// A configuration that cannot be used: everything that is wrong with it, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl ConfigError {
    fn one(source: &Source, key: &str, message: impl fmt::Display) -> Self {
        let (source, key) = (source.to_string(), key.to_owned());
        Self(vec![Problem { source, key, message: message.to_string() }])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let break_before = if index == 0 { "" } else { "\n" };
            write!(f, "{break_before}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Loads from a file, the environment and the command line.
/// # Errors
/// [`ConfigError`] where the file cannot be read (at most 1 MiB), something is not known, not of
/// its kind, or out of its bounds.
pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Config, ConfigError> {
    let file = file.map(|path| Ok((path.display().to_string(), read_file(path)?))).transpose()?;
    let mut env = Vec::new();
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with(ENV_PREFIX) {
            continue;
        }
        let value = value.into_string().map_err(|_| {
            ConfigError::one(&Source::Env(Arc::from(&*name)), "", "the value is not UTF-8")
        })?;
        env.push((name, value));
    }
    assemble(file.as_ref().map(|(path, text)| (&**path, &**text)), env, flags)
}

/// The same with everything given: the file's name and text, and environment variables.
/// # Errors
/// As [`load`].
pub fn assemble(
    file: Option<(&str, &str)>,
    env: impl IntoIterator<Item = (String, String)>,
    flags: &Flags,
) -> Result<Config, ConfigError> {
    let mut tree = parse(DEFAULTS, &Source::Defaults)?;
    if let Some((path, text)) = file {
        tree.merge(parse(text, &Source::File(Arc::from(path)))?);
    }
    for (name, value) in env {
        if let Some(path) = env_path(&name)? {
            lay_on(&mut tree, &path, env_leaf(&name, value))?;
        }
    }
    let options = [
        ("--listen", "listen", &flags.listen),
        ("--engine", "engine.url", &flags.engine),
        ("--tls-cert", "tls.cert_file", &flags.tls_cert),
        ("--tls-key", "tls.key_file", &flags.tls_key),
    ];
    for (option, key, value) in options {
        if let Some(value) = value {
            let path: Vec<String> = key.split('.').map(str::to_owned).collect();
            let leaf = Node::new(toml::Value::String(value.clone()), &Source::Flag(option));
            lay_on(&mut tree, &path, leaf)?;
        }
    }
    let mut config = read_tree(&tree)?;
    let problems: Vec<Problem> =
        validate(&config).into_iter().map(|(key, message)| problem(&tree, &key, message)).collect();
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    read_key_files(&mut config, &tree)?;
    Ok(config)
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    let source = Source::File(Arc::from(path.display().to_string()));
    let fail = |error: std::io::Error| ConfigError::one(&source, "", error);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(fail)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::one(&source, "", "larger than the maximum, 1MiB"));
    }
    Ok(text)
}

/// Never shows the file's text: the line that is wrong may be the one with a secret.
fn parse(text: &str, source: &Source) -> Result<Node, ConfigError> {
    let table = text.parse::<toml::Table>().map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ConfigError::one(source, "", format!("line {line}: {}", error.message()))
    })?;
    Ok(Node::new(toml::Value::Table(table), source))
}

/// The key that an environment variable sets. `None` for what is none of ours, and for what
/// Kubernetes sets of itself for a service that is called `throughline`.
fn env_path(name: &str) -> Result<Option<Vec<String>>, ConfigError> {
    let Some(key) = name.strip_prefix(ENV_PREFIX) else { return Ok(None) };
    let is_service = |prefix: &str| key == prefix || key.starts_with(&format!("{prefix}_"));
    if key == "SERVICE_HOST" || is_service("SERVICE_PORT") || is_service("PORT") {
        return Ok(None);
    }
    let path: Vec<String> = key.to_lowercase().split("__").map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        let source = Source::Env(Arc::from(name));
        return Err(ConfigError::one(&source, "", "a part of the key is empty"));
    }
    Ok(Some(path))
}

/// A value of the environment: TOML if it can be read so, else a string.
fn env_leaf(name: &str, raw: String) -> Node {
    let source = Source::Env(Arc::from(name));
    let table = format!("value = {raw}").parse::<toml::Table>().ok().filter(|t| t.len() == 1);
    let value = table.and_then(|mut table| table.remove("value"));
    let mut node = Node::new(value.unwrap_or_else(|| raw.clone().into()), &source);
    node.raw = Some(raw);
    node
}

fn lay_on(tree: &mut Node, path: &[String], leaf: Node) -> Result<(), ConfigError> {
    let source = leaf.source.clone();
    let mut at = &*tree;
    for (index, key) in path.iter().enumerate() {
        let Kind::Table(table) = &at.kind else {
            let key = path.get(..index).unwrap_or_default().join(".");
            return Err(ConfigError::one(&source, &key, "is not a section"));
        };
        match table.get(key) {
            Some(inner) => at = inner,
            None => break,
        }
    }
    tree.merge(Node::at_path(path, leaf));
    Ok(())
}

fn read_tree(tree: &Node) -> Result<Config, ConfigError> {
    read::read::<Config>(tree).map_err(|error| {
        let message = with_value(tree.nearest(&error.path), &error);
        ConfigError(vec![problem(tree, &error.path.join("."), message)])
    })
}

/// What was wrong with a value, and the value; but a secret is never shown, and serde's messages
/// may repeat it.
fn with_value(node: &Node, error: &ReadError) -> String {
    /// More would bury the message.
    const SHOWN_CHARS_MAX: usize = 60;
    let message = &error.message;
    if message.starts_with("unknown") {
        return message.clone();
    }
    if error.path.last().is_some_and(|key| key == "secret" || key == "key") {
        return "must be a string".to_owned();
    }
    match &node.kind {
        Kind::Scalar(toml::Value::String(text)) if !message.contains(text.as_str()) => {
            let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            format!("{shown:?}: {message}")
        }
        _ => message.clone(),
    }
}

fn problem(tree: &Node, key: &str, message: String) -> Problem {
    let path: Vec<String> = key.split('.').map(str::to_owned).collect();
    Problem { source: tree.nearest(&path).source.to_string(), key: key.to_owned(), message }
}

fn read_key_files(config: &mut Config, tree: &Node) -> Result<(), ConfigError> {
    for (index, key) in config.auth.keys.iter_mut().enumerate() {
        let Some(path) = &key.public_key_file else { continue };
        let pem = read_file(path).map_err(|ConfigError(found)| {
            let key = format!("auth.keys.{index}.public_key_file");
            let whole = |inner: Problem| format!("{}: {}", inner.source, inner.message);
            let outer = |inner| problem(tree, &key, whole(inner));
            ConfigError(found.into_iter().map(outer).collect())
        })?;
        key.public_key_pem = Some(pem);
    }
    Ok(())
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
