//! What a session costs: to begin, and to hold while nothing happens.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use super::Size;
use super::fanout::large;
use super::process::{Server, figure};
use crate::load::exchange::Poller;
use crate::load::stream::Stream;
use crate::load::websocket::WebSocket;
use crate::load::{Client, Load, api, open_frame};

const CHANNEL: &str = "live:bench";
/// Sessions that are there before the first figure, so that what a server needs anyway is there.
const WARM: usize = 500;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// What carries the sessions.
    pub(crate) name: &'static str,
    /// Microseconds of CPU to connect and open.
    pub(crate) open_us: f64,
    /// Private bytes of one that is idle.
    pub(crate) fresh: f64,
    /// The same after it was sent 16 KiB.
    pub(crate) after: f64,
}

/// Sessions of each kind.
pub(crate) fn sessions(size: &Size) -> io::Result<[Sessions; 4]> {
    let open = open_frame(&[CHANNEL], false);
    let stream =
        |path| measure("stream", size, |_| Stream::new(path, open.clone(), 1), acknowledge);
    Ok([
        measure("WebSocket", size, |_| WebSocket::new(Some(open.clone()), 1), |_, _| Ok(()))?,
        Sessions { name: "stream of octets", ..stream("s")? },
        Sessions { name: "stream of events", ..stream("e")? },
        measure("poll that waits", size, |_| Poller::new(open.clone()), |_, _| Ok(()))?,
    ])
}

/// `acknowledge` does what clients of that kind do beside their connections.
fn measure<C: Client>(
    name: &'static str,
    size: &Size,
    make: impl Fn(usize) -> C,
    acknowledge: impl Fn(&Server, &mut Load<C>) -> io::Result<()>,
) -> io::Result<Sessions> {
    let server = Server::gateway()?;
    let mut load = Load::new()?;
    load.connect(server.address, WARM, &make)?;
    let mut large = large(server.address)?;
    let settle = |load: &mut Load<C>| {
        load.go_on()?;
        acknowledge(&server, load)?;
        load.read_for(size.rest)?;
        server.private_bytes()
    };
    settle(&mut load)?;
    large.publish(1)?;
    load.until(|tally| tally.events >= WARM as u64, Duration::from_secs(10))?;
    let before = settle(&mut load)?;
    let cpu = server.cpu_us()?;
    load.connect(server.address, size.sessions, &make)?;
    let many = figure(size.sessions as u64);
    let open_us = (server.cpu_us()? - cpu) / many;
    let fresh = (settle(&mut load)? - before) / many;
    large.publish(1)?;
    let all = (2 * WARM + size.sessions) as u64;
    load.until(|tally| tally.events >= all, Duration::from_secs(10))?;
    let after = (settle(&mut load)? - before) / many;
    Ok(Sessions { name, open_us, fresh, after })
}

/// Streams acknowledge by exchanges.
fn acknowledge(server: &Server, load: &mut Load<Stream>) -> io::Result<()> {
    let mut connection = TcpStream::connect(server.address)?;
    connection.set_nodelay(true)?;
    for client in load.clients() {
        api::exchange(&mut connection, &client.acknowledgement())?;
    }
    Ok(())
}
