//! Many clients in one thread: an epoll loop that connects, opens, reads and counts.

pub(crate) mod api;
pub(crate) mod exchange;
pub(crate) mod stream;
pub(crate) mod websocket;

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

/// Connections that begin between two looks at what came.
const AT_ONCE: usize = 32;
/// Loopback addresses that connections come from, so that no address runs out of ports.
const ADDRESSES: usize = 8;

/// What all clients together have seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Clients that have what they opened.
    pub(crate) ready: usize,
    /// Events.
    pub(crate) events: u64,
    /// Ephemeral events that the server said it skipped.
    pub(crate) skipped: u64,
    /// Connections that the server closed.
    pub(crate) closed: usize,
    /// The last event, as JSON.
    pub(crate) sample: Vec<u8>,
}

/// One client: told what came, says what to send.
pub(crate) trait Client {
    /// What it sends first.
    fn begin(&mut self) -> Vec<u8>;

    /// Takes what came; what it sends goes to `out`.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>, tally: &mut Tally);

    /// What a client says after it has rested: what it got, or the next request.
    fn go_on(&mut self) -> Vec<u8>;
}

struct Connection<C> {
    stream: TcpStream,
    client: C,
}

/// Many clients of one kind.
pub(crate) struct Load<C> {
    poll: Poll,
    events: Events,
    connections: Vec<Option<Connection<C>>>,
    buffer: Vec<u8>,
    /// What they have seen.
    pub(crate) tally: Tally,
}

impl<C: Client> Load<C> {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::new(),
            buffer: vec![0; 256 << 10],
            tally: Tally::default(),
        })
    }

    /// Connects `many` more clients and waits until all are ready.
    pub(crate) fn connect(
        &mut self,
        server: SocketAddr,
        many: usize,
        make: impl Fn(usize) -> C,
    ) -> io::Result<()> {
        let all = self.connections.len() + many;
        for index in self.connections.len()..all {
            let mut stream = TcpStream::from_std(dial(server, index)?.into());
            self.poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            let mut client = make(index);
            stream.write_all(&client.begin())?;
            self.connections.push(Some(Connection { stream, client }));
            if index % AT_ONCE == 0 {
                self.turn(Duration::ZERO)?;
            }
        }
        let ready = all - self.tally.closed;
        self.until(|tally| tally.ready >= ready, Duration::from_secs(20))
    }

    /// Reads what comes for so long.
    pub(crate) fn read_for(&mut self, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.turn(left)?;
        }
        Ok(())
    }

    /// Reads until `enough`.
    pub(crate) fn until(
        &mut self,
        enough: impl Fn(&Tally) -> bool,
        within: Duration,
    ) -> io::Result<()> {
        let until = Instant::now() + within;
        while !enough(&self.tally) {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                let Tally { ready, events, skipped, closed, .. } = &self.tally;
                let seen =
                    format!("ready {ready}, events {events}, {skipped} skipped, {closed} closed");
                return Err(io::Error::other(format!("too little came in time: {seen}")));
            };
            self.turn(left)?;
        }
        Ok(())
    }

    /// Lets each client say what it does after a rest.
    pub(crate) fn go_on(&mut self) -> io::Result<()> {
        for connection in self.connections.iter_mut().flatten() {
            connection.stream.write_all(&connection.client.go_on())?;
        }
        Ok(())
    }

    /// Every client there is.
    pub(crate) fn clients(&mut self) -> impl Iterator<Item = &mut C> {
        self.connections.iter_mut().flatten().map(|connection| &mut connection.client)
    }

    /// One look at what came.
    pub(crate) fn turn(&mut self, wait: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let slot = &mut self.connections[event.token().0];
            let Some(connection) = slot else { continue };
            if !connection.read(&mut self.buffer, &mut self.tally).unwrap_or(false) {
                self.tally.closed += 1;
                *slot = None;
            }
        }
        Ok(())
    }
}

impl<C: Client> Connection<C> {
    /// Reads all there is. Returns whether the server has not closed.
    fn read(&mut self, buffer: &mut [u8], tally: &mut Tally) -> io::Result<bool> {
        loop {
            let n = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            let mut out = Vec::new();
            self.client.take(&buffer[..n], &mut out, tally);
            if !out.is_empty() {
                self.stream.write_all(&out)?;
            }
        }
    }
}

/// A connection from one of several loopback addresses.
fn dial(server: SocketAddr, index: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let last = u8::try_from(index % ADDRESSES + 2).unwrap_or(2);
    socket.bind(&SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    socket.connect(&server.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Counts one frame of the server's.
fn count(frame: &[u8], tally: &mut Tally) {
    if frame.starts_with(br#"{"t":"event""#) {
        tally.events += 1;
        frame.clone_into(&mut tally.sample);
    } else if let Some(n) = frame.strip_prefix(br#"{"t":"skipped","n":"#) {
        let digits = n.iter().take_while(|byte| byte.is_ascii_digit());
        tally.skipped += digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    }
}

/// The `open` of a session that reads these channels.
pub(crate) fn open_frame(channels: &[&str], visible: bool) -> String {
    let subs: Vec<_> = channels.iter().map(|ch| format!(r#"{{"ch":"{ch}"}}"#)).collect();
    format!(r#"{{"l":"open","v":1,"visible":{visible},"subs":[{}]}}"#, subs.join(","))
}
