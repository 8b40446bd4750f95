//! A node's way to the store: requests take time, in order, and share what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use throughline::engine::types::EngineError;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::life::{Running, Switch, Way};
use crate::store::Store;

/// Every operation answers within 2 s (contract F3).
const LIMIT: Duration = Duration::from_millis(1_800);

/// The way of one node.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) node: usize,
    pub(crate) store: Arc<Mutex<Store>>,
    pub(crate) running: Arc<Switch<Running>>,
    pub(crate) way: Arc<Switch<Way>>,
    turn: Mutex<(Instant, StdRng)>,
}

impl Access {
    pub(crate) fn new(
        node: usize,
        store: Arc<Mutex<Store>>,
        running: Arc<Switch<Running>>,
        way: Arc<Switch<Way>>,
        seed: u64,
    ) -> Self {
        let turn = Mutex::new((Instant::now(), StdRng::seed_from_u64(seed)));
        Self { node, store, running, way, turn }
    }

    /// When the next request arrives, and how long its answer takes.
    fn takes(&self) -> (Instant, Duration) {
        let mut turn = self.turn.lock();
        let mut lag = || Duration::from_millis(turn.1.random_range(0..=3));
        let (up, down) = (lag(), lag());
        turn.0 = turn.0.max(Instant::now() + up);
        (turn.0, down)
    }

    /// Has the store do something.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        self.running.gate().await;
        let (at, down) = self.takes();
        sleep_until(at).await;
        match self.way.now() {
            Way::Open => {}
            Way::Refused => return Err(EngineError::Unavailable),
            Way::Unheard => {
                act(&mut self.store.lock());
                sleep(LIMIT).await;
                self.running.gate().await;
                return Err(EngineError::Unknown);
            }
            Way::Hung => {
                let goes_on = self.way.until(|way| way != Way::Hung);
                if timeout(LIMIT, goes_on).await.is_err() {
                    self.lands_later(act);
                    return Err(EngineError::Unknown);
                }
            }
        }
        let done = act(&mut self.store.lock());
        sleep(down).await;
        self.running.gate().await;
        match self.way.now() {
            Way::Open | Way::Hung => Ok(done),
            Way::Refused | Way::Unheard => Err(EngineError::Unknown),
        }
    }

    fn lands_later<T: Send + 'static>(&self, act: impl FnOnce(&mut Store) -> T + Send + 'static) {
        let (way, store) = (Arc::clone(&self.way), Arc::clone(&self.store));
        tokio::spawn(async move {
            way.until(|way| way != Way::Hung).await;
            act(&mut store.lock());
        });
    }
}
