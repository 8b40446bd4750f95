//! Going away: sessions are parked, spread over a window, and their clients come back to another
//! node (contract B3).

use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use futures::{Stream, StreamExt as _};
use tokio::time::{Instant, sleep, sleep_until};

use crate::protocol::error::ErrorCode;

use super::driver::{Driver, Taker};
use super::parking::{self, Outcome};
use super::{Gateway, lease};

/// Between two looks for sessions that were on their way.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Sessions that are parked at once.
const AT_ONCE: usize = 64;

/// Has every session leave, over `window`; those that cannot move end. New ones are refused already,
/// but one may have been on its way here.
pub async fn drain(gateway: &Arc<Gateway>, window: Duration) {
    lease::ensure(gateway).await;
    empty(gateway, window).await;
    while gateway.sessions() > 0 || !gateway.arriving.lock().is_empty() {
        empty(gateway, Duration::ZERO).await;
        sleep(LOOK_AGAIN).await;
    }
}

async fn empty(gateway: &Arc<Gateway>, window: Duration) {
    let (moving, ending): (Vec<_>, Vec<_>) =
        gateway.registry.all().into_iter().partition(|driver| driver.moves());
    for driver in ending {
        driver.end(ErrorCode::Draining);
    }
    let due = spread(moving, window);
    due.for_each_concurrent(AT_ONCE, |driver| async move { leave(gateway, &driver).await }).await;
}

/// One after the other, evenly over a window.
fn spread<T>(items: Vec<T>, window: Duration) -> impl Stream<Item = T> {
    let (begun, many) = (Instant::now(), u32::try_from(items.len()).unwrap_or(u32::MAX).max(1));
    stream! {
        for (item, turn) in items.into_iter().zip(0..) {
            sleep_until(begun + window / many * turn).await;
            yield item;
        }
    }
}

/// One that does not settle in time is tried once more; then it is let go, without a leave.
async fn leave(gateway: &Arc<Gateway>, driver: &Driver) {
    for _ in 0..2 {
        if parking::park(gateway, driver.id, Taker::Nobody, None).await == Outcome::Gone {
            return;
        }
    }
    driver.depart();
}
