//! Fan-out: the subscriber lists, split over shards that a task each owns.
//!
//! Posts and changes of the lists come through one bounded inbox, in order: a subscription that was
//! made before a position was read gets every post above that position.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::protocol::channel::Channel;

use super::{Mailbox, Post};

/// Messages in a shard's inbox at most; a full one makes the sender wait.
const INBOX: usize = 1024;
/// Messages that are taken at once, so that what goes to one reader is written at once.
const GATHER: usize = 64;
/// Readers written to between two yields: a write does not count against tokio's budget.
const READERS_PER_YIELD: usize = 128;

/// A list is swept once one reader in so many is gone, and before anything is delivered to it.
const GONE_SHARE: usize = 8;

enum Message<M> {
    Post(Post),
    Subscribe { channel: Channel, id: u128, sub: u32, mailbox: Arc<M>, done: oneshot::Sender<()> },
    Unsubscribe { channel: Channel, id: u128, sub: u32 },
}

/// The way to the shards.
#[derive(Debug)]
pub struct Fanout<M> {
    inboxes: Vec<mpsc::Sender<Message<M>>>,
    pushes: Arc<AtomicU64>,
}

/// One shard: run it on a task of its own.
#[derive(Debug)]
pub struct Shard<M> {
    inbox: mpsc::Receiver<Message<M>>,
    lists: HashMap<Channel, List<M>>,
    pushes: Arc<AtomicU64>,
    since_yield: usize,
}

/// The readers of one channel.
#[derive(Debug)]
struct List<M> {
    readers: Vec<Reader<M>>,
    /// Those that are gone and still in `readers`, so that a herd that leaves costs no search each.
    gone: Vec<(u128, u32)>,
}

#[derive(Debug)]
struct Reader<M> {
    id: u128,
    sub: u32,
    mailbox: Arc<M>,
}

impl<M> Default for List<M> {
    fn default() -> Self {
        Self { readers: Vec::new(), gone: Vec::new() }
    }
}

impl<M> List<M> {
    fn leave(&mut self, id: u128, sub: u32) {
        self.gone.push((id, sub));
        if self.gone.len() * GONE_SHARE >= self.readers.len() {
            self.sweep();
        }
    }

    /// Takes out those that are gone.
    fn sweep(&mut self) {
        if self.gone.is_empty() {
            return;
        }
        let mut gone = std::mem::take(&mut self.gone);
        gone.sort_unstable();
        self.readers.retain(|reader| gone.binary_search(&(reader.id, reader.sub)).is_err());
    }
}

impl<M: Mailbox> Fanout<M> {
    /// The way in, and the shards to run.
    pub fn new(shards: usize) -> (Self, Vec<Shard<M>>) {
        let pushes = Arc::new(AtomicU64::new(0));
        let (inboxes, shards) = (0..shards.max(1))
            .map(|_| {
                let (tx, inbox) = mpsc::channel(INBOX);
                let (lists, pushes) = (HashMap::new(), Arc::clone(&pushes));
                (tx, Shard { inbox, lists, pushes, since_yield: 0 })
            })
            .unzip();
        (Self { inboxes, pushes }, shards)
    }

    fn inbox_of(&self, id: u128) -> Option<&mpsc::Sender<Message<M>>> {
        let index = (id >> 64) % self.inboxes.len() as u128;
        self.inboxes.get(usize::try_from(index).unwrap_or_default())
    }

    /// Sends a post to every reader of its channel.
    pub async fn post(&self, post: Post) {
        let Some((last, others)) = self.inboxes.split_last() else { return };
        for inbox in others {
            let _ = inbox.send(Message::Post(post.clone())).await;
        }
        let _ = last.send(Message::Post(post)).await;
    }

    /// Adds a reader. Once this returns, every later post comes.
    pub async fn subscribe(&self, channel: &Channel, id: u128, sub: u32, mailbox: Arc<M>) {
        let (done, is_done) = oneshot::channel();
        let channel = channel.clone();
        let message = Message::Subscribe { channel, id, sub, mailbox, done };
        if let Some(inbox) = self.inbox_of(id)
            && inbox.send(message).await.is_ok()
        {
            let _ = is_done.await;
        }
    }

    /// Takes a reader out.
    pub async fn unsubscribe(&self, channel: &Channel, id: u128, sub: u32) {
        if let Some(inbox) = self.inbox_of(id) {
            let _ = inbox.send(Message::Unsubscribe { channel: channel.clone(), id, sub }).await;
        }
    }

