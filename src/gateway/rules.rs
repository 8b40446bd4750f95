//! The rules of a channel, out of its namespace, and the figures of sessions, out of the settings.

use std::time::Duration;

use crate::config::Config;
use crate::config::namespaces::{Durability, Namespace, Presence, Publishers, Subscribers};
use crate::engine::types::Retention;
use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::session::input::ChannelKind;
use crate::session::settings::Settings;

/// The rules of one channel.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// What it keeps.
    pub retention: Retention,
    /// Replicas of the store that must have an event before it is acknowledged.
    pub replicas: u8,
    /// Who is told who is there.
    pub presence: Presence,
    /// Whether sessions may publish.
    pub members_publish: bool,
    /// Whether anyone may read it.
    pub public: bool,
    /// Whether the plain feed reads it.
    pub feed: bool,
}

impl Rules {
    /// The rules of a channel.
    /// # Errors
    /// `unknown_channel` where the namespace is not configured, `bad_channel` for a name that
    /// begins with `@` and is no user's.
    pub fn of(config: &Config, channel: &Channel) -> Result<Self, Refusal> {
        if channel.is_reserved() && !channel.is_users() {
            let detail = "names that begin with @ belong to the gateway";
            return Err(Refusal::new(ErrorCode::BadChannel).because(detail));
        }
        let namespace = config.namespace(channel).ok_or(ErrorCode::UnknownChannel)?;
        Ok(Self {
            retention: retention(namespace),
            replicas: replicas(config, namespace),
            presence: if channel.is_users() { Presence::Members } else { namespace.presence },
            members_publish: namespace.publish == Publishers::Members && !channel.is_reserved(),
            public: namespace.subscribe == Subscribers::Public && !channel.is_reserved(),
            feed: namespace.feed && !channel.is_reserved(),
        })
    }

    /// What a session must know of it.
    pub fn kind(&self) -> ChannelKind {
        match self.retention {
            Retention::None => ChannelKind::Ephemeral,
            Retention::Log { .. } => ChannelKind::Durable,
            Retention::State { .. } => ChannelKind::State,
        }
    }
}

fn replicas(config: &Config, namespace: &Namespace) -> u8 {
    match namespace.durability {
        Durability::Stored => 0,
        Durability::Replicated => u8::try_from(config.engine.redis.replicas).unwrap_or(u8::MAX),
    }
}

fn retention(namespace: &Namespace) -> Retention {
    match (&namespace.history, &namespace.state) {
        (Some(history), _) => Retention::Log { size: history.size, age: history.age },
        (None, Some(state)) => Retention::State { keys: state.keys },
        (None, None) => Retention::None,
    }
}

/// A session's figures, out of the settings.
pub fn session_settings(config: &Config) -> Settings {
    let session = &config.session;
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4);
    Settings {
        window: ms(session.window),
        grace: ms(session.grace),
        leaving_grace: ms(session.leaving_grace),
        provisional: ms(session.provisional),
        ping_visible: ms(session.ping_visible),
        ping_hidden: ms(session.ping_hidden),
        hold_max: ms(session.hold_max),
        poll_detach: ms(session.poll_detach),
        ephemeral_age: ms(session.ephemeral_age),
        outbox_frames: session.outbox_frames,
        outbox_bytes: session.outbox_bytes,
        uplink_frames: session.uplink_frames,
        subscriptions: session.subscriptions,
        candidates: session.candidates,
        ..Settings::default()
    }
}
