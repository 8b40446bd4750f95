//! The bound of all logs: the largest give up their oldest events.

use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::Mutex;
use tokio::task::yield_now;

use crate::engine::clock::Clock;
use crate::engine::types::WallMs;

use super::shards::Shards;

/// Lets one publisher at a time make room. It begins at fifteen sixteenths of the bound, and the
/// others go on meanwhile; at the bound they wait for it, so that the bound is passed by no more
/// than the batches that were being stored.
#[derive(Debug)]
pub(super) struct Eviction {
    running: Mutex<()>,
    max: usize,
}

impl Eviction {
    pub(super) fn new(max: usize) -> Self {
        Self { running: Mutex::new(()), max }
    }

    /// Makes room if the bound is near, a shard at a time. Dropped half way, it is the next
    /// publisher's to do.
    pub(super) async fn run(&self, shards: &Shards, clock: &Clock) {
        let sixteenth = self.max / 16;
        let bytes = || shards.counts.log_bytes.load(Relaxed);
        let near = || bytes() > self.max - sixteenth;
        if !near() {
            return;
        }
        let running = self.running.try_lock().ok();
        let _running = match running {
            Some(running) => running,
            None if bytes() <= self.max => return,
            None => self.running.lock().await,
        };
        if !near() {
            return;
        }
        let level = level(measure(shards, clock.now()).await, self.max - 2 * sixteenth);
        for shard in shards.iter() {
            for cell in shard.lock().channels.values_mut() {
                let evicted = shards.measured(cell, |cell| cell.trim_to(level));
                shards.counts.evicted.fetch_add(evicted as u64, Relaxed);
            }
            yield_now().await;
        }
    }
}

/// The bytes of every channel that has any, without what is too old.
async fn measure(shards: &Shards, now: WallMs) -> Vec<usize> {
    let mut sizes = Vec::new();
    for shard in shards.iter() {
        for cell in shard.lock().channels.values_mut() {
            shards.measured(cell, |cell| cell.trim(now));
            sizes.extend(Some(cell.bytes()).filter(|bytes| *bytes > 0));
        }
        yield_now().await;
    }
    sizes
}

/// The size to which the larger logs must come down for all to fit in `target`.
fn level(mut sizes: Vec<usize>, target: usize) -> usize {
    sizes.sort_unstable();
    let mut left = target;
    for (index, size) in sizes.iter().enumerate() {
        let share = left / (sizes.len() - index);
        if *size > share {
            return share;
        }
        left -= size;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_logs_above_the_level_come_down_to_it() {
        assert_eq!(level(vec![10, 500, 20, 900], 430), 200);
        assert_eq!(level(vec![10, 20], 30), usize::MAX);
        assert_eq!(level(vec![100], 40), 40);
        assert_eq!(level(vec![], 40), usize::MAX);
    }
}
