//! Opening again in the place of a session that is gone with its node.

use serde_json::json;
use tokio::sync::mpsc;

use super::{Client, Target};

impl Client {
    /// Opens another session in the place of one that is gone: with these subscriptions at the
    /// positions they have, and what was not answered sent again.
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
        self.begin(self.transport, &open).await.unwrap_or_else(|refusal| panic!("{refusal}"));
        self.flush();
    }

    /// From here on it connects there, as where a balancer sends it elsewhere.
    pub fn goes_to(&mut self, target: impl Into<Target>) {
        self.target = target.into();
    }
}
