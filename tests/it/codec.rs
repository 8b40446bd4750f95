//! The decoder of WebSocket frames against another implementation's client side.

use std::io::{self, Read, Write};

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};
use throughline::transport::ws::codec::{Decoder, Message, Next};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, Utf8Bytes};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
use tokio_tungstenite::tungstenite::{self, Bytes};

/// What a client sends.
#[derive(Debug, Clone, PartialEq)]
enum Sent {
    Text(String),
    Ping(Vec<u8>),
    Pong,
}

/// A client's end whose bytes are kept.
#[derive(Default)]
struct Wire(Vec<u8>);

impl Read for Wire {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        ".{0,300}".prop_map(Sent::Text),
        vec(any::<u8>(), 0..125).prop_map(Sent::Ping),
        Just(Sent::Pong),
    ]
}

fn ping(payload: Vec<u8>) -> tungstenite::Message {
    tungstenite::Message::Frame(Frame::ping(payload))
}

/// What tungstenite's client writes, each text in pieces of so many bytes with a ping after each
/// piece; what is to be read of it.
fn encode(all: &[Sent], piece: usize) -> (Vec<u8>, Vec<Sent>) {
    let mut socket = WebSocket::from_raw_socket(Wire::default(), Role::Client, None);
    let mut expected = Vec::new();
    let mut write = |message| socket.send(message).expect("it is written");
    for sent in all {
        match sent {
            Sent::Ping(payload) => write(ping(payload.clone())),
            Sent::Pong => write(tungstenite::Message::Frame(Frame::pong(Vec::new()))),
            Sent::Text(text) => {
                let pieces: Vec<_> = text.as_bytes().chunks(piece).collect();
                for (index, bytes) in pieces.iter().enumerate() {
                    let opcode = if index == 0 { Data::Text } else { Data::Continue };
                    let last = index + 1 == pieces.len();
                    let bytes = Bytes::copy_from_slice(bytes);
                    let frame = Frame::message(bytes, OpCode::Data(opcode), last);
                    write(tungstenite::Message::Frame(frame));
                    if !last {
                        write(ping(vec![7]));
                        expected.push(Sent::Ping(vec![7]));
                    }
                }
                if pieces.is_empty() {
                    write(tungstenite::Message::Text(Utf8Bytes::from_static("")));
                }
            }
        }
        expected.push(sent.clone());
    }
    (std::mem::take(&mut socket.get_mut().0), expected)
}

proptest! {
    #[test]
    fn any_chunking_of_what_another_client_writes_is_read_alike(
        all in vec(sent(), 0..12),
        piece in 1_usize..64,
        cuts in vec(1_usize..200, 1..20),
        keeps in any::<bool>(),
    ) {
        // RFC 6455 section 5.
        let (bytes, expected) = encode(&all, piece);
        let mut decoder = Decoder::new(64 << 10);
        let mut got = Vec::new();
        let mut on = |message: Message<'_>| {
            got.push(match message {
                Message::Text(text) => Sent::Text(text.to_owned()),
                Message::Ping(payload) => Sent::Ping(payload.to_vec()),
                Message::Pong => Sent::Pong,
                Message::Close => unreachable!("nobody closes"),
            });
            if keeps { Next::Keep } else { Next::Decode }
        };
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (chunk, after) = rest.split_at(rest.len().min(*cut));
            prop_assert!(decoder.feed(&mut chunk.to_vec(), &mut on).is_ok());
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        // What was kept comes with the next feed, one message at a time.
        for _ in 0..=expected.len() {
            prop_assert!(decoder.feed(&mut [], &mut on).is_ok());
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..600)) {
        let mut decoder = Decoder::new(64 << 10);
        let mut bytes = bytes;
        let _ = decoder.feed(&mut bytes, &mut |_| Next::Decode);
    }
}
