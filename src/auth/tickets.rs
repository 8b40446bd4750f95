//! Tickets: sealed strings with which a client comes back. Encrypted, so they tell nothing;
//! authenticated, so they cannot be made or changed; of two kinds that cannot stand for each other.
//!
//! A ticket is base64url (RFC 4648 section 5, no padding) of salt, nonce, and AES-256-GCM (NIST SP
//! 800-38D) of the content. The key is derived for each ticket from the secret, its kind and its
//! random salt (HKDF, RFC 5869), so that the 2^32 messages that one key may seal with random nonces
//! (SP 800-38D section 8.3) are no bound on how many tickets a fleet seals.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf, BufMut};

use crate::protocol::channel::Channel;
use crate::protocol::error::ErrorCode;

/// Channels of a feed ticket at most.
pub const FEED_CHANNELS_MAX: usize = 100;
/// The longest ticket, in bytes of its text: a feed ticket stands in a request's target.
pub const TICKET_BYTES_MAX: usize = 6144;

const SALT_LEN: usize = 16;
/// Changes when the content's layout does: the tickets before are then unreadable.
const VERSION: u8 = 2;
/// Stands for "never" where a time may be absent.
const NEVER: u64 = u64::MAX;

/// A client's way back to its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTicket {
    /// The session: 128 random bits.
    pub session: u128,
    /// The start of the node that has it; at most 255 bytes.
    pub incarnation: String,
    /// The version of the session's record that this node had when it was sealed: an owner that is
    /// shown a higher one has lost the session since.
    pub version: u64,
    /// Whose it is; at most 254 bytes.
    pub user: Option<String>,
    /// When the token behind it ends, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
    /// When it was sealed, in milliseconds since the Unix epoch.
    pub issued_ms: u64,
}

/// A right to read some channels by the plain feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedTicket {
    /// The channels; at most [`FEED_CHANNELS_MAX`].
    pub channels: Vec<Channel>,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Session,
    Feed,
    Record,
}

impl Kind {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Session => b"throughline session ticket",
            Self::Feed => b"throughline feed ticket",
            Self::Record => b"throughline session record",
        }
    }
}

/// Seals and opens tickets.
pub struct Tickets {
    pub(super) secret: Prk,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    /// With a secret that all nodes share.
    pub fn new(secret: &[u8]) -> Self {
        Self { secret: Salt::new(HKDF_SHA256, b"throughline tickets").extract(secret) }
    }

    /// With a secret of its own, gone when the process ends.
    /// # Errors
    /// [`ErrorCode::Internal`] where the system gives no random bytes.
    pub fn random() -> Result<Self, ErrorCode> {
        Ok(Self::new(&random::<32>()?))
    }

    /// Seals the way back to a session.
    /// # Errors
    /// [`ErrorCode::TooLarge`] where a part is longer than it may be, [`ErrorCode::Internal`] where
    /// the system gives no random bytes.
    pub fn seal_session(&self, ticket: &SessionTicket) -> Result<String, ErrorCode> {
        let mut content = vec![VERSION];
        content.put_u128(ticket.session);
        put_text(&mut content, &ticket.incarnation)?;
        content.put_u64(ticket.version);
        match &ticket.user {
            Some(user) => {
                content.put_u8(1);
                put_text(&mut content, user)?;
            }
            None => content.put_u8(0),
        }
        content.put_u64(ticket.expires_at_ms.unwrap_or(NEVER));
        content.put_u64(ticket.issued_ms);
        self.seal(Kind::Session, content)
    }

    /// Opens the way back to a session. Whether its time is over is the caller's to decide: a fresh
    /// token may come with it.
    /// # Errors
    /// [`ErrorCode::BadTicket`] for anything that this secret did not seal as such.
    pub fn open_session(&self, text: &str) -> Result<SessionTicket, ErrorCode> {
        let content = self.open(Kind::Session, text)?;
        read_session(&content).ok_or(ErrorCode::BadTicket)
    }

    /// Seals a right to read.
    /// # Errors
    /// [`ErrorCode::TooMany`] or [`ErrorCode::TooLarge`] where the channels do not fit, and
    /// [`ErrorCode::Internal`] where the system gives no random bytes.
    pub fn seal_feed(&self, ticket: &FeedTicket) -> Result<String, ErrorCode> {
        if ticket.channels.len() > FEED_CHANNELS_MAX {
            return Err(ErrorCode::TooMany);
        }
        let mut content = vec![VERSION];
        content.put_u64(ticket.expires_at_ms);
        for channel in &ticket.channels {
            put_text(&mut content, channel.as_str())?;
        }
        self.seal(Kind::Feed, content)
    }

