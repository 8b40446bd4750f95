//! Parked sessions: S5, as far as an engine shows it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use throughline::engine::types::{EngineError, ParkedSession};

use super::Harness;
use super::fixture::at_once;

fn parked(version: u64) -> ParkedSession {
    let state = Bytes::from(format!("sealed {version}"));
    ParkedSession { version, state, ttl: Duration::from_mins(2) }
}

fn refused(result: &Result<(), EngineError>) -> bool {
    matches!(result, Err(EngineError::Conflict { top: None }))
}

// spec: S5
pub async fn a_parked_session_is_taken_once(harness: &impl Harness) {
    let it = harness.fresh().await;
    it.engine.park("s1", parked(1), 0).await.unwrap();
    assert_eq!(it.engine.parked("s2").await.unwrap(), None);
    assert_eq!(it.engine.parked("s1").await.unwrap(), Some(parked(1)));
    let takers = (0..8).map(|_| {
        let engine = Arc::clone(&it.engine);
        async move { engine.park("s1", parked(2), 1).await.is_ok() }
    });
    let taken = at_once(takers.collect::<Vec<_>>()).await;
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
    assert_eq!(it.engine.parked("s1").await.unwrap(), Some(parked(2)));
}

// spec: S5
pub async fn parking_is_compare_and_set(harness: &impl Harness) {
    let it = harness.fresh().await;
    assert!(refused(&it.engine.park("s1", parked(2), 1).await), "there is none");
    it.engine.park("s1", parked(1), 0).await.unwrap();
    assert!(refused(&it.engine.park("s1", parked(1), 0).await), "there is one");
    it.engine.park("s1", parked(2), 1).await.unwrap();
    assert!(refused(&it.engine.park("s1", parked(2), 1).await), "an older owner");
    assert!(refused(&it.engine.unpark("s1", 1).await), "an older owner");
    it.engine.unpark("s1", 2).await.unwrap();
    assert_eq!(it.engine.parked("s1").await.unwrap(), None);
}

// spec: S5, B1
pub async fn a_parked_session_lasts_its_time(harness: &impl Harness) {
    let it = harness.fresh().await;
    it.engine.park("s1", parked(1), 0).await.unwrap();
    it.advance(Duration::from_secs(119)).await;
    assert_eq!(it.engine.parked("s1").await.unwrap(), Some(parked(1)));
    it.advance(Duration::from_secs(2)).await;
    assert_eq!(it.engine.parked("s1").await.unwrap(), None);
    it.engine.park("s1", parked(7), 0).await.unwrap();
}
