//! Runs scripts where their partition is, and does what an error asks for, within two seconds.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisError, Script, Value, cmd, pipe};
use tokio::time::{Instant, sleep, timeout_at};

use crate::engine::types::EngineError;

use super::failure::Failure;
use super::line::{Conn, Line};
use super::refusals::Refusals;
use super::route::{Router, Server};

/// Every operation answers within 2 s (contract F3); a little is left for the way back.
const WITHIN: Duration = Duration::from_millis(1900);
/// How long what is refused for now rests before it is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// A script with its keys and arguments.
pub(super) struct Call {
    partition: u16,
    script: &'static Script,
    evalsha: Cmd,
    /// Whether doing it twice is the same as once.
    again: bool,
    /// Whether the caller must know that it may have been done.
    doubt: bool,
    /// Replicas that must have it, and how long they may take.
    replicas: Option<(usize, Duration)>,
}

impl Call {
    /// A call that may be repeated where its outcome is not known.
    pub(super) fn new(
        script: &'static Script,
        partition: u16,
        keys: impl IntoIterator<Item = impl redis::ToRedisArgs, IntoIter: ExactSizeIterator>,
    ) -> Self {
        let keys = keys.into_iter();
        let mut evalsha = cmd("EVALSHA");
        evalsha.arg(script.get_hash()).arg(keys.len());
        for key in keys {
            evalsha.arg(key);
        }
        Self { partition, script, evalsha, again: true, doubt: false, replicas: None }
    }

    pub(super) fn arg(mut self, value: impl redis::ToRedisArgs) -> Self {
        self.evalsha.arg(value);
        self
    }

    /// A call whose doubt the caller is told of (contract P2); repeated only where a second time
    /// is known to be one.
    pub(super) fn publishes(mut self, repeatable: bool) -> Self {
        (self.again, self.doubt) = (repeatable, true);
        self
    }

    /// Waits until so many replicas have it; never repeated, since a repeat would be answered
    /// without them (contract P4).
    pub(super) fn replicated(mut self, replicas: Option<(usize, Duration)>) -> Self {
        self.replicas = replicas.filter(|(count, _)| *count > 0);
        self.again &= self.replicas.is_none();
        self
    }

    fn line(&self, server: &Server) -> Option<Arc<Line>> {
        self.replicas.map(|_| server.waiting())
    }

    /// Sends it once. `asking`: the partition is moving here.
    async fn send(
        &self,
        connection: &mut MultiplexedConnection,
        asking: bool,
    ) -> Result<Value, RedisError> {
        if !asking && self.replicas.is_none() {
            return connection.send_packed_command(&self.evalsha).await?.extract_error();
        }
        let mut sent = pipe();
        if asking {
            sent.cmd("ASKING").ignore();
        }
        sent.add_command(self.evalsha.clone());
        let Some((replicas, patience)) = self.replicas else {
            let (value,): (Value,) = sent.query_async(connection).await?;
            return Ok(value);
        };
        sent.cmd("WAIT").arg(replicas).arg(u64::try_from(patience.as_millis()).unwrap_or(1000));
        let (value, acknowledged): (Value, usize) = sent.query_async(connection).await?;
        if acknowledged < replicas {
            return Err((redis::ErrorKind::Extension, "too few replicas have it").into());
        }
        Ok(value)
    }
}

/// Runs calls.
pub(super) struct Caller {
    pub(super) router: Arc<Router>,
    pub(super) refusals: Refusals,
}

impl Caller {
    /// Runs one call.
    pub(super) async fn run(&self, call: Call) -> Result<Value, EngineError> {
        let by = Instant::now() + WITHIN;
        let mut asked: Option<Arc<Server>> = None;
        loop {
            let asking = asked.is_some();
            let server = asked.take().or_else(|| self.router.of(call.partition));
            let Some(server) = server else { return Err(EngineError::Unavailable) };
            let side = call.line(&server);
            let line = side.as_deref().unwrap_or(&server.line);
            let Some(mut conn) = line.ready(by).await else { return Err(EngineError::Unavailable) };
            let sent = timeout_at(by, call.send(&mut conn.connection, asking)).await;
            let failure = match sent {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => Failure::of(&error),
                Err(_) => Failure::Late,
            };
            if !self.repair(&call, line, &conn, &failure, by).await {
                return Err(failure.told(call.doubt));
            }
            asked = match &failure {
                Failure::Ask(name) => self.router.at(name),
                _ => None,
            };
        }
    }

    /// Does what a failure asks for. Answers whether the call is to be sent again.
    async fn repair(
        &self,
        call: &Call,
        line: &Line,
        conn: &Conn,
        failure: &Failure,
        by: Instant,
    ) -> bool {
        match failure {
            Failure::Load => {
                let mut connection = conn.connection.clone();
                let load = call.script.prepare_invoke();
                timeout_at(by, load.load_async(&mut connection))
                    .await
                    .is_ok_and(|done| done.is_ok())
            }
            Failure::Moved(name) => match self.router.at(name) {
                Some(server) => {
                    self.router.moved(call.partition, &server);
                    true
                }
                None => false,
            },
            Failure::Ask(_) => true,
            Failure::Later => rest(by).await,
            Failure::Reroute => {
                line.broke(conn);
                rest(by).await
            }
            Failure::Lost => {
                line.broke(conn);
                call.again && rest(by).await
            }
            Failure::Refused(code) => {
                self.refusals.count(code);
                false
            }
            Failure::Full => {
                self.refusals.count("OOM");
                false
            }
            Failure::Late | Failure::Broken => false,
        }
    }

    /// Runs plain commands of one server as one pipeline; for reads, which need no repair but to be
    /// asked again.
    pub(super) async fn pipeline(
        &self,
        server: &Server,
        commands: &Pipeline,
    ) -> Result<Vec<Value>, EngineError> {
        let by = Instant::now() + WITHIN;
        let Some(mut conn) = server.line.ready(by).await else {
            return Err(EngineError::Unavailable);
        };
        match timeout_at(by, commands.query_async(&mut conn.connection)).await {
            Ok(Ok(values)) => Ok(values),
            Ok(Err(error)) => {
                let failure = Failure::of(&error);
                if matches!(failure, Failure::Lost | Failure::Reroute) {
                    server.line.broke(&conn);
                }
                Err(failure.told(false))
            }
            Err(_) => Err(EngineError::Unavailable),
        }
    }
}

/// Rests a little. Answers whether there is time left.
async fn rest(by: Instant) -> bool {
    sleep(AGAIN).await;
    Instant::now() < by
}
