//! What a Cluster that changes is to presence: R2, R5.

use std::sync::Arc;
use std::time::Duration;

use throughline::engine::types::Delivery;

use crate::conformance::Fixture;
use crate::faults::healed;
use crate::fixture;
use crate::support::redis::cluster::Cluster;

/// Waits until probes have found what each server of a Cluster is.
async fn probed(it: &Fixture) {
    healed(it).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
}

// spec: R2, R5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_of_a_cluster_that_takes_over_is_a_loss_that_nodes_hear_of() {
    let cluster = Arc::new(Cluster::start());
    let replica = cluster.replica_of(0);
    let mut it = fixture(&cluster.url(), Arc::clone(&cluster) as _);
    probed(&it).await;
    let before: Vec<_> = std::iter::from_fn(|| it.deliveries.try_recv().ok()).collect();
    assert!(before.is_empty(), "nothing is lost by the first look: {before:?}");
    assert_eq!(replica.cli(&["CLUSTER", "FAILOVER"]), "OK");
    while !matches!(it.next().await, Delivery::Lost) {}
}

// spec: R2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_to_another_master_is_no_loss() {
    let cluster = Arc::new(Cluster::start());
    let mut it = fixture(&cluster.url(), Arc::clone(&cluster) as _);
    probed(&it).await;
    // That of the partition which is the first of its master.
    let slot = cluster.slot("{0}");
    let to = (cluster.owner(slot) + 1) % 3;
    cluster.begin_move(slot, to);
    cluster.end_move(slot, to);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let after: Vec<_> = std::iter::from_fn(|| it.deliveries.try_recv().ok()).collect();
    assert!(after.is_empty(), "{after:?}");
}
