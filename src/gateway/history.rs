//! Reading the log: a session's `history`, and the backend's.

use serde_json::value::RawValue;

use crate::config::grants::Right;
use crate::engine::types::{PageLimit, Retention};
use crate::protocol::channel::Channel;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::position::{GapReason, Position, Since};

use super::Gateway;
use super::driver::Driver;
use super::rules::Rules;
use super::subscribe::engine_refusal;

/// Bytes of one page at most: 1 MiB (contract: recovery page).
const PAGE_BYTES: usize = 1 << 20;

/// A page of the log as a client gets it.
#[derive(Debug, serde::Serialize)]
pub struct HistoryPage {
    /// The events, each as its frame.
    pub events: Vec<Box<RawValue>>,
    /// Where the page ends.
    pub pos: Position,
    /// Whether the next page holds more.
    pub more: bool,
    /// Why `since` was not proven; `pos` is then the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<GapReason>,
}

/// Reads for a session.
pub(super) async fn of_session(
    driver: &Driver,
    channel: &Channel,
    since: Since,
    limit: usize,
) -> Result<HistoryPage, Refusal> {
    let rules = Rules::of(&driver.gateway.config, channel)?;
    if !rules.public && !driver.identity().caps.allows(channel, Right::History) {
        return Err(ErrorCode::Forbidden.into());
    }
    page(&driver.gateway, &rules, channel, since, limit).await
}

/// Reads a page.
/// # Errors
/// `not_provided` where the channel keeps nothing, and the engine's.
pub async fn page(
    gateway: &Gateway,
    rules: &Rules,
    channel: &Channel,
    since: Since,
    limit: usize,
) -> Result<HistoryPage, Refusal> {
    let (events, position, top, gap) = match rules.retention {
        Retention::None => {
            let why = "this namespace keeps no history";
            return Err(Refusal::new(ErrorCode::NotProvided).because(why));
        }
        Retention::State { .. } => {
            let state = gateway.engine.state(channel).await;
            let state = state.map_err(|error| engine_refusal(&error))?;
            (state.events, state.top.clone(), state.top, None)
        }
        Retention::Log { .. } => {
            let limit = PageLimit { events: limit, bytes: PAGE_BYTES };
            let page = gateway.engine.history(channel, since, limit).await;
            let page = page.map_err(|error| engine_refusal(&error))?;
            (page.events, page.position, page.top, page.gap)
        }
    };
    let text = |json: &[u8]| std::str::from_utf8(json).map(str::to_owned).unwrap_or_default();
    let events = events.iter().map(|event| RawValue::from_string(text(event.frame.json())));
    let events = events.collect::<Result<_, _>>().map_err(|_| ErrorCode::Internal)?;
    let more = position.offset < top.offset;
    Ok(HistoryPage { events, pos: position, more, gap })
}
