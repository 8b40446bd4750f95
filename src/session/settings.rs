//! The figures a session runs by, and the one place where bounds of time follow from them.

use super::Millis;

/// Settings of a session. Times are milliseconds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a session is kept without a link.
    pub window: Millis,
    /// How long after a detachment presence still lists the session.
    pub grace: Millis,
    /// The same after the page said that it goes away.
    pub leaving_grace: Millis,
    /// How long an opened session waits for the answer to its hello.
    pub provisional: Millis,
    /// How long a candidate may prove itself.
    pub candidate_age: Millis,
    /// Ping interval while the page is watched.
    pub ping_visible: Millis,
    /// Ping interval while it is not.
    pub ping_hidden: Millis,
    /// The longest a poll may wait.
    pub hold_max: Millis,
    /// How long after an answer a polling session counts as attached.
    pub poll_detach: Millis,
    /// An ephemeral event older than this is not sent again.
    pub ephemeral_age: Millis,
    /// How long after a failed read of the log the next is tried.
    pub retry: Millis,
    /// Frames in the outbox at most.
    pub outbox_frames: usize,
    /// Bytes in the outbox at most.
    pub outbox_bytes: usize,
    /// Session frames up that wait at most.
    pub uplink_frames: usize,
    /// Subscriptions at most.
    pub subscriptions: usize,
    /// Candidates at a time at most; the oldest goes.
    pub candidates: usize,
    /// Events that are kept while a subscription begins.
    pub pending_events: usize,
    /// Frames in one answer at most.
    pub answer_frames: usize,
    /// Bytes in one answer at most; one frame always fits. An answer counts once it is there whole, so it
    /// has to come through a slow line in the time that a client gives it.
    pub answer_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: 120_000,
            grace: 10_000,
            leaving_grace: 2_000,
            provisional: 10_000,
            candidate_age: 15_000,
            ping_visible: 7_000,
            ping_hidden: 25_000,
            hold_max: 30_000,
            poll_detach: 10_000,
            ephemeral_age: 2_000,
            retry: 500,
            outbox_frames: 1024,
            outbox_bytes: 1 << 20,
            uplink_frames: 64,
            subscriptions: 128,
            candidates: 4,
            pending_events: 64,
            answer_frames: 256,
            answer_bytes: 64 << 10,
        }
    }
}

/// Every bound of time that follows from the ping interval (PROTOCOL.md M26).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Between pings.
    pub ping: Millis,
    /// Without life for this long a link is dead to the server: 2.5 intervals.
    pub dead: Millis,
    /// Without a ping for this long a client abandons the link: 1.35 intervals.
    pub abandon: Millis,
}

impl Settings {
    /// The bounds for a page that is watched or not.
    pub fn heartbeat(&self, visible: bool) -> Heartbeat {
        let ping = if visible { self.ping_visible } else { self.ping_hidden };
        Heartbeat { ping, dead: ping * 5 / 2, abandon: ping * 27 / 20 }
    }

    /// The latest time after its last sign of life at which presence reports a member gone.
    pub fn leave_bound(&self, visible: bool) -> Millis {
        self.heartbeat(visible).dead + self.grace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_follows_from_the_interval() {
        let profile = |ping| Settings { ping_visible: ping, ..Settings::default() }.heartbeat(true);
        assert_eq!(profile(7_000), Heartbeat { ping: 7_000, dead: 17_500, abandon: 9_450 });
        assert_eq!(profile(24_000).dead, 60_000);
        assert_eq!(Settings::default().leave_bound(true), 27_500);
    }
}
