//! Session frames up that need more than the session: each is settled with one frame.

use std::sync::Arc;

use crate::protocol::channel::Channel;
use crate::protocol::down;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::frame::Frame;
use crate::protocol::up::Command;

use super::driver::Driver;
use super::{history, presence, publish, resume, subscribe, tickets, unsettled};

#[derive(serde::Serialize)]
struct Expires {
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
}

#[derive(serde::Serialize)]
struct FeedTicketAnswer {
    ticket: String,
    expires_ms: u64,
}

/// Performs a command and encodes its answer.
pub(super) async fn perform(driver: &Arc<Driver>, seq: u64, command: Command) -> Frame {
    driver.gateway.metrics.frames_up.inc();
    let done = match command {
        Command::Publish(command) => {
            let channel = command.ch.clone();
            return match unsettled::publish(driver, *command).await {
                Ok(receipt) => down::ok(seq, &receipt),
                Err(publish::PublishRefusal { refusal, top }) => {
                    down::conflict(&refusal, Some(seq), Some(&channel), top.as_ref())
                }
            };
        }
        Command::History { ch, since, limit } => {
            let page = history::of_session(driver, &ch, since, limit).await;
            page.map(|page| down::ok(seq, &page))
        }
        Command::Presence { chs, users } => {
            let answer = presence::of_session(driver, &chs, &users).await;
            answer.map(|answer| down::ok(seq, &answer))
        }
        Command::Auth(token) => {
            let renewed = resume::renew(driver, &token);
            renewed.map(|expires_ms| down::ok(seq, &Expires { expires_ms }))
        }
        Command::FeedTicket(channels) => {
            feed_ticket(driver, channels).map(|answer| down::ok(seq, &answer))
        }
        Command::Subscribe(wanted) => {
            let watched = subscribe::watch(driver, seq, &wanted);
            return watched.unwrap_or_else(|refusal| {
                down::frame_error(&refusal, Some(seq), Some(&wanted.ch))
            });
        }
        // The session performs these itself.
        Command::Unsubscribe(_) | Command::Away(_) | Command::Noop => {
            Err(ErrorCode::Internal.into())
        }
    };
    done.unwrap_or_else(|refusal| down::frame_error(&refusal, Some(seq), None))
}

fn feed_ticket(driver: &Driver, channels: Vec<Channel>) -> Result<FeedTicketAnswer, Refusal> {
    let identity = driver.identity();
    let until = identity.expires_at_ms;
    let (ticket, expires_ms) =
        tickets::feed_ticket(&driver.gateway, Some(&identity), channels, until)?;
    Ok(FeedTicketAnswer { ticket, expires_ms })
}
