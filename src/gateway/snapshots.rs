//! Lists of members for the sessions of this node: however many want that of one channel at once, as
//! all do after a break, the engine is read twice at most.
//!
//! Who asks while a read is under way is given the next one, never that: it may have been made before
//! the change for which they ask (contract R6).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::engine::types::EngineError;
use crate::protocol::channel::Channel;
use crate::protocol::frame::Frame;

/// Who waits for the next read, by channel; a channel is there while it is read. Bounded by the
/// subscriptions of the node.
type Waiting = HashMap<Channel, Vec<oneshot::Sender<Frame>>>;

/// The lists that are being read.
#[derive(Debug, Default)]
pub(super) struct Snapshots(Arc<Mutex<Waiting>>);

impl Snapshots {
    /// A list whose `read` began after this was called.
    /// # Errors
    /// [`EngineError::Unavailable`] where it could not be read.
    pub(super) async fn get<R>(
        &self,
        tasks: &TaskTracker,
        channel: &Channel,
        read: impl Fn(Channel) -> R + Send + 'static,
    ) -> Result<Frame, EngineError>
    where
        R: Future<Output = Result<Frame, EngineError>> + Send + 'static,
    {
        let (to, frame) = oneshot::channel();
        if self.wait(channel, to) {
            let waiting = Arc::clone(&self.0);
            tasks.spawn(Reader { waiting, channel: channel.clone(), done: false }.run(read));
        }
        frame.await.map_err(|_| EngineError::Unavailable)
    }

    /// Returns whether nobody reads.
    fn wait(&self, channel: &Channel, to: oneshot::Sender<Frame>) -> bool {
        let mut waiting = self.0.lock();
        if let Some(others) = waiting.get_mut(channel) {
            others.push(to);
            return false;
        }
        waiting.insert(channel.clone(), vec![to]);
        true
    }
}

/// Reads a channel's list for as long as anyone waits for it.
struct Reader {
    waiting: Arc<Mutex<Waiting>>,
    channel: Channel,
    done: bool,
}

impl Reader {
    async fn run<R>(mut self, read: impl Fn(Channel) -> R)
    where
        R: Future<Output = Result<Frame, EngineError>>,
    {
        while let Some(waiting) = self.next() {
            // Where it fails they are told by the end of what they wait for.
            if let Ok(frame) = read(self.channel.clone()).await {
                for to in waiting {
                    let _ = to.send(frame.clone());
                }
            }
        }
    }

    /// Who is given the next read; without anyone it is over.
    fn next(&mut self) -> Option<Vec<oneshot::Sender<Frame>>> {
        let mut waiting = self.waiting.lock();
        let next = waiting.get_mut(&self.channel).map(std::mem::take).unwrap_or_default();
        if next.is_empty() {
            waiting.remove(&self.channel);
            self.done = true;
            return None;
        }
        Some(next)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It panicked: who waits is told, and who comes begins anew.
        if !self.done {
            self.waiting.lock().remove(&self.channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;
    use tokio::task::yield_now;

    use super::*;

    /// What is read, and how often; each read waits until it is let on.
    #[derive(Default)]
    struct Store {
        state: AtomicUsize,
        reads: AtomicUsize,
        on: Option<Semaphore>,
    }

    impl Store {
        fn held() -> Arc<Self> {
            Arc::new(Self { on: Some(Semaphore::new(0)), ..Self::default() })
        }

        async fn read(self: Arc<Self>) -> Result<Frame, EngineError> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            let state = self.state.load(Ordering::SeqCst);
            if let Some(on) = &self.on {
                on.acquire().await.unwrap().forget();
            }
            Ok(Frame::new(state.to_string().as_bytes()))
        }
    }

    async fn ask(snapshots: Arc<Snapshots>, store: Arc<Store>) -> String {
        let (tasks, channel) = (TaskTracker::new(), Channel::parse("room:a").unwrap());
        let read = move |_| Arc::clone(&store).read();
        let frame = snapshots.get(&tasks, &channel, read).await.unwrap();
        String::from_utf8(frame.json().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn however_many_ask_at_once_there_are_two_reads_and_none_is_older_than_who_asked() {
        // spec: R6
        let (snapshots, store) = (Arc::new(Snapshots::default()), Store::held());
        let asks = || tokio::spawn(ask(Arc::clone(&snapshots), Arc::clone(&store)));
        let first = asks();
        while store.reads.load(Ordering::SeqCst) == 0 {
            yield_now().await;
        }
        // The read that is under way has not seen this.
        store.state.store(7, Ordering::SeqCst);
        let others: Vec<_> = (0..100).map(|_| asks()).collect();
        yield_now().await;
        store.on.as_ref().unwrap().add_permits(10);
        assert_eq!(first.await.unwrap(), "0");
        for other in join_all(others).await {
            assert_eq!(other.unwrap(), "7");
        }
        assert_eq!(store.reads.load(Ordering::SeqCst), 2);
        assert!(snapshots.0.lock().is_empty());
        assert_eq!(asks().await.unwrap(), "7");
    }

    #[tokio::test]
    async fn a_read_that_panics_is_one_that_failed_and_the_next_is_another() {
        // spec: B2
        let snapshots = Snapshots::default();
        let (tasks, channel) = (TaskTracker::new(), Channel::parse("room:a").unwrap());
        let breaks = |_| async { panic!("a fault of the server") };
        assert!(snapshots.get(&tasks, &channel, breaks).await.is_err());
        let store = Arc::new(Store::default());
        assert_eq!(ask(Arc::new(snapshots), store).await, "0");
    }
}
