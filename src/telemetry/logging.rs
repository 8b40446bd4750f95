//! Logs: text for people or JSON for machines, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    Text,
    /// A JSON object.
    Json,
}

/// Logs that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directives cannot be read.
    #[error("the log filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else logs in this process.
    #[error("logs were started before")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts the logs of this process; `filter` is a level, or directives of [`EnvFilter`].
/// # Errors
/// [`LogError`] where the filter cannot be read, or logs were started before.
pub fn start(filter: &str, format: Format) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).finish().try_init()?,
        Format::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// The longest text of a client's that a log line carries, in bytes.
const UNTRUSTED_BYTES_MAX: usize = 256;

/// Text of a client's for a log: one line, without control characters, at most 256 bytes.
pub fn untrusted(text: &str) -> String {
    let mut safe = String::new();
    for part in text.chars().map(char::escape_debug) {
        let part: String = part.collect();
        if safe.len() + part.len() > UNTRUSTED_BYTES_MAX {
            break;
        }
        safe.push_str(&part);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_text_cannot_break_a_line_or_colour_it() {
        assert_eq!(untrusted("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(untrusted(&"x".repeat(100_000)).len(), 256);
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error() {
        assert!(matches!(start("throughline=shout", Format::Json), Err(LogError::Filter(_))));
    }
}
