//! An engine with its deliveries, and short ways to say what a test does with them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use throughline::engine::types::{
    Dedupe, Delivery, EngineError, Entrance, Entry, Event, Incarnation, Member, MemberId, Page,
    PageLimit, PresenceChange, PresenceState, Publish, Published, Retention,
};
use throughline::engine::{Deliveries, Engine};
use throughline::protocol::channel::{Channel, PublishId, StateKey};
use throughline::protocol::frame::FrameTemplate;
use throughline::protocol::position::{Epoch, GapReason, Position, Since, Tag};

/// Makes engines that share nothing.
pub trait Harness: Sync {
    /// An empty engine with room for 100,000 deliveries.
    fn fresh(&self) -> BoxFuture<'_, Fixture>;
}

/// Moves the engine's time on.
pub type Advance = Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

pub struct Fixture {
    pub engine: Arc<dyn Engine>,
    pub deliveries: Deliveries,
    pub advance: Advance,
}

/// A durable channel of 100 events and 1 h.
pub const DURABLE: Retention = Retention::Log { size: 100, age: Duration::from_hours(1) };

/// More than a test ever reads.
pub const ALL: PageLimit = PageLimit { events: 1000, bytes: 1 << 20 };

pub fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

pub fn incarnation(name: &str) -> Incarnation {
    Incarnation(name.into())
}

pub fn entry(text: &str) -> Entry {
    let frame = FrameTemplate {
        before: Bytes::from_static(br#"{"t":"event","pos":""#),
        after: Bytes::from(format!(r#"","data":"{text}"}}"#)),
    };
    Entry { tag: Tag(rand::random()), frame, key: None }
}

pub fn keyed(key: &str, text: &str) -> Entry {
    Entry { key: Some(StateKey::parse(key).unwrap()), ..entry(text) }
}

/// A publish of one entry for each text.
pub fn publish(to: &Channel, retention: Retention, texts: &[&str]) -> Publish {
    let entries = texts.iter().map(|text| entry(text)).collect();
    Publish { channel: to.clone(), retention, entries, dedupe: None, expect: None, replicas: 0 }
}

pub fn with_id(publish: Publish, publisher: &str, id: &str, body: u8) -> Publish {
    let id = PublishId::parse(id).unwrap();
    let dedupe = Some(Dedupe { publisher: publisher.into(), id, digest: [body; 16] });
    Publish { dedupe, ..publish }
}

pub fn member(id: &str, fence: u64, state: PresenceState, info: &str) -> Member {
    Member {
        id: MemberId(id.into()),
        user: Some("ann".into()),
        incarnation: incarnation("node"),
        fence,
        state,
        json: Bytes::from(format!(r#"{{"id":"{id}","info":"{info}"}}"#)),
    }
}

impl Fixture {
    pub async fn publish(&self, publish: Publish) -> Published {
        self.engine.publish(publish).await.unwrap()
    }

    /// Publishes one event to a durable channel.
    pub async fn say(&self, to: &Channel, text: &str) -> Position {
        self.publish(publish(to, DURABLE, &[text])).await.position
    }

    pub async fn top(&self, of: &Channel) -> Position {
        self.engine.top(of).await.unwrap()
    }

    pub async fn page(&self, of: &Channel, since: Since, limit: PageLimit) -> Page {
        self.engine.history(of, since, limit).await.unwrap()
    }

    /// Everything retained.
    pub async fn all(&self, of: &Channel) -> Vec<Event> {
        self.page(of, Since::Oldest, ALL).await.events
    }

    /// The gap of a position, if it is one, with what every gap keeps to.
    pub async fn gap(&self, of: &Channel, since: &Position) -> Option<GapReason> {
        let page = self.page(of, Since::After(since.clone()), ALL).await;
        if page.gap.is_some() {
            assert!(page.events.is_empty(), "a gap brings no events");
            assert_eq!(page.position, page.top, "a gap's reader stands at the top");
        }
        page.gap
    }

    pub async fn join(&self, to: &Channel, member: Member) -> Result<(), EngineError> {
        self.engine.join(to, member, Entrance::default()).await
    }

    pub async fn advance(&self, by: Duration) {
        (self.advance)(by).await;
    }

    pub async fn next(&mut self) -> Delivery {
        let next = tokio::time::timeout(Duration::from_secs(20), self.deliveries.recv());
        next.await.expect("a delivery should come").expect("the engine should live")
    }

    pub async fn next_event(&mut self) -> (Channel, Epoch, Event) {
        match self.next().await {
            Delivery::Event { channel, epoch, event } => (channel, epoch, event),
            other => panic!("not an event: {other:?}"),
        }
    }

    /// The next change of presence: version, count, change.
    pub async fn next_change(&mut self) -> (u64, usize, PresenceChange) {
        match self.next().await {
            Delivery::Presence { version, count, change, .. } => (version, count, change),
            other => panic!("not a change of presence: {other:?}"),
        }
    }
}

/// Runs futures side by side on the runtime's threads, and answers their results.
pub async fn at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item: Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

pub fn conflict(result: Result<Published, EngineError>) -> Position {
    match result {
        Err(EngineError::Conflict { top: Some(top) }) => top,
        other => panic!("not a conflict with its top: {other:?}"),
    }
}

pub fn offsets(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.offset).collect()
}
