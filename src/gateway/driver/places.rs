//! Where presence lists a session, and where it is still to list it.

use std::collections::VecDeque;

use crate::protocol::channel::Channel;
use crate::session::Millis;

use super::Driver;
use super::moving::Stage;

/// Channels in which a task of its own is to list a session.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    channels: VecDeque<Channel>,
    /// Whether there is such a task.
    runs: bool,
}

/// What the task that lists a session does next.
pub(in crate::gateway) enum Unlisted {
    /// The session is a member there.
    Place { channel: Channel, away: bool },
    /// Its value is being written: then it is gone, or stays.
    NotNow,
    /// The task ends.
    Nothing,
}

impl Driver {
    /// Whether a task lists it: what is to be listed next is left to that one.
    pub(in crate::gateway) fn is_listing(&self) -> bool {
        self.state.lock().waiting.runs
    }

    /// Leaves a channel to the task that lists it. Returns whether that is to begin.
    pub(in crate::gateway) fn list_later(&self, channel: &Channel) -> bool {
        let mut state = self.state.lock();
        if state.stage == Stage::Gone {
            return false;
        }
        if !state.waiting.channels.contains(channel) {
            state.waiting.channels.push_back(channel.clone());
        }
        !std::mem::replace(&mut state.waiting.runs, true)
    }

    /// The next channel in which it is to be listed, and still is a member.
    pub(in crate::gateway) fn next_unlisted(&self) -> Unlisted {
        let mut state = self.state.lock();
        match state.stage {
            Stage::Here | Stage::Leaving => {}
            Stage::Frozen => return Unlisted::NotNow,
            Stage::Gone => return Unlisted::Nothing,
        }
        while let Some(channel) = state.waiting.channels.pop_front() {
            if let Some(away) = state.session.member_of(&channel) {
                return Unlisted::Place { channel, away };
            }
        }
        state.waiting.runs = false;
        Unlisted::Nothing
    }

    /// A number above every one before; none where the session is its taker's, or may be.
    pub(in crate::gateway) fn fence_here(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.is_still() {
            return None;
        }
        state.fence += 1;
        Some(state.fence)
    }

    /// Whether it is here, and a member of a channel: then it is listed there, or about to be.
    pub(in crate::gateway) fn is_member(&self, channel: &Channel) -> bool {
        let state = self.state.lock();
        state.stage != Stage::Gone && state.session.member_of(channel).is_some()
    }

    /// With what it leaves a channel of which it is no member, though it were just listed there: the
    /// highest fence so far, below that of its return, and when its client was seen. A seat in its
    /// user's own channel it has as long as it is there for others.
    pub(in crate::gateway) fn left_place(&self, channel: &Channel) -> Option<(u64, Millis)> {
        let state = self.state.lock();
        let stays = if self.is_own(channel) {
            state.session.is_present()
        } else {
            state.session.member_of(channel).is_some()
        };
        (!stays).then(|| (state.fence, state.session.seen()))
    }
}
