//! Session frames up: those that the session performs itself, and those it hands out.

use crate::protocol::channel::Channel;
use crate::protocol::down::{self, SessionDown};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::up::{Command, Numbered, Subscribe};

use super::deliver::refused;
use super::input::{ChannelKind, ConnId, Effect, SubId};
use super::outbox::Body;
use super::subs::{Answer, MembersPhase, Sub};
use super::{Millis, Session};

impl Session {
    /// Begins a subscription that no frame asked for: of an `open`, or by configuration. Each is
    /// answered, in order: one whose answer is known at once waits for those before it.
    /// Returns whether there was room for it.
    pub fn subscribe(&mut self, wanted: Subscribe) -> bool {
        let begun = self.subs.of_channel(&wanted.ch).map(|sub| sub.id);
        let has_room = self.subs.len() < self.settings.subscriptions;
        let answer = match begun {
            Some(id) => Answer::Again(id, wanted.ch),
            None if has_room => {
                self.begin_sub(wanted, None);
                return true;
            }
            None => {
                let refusal = Refusal::new(ErrorCode::TooMany).because("too many subscriptions");
                Answer::Ready(down::frame_error(&refusal, None, Some(&wanted.ch)))
            }
        };
        match self.subs.last_pending() {
            Some(last) => self.subs.answer_after(last, answer),
            None => self.give_answer(answer),
        }
        begun.is_some()
    }

    /// Gives the answers that waited for a subscription to begin or to be refused.
    pub(super) fn give_answers_after(&mut self, id: SubId, refusal: Option<&Frame>) {
        for answer in self.subs.take_answers(id, refusal) {
            self.give_answer(answer);
        }
    }

    fn give_answer(&mut self, answer: Answer) {
        let frame = match answer {
            Answer::Ready(frame) => frame,
            Answer::Again(id, channel) => {
                let stands = self.subs.get(id).and_then(|sub| self.stands(sub, None));
                // It ended while it began.
                let ended =
                    || down::frame_error(&ErrorCode::Forbidden.into(), None, Some(&channel));
                stands.unwrap_or_else(ended)
            }
        };
        self.outbox.push(frame, Body::Reply);
    }

    /// The `subscribed` of a subscription that has begun: everything after it will be delivered.
    fn stands(&self, sub: &Sub, re: Option<u64>) -> Option<Frame> {
        let at = sub.stands_at(self.outbox.first_waiting(sub.id))?;
        let subscribed = SessionDown::Subscribed {
            re,
            ch: &sub.channel,
            pos: &at,
            durable: sub.kind == ChannelKind::Durable,
            state: sub.kind == ChannelKind::State,
        };
        Some(subscribed.encode())
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
        if self.subs.of_channel(&wanted.ch).is_some_and(|sub| sub.is_to_be_watched(&wanted)) {
            let command = Command::Subscribe(wanted);
            self.effect(Effect::Command { seq, command });
        } else if let Some(sub) = self.subs.of_channel(&wanted.ch) {
            let answer = self.stands(sub, Some(seq)).unwrap_or_else(|| {
                refused(seq, &Refusal::new(ErrorCode::RateLimited).because("it is beginning"))
            });
            self.on_settled(seq, Some(answer));
        } else if self.subs.len() >= self.settings.subscriptions {
            let refusal = Refusal::new(ErrorCode::TooMany).because("too many subscriptions");
            self.on_settled(seq, Some(refused(seq, &refusal)));
        } else {
            self.begin_sub(wanted, Some(seq));
        }
    }

    /// Changes of presence are sent from here on, the list of members first. Returns the answer to
    /// the frame that asked for it; nothing where the channel is read no more.
    pub fn watch(&mut self, channel: &Channel, seq: u64) -> Option<Frame> {
        let id = self.subs.of_channel(channel)?.id;
        let sub = self.subs.get_mut(id)?;
        let watched = std::mem::replace(&mut sub.watches, true);
        // One that is being read already comes after the answer.
        if !watched || sub.members == MembersPhase::Fresh {
            sub.members = MembersPhase::Stale { not_before: 0 };
            self.subs.reading = true;
        }
        self.subs.get(id).and_then(|sub| self.stands(sub, Some(seq)))
    }

    fn begin_sub(&mut self, wanted: Subscribe, re: Option<u64>) {
        let Subscribe { ch: channel, since, presence } = wanted;
        let sub = self.subs.add(channel.clone());
        self.effect(Effect::Subscribe { sub, re, channel, since, presence });
    }
}
