//! Whether a page may connect: its `Origin` (RFC 6454 section 7) against `auth.origins`.

use crate::config::origin::{Origin, OriginRule};

/// What is said of a request's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginDecision<'a> {
    /// Listed: the header's text, to be sent back in `Access-Control-Allow-Origin`.
    Listed(&'a str),
    /// No `Origin`: it comes from no page, or from a page of the same origin by GET. No cookie
    /// counts.
    Absent,
    /// Not listed: answer 403, without any CORS header.
    Refused,
}

/// The rules.
#[derive(Debug)]
pub struct Origins {
    rules: Vec<OriginRule>,
}

impl Origins {
    /// Takes the rules; without any, no page may.
    pub fn new(rules: Vec<OriginRule>) -> Self {
        Self { rules }
    }

    /// Decides on a request by its `Origin` and `Host` headers. A repeated or unreadable `Origin`
    /// is the caller's to give as `Some("")`.
    pub fn decide<'a>(&self, origin: Option<&'a str>, host: Option<&str>) -> OriginDecision<'a> {
        let Some(raw) = origin else { return OriginDecision::Absent };
        match Origin::parse(raw) {
            Ok(origin) if self.rules.iter().any(|rule| rule.lists(&origin, host)) => {
                OriginDecision::Listed(raw)
            }
            _ => OriginDecision::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(rule: &str, origin: &str, host: &str) -> bool {
        let origins = Origins::new(vec![OriginRule::parse(rule).unwrap()]);
        match origins.decide(Some(origin), Some(host)) {
            OriginDecision::Listed(echo) => {
                assert_eq!(echo, origin);
                true
            }
            OriginDecision::Absent => panic!("there is an origin"),
            OriginDecision::Refused => false,
        }
    }

    #[test]
    fn an_exact_rule_lists_that_origin_and_no_look_alike() {
        // spec: M7
        let rule = "https://app.example";
        for origin in ["https://app.example", "https://app.example:443", "HTTPS://App.EXAMPLE"] {
            assert!(lists(rule, origin, "gateway.example"), "{origin}");
        }
        for origin in [
            "",
            "null",
            "http://app.example",
            "https://app.example:444",
            "https://app.example.",
            "https://app.example/",
            "https://app.example?",
            "https://app.example#",
            "https://app.example.evil.com",
            "https://evilapp.example",
            "https://evil.app.example",
            "https://user@app.example",
            "https://evil.com@app.example",
            "https://app.example@evil.com",
            "https://app.example:443@evil.com",
            "https://app.example\\.evil.com",
            "https://app.example evil.com",
            "https://app.example,https://evil.com",
            "https://app.example\r\nX: y",
            "https://\u{430}pp.example",
            "https://xn--pp-8kc.example",
            "https://app.example:",
            "https://app.example:0443x",
            "https://app.example:+443",
            "https://app.example:99999",
            "https:app.example",
            "//app.example",
            "app.example",
            "https://",
            "https://*",
            "javascript://app.example",
            "file://",
        ] {
            assert!(!lists(rule, origin, "app.example"), "{origin:?}");
        }
    }

    #[test]
    fn a_wildcard_lists_one_or_more_labels_before_its_dot() {
        let rule = "https://*.ex.com";
        assert!(lists(rule, "https://a.ex.com", "gateway.example"));
        assert!(lists(rule, "https://a.b.ex.com", "gateway.example"));
        assert!(lists(rule, "https://a.ex.com:443", "gateway.example"));
        for origin in [
            "https://ex.com",
            "https://notex.com",
            "https://.ex.com",
            "https://a..ex.com",
            "https://a.ex.com:444",
            "http://a.ex.com",
            "https://a.ex.com.evil.com",
            "https://a.evil.com#.ex.com",
            "https://evil.com/.ex.com",
            "https://*.ex.com",
        ] {
            assert!(!lists(rule, origin, "gateway.example"), "{origin}");
        }
    }

    #[test]
    fn same_host_lists_the_origin_that_the_request_went_to() {
        for (origin, host) in [
            ("https://a.example", "a.example"),
            ("https://a.example", "A.example:443"),
            ("http://a.example", "a.example:80"),
            ("http://localhost:8000", "localhost:8000"),
            ("http://[::1]:8000", "[::1]:8000"),
        ] {
            assert!(lists("same-host", origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("https://a.example", "b.example"),
            ("https://a.example", "a.example:8443"),
            ("https://a.example:8443", "a.example"),
            ("https://a.example", "a.example.evil.com"),
            ("https://a.example", "a.example@evil.com"),
            ("https://a.example", ""),
            ("null", "null"),
            ("app://a.example", "a.example"),
        ] {
            assert!(!lists("same-host", origin, host), "{origin} at {host}");
        }
        let origins = Origins::new(vec![OriginRule::SameHost]);
        assert_eq!(origins.decide(Some("https://a.example"), None), OriginDecision::Refused);
    }

    #[test]
    fn loopback_lists_this_machine_and_no_look_alike() {
        for origin in [
            "http://localhost:5173",
            "https://app.localhost",
            "http://127.0.0.1:8000",
            "http://127.8.9.10",
            "http://[::1]:3000",
        ] {
            assert!(lists("loopback", origin, "x"), "{origin}");
        }
        for origin in [
            "http://localhost.evil.com",
            "http://notlocalhost",
            "http://127.0.0.1.evil.com",
            "http://127.evil.com",
            "http://[::2]",
            "http://[::1].evil.com",
            "http://10.0.0.1",
            "null",
        ] {
            assert!(!lists("loopback", origin, "x"), "{origin}");
        }
    }

    #[test]
    fn an_absent_origin_is_from_no_page_and_no_rule_lists_none() {
        let origins = Origins::new(Vec::new());
        assert_eq!(origins.decide(None, Some("a.example")), OriginDecision::Absent);
        assert_eq!(origins.decide(Some("https://a"), Some("a")), OriginDecision::Refused);
    }

    #[test]
    fn refuses_rules_that_would_list_more_than_they_say() {
        for raw in [
            "*",
            "https://*",
            "https://*.com",
            "*.ex.com",
            "https://a.*.com",
            "https://*.1.2.3.4",
            "null",
            "https://a.example/x",
            "same_host",
        ] {
            assert!(OriginRule::parse(raw).is_err(), "{raw}");
        }
        for raw in [
            "https://a.example",
            "https://*.a.example:8443",
            "same-host",
            "loopback",
            "capacitor://localhost",
        ] {
            assert_eq!(OriginRule::parse(raw).unwrap().to_string(), raw);
        }
    }
}
