//! The application's API keys.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

use crate::config::access::ApiKey;

/// A key shown that is longer is refused unread, in bytes.
const SHOWN_BYTES_MAX: usize = 1024;

/// Names of keys, by the SHA-256 of each: the keys themselves are not kept.
#[derive(Debug)]
pub struct ApiKeys {
    known: Vec<(String, Digest)>,
}

impl ApiKeys {
    /// Takes the digests of the keys.
    pub fn new(keys: &[ApiKey]) -> Self {
        let hash = |key: &ApiKey| (key.name.clone(), digest(&SHA256, key.key.expose().as_bytes()));
        Self { known: keys.iter().map(hash).collect() }
    }

    /// The name of the key shown. Every key is compared, each in constant time, so that the time
    /// taken tells nothing of how much of one was right.
    pub fn check(&self, shown: &str) -> Option<&str> {
        if shown.len() > SHOWN_BYTES_MAX {
            return None;
        }
        let shown = digest(&SHA256, shown.as_bytes());
        self.known.iter().fold(None, |found, (name, known)| {
            let equal = verify_slices_are_equal(known.as_ref(), shown.as_ref()).is_ok();
            if equal { Some(name.as_str()) } else { found }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_answers_with_its_name_and_nothing_else_does() {
        let key =
            |name: &str, key: &str| ApiKey { name: name.to_owned(), key: key.to_owned().into() };
        let keys = ApiKeys::new(&[key("a", "first key, long"), key("b", "second key, long")]);
        assert_eq!(keys.check("first key, long"), Some("a"));
        assert_eq!(keys.check("second key, long"), Some("b"));
        for wrong in ["", "first key, lonG", "Second key, long", "first key, long\0"] {
            assert_eq!(keys.check(wrong), None, "{wrong:?}");
        }
        assert_eq!(keys.check(&"x".repeat(1 << 20)), None);
        assert_eq!(ApiKeys::new(&[]).check(""), None);
    }
}
