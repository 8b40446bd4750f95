//! Frames of HTTP/2 by hand (RFC 9113 section 4.1).

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::wait;

/// The preface, and settings that set nothing.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;

/// `GET /health` of `a`, by the static table (RFC 7541 appendix A).
pub(super) const GET: &[u8] = b"\x82\x87\x04\x07/health\x01\x01a";
/// `POST` of `a`, by the same.
pub(super) const POST: &[u8] = b"\x83\x87\x04\x0e/realtime/n1/x\x01\x01a";

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A frame that came.
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// The next frame; `None` where the connection ended.
pub(super) async fn next(stream: &mut TlsStream<TcpStream>) -> Option<Frame> {
    let mut head = [0; 9];
    wait::in_time("a frame comes", stream.read_exact(&mut head)).await.ok()?;
    let [a, b, c, kind, _, id @ ..] = head;
    let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
    stream.read_exact(&mut payload).await.ok()?;
    Some(Frame { kind, stream: u32::from_be_bytes(id), payload })
}
