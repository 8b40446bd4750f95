//! Publishes of a session whose outcome is not known: each holds the later ones of its channel until
//! it is settled, so that they are stored in the order in which they were sent (contract O3).
//!
//! It is settled by doing it once more: the store knows it by its id. One that is held is of unknown
//! outcome too: it is done when what holds it is settled. What has no id cannot be done again, and
//! what is not kept has no order to keep: those hold nothing.

use crate::engine::types::Retention;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::up::PublishCommand;
use crate::session::Millis;
use crate::telemetry::clock::now_ms;

use super::driver::Driver;
use super::publish::{self, PublishRefusal, Receipt};
use super::rules::Rules;

/// Those that a session has at once; at the bound the oldest holds publishes to any channel.
const OPEN_MAX: usize = 16;
/// How long one may still come to the store, in milliseconds: well within the time for which its id
/// is known there.
const OPEN_MS: Millis = 120_000;

/// The publishes of one session that are not settled, in the order in which they were sent.
#[derive(Debug, Default)]
pub(super) struct Unsettled(Vec<Open>);

#[derive(Debug)]
struct Open {
    command: PublishCommand,
    since: Millis,
}

impl Open {
    fn is(&self, command: &PublishCommand) -> bool {
        self.command.ch == command.ch && self.command.id == command.id
    }
}

impl Unsettled {
    /// The first that holds this publish, or of all.
    fn first(&mut self, held: Option<&PublishCommand>, now: Millis) -> Option<PublishCommand> {
        self.0.retain(|open| now < open.since.saturating_add(OPEN_MS));
        let held = held.filter(|_| self.0.len() < OPEN_MAX);
        let holds = |open: &&Open| held.is_none_or(|held| open.command.ch == held.ch);
        let first = self.0.iter().find(holds);
        first.filter(|open| held.is_none_or(|held| !open.is(held))).map(|open| open.command.clone())
    }

    fn has(&self, command: &PublishCommand) -> bool {
        self.0.iter().any(|open| open.is(command))
    }

    /// Whether it holds those after it from here on.
    fn add(&mut self, command: PublishCommand, now: Millis) -> bool {
        if self.has(&command) {
            return true;
        }
        let holds = command.id.is_some() && self.0.len() < OPEN_MAX;
        if holds {
            self.0.push(Open { command, since: now });
        }
        holds
    }

    fn settle(&mut self, command: &PublishCommand) {
        self.0.retain(|open| !open.is(command));
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}

/// Publishes, once what holds it is settled.
pub(super) async fn publish(
    driver: &Driver,
    command: PublishCommand,
) -> Result<Receipt, PublishRefusal> {
    let rules = Rules::of(&driver.gateway.config, &command.ch)?;
    if matches!(rules.retention, Retention::None) {
        return publish::of_session(driver, command).await;
    }
    if !settle(driver, Some(&command)).await {
        let waits = driver.unsettled(|all| all.add(command, now_ms()));
        let code = if waits { ErrorCode::UnknownOutcome } else { ErrorCode::Unavailable };
        driver.gateway.metrics.publish_refused(code);
        return Err(Refusal::new(code)
            .because("one that was sent before it is not settled")
            .into());
    }
    if command.id.is_none() {
        return publish::of_session(driver, command).await;
    }
    perform(driver, command).await
}

/// Settles what is open before this publish, or all, as before the session goes on at another node.
/// False where that cannot be.
pub(super) async fn settle(driver: &Driver, before: Option<&PublishCommand>) -> bool {
    while let Some(open) = driver.unsettled(|all| all.first(before, now_ms())) {
        let done = perform(driver, open.clone()).await;
        if done.is_err() && driver.unsettled(|all| all.has(&open)) {
            return false;
        }
    }
    true
}

/// Publishes. What may still come to be stored is open from then on.
async fn perform(driver: &Driver, command: PublishCommand) -> Result<Receipt, PublishRefusal> {
    let (since, doubted) = (now_ms(), driver.unsettled(|all| all.has(&command)));
    let done = publish::of_session(driver, command.clone()).await;
    let code = done.as_ref().err().map(|refused| refused.refusal.code);
    let open = match code {
        Some(ErrorCode::UnknownOutcome) => true,
        Some(ErrorCode::Unavailable) => doubted,
        _ => false,
    };
    driver.unsettled(|all| {
        if open {
            all.add(command, since);
        } else {
            all.settle(&command);
        }
    });
    done
}
