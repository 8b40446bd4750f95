//! The first frame of a WebSocket: it opens a session, or shows the ticket of one.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::gateway::candidates::Place;
use crate::gateway::link::LinkPort;
use crate::gateway::open::{self, Opener};
use crate::gateway::{Gateway, resume};
use crate::protocol::error::{ErrorCode, Refusal};
use crate::protocol::up::{LinkUp, Up};
use crate::session::input::{ConnId, ConnKind};

/// Where a connection will belong.
pub type Coming = BoxFuture<'static, Result<Place, Refusal>>;

/// What is known of a connection before its first frame.
#[derive(Debug, Default)]
pub struct Opening {
    /// The nonce in its path.
    pub nonce: String,
    /// A token that came with the handshake.
    pub bearer: Option<String>,
}

impl Opening {
    /// Takes the first frame.
    /// # Errors
    /// `bad_frame` where it neither opens a session nor shows the ticket of one.
    pub fn begin(
        self,
        gateway: Arc<Gateway>,
        (conn, port): (ConnId, Arc<dyn LinkPort>),
        frame: Up,
    ) -> Result<Coming, Refusal> {
        let Self { nonce, bearer } = self;
        Ok(match frame {
            Up::Link(LinkUp::Open(head)) => Box::pin(async move {
                let (kind, nonce, bearer) = (ConnKind::Push, nonce.as_str(), bearer.as_deref());
                let opener = Opener { conn, nonce, kind, bearer, port };
                open::open(&gateway, opener, *head).await.map(|(driver, _)| Place::Here(driver))
            }),
            Up::Link(LinkUp::Candidate { ticket, .. }) => {
                Box::pin(
                    async move { resume::candidate(&gateway, &ticket, conn, &nonce, port).await },
                )
            }
            Up::Link(_) | Up::Session(_) => {
                let why = "a WebSocket begins with open or candidate";
                return Err(Refusal::new(ErrorCode::BadFrame).because(why));
            }
        })
    }
}
