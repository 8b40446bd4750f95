//! Violations of the WebSocket protocol, each answered with its close code.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::support::server::{Servers, Setup};
use crate::support::text;
use crate::support::websocket::{
    BINARY, CLOSE, CONTINUATION, FIN, Got, PING, PONG, Socket, TEXT, frame, header,
};

async fn closes(bytes: &[u8]) -> u16 {
    let servers = Servers::suite();
    let mut socket = Socket::open(servers.pick(), json!({})).await;
    socket.until("attached").await;
    socket.write(bytes).await;
    socket.close_code().await
}

#[tokio::test]
async fn a_binary_message_is_refused_with_1003() {
    // demand: 17
    // spec: M12
    assert_eq!(closes(&frame(FIN | BINARY, b"\x00\x01")).await, 1003);
}

#[tokio::test]
async fn a_frame_without_a_mask_is_refused_with_1002() {
    // spec: M12
    assert_eq!(closes(b"\x81\x02{}").await, 1002);
}

#[tokio::test]
async fn reserved_bits_are_refused_with_1002() {
    // spec: M12
    for bit in [0x40, 0x20, 0x10] {
        assert_eq!(closes(&frame(FIN | TEXT | bit, b"{}")).await, 1002);
    }
}

#[tokio::test]
async fn unknown_opcodes_are_refused_with_1002() {
    // spec: M12
    for opcode in [3, 7, 11, 15] {
        assert_eq!(closes(&frame(FIN | opcode, b"")).await, 1002, "{opcode}");
    }
}

#[tokio::test]
async fn control_frames_that_are_long_or_fragmented_are_refused_with_1002() {
    // spec: M12
    assert_eq!(closes(&frame(FIN | PING, &[0; 126])).await, 1002);
    assert_eq!(closes(&frame(PING, b"")).await, 1002);
    assert_eq!(closes(&frame(CLOSE, b"")).await, 1002);
}