    /// How many posts were put into mailboxes so far.
    pub fn pushes(&self) -> u64 {
        self.pushes.load(Ordering::Relaxed)
    }
}

impl<M: Mailbox> Shard<M> {
    /// Runs until every sender is gone.
    pub async fn run(mut self) {
        let mut gathered = Vec::with_capacity(GATHER);
        while self.inbox.recv_many(&mut gathered, GATHER).await > 0 {
            let mut posts: Vec<Post> = Vec::new();
            for message in gathered.drain(..) {
                match message {
                    Message::Post(post) => posts.push(post),
                    change => {
                        self.deliver(&mut posts).await;
                        self.change(change);
                    }
                }
            }
            self.deliver(&mut posts).await;
        }
    }

    fn change(&mut self, change: Message<M>) {
        match change {
            Message::Subscribe { channel, id, sub, mailbox, done } => {
                let list = self.lists.entry(channel).or_default();
                list.readers.push(Reader { id, sub, mailbox });
                let _ = done.send(());
            }
            Message::Unsubscribe { channel, id, sub } => {
                let Some(list) = self.lists.get_mut(&channel) else { return };
                list.leave(id, sub);
                if list.readers.is_empty() {
                    self.lists.remove(&channel);
                }
            }
            Message::Post(_) => {}
        }
    }

    /// Delivers what was gathered, channel by channel, all of a channel to one reader at once.
    async fn deliver(&mut self, posts: &mut Vec<Post>) {
        // Stable: the order within each channel stays.
        posts.sort_by(|a, b| a.channel.cmp(&b.channel));
        for run in posts.chunk_by(|a, b| a.channel == b.channel) {
            let Some(list) = run.first().and_then(|post| self.lists.get_mut(&post.channel)) else {
                continue;
            };
            list.sweep();
            let pushes = u64::try_from(list.readers.len() * run.len()).unwrap_or_default();
            self.pushes.fetch_add(pushes, Ordering::Relaxed);
            for reader in &list.readers {
                reader.mailbox.receive(reader.sub, run);
                self.since_yield += 1;
                if self.since_yield >= READERS_PER_YIELD {
                    self.since_yield = 0;
                    tokio::task::yield_now().await;
                }
            }
        }
        posts.clear();
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::super::PostKind;
    use super::*;
    use crate::protocol::frame::Frame;

    #[derive(Default)]
    struct Box1(Mutex<Vec<(u32, usize)>>);

    impl Mailbox for Box1 {
        fn receive(&self, sub: u32, posts: &[Post]) {
            self.0.lock().push((sub, posts.len()));
        }

        fn wake(&self) {}
    }

    #[test]
    fn readers_that_are_gone_leave_the_list_before_the_next_delivery() {
        let mut list = List { readers: Vec::new(), gone: Vec::new() };
        for id in 0..100 {
            list.readers.push(Reader { id, sub: 1, mailbox: Arc::new(Box1::default()) });
        }
        for id in 0..5 {
            list.leave(id, 1);
        }
        // Another subscription of a session that stays.
        list.leave(50, 2);
        assert_eq!(list.readers.len(), 100);
        list.sweep();
        let left: Vec<_> = list.readers.iter().map(|reader| reader.id).collect();
        assert_eq!(left, (5..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_post_reaches_the_readers_of_its_channel_only() {
        let (fanout, shards) = Fanout::<Box1>::new(2);
        let running: Vec<_> = shards.into_iter().map(|shard| tokio::spawn(shard.run())).collect();
        let boxes: Vec<_> = (0..4).map(|_| Arc::new(Box1::default())).collect();
        let channel = |name| Channel::parse(name).unwrap();
        for (index, mailbox) in boxes.iter().enumerate() {
            let name = if index < 3 { "game:abc" } else { "game:other" };
            fanout.subscribe(&channel(name), (index as u128) << 64, 7, Arc::clone(mailbox)).await;
        }
        fanout.unsubscribe(&channel("game:abc"), 2 << 64, 7).await;
        let frame = Frame::new(b"{}");
        fanout.post(Post { channel: channel("game:abc"), kind: PostKind::Presence, frame }).await;
        let pushes = Arc::clone(&fanout.pushes);
        drop(fanout);
        for shard in running {
            shard.await.unwrap();
        }
        assert_eq!(pushes.load(Ordering::Relaxed), 2);
        let got: Vec<_> = boxes.iter().map(|mailbox| mailbox.0.lock().len()).collect();
        assert_eq!(got, [1, 1, 0, 0]);
    }
}
