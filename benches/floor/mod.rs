//! The floor: what fan-out costs at least. One thread, one epoll, one shared frame, one write(2) a
//! reader. No sessions, no acknowledgements, no pings, nothing kept.
//!
//! It prints the address of its readers and that of its control. A control message is the number of
//! repeats and the frame's length (both u32, big-endian), then the frame; it is answered by the number
//! of writes that did not take the whole frame (u32), once all are done.

use std::io::{self, Read as _, Write as _};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const READERS: Token = Token(usize::MAX - 1);
const CONTROL: Token = Token(usize::MAX - 2);
const DRIVER: Token = Token(usize::MAX - 3);

struct Reader {
    stream: TcpStream,
    /// The request so far; none once it was answered.
    request: Option<Vec<u8>>,
}

struct Floor {
    poll: Poll,
    readers: Vec<Option<Reader>>,
    driver: Option<TcpStream>,
    command: Vec<u8>,
}

/// Serves until its driver goes.
pub(crate) fn run() -> io::Result<()> {
    let any = ([127, 0, 0, 1], 0).into();
    let mut readers = listener(any)?;
    let mut control = TcpListener::bind(any)?;
    let poll = Poll::new()?;
    poll.registry().register(&mut readers, READERS, Interest::READABLE)?;
    poll.registry().register(&mut control, CONTROL, Interest::READABLE)?;
    println!("listening on http://{}", readers.local_addr()?);
    println!("control {}", control.local_addr()?);
    let mut floor = Floor { poll, readers: Vec::new(), driver: None, command: Vec::new() };
    let mut events = Events::with_capacity(1024);
    loop {
        floor.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                READERS => floor.accept(&readers)?,
                CONTROL => floor.accept_driver(&control)?,
                DRIVER if !floor.obey()? => return Ok(()),
                DRIVER => {}
                Token(index) => floor.read(index),
            }
        }
    }
}

/// mio listens with a backlog of 128, which a herd of readers overflows.
fn listener(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into()))
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        while let Some((mut stream, _)) = unless_blocked(listener.accept())? {
            stream.set_nodelay(true)?;
            let token = Token(self.readers.len());
            self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
            self.readers.push(Some(Reader { stream, request: Some(Vec::new()) }));
        }
        Ok(())
    }

    fn accept_driver(&mut self, listener: &TcpListener) -> io::Result<()> {
        while let Some((mut stream, _)) = unless_blocked(listener.accept())? {
            stream.set_nodelay(true)?;
            self.poll.registry().register(&mut stream, DRIVER, Interest::READABLE)?;
            self.driver = Some(stream);
        }
        Ok(())
    }

    /// Reads a handshake and answers it; what comes later is dropped.
    fn read(&mut self, index: usize) {
        let Some(slot) = self.readers.get_mut(index) else { return };
        if slot.as_mut().is_some_and(|reader| !reader.read().unwrap_or(false)) {
            *slot = None;
        }
    }

    /// Performs what the driver says. Returns whether it is still there.
    fn obey(&mut self) -> io::Result<bool> {
        let Some(driver) = &mut self.driver else { return Ok(true) };
        let mut buffer = [0; 4096];
        while let Some(n) = unless_blocked(driver.read(&mut buffer))? {
            if n == 0 {
                return Ok(false);
            }
            self.command.extend_from_slice(&buffer[..n]);
        }
        while let Some((repeats, rest)) = self.command.split_first_chunk::<4>()
            && let Some((len, rest)) = rest.split_first_chunk::<4>()
        {
            let (repeats, len) = (u32::from_be_bytes(*repeats), u32::from_be_bytes(*len));
            let Some(frame) = rest.get(..len as usize) else { break };
            let missed: u32 = (0..repeats).map(|_| publish(&mut self.readers, frame)).sum();
            driver.write_all(&missed.to_be_bytes())?;
            self.command.drain(..8 + len as usize);
        }
        Ok(true)
    }
}

/// One write a reader. Returns how many did not take the frame.
fn publish(readers: &mut [Option<Reader>], frame: &[u8]) -> u32 {
    let mut missed = 0;
    for reader in readers.iter_mut().flatten() {
        if !reader.stream.write(frame).is_ok_and(|n| n == frame.len()) {
            missed += 1;
        }
    }
    missed
}

impl Reader {
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        while let Some(n) = unless_blocked(self.stream.read(&mut buffer))? {
            if n == 0 {
                return Ok(false);
            }
            if let Some(request) = &mut self.request {
                request.extend_from_slice(&buffer[..n]);
            }
        }
        if let Some(request) = self.request.take_if(|request| request.ends_with(b"\r\n\r\n")) {
            let text = String::from_utf8_lossy(&request);
            let key = text.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
            let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
            let head =
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
            let answer = format!("{head}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
            self.stream.write_all(answer.as_bytes())?;
        }
        Ok(true)
    }
}

fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
