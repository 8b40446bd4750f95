//! What the frames of a WebSocket do after the first one.

use std::sync::Arc;

use crate::gateway::candidates::{Place, Waiting};
use crate::gateway::driver::Driver;
use crate::gateway::resume;
use crate::protocol::down::LinkDown;
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::up::{LinkUp, Up};
use crate::session::input::{AttachInput, ConnId, Input, Target};

use super::opening::Coming;

/// A frame of a connection whose session is here.
/// # Errors
/// `bad_frame` for one that begins a connection, and what a fresh token refuses.
pub fn up(driver: &Arc<Driver>, conn: ConnId, frame: Up) -> Result<(), Refusal> {
    match frame {
        Up::Session(numbered) => driver.up(conn, numbered),
        Up::Link(LinkUp::Attach(attach)) => {
            if let Some(token) = &attach.token {
                resume::renew(driver, token)?;
            }
            let (link, count, visible) = (attach.link, attach.count, attach.visible);
            let target = Target::Own;
            let attach = AttachInput { link, count, target, visible, wait: 0 };
            driver.handle(Input::Attach { conn, attach });
        }
        Up::Link(LinkUp::Pong { count, visible }) => {
            driver.handle(Input::Pong { conn, count, visible });
        }
        Up::Link(LinkUp::Echo { id, .. }) => {
            driver.echo(Some(conn), None, &LinkDown::Echo { id: &id }.encode());
            driver.handle(Input::Life { conn });
        }
        Up::Link(LinkUp::Leaving) => driver.last_words(conn, Input::Leaving),
        Up::Link(LinkUp::Close) => {
            driver.last_words(conn, Input::End { why: ErrorCode::Closed.into() });
        }
        Up::Link(LinkUp::Open(_) | LinkUp::Candidate { .. }) => return Err(has_begun()),
    }
    Ok(())
}

/// A frame of a candidate whose session is at another node. An `attach` brings it.
/// # Errors
/// `bad_frame` for a frame that begins a connection.
pub fn waits(waiting: Arc<Waiting>, frame: Up) -> Result<Option<Coming>, Refusal> {
    match frame {
        Up::Link(LinkUp::Attach(attach)) => {
            let attached = async move { waiting.attach(*attach).await.map(Place::Here) };
            return Ok(Some(Box::pin(attached)));
        }
        Up::Link(LinkUp::Echo { id, .. }) => waiting.write(&LinkDown::Echo { id: &id }.encode()),
        Up::Link(LinkUp::Open(_) | LinkUp::Candidate { .. }) => return Err(has_begun()),
        // These count on the link there is.
        Up::Link(LinkUp::Pong { .. } | LinkUp::Leaving | LinkUp::Close) | Up::Session(_) => {}
    }
    Ok(None)
}

fn has_begun() -> Refusal {
    Refusal::new(ErrorCode::BadFrame).because("this connection has begun")
}
