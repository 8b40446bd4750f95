//! The node's lease: how the others know that it lives, and how it knows that it was thought dead
//! (contract R4, S5).
//!
//! A node whose lease had lapsed may have lost its sessions to others. It lets go of all of them,
//! without a leave, and goes on as another incarnation: their clients come back by their tickets.
//! While the engine cannot be reached nothing is let go (contract F3).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Mutex;

use crate::engine::clock::millis;
use crate::engine::types::{EngineError, Incarnation};
use crate::telemetry::clock::now_ms;

use super::{Gateway, parking};

/// Between two renewals.
pub const RENEW: Duration = Duration::from_secs(2);
/// How long a lease lasts, in milliseconds.
const LEASE_MS: u64 = 8_000;
/// Incarnations of this process that are remembered as over.
const RETIRED_MAX: usize = 64;

/// The lease of this node.
#[derive(Debug)]
pub(super) struct Lease {
    names: RwLock<Names>,
    /// Whether the present incarnation was ever renewed: before that the others take it for dead.
    held: AtomicBool,
    /// When it was last renewed, on the monotonic clock.
    renewed_ms: AtomicU64,
    /// When that was last tried.
    tried_ms: AtomicU64,
    /// When the engine last refused a renewal, on the same clock; 0 for never.
    away_ms: AtomicU64,
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Names {
    now: Incarnation,
    retired: VecDeque<Incarnation>,
}

impl Default for Lease {
    fn default() -> Self {
        let names = Names { now: fresh(), retired: VecDeque::new() };
        let now = now_ms();
        let (renewed_ms, tried_ms) = (AtomicU64::new(now), AtomicU64::new(now));
        let held = AtomicBool::new(false);
        let (away_ms, turn) = (AtomicU64::new(0), Mutex::new(()));
        Self { names: RwLock::new(names), held, renewed_ms, tried_ms, away_ms, turn }
    }
}

fn fresh() -> Incarnation {
    Incarnation(format!("{:016x}", rand::random::<u64>()).into())
}

impl Lease {
    pub(super) fn incarnation(&self) -> Incarnation {
        self.names.read().now.clone()
    }

    /// Whether an incarnation was this process, and is over: its sessions are nowhere.
    pub(super) fn is_retired(&self, name: &str) -> bool {
        self.names.read().retired.iter().any(|retired| &*retired.0 == name)
    }

    /// Whether the others know the present incarnation, or did.
    pub(super) fn was_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether there is none yet, or so much time went by that it may have lapsed.
    pub(super) fn is_stale(&self) -> bool {
        !self.was_held()
            || now_ms().saturating_sub(self.renewed_ms.load(Ordering::Relaxed)) >= LEASE_MS
    }

    /// Whether this node stood still for so long that it may have lapsed. While the engine is away
    /// its renewal is tried all the time: then nobody has to wait for another try (contract F3).
    fn stood_still(&self) -> bool {
        now_ms().saturating_sub(self.tried_ms.load(Ordering::Relaxed)) >= LEASE_MS
    }

    /// Whether the engine was away within that time: whose client could not come back then may still.
    pub(super) fn was_away(&self, within: Duration) -> bool {
        let away = self.away_ms.load(Ordering::Relaxed);
        away > 0 && now_ms().saturating_sub(away) < millis(within)
    }

    /// Whether the last renewal was refused.
    pub(super) fn is_away(&self) -> bool {
        let away = self.away_ms.load(Ordering::Relaxed);
        away > 0 && away >= self.renewed_ms.load(Ordering::Relaxed)
    }

    /// Whether none has been tried since this time, or not for so long that it may have lapsed anew.
    fn is_untried(&self, since: u64) -> bool {
        self.tried_ms.load(Ordering::Relaxed) <= since || self.stood_still()
    }

    fn retire(&self) {
        self.held.store(false, Ordering::Relaxed);
        let mut names = self.names.write();
        let before = std::mem::replace(&mut names.now, fresh());
        names.retired.push_back(before);
        if names.retired.len() > RETIRED_MAX {
            names.retired.pop_front();
        }
    }
}

/// Renews the lease; one that had lapsed costs this node its sessions.
pub async fn renew(gateway: &Arc<Gateway>) {
    let _turn = gateway.lease.turn.lock().await;
    renew_in_turn(gateway).await;
}

/// Before what only a node with a lease may do: after a pause it is renewed first.
pub(super) async fn ensure(gateway: &Arc<Gateway>) {
    // One try serves all who waited for it, though it fail: each may take as long as any call.
    ensure_since(gateway, now_ms()).await;
}

/// The same, unless it was tried since this time.
async fn ensure_since(gateway: &Arc<Gateway>, since: u64) {
    let is_due = || gateway.lease.is_stale() && gateway.lease.is_untried(since);
    if !gateway.is_shared() || !is_due() {
        return;
    }
    let _turn = gateway.lease.turn.lock().await;
    if is_due() {
        renew_in_turn(gateway).await;
    }
}

/// The same for who waits for the engine: whether it is there is looked at once in so long, by one for
/// all, as the lease may be over before its next turn. False where it is away.
pub(super) async fn ensure_back(gateway: &Arc<Gateway>, every: Duration) -> bool {
    ensure_since(gateway, now_ms().saturating_sub(millis(every))).await;
    !gateway.lease.is_away()
}

/// Before an answer for a session: after a pause others may have it.
pub(super) async fn ensure_awake(gateway: &Arc<Gateway>) {
    if !gateway.is_shared() || !gateway.lease.stood_still() {
        return;
    }
    let _turn = gateway.lease.turn.lock().await;
    if gateway.lease.stood_still() {
        renew_in_turn(gateway).await;
    }
}

async fn renew_in_turn(gateway: &Arc<Gateway>) {
    let address = gateway.peers.as_ref().map(|peers| &*peers.address);
    let mut renewed = gateway.engine.renew(&gateway.incarnation(), address).await;
    let lapsed = match &renewed {
        Ok(renewal) => renewal.late,
        Err(error) => matches!(error, EngineError::Conflict { .. }),
    };
    if lapsed && gateway.is_shared() {
        tracing::warn!(
            sessions = gateway.sessions(),
            "the lease had lapsed: every session is let go"
        );
        gateway.lease.retire();
        gateway.metrics.leases_lost.inc();
        parking::let_all_go(gateway);
        renewed = gateway.engine.renew(&gateway.incarnation(), address).await;
    }
    match renewed {
        Ok(_) => {
            gateway.lease.renewed_ms.store(now_ms(), Ordering::Relaxed);
            gateway.lease.held.store(true, Ordering::Relaxed);
        }
        Err(error) => {
            let known = gateway.lease.is_away();
            gateway.lease.away_ms.store(now_ms().max(1), Ordering::Relaxed);
            if !known {
                tracing::warn!(%error, "the node's lease was not renewed");
            }
        }
    }
    gateway.lease.tried_ms.store(now_ms(), Ordering::Relaxed);
}
