//! Session frames up: those that the session performs itself, and those it hands out.

use crate::protocol::channel::Channel;
use crate::protocol::down::{self, SessionDown};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::up::{Command, Numbered, Subscribe};

use super::deliver::refused;
use super::input::{ChannelKind, ConnId, Effect};
use super::outbox::Body;
use super::{Millis, Session};

impl Session {
    /// Begins a subscription that no frame asked for: of an `open`, or by configuration.
    /// Returns whether there was room for it.
    pub fn subscribe(&mut self, wanted: Subscribe) -> bool {
        if self.subs.of_channel(&wanted.ch).is_some() {
            return true;
        }
        if self.subs.len() >= self.settings.subscriptions {
            let refusal = Refusal::new(ErrorCode::TooMany).because("too many subscriptions");
            self.push_refusal(down::frame_error(&refusal, None, Some(&wanted.ch)));
            return false;
        }
        self.begin_sub(wanted, None);
        true
    }

    pub(super) fn on_up(&mut self, conn: ConnId, frame: Numbered, now: Millis) {
        if self.link.as_ref().is_none_or(|link| link.conn != conn) {
            return;
        }
        self.commit();
        self.leaving_at = None;
        self.on_life(conn, now);
        self.uplink.take(frame);
    }

    pub(super) fn on_settled(&mut self, seq: u64, frame: Option<Frame>) {
        if self.uplink.settle(seq)
            && let Some(frame) = frame
        {
            self.outbox.push(frame, Body::Reply);
        }
    }

    /// Whether a command is to be performed now: unread answers at their bound stop the uplink.
    pub(super) fn may_run(&self) -> bool {
        self.uplink.can_start() && self.outbox.takes_replies()
    }

    /// Performs what waits, one after the other.
    pub(super) fn run_uplink(&mut self) {
        while !self.is_ended() && self.may_run() {
            let Some(Numbered { seq, command }) = self.uplink.start_next() else { return };
            match command {
                Err(refusal) => self.on_settled(seq, Some(refused(seq, &refusal))),
                Ok(Command::Noop) => self.on_settled(seq, None),
                Ok(Command::Away(away)) => {
                    self.on_away(away);
                    self.on_settled(seq, Some(down::ok_empty(seq)));
                }
                Ok(Command::Unsubscribe(channel)) => self.on_unsubscribe(seq, &channel),
                Ok(Command::Subscribe(wanted)) => self.on_subscribe(seq, wanted),
                Ok(command) => self.effect(Effect::Command { seq, command }),
            }
        }
    }

    fn on_away(&mut self, away: bool) {
        if std::mem::replace(&mut self.away, away) == away || !self.present {
            return;
        }
        let subs = self.subs.iter().filter(|sub| sub.member && !sub.is_pending());
        let updates: Vec<_> =
            subs.map(|sub| Effect::Join { channel: sub.channel.clone(), away }).collect();
        self.effects(updates);
    }

    fn on_unsubscribe(&mut self, seq: u64, channel: &Channel) {
        let answer = match self.subs.of_channel(channel).map(|sub| sub.id) {
            Some(id) => {
                self.drop_sub(id);
                down::ok_empty(seq)
            }
            None => refused(seq, &ErrorCode::NotSubscribed.into()),
        };
        self.on_settled(seq, Some(answer));
    }

    fn on_subscribe(&mut self, seq: u64, wanted: Subscribe) {
        if let Some(sub) = self.subs.of_channel(&wanted.ch) {
            let first = self.outbox.first_waiting(sub.id);
            let answer = match sub.stands_at(first) {
                Some(at) => SessionDown::Subscribed {
                    re: Some(seq),
                    ch: &sub.channel,
                    pos: &at,
                    durable: sub.kind == ChannelKind::Durable,
                    state: sub.kind == ChannelKind::State,
                }
                .encode(),
                None => {
                    refused(seq, &Refusal::new(ErrorCode::RateLimited).because("it is beginning"))
                }
            };
            self.on_settled(seq, Some(answer));
        } else if self.subs.len() >= self.settings.subscriptions {
            let refusal = Refusal::new(ErrorCode::TooMany).because("too many subscriptions");
            self.on_settled(seq, Some(refused(seq, &refusal)));
        } else {
            self.begin_sub(wanted, Some(seq));
        }
    }

    fn begin_sub(&mut self, wanted: Subscribe, re: Option<u64>) {
        let Subscribe { ch: channel, since, presence } = wanted;
        let sub = self.subs.add(channel.clone());
        self.effect(Effect::Subscribe { sub, re, channel, since, presence });
    }
}