    /// Opens a right to read; `now_ms` is milliseconds since the Unix epoch.
    /// # Errors
    /// [`ErrorCode::BadTicket`] for anything that this secret did not seal as such,
    /// [`ErrorCode::TokenExpired`] after its time.
    pub fn open_feed(&self, text: &str, now_ms: u64) -> Result<FeedTicket, ErrorCode> {
        let content = self.open(Kind::Feed, text)?;
        let ticket = read_feed(&content).ok_or(ErrorCode::BadTicket)?;
        if now_ms >= ticket.expires_at_ms { Err(ErrorCode::TokenExpired) } else { Ok(ticket) }
    }

    fn seal(&self, kind: Kind, content: Vec<u8>) -> Result<String, ErrorCode> {
        let text = URL_SAFE_NO_PAD.encode(self.seal_bytes(kind, content)?);
        if text.len() > TICKET_BYTES_MAX { Err(ErrorCode::TooLarge) } else { Ok(text) }
    }

    pub(super) fn seal_bytes(
        &self,
        kind: Kind,
        mut content: Vec<u8>,
    ) -> Result<Vec<u8>, ErrorCode> {
        let (salt, nonce) = (random::<SALT_LEN>()?, random::<NONCE_LEN>()?);
        let key = self.key(kind, &salt).map_err(|_| ErrorCode::Internal)?;
        let aad = Aad::from(kind.label());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut content)
            .map_err(|_| ErrorCode::Internal)?;
        Ok([salt.as_slice(), nonce.as_slice(), content.as_slice()].concat())
    }

    fn open(&self, kind: Kind, text: &str) -> Result<Vec<u8>, ErrorCode> {
        if text.len() > TICKET_BYTES_MAX {
            return Err(ErrorCode::BadTicket);
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| ErrorCode::BadTicket)?;
        self.open_sealed(kind, &sealed).ok_or(ErrorCode::BadTicket)
    }

    pub(super) fn open_sealed(&self, kind: Kind, sealed: &[u8]) -> Option<Vec<u8>> {
        let (salt, sealed) = sealed.split_first_chunk::<SALT_LEN>()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let key = self.key(kind, salt).ok()?;
        let mut content = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.open_in_place(nonce, Aad::from(kind.label()), &mut content).ok()?.len();
        content.truncate(length);
        Some(content)
    }

    fn key(&self, kind: Kind, salt: &[u8]) -> Result<LessSafeKey, Unspecified> {
        let info = [kind.label(), salt];
        let key = self.secret.expand(&info, &AES_256_GCM)?;
        Ok(LessSafeKey::new(UnboundKey::from(key)))
    }
}

fn random<const N: usize>() -> Result<[u8; N], ErrorCode> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ErrorCode::Internal)?;
    Ok(bytes)
}

fn put_text(to: &mut Vec<u8>, text: &str) -> Result<(), ErrorCode> {
    to.put_u8(u8::try_from(text.len()).map_err(|_| ErrorCode::TooLarge)?);
    to.put_slice(text.as_bytes());
    Ok(())
}

fn read_session(mut content: &[u8]) -> Option<SessionTicket> {
    let from = &mut content;
    read_version(from)?;
    let session = from.try_get_u128().ok()?;
    let incarnation = read_text(from)?.to_owned();
    let version = from.try_get_u64().ok()?;
    let user = match from.try_get_u8().ok()? {
        0 => None,
        _ => Some(read_text(from)?.to_owned()),
    };
    let expires = from.try_get_u64().ok()?;
    let issued_ms = from.try_get_u64().ok()?;
    let expires_at_ms = (expires != NEVER).then_some(expires);
    from.is_empty().then_some(SessionTicket {
        session,
        incarnation,
        version,
        user,
        expires_at_ms,
        issued_ms,
    })
}

fn read_feed(mut content: &[u8]) -> Option<FeedTicket> {
    let from = &mut content;
    read_version(from)?;
    let expires_at_ms = from.try_get_u64().ok()?;
    let mut channels = Vec::new();
    while !from.is_empty() {
        channels.push(Channel::parse(read_text(from)?).ok()?);
    }
    Some(FeedTicket { channels, expires_at_ms })
}

fn read_version(from: &mut &[u8]) -> Option<()> {
    (from.try_get_u8().ok()? == VERSION).then_some(())
}

