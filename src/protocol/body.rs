//! The body of a request: a JSON array of frames, in one of three forms (PROTOCOL.md section 4).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{ErrorCode, Refusal};
use super::up::{self, Up};

/// Reads the frames of a body.
///
/// A body that begins with `d=` is base64url of the JSON (WHATWG URL, application/x-www-form-urlencoded);
/// any other is the JSON itself, whatever the content type says: proxies rewrite it.
/// # Errors
/// `bad_request` where the encoding is wrong, `too_many` above `frames_max`, `too_large` where one
/// frame is above `frame_bytes`, and what [`up::parse`] refuses.
pub fn parse(body: &[u8], frames_max: usize, frame_bytes: usize) -> Result<Vec<Up>, Refusal> {
    let json = decode(body)?;
    let text = std::str::from_utf8(&json).map_err(|_| bad("the body is not UTF-8"))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let frames = reader.deserialize_seq(Frames { frames_max, frame_bytes });
    let frames = frames.map_err(|error| bad(&error.to_string()))??;
    reader.end().map_err(|_| bad("something follows the array of frames"))?;
    Ok(frames)
}

fn bad(detail: &str) -> Refusal {
    Refusal::new(ErrorCode::BadRequest).because(detail)
}

fn decode(body: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    let Some(encoded) = body.strip_prefix(b"d=") else { return Ok(Cow::Borrowed(body)) };
    let encoded = encoded.strip_suffix(b"\r\n").unwrap_or(encoded);
    let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| bad("d is not base64url"))?;
    Ok(Cow::Owned(json))
}

struct Frames {
    frames_max: usize,
    frame_bytes: usize,
}

impl<'de> Visitor<'de> for Frames {
    type Value = Result<Vec<Up>, Refusal>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of frames")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut frames = Vec::new();
        let mut refusal = None;
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            // The rest is still read, so that what follows the array is judged alike.
            if refusal.is_some() {
                continue;
            }
            match self.frame(raw.get(), frames.len()) {
                Ok(frame) => frames.push(frame),
                Err(error) => refusal = Some(error),
            }
        }
        Ok(refusal.map_or(Ok(frames), Err))
    }
}

impl Frames {
    fn frame(&self, text: &str, before: usize) -> Result<Up, Refusal> {
        if before >= self.frames_max {
            return Err(Refusal::new(ErrorCode::TooMany).because("too many frames in one body"));
        }
        if text.len() > self.frame_bytes {
            return Err(Refusal::new(ErrorCode::TooLarge));
        }
        up::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &[u8]) -> ErrorCode {
        parse(body, 3, 100).expect_err("refused").code
    }

    #[test]
    fn reads_the_same_frames_from_every_form() {
        let json = br#"[{"l":"leaving"},{"t":"noop","seq":1}]"#;
        let form = [b"d=".as_slice(), URL_SAFE_NO_PAD.encode(json).as_bytes()].concat();
        assert_eq!(parse(json, 3, 100).unwrap().len(), 2);
        assert_eq!(parse(&form, 3, 100).unwrap().len(), 2);
    }

    #[test]
    fn refuses_what_is_over_a_bound_or_not_an_array() {
        // spec: M3, B1
        assert_eq!(
            code(br#"[{"l":"leaving"},{"l":"leaving"},{"l":"leaving"},{"l":"leaving"}]"#),
            ErrorCode::TooMany
        );
        let long = format!(r#"[{{"l":"echo","id":"{}"}}]"#, "x".repeat(100));
        assert_eq!(code(long.as_bytes()), ErrorCode::TooLarge);
        for body in [&b""[..], b"{}", b"[", b"[] []", b"d=%%", b"\xff"] {
            assert_eq!(code(body), ErrorCode::BadRequest, "{body:?}");
        }
    }
}
