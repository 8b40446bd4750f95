//! Leases of nodes, and the records of sessions (contract R1, R2, R4, S5).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::pipe;

use crate::engine::clock::millis;
use crate::engine::types::{EngineError, Incarnation, NodeStatus, ParkedSession, Renewal, WallMs};

use super::call::Call;
use super::keys::LEASES;
use super::reply::Reply;
use super::script::{NODE, PARK, PARKED, RENEW};
use super::store::Store;

/// How long a lease lasts after its renewal (contract L).
const LEASE: Duration = Duration::from_secs(8);

/// Since when the store was reached without a break and with the same data: only then does a
/// missing lease mean that its node is gone.
#[derive(Debug, Default)]
pub(super) struct Steady(Mutex<Option<(String, WallMs)>>);

impl Steady {
    /// A renewal was answered at `now`, by the server's time, with this mark of the data.
    fn seen(&self, mark: String, now: WallMs) {
        let mut since = self.0.lock();
        if since.as_ref().is_none_or(|(known, _)| *known != mark) {
            *since = Some((mark, now));
        }
    }

    fn broke(&self) {
        *self.0.lock() = None;
    }

    /// Whether it proves something that this data has no lease: data that came since the last renewal
    /// has none of those that were lost.
    fn proves_absence(&self, mark: &str, now: WallMs) -> bool {
        let since = self.0.lock();
        let lasts = |since: WallMs| now.saturating_sub(since) >= millis(LEASE);
        since.as_ref().is_some_and(|(known, since)| known == mark && lasts(*since))
    }
}

/// The server's generation and the mark of its data.
fn mark(reply: &mut Reply) -> Result<String, EngineError> {
    Ok(format!("{} {}", reply.text()?, reply.text()?))
}

impl Store {
    pub(super) async fn renewed(
        &self,
        incarnation: &Incarnation,
        address: Option<&str>,
    ) -> Result<Renewal, EngineError> {
        let call = Call::new(&RENEW, LEASES, self.keys.leases())
            .arg(self.skew())
            .arg(&*incarnation.0)
            .arg(address.unwrap_or_default())
            .arg(millis(LEASE))
            .arg(millis(self.grace))
            .arg(format!("{:016x}", rand::random::<u64>()));
        let answer = self.caller.run(call).await.inspect_err(|_| self.steady.broke())?;
        let mut reply = Reply::of(answer)?;
        if reply.text()? != "ok" {
            return Err(EngineError::Conflict { top: None });
        }
        let (late, now) = (reply.text()? == "1", reply.number()?);
        self.steady.seen(mark(&mut reply)?, now);
        while reply.left() > 0 {
            let lapsed = Incarnation(reply.text()?.into());
            // What is not done now is done by the next renewal, of whichever node.
            if self.sweep(&lapsed).await.is_ok() {
                self.forget(&lapsed).await;
            }
        }
        Ok(Renewal { late })
    }

    /// Ends a lease whose members are gone.
    async fn forget(&self, incarnation: &Incarnation) {
        let Some(server) = self.caller.router.of(LEASES) else { return };
        let keys = self.keys.leases();
        let (leases, addresses) = (keys.first(), keys.get(1));
        let mut forget = pipe();
        forget.cmd("ZREM").arg(leases).arg(&*incarnation.0);
        forget.cmd("HDEL").arg(addresses).arg(&*incarnation.0).arg(format!("{}!", incarnation.0));
        let _ = self.caller.pipeline(&server, &forget).await;
    }

    pub(super) async fn status(
        &self,
        incarnation: &Incarnation,
    ) -> Result<NodeStatus, EngineError> {
        let call =
            Call::new(&NODE, LEASES, self.keys.leases()).arg(self.skew()).arg(&*incarnation.0);
        let mut reply = Reply::of(self.caller.run(call).await?)?;
        let (alive, address, now) = (reply.text()? == "1", reply.text()?, reply.number()?);
        let mark = mark(&mut reply)?;
        Ok(if alive {
            let address = Some(address).filter(|address| !address.is_empty());
            NodeStatus::Alive { address: address.map(Arc::from) }
        } else if self.steady.proves_absence(&mark, now) {
            NodeStatus::Dead
        } else {
            NodeStatus::Unknown
        })
    }

    pub(super) async fn send_to(
        &self,
        incarnation: &Incarnation,
        message: &Bytes,
    ) -> Result<bool, EngineError> {
        let (partition, name) = self.keys.control(incarnation);
        let Some(server) = self.caller.router.of(partition) else {
            return Err(EngineError::Unavailable);
        };
        let mut send = pipe();
        send.cmd(self.publish_command()).arg(&*name).arg(&**message);
        let values = self.caller.pipeline(&server, &send).await?;
        let receivers = values.into_iter().next().map(redis::from_redis_value::<u64>);
        Ok(receivers.is_some_and(|receivers| receivers.is_ok_and(|count| count > 0)))
    }

    /// Changes the record of a session from one version to another; 0 is none.
    pub(super) async fn change_record(
        &self,
        session: &str,
        expected: u64,
        parked: &ParkedSession,
    ) -> Result<(), EngineError> {
        let (partition, key) = self.keys.session(session);
        let call = Call::new(&PARK, partition, [key])
            .arg(self.skew())
            .arg(expected)
            .arg(parked.version)
            .arg(millis(parked.ttl))
            .arg(&*parked.state)
            .publishes(false);
        let done: String = redis::from_redis_value(self.caller.run(call).await?)
            .map_err(|_| EngineError::Unavailable)?;
        if done == "1" { Ok(()) } else { Err(EngineError::Conflict { top: None }) }
    }

    pub(super) async fn record(&self, session: &str) -> Result<Option<ParkedSession>, EngineError> {
        let (partition, key) = self.keys.session(session);
        let call = Call::new(&PARKED, partition, [key]).arg(self.skew());
        let mut reply = Reply::of(self.caller.run(call).await?)?;
        if reply.left() == 0 {
            return Ok(None);
        }
        let (version, ttl) = (reply.number()?, Duration::from_millis(reply.number()?));
        Ok(Some(ParkedSession { version, state: reply.bytes()?, ttl }))
    }
}
