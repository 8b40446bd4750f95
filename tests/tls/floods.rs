//! Attacks by frames of HTTP/2: the connection is ended, and others do not notice.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::frames::{GET, POST, PREFACE, frame};
use super::{Certificate, connect};
use crate::support::http::Request;
use crate::support::wait;

/// Frames of a flood at most.
const FRAMES: u32 = 200_000;
/// Bytes by which the server's memory may grow while it is flooded.
const GROWTH: u64 = 16 << 20;

/// Floods with what is made of each number, until the server ends the connection.
async fn floods(first: Vec<u8>, each: impl Fn(u32) -> Vec<u8>) {
    let certificate = Certificate::new();
    let servers = certificate.setup().servers();
    let server = servers.own();
    let before = server.private_memory();
    let stream = connect(server, &certificate.der, &["h2"]).await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let attack = async {
        write.write_all(&[PREFACE, &first].concat()).await?;
        for n in 0..FRAMES {
            write.write_all(&each(n)).await?;
        }
        std::io::Result::Ok(())
    };
    let ended = async {
        let mut buffer = vec![0; 64 << 10];
        while read.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    };
    let both = async {
        let (attack, ()) = tokio::join!(attack, ended);
        attack
    };
    let _ = wait::in_time("the server ends it", both).await;
    assert_eq!(servers.send(Request::get("/health")).await.status, 200);
    let grown = server.private_memory().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes");
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    floods(Vec::new(), |n| {
        let stream = 2 * n + 1;
        [frame(1, 5, stream, GET), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
    })
    .await;
}

#[tokio::test]
async fn errors_that_have_the_server_reset_its_streams_end_the_connection() {
    floods(Vec::new(), |n| {
        let stream = 2 * n + 1;
        // An update by nothing is an error of its stream (RFC 9113 section 6.9).
        [frame(1, 4, stream, POST), frame(8, 0, stream, &[0; 4])].concat()
    })
    .await;
}

#[tokio::test]
async fn settings_pings_and_priorities_without_end_end_the_connection() {
    floods(Vec::new(), |_| frame(4, 0, 0, &[])).await;
    floods(Vec::new(), |_| frame(6, 0, 0, &[0; 8])).await;
    floods(Vec::new(), |_| frame(2, 0, 1, &[0, 0, 0, 0, 1])).await;
}

#[tokio::test]
async fn headers_without_end_end_the_connection() {
    floods(frame(1, 0, 1, GET), |_| frame(9, 0, 1, &[])).await;
    floods(frame(1, 0, 1, GET), |_| frame(9, 0, 1, b"\x00\x01x\x01y")).await;
}

#[tokio::test]
async fn headers_that_unfold_to_many_times_their_size_end_the_connection() {
    // `x` with 3000 bytes goes into the table (RFC 7541 section 6.2.1), and is named again and again.
    let entry = [b"\x40\x01x\x7f\xb9\x16".to_vec(), vec![b'a'; 3000]].concat();
    let block = [GET.to_vec(), entry, vec![0xbe; 10_000]].concat();
    floods(Vec::new(), |n| frame(1, 5, 2 * n + 1, &block)).await;
}

#[tokio::test]
async fn empty_data_and_updates_of_windows_without_end_end_the_connection() {
    floods(frame(1, 4, 1, POST), |_| frame(0, 0, 1, &[])).await;
    floods(Vec::new(), |_| frame(8, 0, 0, &[0, 0, 0, 1])).await;
}
