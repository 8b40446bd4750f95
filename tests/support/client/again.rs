//! Opening again in the place of a session that is gone with its node.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::history::Record;
use super::super::{text, wait};
use super::{Client, PATIENCE, Target};

impl Client {
    /// Reads until its session has ended.
    pub async fn until_ended(&mut self) {
        wait::in_time("the session ends", async {
            while self.ended.is_none() {
                self.next_within(PATIENCE).await;
            }
        })
        .await;
    }

    /// Opens another session in the place of one that is gone: with these subscriptions at the
    /// positions they have, and what was not answered sent again. A node that does not know yet that
    /// the session's is gone, as another does, is asked again.
    pub async fn open_again(&mut self, channels: &[&str]) {
        self.cut();
        (self.sender, self.receiver) = mpsc::unbounded_channel();
        let (ended, before) = (self.ended.take(), std::mem::take(&mut self.hello));
        assert_eq!(ended.as_deref(), Some("session_gone"), "{}: {before}", self.name);
        self.since.retain(|ch, _| channels.contains(&ch.as_str()));
        let sub = |ch: &&str| match self.since.get(*ch) {
            Some(position) => json!({ "ch": ch, "since": position.to_string() }),
            None => json!({ "ch": ch }),
        };
        let subs: Vec<_> = channels.iter().map(sub).collect();
        (self.count, self.acknowledged) = (0, 0);
        let link = self.link + 1;
        let (ticket, token) = (&self.ticket, &self.token);
        let mut open = json!({ "l": "open", "v": 1, "ticket": ticket, "link": link, "subs": subs });
        if let Some(token) = token {
            open["token"] = token.as_str().into();
        }
        self.uplink.restart();
        self.frames.clear();
        wait::until("a node opens in its place", async || {
            let Err(refusal) = self.begin(self.transport, &open).await else { return true };
            assert_eq!(text(&refusal, "code"), "session_kept", "{refusal}");
            self.cut();
            sleep(Duration::from_millis(refusal["retry_ms"].as_u64().unwrap_or(100))).await;
            false
        })
        .await;
        self.flush();
    }

    /// The same where it may take a while: each durable channel at the position that it has, until a
    /// node takes it. False where there was no time for it.
    pub(super) async fn reopen(&mut self, until: Instant) -> bool {
        let mut open = self.open.clone();
        // What it was joined to by itself goes on where it is too.
        let asked: Vec<_> = open["subs"].as_array().into_iter().flatten().cloned().collect();
        let asked = |ch: &String| asked.iter().any(|sub| text(sub, "ch") == ch);
        let joined = self.durable.iter().filter(|ch| !asked(ch)).map(|ch| json!({ "ch": ch }));
        let joined: Vec<_> = joined.collect();
        if let Some(subs) = open["subs"].as_array_mut() {
            subs.extend(joined);
        }
        for sub in open["subs"].as_array_mut().into_iter().flatten() {
            let ch = text(sub, "ch").to_owned();
            match self.since.get(&ch).filter(|_| self.durable.contains(&ch)) {
                Some(position) => sub["since"] = position.to_string().into(),
                // As the server says where it begins.
                None => drop(self.since.remove(&ch)),
            }
        }
        (open["l"], open["v"]) = ("open".into(), 1.into());
        open["ticket"] = self.ticket.clone().into();
        let (ended, member) = (self.ended.take(), self.member.clone());
        while Instant::now() < until {
            self.cut();
            (self.sender, self.receiver) = mpsc::unbounded_channel();
            self.hello = Value::Null;
            (self.count, self.acknowledged) = (0, 0);
            // Before anything is sent to the session that opens.
            self.uplink.restart();
            open["link"] = (self.link + 1).into();
            let refusal = match self.begin(self.transport, &open).await {
                Ok(()) => {
                    self.began_again(member);
                    return true;
                }
                Err(refusal) => refusal,
            };
            let retry = Duration::from_millis(refusal["retry_ms"].as_u64().unwrap_or(100));
            sleep_until((Instant::now() + retry).min(until)).await;
        }
        self.ended = ended;
        false
    }

    fn began_again(&mut self, before: String) {
        let client = self.name.clone();
        if self.hello["rebuilt"] == true {
            self.rebuilt += 1;
        } else {
            self.lost += 1;
            self.record(Record::Closed { client: client.clone(), member: before });
        }
        self.record(Record::Opened { client, member: self.member.clone() });
        self.flush();
    }

    /// From here on it connects there, as where a balancer sends it elsewhere.
    pub fn goes_to(&mut self, target: impl Into<Target>) {
        self.target = target.into();
    }
}
