//! A panic ends one session, not the process (contract B2), whether a link's task, the fan-out, the
//! wheel or an effect ran it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::gateway::link::LinkPort;
use crate::protocol::error::ErrorCode;
use crate::session::Session;
use crate::session::input::Effect;
use crate::telemetry::clock::now_ms;

use super::Driver;
use super::drain::State;

impl Driver {
    /// Runs `f` on the state. Where it panics the session is over, with `internal`, before anyone
    /// else sees what the panic left: it is caught under the lock.
    pub(super) fn contained<T>(&self, f: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.state.lock();
        // Unwind safe: what a panic leaves of the session is thrown away.
        let done = catch_unwind(AssertUnwindSafe(|| f(&mut state)));
        done.inspect_err(|_| self.broke(&mut state)).ok()
    }

    /// Something that was performed for the session panicked: it is over, with `internal`.
    pub(in crate::gateway) fn fail(&self) {
        self.broke(&mut self.state.lock());
    }

    /// The session is over; what it holds on this node and in presence is given back.
    fn broke(&self, state: &mut State) {
        let code = ErrorCode::Internal;
        self.gateway.metrics.panics.inc();
        tracing::error!(member = %self.member.0, "a panic ended a session");
        state.session = Session::ended(Arc::clone(&self.gateway.settings), code, now_ms());
        for conn in std::mem::take(&mut state.conns) {
            contained_close(&*conn.port, code);
        }
        self.count(state);
        if !self.gateway.forget(self) {
            // It was over: what it had left to do goes on.
            return;
        }
        self.gateway.metrics.closed(code);
        let held = state.held.iter();
        let ends = held.flat_map(|(sub, channel)| {
            let (sub, channel) = (*sub, channel.clone());
            let seen = now_ms();
            [Effect::Leave { channel: channel.clone(), seen }, Effect::Unsubscribe { sub, channel }]
        });
        state.effects = ends.collect();
        self.perform_effects(state);
    }
}

/// The connection may be what panicked.
fn contained_close(port: &dyn LinkPort, code: ErrorCode) {
    // Unwind safe: the port is not used again.
    let _ = catch_unwind(AssertUnwindSafe(|| port.close(Some(&code.into()), true)));
}
