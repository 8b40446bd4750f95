//! What a fleet costs: the same readers spread over one, two and four nodes on one Redis.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use super::process::{Server, figure};
use super::{Size, median};
use crate::load::api::Publisher;
use crate::load::websocket::WebSocket;
use crate::load::{Load, open_frame};

const CHANNEL: &str = "log:bench";
/// Bytes of an event's `data`.
const DATA_BYTES: usize = 128;
/// Between two messages.
const PACE: Duration = Duration::from_millis(250);
/// Fleets that are measured.
const NODES: [usize; 3] = [1, 2, 4];

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// How many nodes.
    pub(crate) nodes: usize,
    /// Deliveries a second of CPU of all nodes together, the median.
    pub(crate) per_cpu_s: f64,
    /// The share of all CPU of nodes that the busiest one used, the median.
    pub(crate) busiest: f64,
    /// Milliseconds of CPU of Redis a second, the median.
    pub(crate) redis_ms: f64,
}

/// Measures each fleet.
pub(crate) fn fleets(size: &Size) -> io::Result<Vec<Fleet>> {
    NODES.into_iter().map(|nodes| fleet(nodes, size)).collect()
}

fn fleet(nodes: usize, size: &Size) -> io::Result<Fleet> {
    let port = free_port()?;
    let redis = Server::redis(port)?;
    let engine = format!("redis://127.0.0.1:{port}/0");
    let gateways: Vec<_> = (0..nodes).map(|_| Server::node(&engine)).collect::<Result<_, _>>()?;
    let readers = size.fleet_readers;
    let open = open_frame(&[CHANNEL], true);
    let mut load = Load::new()?;
    for gateway in &gateways {
        load.connect(gateway.address, readers / nodes, |_| WebSocket::new(Some(open.clone()), 1))?;
    }
    let first = gateways.first().ok_or(io::ErrorKind::NotFound)?;
    let mut publisher = Publisher::api(first.address, CHANNEL, DATA_BYTES)?;
    let (mut per_cpu_s, mut busiest, mut redis_ms) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=size.rounds {
        let before: Vec<_> = gateways.iter().map(Server::cpu_us).collect::<Result<_, _>>()?;
        let (redis_before, events) = (redis.cpu_us()?, load.tally.events);
        let began = Instant::now();
        let until = events + (readers * size.paced_messages) as u64;
        for _ in 0..size.paced_messages {
            publisher.publish(1)?;
            load.read_for(PACE)?;
        }
        load.until(|tally| tally.events >= until, Duration::from_secs(10))?;
        let after: Vec<_> = gateways.iter().map(Server::cpu_us).collect::<Result<_, _>>()?;
        let used: Vec<_> =
            after.iter().zip(&before).map(|(after, before)| after - before).collect();
        let all: f64 = used.iter().sum();
        // The first round warms up.
        if round > 0 {
            per_cpu_s.push(figure(load.tally.events - events) / all * 1e6);
            busiest.push(used.iter().copied().fold(0.0, f64::max) / all);
            let seconds = began.elapsed().as_secs_f64();
            redis_ms.push((redis.cpu_us()? - redis_before) / 1000.0 / seconds);
        }
    }
    let (per_cpu_s, busiest) = (median(&per_cpu_s), median(&busiest));
    Ok(Fleet { nodes, per_cpu_s, busiest, redis_ms: median(&redis_ms) })
}

/// A port that was free a moment ago.
fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?.port())
}
