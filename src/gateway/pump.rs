//! The pump: what the engine broadcasts goes to this node's readers, whoever published it.

use std::sync::Arc;

use crate::engine::Deliveries;
use crate::engine::types::{Delivery, PresenceChange};
use crate::hub::{Post, PostKind};
use crate::protocol::channel::Channel;
use crate::protocol::down::{self, SessionDown};
use crate::protocol::frame::Frame;

use super::presence::counts_only;
use super::rules::Rules;
use super::{Gateway, audit, control};

/// Runs until the engine is gone.
pub async fn run(gateway: Arc<Gateway>, mut deliveries: Deliveries) {
    while let Some(delivery) = deliveries.recv().await {
        let Some(delivery) = control::take(&gateway, delivery) else { continue };
        match delivery {
            // Not a task that the end of the node waits for: it is done by its lease's end then.
            Delivery::Lost => drop(tokio::spawn(audit::audit(Arc::clone(&gateway)))),
            other => {
                if let Some(post) = post(&gateway, other) {
                    gateway.fanout.post(post).await;
                }
            }
        }
    }
}

fn post(gateway: &Gateway, delivery: Delivery) -> Option<Post> {
    match delivery {
        Delivery::Event { channel, epoch, event } => {
            let (offset, tag, prev) = (event.offset, event.tag, event.prev);
            let kind = PostKind::Event { epoch, offset, tag, prev };
            Some(Post { channel, kind, frame: event.frame })
        }
        Delivery::Presence { channel, version, count, change } => {
            presence_post(gateway, channel, version, count, &change)
        }
        Delivery::Missed { channel, events, members } => {
            let kind = PostKind::Missed { events, members };
            Some(Post { channel, kind, frame: Frame::new(&[]) })
        }
        Delivery::Lost | Delivery::Control(_) => None,
    }
}

fn presence_post(
    gateway: &Gateway,
    channel: Channel,
    version: u64,
    count: usize,
    change: &PresenceChange,
) -> Option<Post> {
    let rules = Rules::of(&gateway.config, &channel).ok()?;
    let frame = if counts_only(rules.presence, count) {
        if let PresenceChange::Update(_) = change {
            return None;
        }
        SessionDown::Count { ch: &channel, v: version, n: count }.encode()
    } else {
        match change {
            PresenceChange::Join(member) => down::member_change("join", &channel, version, member),
            PresenceChange::Update(member) => {
                down::member_change("update", &channel, version, member)
            }
            PresenceChange::Leave(id) => {
                SessionDown::Leave { ch: &channel, v: version, id: &id.0 }.encode()
            }
        }
    };
    Some(Post { channel, kind: PostKind::Presence, frame })
}
