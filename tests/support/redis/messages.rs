//! What a Redis server sends, value by value (RESP3), so that messages of Pub/Sub get lost on the way.

use std::str;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rand::RngExt as _;

/// How the pushes begin that carry a message.
const MESSAGES: [&[u8]; 2] = [b">3\r\n$7\r\nmessage\r\n", b">3\r\n$8\r\nsmessage\r\n"];

/// One connection, from its first byte on, on which some messages are lost.
pub struct Lossy {
    one_of: u32,
    lost: Arc<AtomicU64>,
    waiting: Vec<u8>,
}

impl Lossy {
    /// One of so many messages is lost, as the dice say, and counted here.
    pub fn new(one_of: u32, lost: Arc<AtomicU64>) -> Self {
        Self { one_of, lost, waiting: Vec::new() }
    }

    /// What passes of these bytes; a value that is not whole waits for its rest.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.waiting.extend_from_slice(bytes);
        let (mut passes, mut at) = (Vec::new(), 0);
        while let Some(length) = length(&self.waiting[at..]) {
            let value = &self.waiting[at..at + length];
            at += length;
            let is_message = MESSAGES.iter().any(|begin| value.starts_with(begin));
            if is_message && rand::rng().random_ratio(1, self.one_of) {
                self.lost.fetch_add(1, Relaxed);
            } else {
                passes.extend_from_slice(value);
            }
        }
        self.waiting.drain(..at);
        passes
    }
}

/// The length of the value that begins here, if it is whole.
fn length(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|two| two == b"\r\n")?;
    let head = line + 2;
    let count = || -> usize {
        let count = str::from_utf8(&bytes[1..line]).expect("a number").parse::<i64>();
        // A list or a text of -1 is nothing.
        usize::try_from(count.expect("a number").max(0)).expect("a number")
    };
    let parts = match bytes[0] {
        b'$' | b'!' | b'=' if bytes[1] == b'-' => 0,
        b'$' | b'!' | b'=' => {
            let whole = head + count() + 2;
            return (bytes.len() >= whole).then_some(whole);
        }
        b'*' | b'~' | b'>' => count(),
        b'%' => 2 * count(),
        _ => 0,
    };
    let mut at = head;
    for _ in 0..parts {
        at += length(bytes.get(at..)?)?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERS: &[u8] =
        b"+OK\r\n$-1\r\n*2\r\n$4\r\n\r\n>3\r\n:7\r\n%1\r\n+server\r\n$5\r\nredis\r\n_\r\n";
    const MESSAGE: &[u8] = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n\r\n\r\n";

    #[test]
    fn messages_are_lost_and_answers_pass_however_they_are_cut() {
        let sent = [MESSAGE, ANSWERS, MESSAGE, ANSWERS].concat();
        for size in 1..sent.len() {
            let lost = Arc::default();
            let mut lossy = Lossy::new(1, Arc::clone(&lost));
            let passed: Vec<_> = sent.chunks(size).flat_map(|piece| lossy.pass(piece)).collect();
            assert_eq!((passed, lost.load(Relaxed)), (ANSWERS.repeat(2), 2));
        }
    }
}
