//! Performs what a session asks for, one after the other, in a task that lives while there is any.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;

use crate::engine::types::{EngineError, Event, Page, PageLimit};
use crate::protocol::channel::Channel;
use crate::protocol::position::{Position, Since};
use crate::session::input::{Effect, EventInput, Input, PageInput};

use super::driver::Driver;
use super::rules::Rules;
use super::{commands, lease, listing, presence, subscribe};

/// A page of the log for a session: what an outbox of the default bound takes at once.
pub(super) const PAGE: PageLimit = PageLimit { events: 256, bytes: 256 << 10 };

pub(super) async fn run(driver: Arc<Driver>) {
    while let Some(effect) = driver.next_effect() {
        // Unwind safe: what was performed is the session's, which is over then.
        match AssertUnwindSafe(perform(&driver, effect)).catch_unwind().await {
            Ok(Some(input)) => driver.handle(input),
            Ok(None) => {}
            Err(_) => driver.fail(),
        }
    }
    if driver.is_gone() {
        subscribe::end_all(&driver).await;
    }
}

async fn perform(driver: &Arc<Driver>, effect: Effect) -> Option<Input> {
    let gateway = &driver.gateway;
    if matches!(effect, Effect::Command { .. } | Effect::Join { .. } | Effect::Leave { .. }) {
        if let Effect::Command { .. } = effect {
            lease::ensure_awake(gateway).await;
        } else if !gateway.lease.is_away() {
            // Else it is left to what waits for the engine: nothing behind it has to (contract F3).
            lease::ensure(gateway).await;
        }
        let is_gone =
            driver.is_gone() || (driver.was_refused() && !matches!(effect, Effect::Leave { .. }));
        if is_gone {
            return None;
        }
    }
    match effect {
        Effect::Subscribe { sub, re, channel, since, presence } => {
            let wanted = subscribe::Wanted { sub, channel, since, presence };
            let result = subscribe::begin(driver, &wanted, re).await;
            Some(Input::Subscribed { sub, re, result: result.map(Box::new) })
        }
        Effect::Unsubscribe { sub, channel } => {
            subscribe::end(driver, sub, &channel).await;
            None
        }
        Effect::Command { seq, command } => {
            let frame = commands::perform(driver, seq, command).await;
            Some(Input::Settled { seq, frame: Some(frame) })
        }
        Effect::Fetch { sub, channel, after } => {
            let page = fetch(driver, &channel, after).await.ok();
            Some(Input::Page { sub, result: page })
        }
        Effect::FetchState { sub, channel } => {
            let state = gateway.engine.state(&channel).await.ok();
            let result = state.map(|state| PageInput {
                events: state.events.into_iter().map(event_input).collect(),
                top: state.top,
                gap: None,
            });
            Some(Input::State { sub, result })
        }
        Effect::FetchMembers { sub, channel } => {
            let frame = presence::snapshot_frame(gateway, &channel).await.ok();
            Some(Input::Members { sub, frame })
        }
        Effect::Join { channel, away } => {
            listing::begin(driver, &channel, away).await;
            None
        }
        Effect::Leave { channel, seen } => {
            presence::leave(driver, channel, seen).await;
            None
        }
    }
}

async fn fetch(
    driver: &Driver,
    channel: &Channel,
    after: Position,
) -> Result<PageInput, EngineError> {
    let gateway = &driver.gateway;
    let page = gateway.engine.history(channel, Since::After(after), PAGE).await?;
    if let Some(reason) = page.gap {
        gateway.metrics.gap(reason);
    }
    Ok(page_input(page))
}

/// An event of the engine as a session takes it.
pub(super) fn event_input(event: Event) -> EventInput {
    EventInput { offset: event.offset, tag: event.tag, prev: event.prev, frame: event.frame }
}

/// A page of the engine as a session takes it.
pub(super) fn page_input(page: Page) -> PageInput {
    let events = page.events.into_iter().map(event_input).collect();
    PageInput { events, top: page.top, gap: page.gap }
}

/// Whether the channel lists sessions.
pub(super) fn lists(rules: &Rules) -> bool {
    rules.presence != crate::config::namespaces::Presence::Off
}