#[tokio::test]
async fn fragments_out_of_order_are_refused_with_1002() {
    // spec: M12
    assert_eq!(closes(&frame(FIN | CONTINUATION, b"{}")).await, 1002);
    let within = [frame(TEXT, b"{"), frame(FIN | TEXT, b"}")].concat();
    assert_eq!(closes(&within).await, 1002);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_refused_with_1007() {
    // spec: M12
    assert_eq!(closes(&frame(FIN | TEXT, b"{\"l\":\"\xff\"}")).await, 1007);
    let split = [frame(TEXT, b"\xe2\x82"), frame(FIN | CONTINUATION, b"x")].concat();
    assert_eq!(closes(&split).await, 1007);
}

#[tokio::test]
async fn a_frame_that_claims_too_much_is_refused_with_1009_before_it_comes() {
    // spec: M12
    for claim in [1 << 62, u64::MAX, (64 << 10) + 1] {
        assert_eq!(closes(&header(FIN | TEXT, claim)).await, 1009, "{claim}");
    }
}

#[tokio::test]
async fn a_message_that_grows_too_large_in_fragments_is_refused_with_1009() {
    // spec: M12
    let mut bytes = frame(TEXT, &vec![b' '; 40 << 10]);
    bytes.extend(frame(CONTINUATION, &vec![b' '; 40 << 10]));
    assert_eq!(closes(&bytes).await, 1009);
}

#[tokio::test]
async fn a_message_of_1025_fragments_is_refused_with_1008() {
    // spec: M12
    let mut bytes = frame(TEXT, b"");
    for _ in 0..1024 {
        bytes.extend(frame(CONTINUATION, b""));
    }
    assert_eq!(closes(&bytes).await, 1008);
}

#[tokio::test]
async fn a_flood_of_control_frames_is_refused_with_1008() {
    // demand: 61
    // spec: M12
    assert_eq!(closes(&frame(FIN | PING, b"x").repeat(200)).await, 1008);
    assert_eq!(closes(&frame(FIN | PONG, b"").repeat(200)).await, 1008);
}

/// Servers that hold no link for dead, as long as the test takes.
fn lasting() -> Servers {
    let setup = Setup::suite().set("session.ping_visible", "'60s'");
    setup.set("session.ping_hidden", "'60s'").servers()
}

#[tokio::test]
async fn a_websocket_that_asks_and_does_not_read_is_not_read_until_it_does() {
    // demand: 61
    // spec: M40, B1
    let servers = lasting();
    let mut socket = Socket::open(servers.pick(), json!({})).await;
    socket.until("attached").await;
    let before = servers.own().private_memory();
    let padding = "x".repeat(50);
    let asked = |number: usize| json!({ "l": "echo", "id": format!("{number}{padding}") });
    let (mut many, mut rest) = (0, Vec::new());
    // Without a bound all 400000 would be read, and 36 MB of answers kept.
    'asks: while many < 400_000 {
        let echoes = (many..many + 1000)
            .flat_map(|number| frame(FIN | TEXT, asked(number).to_string().as_bytes()));
        rest = echoes.collect();
        many += 1000;
        while !rest.is_empty() {
            let wrote = timeout(Duration::from_secs(2), socket.stream.write(&rest)).await;
            let Ok(wrote) = wrote else { break 'asks };
            rest.drain(..wrote.unwrap());
        }
    }
    assert!(!rest.is_empty(), "{many} echoes were read");
    let grown = servers.own().private_memory().saturating_sub(before);
    println!("{many} echoes asked, {} KiB grown", grown >> 10);
    assert!(grown < 2 << 20, "grown by {grown} bytes");
    // Once it reads, it is read, and nothing is missing.
    for number in 0..many {
        if number == many / 2 {
            socket.write(&rest).await;
        }
        assert_eq!(socket.until("echo").await["id"], asked(number)["id"]);
    }
}

#[tokio::test]
async fn a_message_in_fragments_with_pings_between_is_read_whole() {
    let servers = Servers::suite();
    let mut socket = Socket::open(servers.pick(), json!({})).await;
    socket.until("attached").await;
    let whole = r#"{"l":"echo","id":"grüße"}"#.as_bytes();
    let mut bytes = Vec::new();
    for (index, piece) in whole.chunks(3).enumerate() {
        let opcode = if index == 0 { TEXT } else { CONTINUATION };
        bytes.extend(frame(opcode, piece));
        bytes.extend(frame(FIN | PING, b"p"));
    }
    bytes.extend(frame(FIN | CONTINUATION, b""));
    for piece in bytes.chunks(7) {
        socket.write(piece).await;
    }
    assert_eq!(text(&socket.until("echo").await, "id"), "grüße");
}

#[tokio::test]
async fn a_close_is_answered_with_a_close() {
    // RFC 6455 section 5.5.1.
    let servers = Servers::suite();
    let mut socket = Socket::open(servers.pick(), json!({})).await;
    socket.until("attached").await;
    socket.write(&frame(FIN | CLOSE, &1000_u16.to_be_bytes())).await;
    assert_eq!(socket.close_code().await, 1000);
    assert_eq!(socket.next().await, Got::Gone);
}

#[tokio::test]
async fn a_frame_that_is_none_ends_the_connection_with_its_code() {
    // spec: M3
    let servers = Servers::suite();
    let mut deep = String::from(r#"{"l":"pong","x":"#);
    for _ in 0..200 {
        let _ = write!(deep, "[");
    }
    for text_of in ["", "[]", "nonsense", "{}", r#"{"l":"fly"}"#, r#"{"t":"noop"}"#, &deep] {
        let mut socket = Socket::open(servers.pick(), json!({})).await;
        socket.until("attached").await;
        socket.write(&frame(FIN | TEXT, text_of.as_bytes())).await;
        assert_eq!(text(&socket.until("error").await, "code"), "bad_frame", "{text_of}");
        assert_eq!(socket.close_code().await, 4400, "{text_of}");
    }
}

#[tokio::test]
async fn a_first_frame_that_opens_nothing_is_refused() {
    let servers = Servers::suite();
    let mut socket = Socket::connect(servers.pick()).await;
    socket.say(&json!({ "l": "pong" })).await;
    assert_eq!(text(&socket.until("error").await, "code"), "bad_frame");
    assert_eq!(socket.close_code().await, 4400);
}
