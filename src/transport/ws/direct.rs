//! The bytes of a WebSocket, written from wherever input comes without waiting: TCP, or TLS on it.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustls::ServerConnection;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::transport::wire::Wire;

/// A connection that is read and written without waiting.
pub(super) enum Direct {
    /// Plain.
    Plain(TcpStream),
    /// Over TLS: what is taken is at most one write of records ahead of the socket.
    Tls(TcpStream, Box<Mutex<ServerConnection>>),
}

impl From<Wire> for Direct {
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::Plain(stream) => Self::Plain(stream),
            Wire::Tls(stream) => {
                let (stream, tls) = stream.into_inner();
                Self::Tls(stream, Box::new(Mutex::new(tls)))
            }
        }
    }
}

impl Direct {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) | Self::Tls(stream, _) => stream,
        }
    }

    /// Writes what fits now.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write(bytes),
            Self::Tls(stream, tls) => write(stream, &mut tls.lock(), &[IoSlice::new(bytes)]),
        }
    }

    /// Writes what fits now of several.
    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write_vectored(slices),
            Self::Tls(stream, tls) => write(stream, &mut tls.lock(), slices),
        }
    }

    /// Whether records of what was taken wait for the socket.
    pub(super) fn holds(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(_, tls) => tls.lock().wants_write(),
        }
    }

    /// Writes such records, as far as the socket takes them.
    pub(super) fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream, tls) => flush(stream, &mut tls.lock()),
        }
    }

    /// Whether the socket takes bytes.
    pub(super) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_write_ready(context)
    }

    /// Whether TLS has bytes that were not read, whatever the socket has.
    pub(super) fn has_read(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(_, tls) => {
                let state = tls.lock().process_new_packets();
                state.is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
            }
        }
    }

    /// Whether the socket has bytes.
    pub(super) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_read_ready(context)
    }

    /// The same, to be awaited.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.tcp().readable().await
    }

    /// Reads what is there; 0 at the end.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_read(buffer),
            Self::Tls(stream, tls) => read(stream, &mut tls.lock(), buffer),
        }
    }

    /// Ends the way out.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream, tls) => {
                let tls = tls.get_mut();
                tls.send_close_notify();
                while tls.wants_write() {
                    stream.writable().await?;
                    flush(stream, tls)?;
                }
                stream.shutdown().await
            }
        }
    }
}

/// The socket, as rustls uses one.
struct Now<'a>(&'a TcpStream);

impl io::Read for Now<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(
    stream: &TcpStream,
    tls: &mut ServerConnection,
    slices: &[IoSlice<'_>],
) -> io::Result<usize> {
    flush(stream, tls)?;
    if tls.wants_write() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // As much as rustls buffers; 0 is of an empty write.
    let taken = tls.writer().write_vectored(slices)?;
    flush(stream, tls)?;
    Ok(taken)
}

fn flush(stream: &TcpStream, tls: &mut ServerConnection) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(&mut Now(stream)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read(stream: &TcpStream, tls: &mut ServerConnection, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        if tls.read_tls(&mut Now(stream))? == 0 {
            return Ok(0);
        }
        let processed = tls.process_new_packets();
        // An alert, or the answer to an update of keys.
        flush(stream, tls)?;
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
}
