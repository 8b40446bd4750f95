//! The end of a run: nothing is on its way to a client any more, and it may be judged.

use super::super::history::Record;
use super::super::server::Servers;
use super::Client;

impl Client {
    /// Whether every frame up has been applied. The event of a publish may come after its answer.
    pub fn is_settled(&self) -> bool {
        self.uplink.is_settled()
    }

    /// Reads until every frame up has been applied.
    pub async fn settle(&mut self) {
        while !self.is_settled() {
            self.next().await;
        }
    }

    /// Reads until every frame up has been applied and all that the log of a durable channel then
    /// holds was delivered.
    pub async fn until_top(&mut self, servers: &Servers, ch: &str) {
        self.settle().await;
        self.until_at(ch, &servers.top(ch).await).await;
    }

    /// Reads until the event at this position of a durable channel was delivered.
    pub async fn until_at(&mut self, ch: &str, top: &str) {
        while self.position(ch).map(ToString::to_string).as_deref() != Some(top) {
            self.next().await;
        }
    }

    /// In the end: it was given all the time it needed.
    pub fn is_quiet(&self) {
        self.record(Record::Quiet { client: self.name.clone() });
    }
}