fn read_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::from(from.try_get_u8().ok()?);
    let (text, rest) = from.split_at_checked(length)?;
    *from = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn session() -> SessionTicket {
        SessionTicket {
            session: u128::MAX / 3,
            incarnation: "n1".to_owned(),
            version: 7,
            user: Some("bob".to_owned()),
            expires_at_ms: Some(1_700_000_000_000),
            issued_ms: 1_600_000_000_000,
        }
    }

    fn feed() -> FeedTicket {
        let channels = ["news:a", "@user:bob"].map(|name| Channel::parse(name).unwrap()).to_vec();
        FeedTicket { channels, expires_at_ms: 1000 }
    }

    #[test]
    fn a_ticket_opens_to_what_was_sealed() {
        let tickets = Tickets::new(b"secret");
        let bare = SessionTicket { user: None, expires_at_ms: None, ..session() };
        for ticket in [session(), bare] {
            let text = tickets.seal_session(&ticket).unwrap();
            assert_eq!(tickets.open_session(&text), Ok(ticket));
        }
        let text = tickets.seal_feed(&feed()).unwrap();
        assert_eq!(tickets.open_feed(&text, 999), Ok(feed()));
    }

    #[test]
    fn a_feed_ticket_ends_at_its_time() {
        // spec: M36
        let tickets = Tickets::new(b"secret");
        let text = tickets.seal_feed(&feed()).unwrap();
        assert_eq!(tickets.open_feed(&text, 1000), Err(ErrorCode::TokenExpired));
    }

    #[test]
    fn one_kind_of_ticket_never_stands_for_the_other() {
        let tickets = Tickets::new(b"secret");
        let session = tickets.seal_session(&session()).unwrap();
        let feed = tickets.seal_feed(&feed()).unwrap();
        assert_eq!(tickets.open_feed(&session, 0), Err(ErrorCode::BadTicket));
        assert_eq!(tickets.open_session(&feed), Err(ErrorCode::BadTicket));
    }

    #[test]
    fn another_secret_opens_nothing() {
        let text = Tickets::new(b"secret").seal_session(&session()).unwrap();
        assert_eq!(Tickets::new(b"Secret").open_session(&text), Err(ErrorCode::BadTicket));
        assert_eq!(Tickets::random().unwrap().open_session(&text), Err(ErrorCode::BadTicket));
    }

    #[test]
    fn any_changed_byte_makes_a_ticket_unreadable() {
        let tickets = Tickets::new(b"secret");
        let text = tickets.seal_session(&session()).unwrap();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(tickets.open_session(&changed), Err(ErrorCode::BadTicket), "byte {at}");
            assert_eq!(tickets.open_session(&text[..at]), Err(ErrorCode::BadTicket), "cut at {at}");
        }
        for changed in [format!("{text}A"), format!("{text}="), format!(" {text}")] {
            assert_eq!(tickets.open_session(&changed), Err(ErrorCode::BadTicket));
        }
    }

    #[test]
    fn the_same_content_is_never_sealed_to_the_same_text() {
        let tickets = Tickets::new(b"secret");
        let texts: HashSet<_> =
            (0..1000).map(|_| tickets.seal_session(&session()).unwrap()).collect();
        assert_eq!(texts.len(), 1000);
    }

    #[test]
    fn what_does_not_fit_a_ticket_is_refused() {
        let tickets = Tickets::new(b"secret");
        let long = SessionTicket { incarnation: "x".repeat(256), ..session() };
        assert_eq!(tickets.seal_session(&long), Err(ErrorCode::TooLarge));
        let name = |n: usize, length: usize| Channel::parse(&format!("{n:0length$}")).unwrap();
        let channels = |count, length| (0..count).map(|n| name(n, length)).collect();
        let many = FeedTicket { channels: channels(101, 3), expires_at_ms: 0 };
        assert_eq!(tickets.seal_feed(&many), Err(ErrorCode::TooMany));
        let large = FeedTicket { channels: channels(100, 200), expires_at_ms: 0 };
        assert_eq!(tickets.seal_feed(&large), Err(ErrorCode::TooLarge));
    }

    proptest! {
        #[test]
        fn no_text_makes_opening_panic(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let tickets = Tickets::new(b"secret");
            prop_assert_eq!(tickets.open_session(&text), Err(ErrorCode::BadTicket));
            prop_assert_eq!(tickets.open_feed(&URL_SAFE_NO_PAD.encode(&bytes), 0), Err(ErrorCode::BadTicket));
            let _ = (read_session(&bytes), read_feed(&bytes));
        }
    }
}
