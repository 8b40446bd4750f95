//! What nodes of one secret have in common besides tickets: sealed records of sessions, the public
//! id of a session's member, and what they show each other.

use aws_lc_rs::hkdf::KeyType;

use crate::protocol::error::ErrorCode;

use super::tickets::{Kind, Tickets};

/// Bytes of a member's id and of the node secret, before they are written as hexadecimal digits.
const MEMBER_LEN: usize = 8;
const NODE_LEN: usize = 32;

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Tickets {
    /// Seals the record of a session; one of another session is not opened.
    /// # Errors
    /// [`ErrorCode::Internal`] where the system gives no random bytes.
    pub fn seal_record(&self, session: u128, record: &[u8]) -> Result<Vec<u8>, ErrorCode> {
        let content = [session.to_be_bytes().as_slice(), record].concat();
        self.seal_bytes(Kind::Record, content)
    }

    /// Opens the record of a session; nothing where another secret sealed it, or for another session.
    pub fn open_record(&self, session: u128, sealed: &[u8]) -> Option<Vec<u8>> {
        let content = self.open_sealed(Kind::Record, sealed)?;
        let (of, record) = content.split_first_chunk::<16>()?;
        (u128::from_be_bytes(*of) == session).then(|| record.to_vec())
    }

    /// The public id of a session's member: the same on every node, and it tells nothing of the
    /// session's own id.
    /// # Errors
    /// [`ErrorCode::Internal`] where it cannot be derived, which does not happen.
    pub fn member_id(&self, session: u128) -> Result<String, ErrorCode> {
        self.derive::<MEMBER_LEN>(&[b"throughline member", &session.to_be_bytes()])
    }

    /// What nodes of this secret show each other.
    /// # Errors
    /// [`ErrorCode::Internal`] where it cannot be derived, which does not happen.
    pub fn node_secret(&self) -> Result<String, ErrorCode> {
        self.derive::<NODE_LEN>(&[b"throughline node"])
    }

    fn derive<const N: usize>(&self, info: &[&[u8]]) -> Result<String, ErrorCode> {
        let mut bytes = [0; N];
        let derived = self.secret.expand(info, Length(N)).and_then(|key| key.fill(&mut bytes));
        derived.map_err(|_| ErrorCode::Internal)?;
        Ok(bytes
            .iter()
            .fold(String::with_capacity(2 * N), |text, byte| text + &format!("{byte:02x}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_for_its_own_session_and_secret_alone() {
        let tickets = Tickets::new(b"secret");
        let sealed = tickets.seal_record(7, b"state").unwrap();
        assert_eq!(tickets.open_record(7, &sealed).as_deref(), Some(&b"state"[..]));
        assert_eq!(tickets.open_record(8, &sealed), None);
        assert_eq!(Tickets::new(b"other").open_record(7, &sealed), None);
        assert_eq!(tickets.open_record(7, &sealed[..sealed.len() - 1]), None);
        assert_eq!(tickets.open_record(7, b""), None);
    }

    #[test]
    fn nodes_of_one_secret_derive_the_same_ids_and_others_do_not() {
        let (one, same, other) =
            (Tickets::new(b"secret"), Tickets::new(b"secret"), Tickets::new(b"other"));
        assert_eq!(one.member_id(7), same.member_id(7));
        assert_ne!(one.member_id(7), one.member_id(8));
        assert_ne!(one.member_id(7), other.member_id(7));
        assert_eq!(one.member_id(7).unwrap().len(), 16);
        assert_eq!(one.node_secret(), same.node_secret());
        assert_ne!(one.node_secret(), other.node_secret());
    }
}
