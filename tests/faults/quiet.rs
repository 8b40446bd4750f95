//! Readers of channels where nothing happens: what is lost is told to them too, without an event
//! that would show it. FAULTS 10, 12, 15.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::table::Row;
use crate::support::client::{Client, Transport};
use crate::support::fleet::Fleet;
use crate::support::history::History;
use crate::support::redis::sentinel::Sentinel;
use crate::support::redis::{Options, Redis};
use crate::support::server::Setup;
use crate::support::shim::{Cut, Shim, Weather};
use crate::support::{text, unique};

const CHANNELS: usize = 6;
const EVENTS: usize = 20;

/// Readers of every transport at three nodes have all of some channels; then comes the fault, and
/// nothing is published until each was told of each channel.
async fn are_told(name: &str, engine: &str, fault: impl FnOnce()) {
    let fleet = Fleet::start(&Setup::suite(), &vec![engine.to_owned(); 3]).await;
    let (servers, history) = (fleet.servers(), History::default());
    let channels: Vec<_> = (0..CHANNELS).map(|_| unique("doc:")).collect();
    let subs: Vec<_> = channels.iter().map(|ch| json!({ "ch": ch })).collect();
    let mut readers = Vec::new();
    for index in 0..9 {
        let node = fleet.nodes[index % 3].servers();
        let transport = Transport::ALL[index / 3 % Transport::ALL.len()];
        let open = json!({ "subs": subs });
        let mut reader = Client::open(&node, transport, open, &history).await;
        for _ in &channels {
            reader.until_kind("subscribed").await;
        }
        readers.push(reader);
    }
    for event in 0..EVENTS {
        for ch in &channels {
            servers.publish(ch, event).await;
        }
    }
    for reader in &mut readers {
        for _ in 0..CHANNELS * EVENTS {
            reader.until_kind("event").await;
        }
    }
    let began = Instant::now();
    fault();
    let told = readers.iter_mut().map(|reader| async {
        let mut of = Vec::new();
        while of.len() < channels.len() {
            // Everyone reads a channel of the configuration too.
            let gap = reader.until_kind("gap").await;
            of.extend(channels.iter().find(|ch| *ch == text(&gap, "ch")).cloned());
        }
        of.sort();
        of
    });
    let told = futures::future::join_all(told).await;
    let row = Row {
        fault: format!("{name}, idle readers"),
        gaps: Some(told.iter().map(Vec::len).sum()),
        healed: Some(began.elapsed()),
        ..Row::default()
    };
    row.keep();
    let mut all = channels.clone();
    all.sort();
    assert!(told.iter().all(|of| *of == all), "each is told once of each channel: {told:?}");
    for ch in &channels {
        servers.publish(ch, "after").await;
    }
    for reader in &mut readers {
        for _ in &channels {
            let own = |frame: &Value| {
                text(frame, "t") != "caught_up" && channels.iter().any(|ch| ch == text(frame, "ch"))
            };
            let frame = reader.until(own).await;
            assert_eq!((text(&frame, "t"), text(&frame, "data")), ("event", "after"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_quiet_channels_are_told_of_a_flush() {
    // spec: F1, D5
    let redis = Redis::start();
    are_told("12 FLUSHALL", &redis.url(), || assert_eq!(redis.cli(&["FLUSHALL"]), "OK")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_quiet_channels_are_told_of_a_log_that_lost_its_end() {
    // spec: F2, D5
    let redis = Redis::with(Options::new().append_only("always"));
    let fault = || {
        redis.kill();
        redis.truncate_aof(0.3);
        redis.restart();
    };
    are_told("10 loss of power: 30 % of the AOF", &redis.url(), fault).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make faults"]
async fn readers_of_quiet_channels_are_told_of_a_failover_that_lost_them() {
    // spec: F1, F2, D5
    let master = Redis::start();
    let shim = Shim::to(([127, 0, 0, 1], master.port()).into()).await;
    let replica = Redis::with(Options::new().replica_of("127.0.0.1", shim.address.port()));
    replica.wait_in_sync();
    let sentinel = Sentinel::over(Duration::from_secs(1), master, replica);
    // The replica has nothing of what is read here.
    shim.weather(Weather { stall_down: true, ..Weather::default() });
    let fault = || {
        // What was held does not come after all.
        shim.weather(Weather { refuse: true, stall_down: true, ..Weather::default() });
        shim.cut(Cut::Rst);
        sentinel.servers[0].kill();
        sentinel.wait_for_master(&sentinel.servers[1]);
    };
    are_told("15 failover to a lagging replica", &sentinel.url(), fault).await;
}
