//! Server-Sent Events (WHATWG HTML, "Server-sent events"): one frame a `data:` field.
//!
//! JSON never holds a raw line break, so a frame is always one field; an id is checked.

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::Frame;

/// A frame as one event.
pub fn event(frame: &Frame) -> Bytes {
    let mut out = BytesMut::with_capacity(frame.len() + 8);
    put(&mut out, frame, None);
    out.freeze()
}

/// Appends a frame as one event with an optional id. An id with a line break or NUL is left out:
/// it would end the field (section "Interpreting an event stream").
pub fn put(out: &mut BytesMut, frame: &Frame, id: Option<&str>) {
    if let Some(id) = id.filter(|id| !id.contains(['\r', '\n', '\0'])) {
        out.put_slice(b"id: ");
        out.put_slice(id.as_bytes());
        out.put_u8(b'\n');
    }
    out.put_slice(b"data: ");
    out.put_slice(&frame.line());
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_add_a_field() {
        let mut out = BytesMut::new();
        put(&mut out, &Frame::new(b"{}"), Some("a\ndata: x"));
        assert_eq!(out.as_ref(), b"data: {}\n\n");
        out.clear();
        put(&mut out, &Frame::new(b"{}"), Some("e.1.ff"));
        assert_eq!(out.as_ref(), b"id: e.1.ff\ndata: {}\n\n");
    }
}
