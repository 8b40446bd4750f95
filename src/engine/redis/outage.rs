//! What the log says of a server that cannot be reached: why, at once and whenever that changes,
//! else once a minute; and when it is over.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use tokio::time::Instant;

/// How long the same is not said again.
const SAID: Duration = Duration::from_mins(1);

/// The times in which one connection to one server cannot be made.
pub(super) struct Outage {
    server: Arc<str>,
    /// What the connection is for.
    purpose: &'static str,
    began: Option<Instant>,
    said: Option<(String, Instant)>,
}

impl Outage {
    pub(super) fn new(server: &Arc<str>, purpose: &'static str) -> Self {
        Self { server: Arc::clone(server), purpose, began: None, said: None }
    }

    /// The connection could not be made.
    pub(super) fn goes_on(&mut self, error: &RedisError) {
        let (now, why) = (Instant::now(), reason(error));
        let began = *self.began.get_or_insert(now);
        let known = |(before, at): &(String, Instant)| *before == why && now - *at < SAID;
        if self.said.as_ref().is_some_and(known) {
            return;
        }
        let (server, purpose, since) = (&self.server, self.purpose, (now - began).as_secs());
        tracing::warn!(%server, purpose, %why, since_s = since, "Redis cannot be used");
        self.said = Some((why, now));
    }

    /// The connection was made.
    pub(super) fn is_over(&mut self) {
        self.said = None;
        let Some(began) = self.began.take() else { return };
        let (server, purpose, after) = (&self.server, self.purpose, began.elapsed().as_secs());
        tracing::info!(%server, purpose, after_s = after, "Redis can be used again");
    }
}

fn reason(error: &RedisError) -> String {
    if error.is_timeout() {
        // A server without TLS waits for more of what it takes for a command.
        return format!("{error}: nobody answers there, or TLS is on one side only");
    }
    error.to_string()
}
