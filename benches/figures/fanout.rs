//! What a delivery costs: rounds of the floor, an ephemeral and a durable channel, one after the
//! other, so that whatever else the machine does meets all alike.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::process::{Server, figure};
use super::{Size, median};
use crate::load::api::Publisher;
use crate::load::websocket::{WebSocket, server_text};
use crate::load::{Load, open_frame};

const CHANNELS: [&str; 2] = ["live:bench", "log:bench"];
/// Bytes of an event's `data`.
const DATA_BYTES: usize = 128;
/// Between two paced messages.
const PACE: Duration = Duration::from_millis(250);
/// Events of one batch of a flood.
const BATCH: usize = 50;
/// Events of a flood that no reader on average has got yet, at most: publishers that wait for
/// nothing would measure what is dropped.
const AHEAD: u64 = 400;

/// What a round came to.
#[derive(Debug, Clone, Copy)]
struct Round {
    us_per_delivery: f64,
    deliveries_per_s: f64,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Fanout {
    /// What was measured.
    pub(crate) name: String,
    /// Microseconds a delivery of each round, of the floor and of the gateway.
    pub(crate) floor: Vec<f64>,
    /// The same of the gateway.
    pub(crate) ours: Vec<f64>,
    /// Deliveries a second of the gateway, the median.
    pub(crate) per_s: f64,
}

/// The servers, their readers and their publishers.
struct Bench {
    gateway: Server,
    floor: Server,
    load: Load<WebSocket>,
    floor_load: Load<WebSocket>,
    publishers: [Publisher; 3],
    readers: u64,
}

/// Few messages to many readers: a write each.
pub(crate) fn paced(size: &Size) -> io::Result<[Fanout; 2]> {
    let mut bench = Bench::begin(size.paced_readers)?;
    let many = size.paced_messages;
    let what = format!("{} readers, 4 messages a second", size.paced_readers);
    bench.compare(&what, size.rounds, |load, publisher, readers| {
        let until = load.tally.events + readers * many as u64;
        for _ in 0..many {
            publisher.publish(1)?;
            load.read_for(PACE)?;
        }
        load.until(|tally| tally.events >= until, Duration::from_secs(10))
    })
}

/// As many messages as are taken: frames gather.
pub(crate) fn flooded(size: &Size) -> io::Result<[Fanout; 2]> {
    let mut bench = Bench::begin(size.flooded_readers)?;
    let many = size.flooded_messages;
    let what = format!("{} readers, flooded", size.flooded_readers);
    bench.compare(&what, size.rounds, |load, publisher, readers| {
        let before = load.tally.events;
        let (seen, failed) = (AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let publishing = scope.spawn(|| flood(publisher, many, readers, &seen, &failed));
            let until = before + readers * many as u64;
            let began = Instant::now();
            while load.tally.events < until {
                if began.elapsed() > Duration::from_secs(20) {
                    failed.store(true, Ordering::Relaxed);
                    let skipped = load.tally.skipped;
                    return Err(io::Error::other(format!("a flood was lost, {skipped} skipped")));
                }
                load.turn(Duration::from_millis(20))?;
                seen.store(load.tally.events - before, Ordering::Relaxed);
            }
            publishing.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        })
    })
}

fn flood(
    publisher: &mut Publisher,
    many: usize,
    readers: u64,
    seen: &AtomicU64,
    failed: &AtomicBool,
) -> io::Result<()> {
    for batch in 0..many / BATCH {
        let published = (batch * BATCH) as u64;
        while published.saturating_sub(seen.load(Ordering::Relaxed) / readers) > AHEAD {
            if failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            thread::sleep(Duration::from_micros(200));
        }
        publisher.publish(BATCH)?;
    }
    Ok(())
}

impl Bench {
    fn begin(readers: usize) -> io::Result<Self> {
        let gateway = Server::gateway()?;
        let (floor, control) = Server::floor()?;
        let mut load = Load::new()?;
        let open = open_frame(&CHANNELS, true);
        let make = |_| WebSocket::new(Some(open.clone()), CHANNELS.len());
        load.connect(gateway.address, readers, make)?;
        let mut floor_load = Load::new()?;
        floor_load.connect(floor.address, readers, |_| WebSocket::new(None, 0))?;
        let [live, log] =
            CHANNELS.map(|channel| Publisher::api(gateway.address, channel, DATA_BYTES));
        let mut live = live?;
        // The floor sends what the gateway sends.
        let frame = sample(&mut live, &mut load, readers as u64)?;
        let publishers = [Publisher::floor(control, frame)?, live, log?];
        Ok(Self { gateway, floor, load, floor_load, publishers, readers: readers as u64 })
    }

    /// Rounds of one kind: the floor, the ephemeral and the durable channel in turn.
    fn compare(
        &mut self,
        what: &str,
        rounds: usize,
        round: impl Fn(&mut Load<WebSocket>, &mut Publisher, u64) -> io::Result<()>,
    ) -> io::Result<[Fanout; 2]> {
        let mut results = [const { Vec::new() }; 3];
        // The first round warms up.
        for number in 0..=rounds {
            for (index, results) in results.iter_mut().enumerate() {
                let (server, load) = if index == 0 {
                    (&self.floor, &mut self.floor_load)
                } else {
                    (&self.gateway, &mut self.load)
                };
                let (cpu, events, began) = (server.cpu_us()?, load.tally.events, Instant::now());
                round(load, &mut self.publishers[index], self.readers)?;
                let deliveries = figure(load.tally.events - events);
                let deliveries_per_s = deliveries / began.elapsed().as_secs_f64();
                let us_per_delivery = (server.cpu_us()? - cpu) / deliveries;
                if number > 0 {
                    results.push(Round { us_per_delivery, deliveries_per_s });
                }
            }
        }
        let [floor, live, log] = results;
        let us = |rounds: &[Round]| rounds.iter().map(|r| r.us_per_delivery).collect::<Vec<_>>();
        let per_s =
            |rounds: &[Round]| rounds.iter().map(|r| r.deliveries_per_s).collect::<Vec<_>>();
        Ok([("ephemeral", live), ("durable", log)].map(|(kind, ours)| Fanout {
            name: format!("{what}, {kind}"),
            floor: us(&floor),
            ours: us(&ours),
            per_s: median(&per_s(&ours)),
        }))
    }
}

/// One event as readers get it.
fn sample(
    publisher: &mut Publisher,
    load: &mut Load<WebSocket>,
    readers: u64,
) -> io::Result<Vec<u8>> {
    publisher.publish(1)?;
    load.until(|tally| tally.events >= readers, Duration::from_secs(10))?;
    Ok(server_text(&load.tally.sample))
}

/// Sixteen KiB to every reader of a channel.
pub(crate) fn large(server: SocketAddr) -> io::Result<Publisher> {
    Publisher::api(server, CHANNELS[0], 16 << 10)
}
