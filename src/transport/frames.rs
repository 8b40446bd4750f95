//! Watches the frames of an HTTP/2 connection (RFC 9113 section 4.1) as they come: whether one has
//! begun and is not whole, and how many come that carry nothing.

use crate::config::limits::Rate;
use crate::gateway::rate::Meter;

/// Bytes of the client's preface (section 3.4).
const PREFACE: usize = 24;
/// Bytes of a frame's header.
const HEADER: usize = 9;
/// Frames that end, order or ask, and those that are empty: what floods are made of.
const CONTROL: Rate = Rate { per_second: 50, burst: 500 };
/// Updates of windows: a reader sends one or two for what it reads.
const WINDOWS: Rate = Rate { per_second: 2000, burst: 10_000 };

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// More frames came than a client has use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a flood of control frames")]
pub struct FrameFlood;

/// Where in its frames a connection is.
#[derive(Debug)]
pub struct Frames {
    /// Bytes of the preface that have not come.
    preface: usize,
    header: [u8; HEADER],
    /// Bytes of the header that have come.
    got: usize,
    /// Bytes of the payload that have not come.
    payload: usize,
    /// The payload is data: its time is its reader's.
    data: bool,
    /// A block of headers has begun and not ended.
    block: bool,
    control: Meter,
    windows: Meter,
}

impl Default for Frames {
    fn default() -> Self {
        let (control, windows) = (Meter::default(), Meter::default());
        let (header, got, payload) = ([0; HEADER], 0, 0);
        Self { preface: PREFACE, header, got, payload, data: false, block: false, control, windows }
    }
}

impl Frames {
    /// Bytes that were read, now in milliseconds.
    /// # Errors
    /// [`FrameFlood`] where the connection is to be ended.
    pub fn read(&mut self, bytes: &[u8], now_ms: u64) -> Result<(), FrameFlood> {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        let mut rest = bytes.get(skipped..).unwrap_or_default();
        while !rest.is_empty() {
            if self.payload > 0 {
                let skipped = self.payload.min(rest.len());
                self.payload -= skipped;
                rest = rest.get(skipped..).unwrap_or_default();
                continue;
            }
            let [next, after @ ..] = rest else { break };
            if let Some(slot) = self.header.get_mut(self.got) {
                *slot = *next;
            }
            self.got += 1;
            rest = after;
            if self.got == HEADER {
                self.got = 0;
                self.begin(now_ms)?;
            }
        }
        Ok(())
    }

    /// Whether the preface, a frame or a block of headers has begun and is not whole.
    pub fn is_partial(&self) -> bool {
        self.preface > 0 || self.got > 0 || self.block || (self.payload > 0 && !self.data)
    }

    fn begin(&mut self, now_ms: u64) -> Result<(), FrameFlood> {
        let [a, b, c, kind, flags, ..] = self.header;
        self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.data = kind == DATA;
        let late = match kind {
            DATA if self.payload > 0 || flags & END_STREAM != 0 => 0,
            HEADERS => {
                self.block = flags & END_HEADERS == 0;
                0
            }
            WINDOW_UPDATE => self.windows.count(WINDOWS, now_ms),
            _ => {
                if kind == CONTINUATION {
                    self.block = flags & END_HEADERS == 0;
                }
                self.control.count(CONTROL, now_ms)
            }
        };
        if late > 0 { Err(FrameFlood) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        bytes.extend(payload);
        bytes
    }

    fn begun() -> Frames {
        let mut frames = Frames::default();
        frames.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0).unwrap();
        frames
    }

    #[test]
    fn a_preface_a_frame_and_a_block_of_headers_are_partial_until_they_are_whole() {
        let mut frames = Frames::default();
        assert!(frames.is_partial());
        frames.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0).unwrap();
        assert!(!frames.is_partial());
        let bytes = [frame(HEADERS, 0, b"abc"), frame(CONTINUATION, END_HEADERS, b"d")].concat();
        let (last, before) = bytes.split_last().unwrap();
        for byte in before {
            frames.read(&[*byte], 0).unwrap();
            assert!(frames.is_partial());
        }
        frames.read(&[*last], 0).unwrap();
        // The last byte of the last payload: the block had ended with its flag.
        assert!(!frames.is_partial());
    }

    #[test]
    fn data_that_is_on_its_way_is_its_readers_concern() {
        let mut frames = begun();
        let bytes = frame(DATA, 0, b"abc");
        frames.read(bytes.get(..10).unwrap(), 0).unwrap();
        assert!(!frames.is_partial());
    }

    #[test]
    fn frames_that_carry_nothing_are_a_flood_and_requests_and_data_are_not() {
        for kind in [0x2, 0x3, 0x4, 0x6, CONTINUATION, DATA, 0xbe] {
            let many: Vec<u8> = frame(kind, 0, b"").repeat(501);
            assert_eq!(begun().read(&many, 0), Err(FrameFlood), "{kind}");
        }
        assert_eq!(
            begun().read(&frame(WINDOW_UPDATE, 0, b"1234").repeat(10_001), 0),
            Err(FrameFlood)
        );
        for bytes in [frame(HEADERS, END_HEADERS, b"x"), frame(DATA, 0, b"x"), frame(DATA, 1, b"")]
        {
            begun().read(&bytes.repeat(20_000), 0).unwrap();
        }
    }
}
