//! One Pub/Sub connection: what it pushes, in order, through a bounded queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, RedisError, Value, pipe};
use tokio::sync::mpsc;

use crate::engine::redis::line::{Finder, connect, settings};
use crate::engine::redis::script::PROBE;

/// Messages that wait to be read. Beyond, they are dropped, and every position is checked.
const QUEUE: usize = 16_384;

/// What a connection pushes.
#[derive(Debug)]
pub(super) enum Push {
    /// A message under a name.
    Message(Arc<str>, Bytes),
    /// The server took a subscription away: its slot has moved.
    TakenAway,
    /// The connection is gone.
    Gone,
}

/// A Pub/Sub connection.
pub(super) struct Wire {
    connection: MultiplexedConnection,
    pub(super) pushes: mpsc::Receiver<Push>,
    overflowed: Arc<AtomicBool>,
    /// Whether unsubscribing is ours: Redis confirms it in the words in which it takes away.
    leaving: Arc<AtomicBool>,
    cluster: bool,
}

impl Wire {
    pub(super) async fn open(finder: &Finder, cluster: bool) -> Result<Self, RedisError> {
        let (to, pushes) = mpsc::channel(QUEUE);
        let overflowed = Arc::new(AtomicBool::new(false));
        let leaving = Arc::new(AtomicBool::new(false));
        let (dropped, ours) = (Arc::clone(&overflowed), Arc::clone(&leaving));
        let sender = move |info: PushInfo| -> Result<(), mpsc::error::SendError<()>> {
            let Some(push) = read(info, ours.load(Relaxed)) else { return Ok(()) };
            if to.try_send(push).is_err() {
                dropped.store(true, Relaxed);
            }
            Ok(())
        };
        let (_, connection) = connect(finder, &settings().set_push_sender(sender)).await?;
        Ok(Self { connection, pushes, overflowed, leaving, cluster })
    }

    /// Whether a message was dropped since this was asked last.
    pub(super) fn take_overflowed(&self) -> bool {
        self.overflowed.swap(false, Relaxed)
    }

    /// Hears names: each is confirmed when this returns. One command a name, since a Cluster takes
    /// only names of one slot together.
    pub(super) async fn subscribe(&mut self, names: &[Arc<str>]) -> Result<(), RedisError> {
        self.each(if self.cluster { "SSUBSCRIBE" } else { "SUBSCRIBE" }, names).await
    }

    /// Hears names no longer.
    pub(super) async fn unsubscribe(&mut self, names: &[Arc<str>]) -> Result<(), RedisError> {
        self.leaving.store(true, Relaxed);
        let done =
            self.each(if self.cluster { "SUNSUBSCRIBE" } else { "UNSUBSCRIBE" }, names).await;
        self.leaving.store(false, Relaxed);
        done
    }

    async fn each(&mut self, command: &str, names: &[Arc<str>]) -> Result<(), RedisError> {
        if names.is_empty() {
            return Ok(());
        }
        let mut sent = pipe();
        for name in names {
            sent.cmd(command).arg(&**name);
        }
        let answers = self.connection.send_packed_commands(&sent, 0, names.len()).await?;
        for answer in answers {
            answer.extract_error()?;
        }
        Ok(())
    }

    /// Says `count` under a name that this connection hears, and reads the server's generation and
    /// the mark of its data.
    pub(super) async fn probe(
        &mut self,
        name: &str,
        count: u64,
        mark: &str,
    ) -> Result<(String, String), RedisError> {
        let publish = if self.cluster { "SPUBLISH" } else { "PUBLISH" };
        let mut sent = pipe();
        sent.cmd(publish).arg(name).arg(count).ignore();
        let () = sent.query_async(&mut self.connection).await?;
        let fresh = format!("{:016x}", rand::random::<u64>());
        PROBE.key(mark).arg(fresh).invoke_async(&mut self.connection).await
    }
}

fn read(info: PushInfo, leaving: bool) -> Option<Push> {
    match info.kind {
        PushKind::Message | PushKind::SMessage => {
            let mut data = info.data.into_iter();
            let (Some(Value::BulkString(name)), Some(Value::BulkString(body))) =
                (data.next(), data.next())
            else {
                return None;
            };
            Some(Push::Message(String::from_utf8(name).ok()?.into(), body.into()))
        }
        PushKind::Unsubscribe | PushKind::SUnsubscribe if !leaving => Some(Push::TakenAway),
        PushKind::Disconnection => Some(Push::Gone),
        _ => None,
    }
}
