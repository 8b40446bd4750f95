//! The composition root. Placeholder: it refuses to serve until the listeners are written.

use crate::config::Config;

/// Serves until told to stop.
/// # Errors
/// Always: there are no listeners yet.
pub async fn run(_config: Config) -> anyhow::Result<()> {
    std::future::ready(()).await;
    anyhow::bail!("this build has no listeners")
}
