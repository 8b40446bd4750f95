//! A client of a stream: lines, or `data:` lines, in the chunks of one endless answer.

use super::{Client, Tally, count};

/// One reader.
pub(crate) struct Stream {
    path: &'static str,
    open: String,
    awaited: usize,
    partial: Vec<u8>,
    count: u64,
    ticket: String,
}

impl Stream {
    /// A reader of `…/s` or `…/e` that sends `open`, which names so many channels.
    pub(crate) fn new(path: &'static str, open: String, channels: usize) -> Self {
        let (partial, ticket) = (Vec::new(), String::new());
        Self { path, open, awaited: channels, partial, count: 0, ticket }
    }

    /// The exchange that acknowledges what came.
    pub(crate) fn acknowledgement(&self) -> String {
        let (ticket, count) = (&self.ticket, self.count);
        format!(r#"[{{"l":"attach","ticket":"{ticket}","link":1,"count":{count}}}]"#)
    }

    /// The server writes whole frames in a chunk, so a line is a frame or the frame of a chunk.
    fn line(&mut self, line: &[u8], tally: &mut Tally) {
        let line = line.strip_prefix(b"data: ").or(line.strip_prefix(b"data:")).unwrap_or(line);
        if line.starts_with(br#"{"l":"hello""#) {
            self.ticket = ticket(line);
        }
        if !line.starts_with(br#"{"t":"#) {
            return;
        }
        self.count += 1;
        count(line, tally);
        if line.starts_with(br#"{"t":"subscribed""#) {
            self.awaited -= 1;
            tally.ready += usize::from(self.awaited == 0);
        }
    }
}

impl Client for Stream {
    fn begin(&mut self) -> Vec<u8> {
        post(&format!("/realtime/n/{}", self.path), &format!("[{}]", self.open))
    }

    fn take(&mut self, bytes: &[u8], _out: &mut Vec<u8>, tally: &mut Tally) {
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(bytes);
        let mut rest = whole.as_slice();
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(&rest[..at], tally);
            rest = &rest[at + 1..];
        }
        self.partial.extend_from_slice(rest);
    }

    fn go_on(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// A POST as the bundled client sends it, with what browsers add.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
         AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nAccept: */*\r\n\
         Accept-Language: en-GB,en;q=0.9\r\nAccept-Encoding: gzip, deflate, br\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The ticket in a hello.
pub(crate) fn ticket(hello: &[u8]) -> String {
    let text = String::from_utf8_lossy(hello);
    let after = text.split_once(r#""ticket":""#).map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default().to_owned()
}
