use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000_000;
const SECRET: &str = "a secret of tests, of more than 32 bytes";

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("../../tests/fixtures/keys/", $name, ".pem"))
    };
}

fn hs256(kid: Option<&str>, secret: &str) -> TokenKey {
    TokenKey {
        kid: kid.map(str::to_owned),
        alg: TokenAlg::HS256,
        secret: Some(secret.to_owned().into()),
        public_key_pem: None,
        public_key_file: None,
    }
}

fn public(alg: TokenAlg, pem: &str) -> TokenKey {
    let public_key_pem = Some(pem.to_owned());
    TokenKey { kid: None, alg, secret: None, public_key_pem, public_key_file: None }
}

fn tokens_of(keys: Vec<TokenKey>) -> Tokens {
    Tokens::new(&Auth { keys, ..Auth::default() }).unwrap()
}

fn tokens() -> Tokens {
    tokens_of(vec![hs256(None, SECRET)])
}

fn claims() -> Value {
    json!({ "exp": NOW / 1000 + 60, "sub": "bob", "caps": { "room:*": ["subscribe", "publish"] } })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn signed(claims: &Value) -> String {
    sign(&hs256(None, SECRET), claims).unwrap()
}

/// Signs any header and payload, well-formed or not.
fn forged(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn refusal(token: &str) -> TokenError {
    tokens().verify(token, NOW).unwrap_err()
}

#[test]
fn a_good_token_gives_its_identity() {
    let token = signed(&with("info", json!({ "name": "Bob" })));
    let identity = tokens().verify(&token, NOW).unwrap();
    assert_eq!(identity.user.as_deref(), Some("bob"));
    assert_eq!(identity.info.unwrap().get(), r#"{"name":"Bob"}"#);
    assert_eq!(identity.expires_at_ms, Some(NOW + 63_000));
    let allows = |name, right| identity.caps.allows(&Channel::parse(name).unwrap(), right);
    assert!(allows("room:1", Right::Publish));
    assert!(allows("@user:bob", Right::Subscribe));
    assert!(!allows("room:1", Right::Presence));
    assert!(!allows("@user:eve", Right::Subscribe));
}

#[test]
fn every_algorithm_verifies_with_its_own_key() {
    let rows = [
        (
            TokenAlg::RS256,
            pem!("rs256.public"),
            EncodingKey::from_rsa_pem(pem!("rs256.private").as_bytes()),
        ),
        (
            TokenAlg::ES256,
            pem!("es256.public"),
            EncodingKey::from_ec_pem(pem!("es256.private").as_bytes()),
        ),
        (
            TokenAlg::EdDSA,
            pem!("eddsa.public"),
            EncodingKey::from_ed_pem(pem!("eddsa.private").as_bytes()),
        ),
    ];
    for (alg, pem, private) in rows {
        let token =
            jsonwebtoken::encode(&Header::new(algorithm(alg)), &claims(), &private.unwrap())
                .unwrap();
        assert!(tokens_of(vec![public(alg, pem)]).verify(&token, NOW).is_ok(), "{alg:?}");
        let (message, _) = token.rsplit_once('.').unwrap();
        let zeros = format!("{message}.{}", URL_SAFE_NO_PAD.encode([0; 64]));
        let empty = format!("{message}.");
        for bad in [zeros, empty] {
            assert!(tokens_of(vec![public(alg, pem)]).verify(&bad, NOW).is_err(), "{alg:?}");
        }
    }
}

#[test]
fn no_algorithm_but_the_keys_own_is_tried() {
    let payload = claims().to_string();
    for alg in
        ["none", "NONE", "nOnE", "", "HS384", "HS512", "RS256", "ES256", "PS256", "hs256", "A128KW"]
    {
        let token = forged(&json!({ "alg": alg }).to_string(), &payload);
        assert!(matches!(refusal(&token), TokenError::Malformed | TokenError::NoKey), "{alg}");
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert!(tokens().verify(&format!("{unsigned}."), NOW).is_err(), "{alg}");
    }
    assert_eq!(refusal(&forged("{}", &payload)), TokenError::Malformed);
}

#[test]
fn a_public_key_is_never_used_as_a_shared_secret() {
    let pem = pem!("rs256.public");
    let forged = sign(&hs256(None, pem), &claims()).unwrap();
    let only_rsa = tokens_of(vec![public(TokenAlg::RS256, pem)]);
    assert_eq!(only_rsa.verify(&forged, NOW).unwrap_err(), TokenError::NoKey);
    let both = tokens_of(vec![public(TokenAlg::RS256, pem), hs256(None, SECRET)]);
    assert_eq!(both.verify(&forged, NOW).unwrap_err(), TokenError::Signature);
}

#[test]
fn the_kid_chooses_among_the_keys() {
    let tokens = tokens_of(vec![
        hs256(Some("old"), "an old secret of 32 bytes, or more"),
        hs256(Some("new"), SECRET),
    ]);
    let by = |kid, secret| tokens.verify(&sign(&hs256(kid, secret), &claims()).unwrap(), NOW);
    assert!(by(Some("new"), SECRET).is_ok());
    assert!(by(None, SECRET).is_ok());
    assert_eq!(by(Some("old"), SECRET).unwrap_err(), TokenError::Signature);
    let long = "k".repeat(65_536);
    for kid in ["../../dev/null", "' OR 1=1 --", "https://evil.example/key", "", long.as_str()] {
        let error = by(Some(kid), SECRET).unwrap_err();
        assert!(matches!(error, TokenError::NoKey | TokenError::TooLong), "{kid:.20}");
    }
}

#[test]
fn a_token_that_brings_its_own_key_or_asks_for_more_is_refused() {
    for (name, value) in [
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/x5u")),
        ("jwk", json!({ "kty": "oct", "k": "AAAA" })),
        ("crit", json!(["exp"])),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("typ", json!("secevent+jwt")),
    ] {
        let mut header = json!({ "alg": "HS256" });
        header[name] = value;
        let error = refusal(&forged(&header.to_string(), &claims().to_string()));
        assert!(matches!(error, TokenError::Header | TokenError::Malformed), "{name}: {error}");
    }
}

#[test]
fn a_claim_of_another_type_is_not_as_if_absent() {
    for (name, raw) in [
        ("exp", "\"1800000060\""),
        ("exp", "-1"),
        ("exp", "1e400"),
        ("exp", "1e300"),
        ("exp", "9223372036854775808"),
        ("exp", "null"),
        ("exp", "[]"),
        ("exp", "true"),
        ("nbf", "\"1\""),
        ("nbf", "-1"),
        ("iat", "\"1\""),
        ("iat", "{}"),
        ("sub", "5"),
        ("caps", "[]"),
        ("caps", "{\"room:*\": \"subscribe\"}"),
        ("caps", "{\"room:*\": [\"admin\"]}"),
        ("caps", "{\"a*b\": [\"subscribe\"]}"),
    ] {
        let mut fields = claims();
        fields.as_object_mut().unwrap().remove(name);
        let rest = fields.to_string();
        let payload = format!("{},\"{name}\":{raw}}}", rest.strip_suffix('}').unwrap());
        assert_eq!(
            refusal(&forged(r#"{"alg":"HS256"}"#, &payload)),
            TokenError::Claims,
            "{name}: {raw}"
        );
    }
}

#[test]
fn a_token_without_exp_or_with_two_is_refused() {
    for payload in
        ["{}", "[]", "1", "", "{\"exp\":1800000060,\"exp\":1800000060}", "{\"exp\":1800000060}x"]
    {
        assert_eq!(
            refusal(&forged(r#"{"alg":"HS256"}"#, payload)),
            TokenError::Claims,
            "{payload}"
        );
    }
}

#[test]
fn a_token_is_good_from_nbf_to_exp_and_the_leeway_more() {
    let token = signed(&with("nbf", json!(NOW / 1000)));
    let at = |now| tokens().verify(&token, now).map(|_| ());
    assert_eq!(at(NOW - 3001), Err(TokenError::NotYet));
    assert_eq!(at(NOW - 3000), Ok(()));
    assert_eq!(at(NOW + 62_999), Ok(()));
    assert_eq!(at(NOW + 63_000), Err(TokenError::Expired));
    assert_eq!(TokenError::Expired.code(), ErrorCode::TokenExpired);
    let fraction = signed(&with("exp", json!(1_800_000_000.5)));
    assert_eq!(tokens().verify(&fraction, NOW).unwrap().expires_at_ms, Some(NOW + 3500));
}

#[test]
fn issuer_and_audience_must_be_the_configured_ones() {
    let auth = Auth {
        keys: vec![hs256(None, SECRET)],
        issuer: Some("me".to_owned()),
        audience: Some("here".to_owned()),
        ..Auth::default()
    };
    let tokens = Tokens::new(&auth).unwrap();
    let outcome = |iss: Value, aud: Value| {
        let mut claims = claims();
        (claims["iss"], claims["aud"]) = (iss, aud);
        tokens.verify(&signed(&claims), NOW).map(|_| ()).ok()
    };
    assert!(outcome(json!("me"), json!("here")).is_some());
    assert!(outcome(json!("me"), json!(["there", "here"])).is_some());
    for (iss, aud) in [
        (json!("you"), json!("here")),
        (json!("me"), json!("there")),
        (json!("me"), json!(["there"])),
        (json!("me"), json!([])),
        (json!("me"), json!(null)),
        (json!(null), json!("here")),
        (json!(5), json!("here")),
        (json!("me"), json!({ "here": true })),
    ] {
        assert!(outcome(iss.clone(), aud.clone()).is_none(), "{iss} {aud}");
    }
    assert!(tokens.verify(&signed(&claims()), NOW).is_err());
}

#[test]
fn a_token_for_an_audience_is_refused_where_none_is_configured() {
    for aud in [json!("there"), json!(["there"]), json!(5), json!({})] {
        let error = refusal(&signed(&with("aud", aud.clone())));
        assert_eq!(error, TokenError::Addressee, "{aud}");
    }
}

#[test]
fn a_subject_must_fit_its_own_channels_name() {
    for sub in [
        String::new(),
        "a b".into(),
        "a\nb".into(),
        "a\0".into(),
        "ü".into(),
        "a*".into(),
        "x".repeat(195),
    ] {
        assert_eq!(refusal(&signed(&with("sub", json!(sub)))), TokenError::Subject, "{sub:?}");
    }
    assert!(tokens().verify(&signed(&with("sub", json!("x".repeat(194)))), NOW).is_ok());
    let nobody = tokens().verify(&signed(&with("sub", json!(null))), NOW).unwrap();
    assert!(nobody.user.is_none());
}

#[test]
fn info_is_bounded_and_on_one_line() {
    let long = with("info", json!("x".repeat(1023)));
    assert_eq!(refusal(&signed(&long)), TokenError::Info);
    assert!(tokens().verify(&signed(&with("info", json!("x".repeat(1022)))), NOW).is_ok());
    let pretty = "{\"exp\": 1800000060, \"info\": {\r\n\"a\": \"b\\nc\"\n}}";
    let info = tokens().verify(&forged(r#"{"alg":"HS256"}"#, pretty), NOW).unwrap().info.unwrap();
    assert!(!info.get().contains(['\n', '\r']));
    assert_eq!(serde_json::from_str::<Value>(info.get()).unwrap(), json!({ "a": "b\nc" }));
}

#[test]
fn what_is_not_a_token_is_refused_whatever_it_is() {
    let good = signed(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = [parts[0], parts[1], parts[2]];
    let many = json!(vec![1; 100_000]).to_string();
    for token in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        header.into(),
        format!("{header}.{payload}"),
        format!("{header}..{signature}"),
        format!("{good}.{signature}"),
        format!("{good}="),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}A"),
        good.replace('.', ". "),
        "\u{0}.\u{0}.\u{0}".into(),
        "é.é.é".into(),
        "x".repeat(1 << 20),
        format!("{}.{}.{}", "a".repeat(3000), "b".repeat(3000), "c".repeat(3000)),
        forged(r#"{"alg":"HS256"}"#, &many),
        forged(r#"{"alg":"HS256"}"#, &"[".repeat(5000)),
        forged(&format!("{{\"alg\":\"HS256\",\"x\":{}", "[".repeat(4000)), "{}"),
    ] {
        let error = tokens().verify(&token, NOW).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unauthorized, "{token:.60}");
    }
    // The last character of a signature of 32 bytes carries two bits that must be zero (RFC 4648
    // section 3.5).
    let last = good.chars().last().unwrap();
    for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
        let token = format!("{}{other}", &good[..good.len() - 1]);
        assert_eq!(tokens().verify(&token, NOW).is_ok(), other == last, "{other}");
    }
}

#[test]
fn a_key_of_another_algorithm_is_refused_at_the_start() {
    for (alg, pem) in [
        (TokenAlg::RS256, pem!("es256.public")),
        (TokenAlg::ES256, pem!("rs256.public")),
        (TokenAlg::EdDSA, pem!("es256.public")),
        (TokenAlg::RS256, "not a key"),
    ] {
        let auth = Auth { keys: vec![public(alg, pem)], ..Auth::default() };
        assert!(Tokens::new(&auth).is_err(), "{alg:?}");
    }
}
