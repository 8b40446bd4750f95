//! This node among others: where it listens for them, and that it hears what is said to all.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::gateway::peers::Peers;
use crate::gateway::{Gateway, control};
use crate::transport::node::NodeClient;

use super::{Listener, listener};

/// Between two tries to hear what is said to all nodes.
const RETRY: Duration = Duration::from_secs(1);

/// Binds the listener for other nodes; what they are told is in the peers.
pub(super) fn bind(config: &Config, auth: &Authenticator) -> anyhow::Result<(Listener, Peers)> {
    let cluster = &config.cluster;
    let listener = listener::bind(cluster.listen)
        .with_context(|| format!("cluster.listen on {}", cluster.listen))?;
    let address = match &cluster.advertise {
        Some(address) => address.clone(),
        None => listener.local_addr()?.to_string(),
    };
    let client = NodeClient::new(auth.node_secret(), config.session.outbox_bytes)?;
    Ok((listener, Peers::new(address.into(), Box::new(client))))
}

/// Hears what is said to all nodes, as soon as the engine can be reached.
pub(super) async fn listen(gateway: Arc<Gateway>, stop: CancellationToken) {
    while let Err(error) = control::listen(&gateway).await {
        tracing::debug!(%error, "what is said to all nodes is not heard yet");
        if stop.run_until_cancelled(sleep(RETRY)).await.is_none() {
            return;
        }
    }
}
