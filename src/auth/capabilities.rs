//! What an identity may do, by channel. There is no denial: what no grant allows is not allowed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::grants::{Pattern, Right};
use crate::protocol::channel::Channel;

/// A set of rights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rights(u8);

impl Rights {
    fn bit(right: Right) -> u8 {
        match right {
            Right::Subscribe => 1,
            Right::Publish => 2,
            Right::Presence => 4,
            Right::History => 8,
        }
    }

    fn holds(self, right: Right) -> bool {
        self.0 & Self::bit(right) != 0
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |bits, right| bits | Self::bit(right)))
    }
}

/// What an identity may do. Cloning shares the grants.
#[derive(Debug, Clone)]
pub struct Capabilities {
    grants: Arc<[(Pattern, Rights)]>,
    own: Option<Channel>,
}

impl Capabilities {
    /// Grants by pattern, and the user's own channel, of which they may see all, always.
    pub fn new(grants: BTreeMap<Pattern, Vec<Right>>, own: Option<Channel>) -> Self {
        let grant =
            |(pattern, rights): (Pattern, Vec<Right>)| (pattern, rights.into_iter().collect());
        Self { grants: grants.into_iter().map(grant).collect(), own }
    }

    /// The grants by pattern, as [`Capabilities::new`] takes them.
    pub fn grants(&self) -> BTreeMap<Pattern, Vec<Right>> {
        let all = [Right::Subscribe, Right::Publish, Right::Presence, Right::History];
        let rights = |held: Rights| all.into_iter().filter(|right| held.holds(*right)).collect();
        self.grants.iter().map(|(pattern, held)| (pattern.clone(), rights(*held))).collect()
    }

    /// Whether any grant allows this right on this channel.
    pub fn allows(&self, channel: &Channel, right: Right) -> bool {
        let own = self.own.as_ref() == Some(channel);
        (own && right != Right::Publish)
            || self
                .grants
                .iter()
                .any(|(pattern, rights)| rights.holds(right) && pattern.matches(channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_channels_that_it_names_and_no_other() {
        let table = [
            ("news:*", "news:a", true),
            ("news:*", "news:a:b", true),
            ("news:*", "news:", true),
            ("news:*", "news", false),
            ("news:*", "newsx:a", false),
            ("news:*", "News:a", false),
            ("news:*", "@user:news:a", false),
            ("news*", "newsx:a", true),
            ("news", "news", true),
            ("news", "news:a", false),
            ("*", "news:a", true),
            ("*", "@user:bob", false),
            ("@*", "@user:bob", true),
            ("@user:*", "@user:bob", true),
            ("@user:bob", "@user:bob", true),
            ("@user:bob", "@user:bobby", false),
        ];
        for (pattern, channel, expected) in table {
            let grants =
                BTreeMap::from([(Pattern::parse(pattern).unwrap(), vec![Right::Subscribe])]);
            let channel = Channel::parse(channel).unwrap();
            let allowed = Capabilities::new(grants, None).allows(&channel, Right::Subscribe);
            assert_eq!(allowed, expected, "{pattern} against {channel}");
        }
    }

    #[test]
    fn refuses_patterns_that_are_neither_a_name_nor_a_beginning() {
        for raw in ["", "**", "a*b", "*a", "a b*", "a/*", "[a-z]", "a?", "a\n*"] {
            assert!(Pattern::parse(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn a_grant_gives_the_rights_that_it_lists_and_no_other() {
        let all = [Right::Subscribe, Right::Publish, Right::Presence, Right::History];
        let channel = Channel::parse("room:1").unwrap();
        for given in all {
            let grants = BTreeMap::from([(Pattern::parse("room:*").unwrap(), vec![given])]);
            let caps = Capabilities::new(grants, None);
            for asked in all {
                assert_eq!(caps.allows(&channel, asked), asked == given, "{given:?}, {asked:?}");
            }
        }
    }

    #[test]
    fn several_patterns_add_up() {
        let grants = BTreeMap::from([
            (Pattern::parse("room:*").unwrap(), vec![Right::Subscribe]),
            (Pattern::parse("room:1").unwrap(), vec![Right::Publish]),
        ]);
        let caps = Capabilities::new(grants, None);
        let room = |name| Channel::parse(name).unwrap();
        assert!(caps.allows(&room("room:1"), Right::Subscribe));
        assert!(caps.allows(&room("room:1"), Right::Publish));
        assert!(!caps.allows(&room("room:2"), Right::Publish));
    }

    #[test]
    fn a_user_may_always_read_their_own_channel_and_no_other() {
        let caps = Capabilities::new(BTreeMap::new(), Channel::of_user("bob").ok());
        let own = Channel::parse("@user:bob").unwrap();
        assert!(caps.allows(&own, Right::Subscribe));
        assert!(caps.allows(&own, Right::History));
        assert!(caps.allows(&own, Right::Presence));
        assert!(!caps.allows(&own, Right::Publish));
        assert!(!caps.allows(&Channel::parse("@user:bobby").unwrap(), Right::Subscribe));
    }
}
