//! How the engine gets in: users with few rights, databases, TLS.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use throughline::engine::redis::{Address, Certificate, SentinelLogin};
use throughline::engine::types::{Delivery, EngineError, Incarnation, PresenceState};

use crate::conformance::Fixture;
use crate::conformance::fixture::{channel, member};
use crate::support::redis::sentinel::Sentinel;
use crate::support::redis::{Options, Redis, free_port};
use crate::{fixture, of};

/// What docs/OPERATIONS.md says that the gateway's user needs.
fn rules() -> String {
    let operations = include_str!("../../docs/OPERATIONS.md");
    let (_, rules) = operations.split_once("| user with `").unwrap();
    let (rules, _) = rules.split_once('`').unwrap();
    rules.replace("\\|", "|").replace("tl:", "t")
}

/// Everything that needs a right of its own.
async fn works(mut it: Fixture) {
    let (room, ann) = (channel("chat:a"), channel("@user:ann"));
    it.engine.renew(&Incarnation("one".into()), None).await.unwrap();
    it.engine.subscribe(&room).await.unwrap();
    let said = it.say(&room, "hello").await;
    assert_eq!(it.next_event().await.2.offset, said.offset);
    assert_eq!(it.all(&room).await.len(), 1);
    it.join(&ann, member("m", 1, PresenceState::Online, "")).await.unwrap();
    assert_eq!(it.engine.users(&["ann".to_owned()]).await.unwrap()[0].state, PresenceState::Online);
    it.engine.tell(&Incarnation("one".into()), "hi".into()).await.unwrap();
    assert!(matches!(it.next().await, Delivery::Control(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_the_rights_that_operations_names_is_enough() {
    let options = Options::new().user("gateway", "s3cret", &rules());
    let redis = Arc::new(Redis::with(options));
    works(fixture(&redis.url(), Arc::clone(&redis) as _)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_and_a_database_are_in_the_url() {
    let redis = Arc::new(Redis::with(Options::new().password("s3cret")));
    let url = redis.url().replace("/0", "/5");
    works(fixture(&url, Arc::clone(&redis) as _)).await;
    assert!(redis.cli(&["-n", "5", "DBSIZE"]).parse::<u32>().unwrap() > 0);
    assert_eq!(redis.cli(&["DBSIZE"]), "0");
}

// spec: F4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_refused_in_time_and_stores_nothing() {
    let redis = Arc::new(Redis::with(Options::new().password("s3cret")));
    let it = fixture(&redis.url().replace("s3cret", "guess"), Arc::clone(&redis) as _);
    let refused = it.engine.top(&channel("chat:a")).await;
    assert!(matches!(refused, Err(EngineError::Unavailable)), "{refused:?}");
}

/// What a server with TLS, by a certificate of its own authority, listens on beside its plain port.
struct Secure {
    redis: Arc<Redis>,
    port: u16,
    own: Certificate,
}

/// `clients`: whether they must show a certificate.
fn with_tls(clients: bool) -> Secure {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let name = format!("tls-{:016x}", rand::random::<u64>());
    let (cert, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    fs::write(&cert, own.cert.pem()).unwrap();
    fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let (port, ()) = free_port(|_| Some(()));
    let options = Options::new()
        .arg("tls-port", &port.to_string())
        .arg("tls-cert-file", cert.to_str().unwrap())
        .arg("tls-key-file", key.to_str().unwrap())
        .arg("tls-ca-cert-file", cert.to_str().unwrap())
        .arg("tls-auth-clients", if clients { "yes" } else { "no" });
    let redis = Arc::new(Redis::with(options));
    (fs::remove_file(&cert), fs::remove_file(&key)).0.unwrap();
    let (cert, key) = (own.cert.pem().into_bytes(), own.signing_key.serialize_pem().into_bytes());
    Secure { redis, port, own: Certificate { cert, key } }
}

impl Secure {
    /// An engine that trusts this authority, and shows this certificate.
    fn engine(&self, authority: Option<Vec<u8>>, own: Option<Certificate>) -> Fixture {
        let address = Address::parse(&format!("rediss://localhost:{}/0", self.port)).unwrap();
        of(address.trusting(authority).showing(own), Arc::clone(&self.redis) as _)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_is_trusted_where_it_is_named_and_only_there() {
    let server = with_tls(false);
    works(server.engine(Some(server.own.cert.clone()), None)).await;
    let refused = server.engine(None, None).engine.top(&channel("chat:a")).await;
    assert!(matches!(refused, Err(EngineError::Unavailable)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_shown_to_a_server_that_wants_one() {
    let server = with_tls(true);
    let authority = Some(server.own.cert.clone());
    works(server.engine(authority.clone(), Some(server.own.clone()))).await;
    let refused = server.engine(authority, None).engine.top(&channel("chat:a")).await;
    assert!(matches!(refused, Err(EngineError::Unavailable)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_want_a_password_get_their_own() {
    let sentinel = Arc::new(Sentinel::locked(Duration::from_secs(30), "w0rd"));
    let address = Address::parse(&sentinel.url()).unwrap();
    let login = |user: Option<&str>, word: &str| {
        let (user, password) = (user.map(str::to_owned), word.to_owned().into());
        Some(SentinelLogin { user, password })
    };
    let with = |login| of(address.clone().watched_by(login), Arc::clone(&sentinel) as _);
    works(with(login(None, "w0rd"))).await;
    works(with(login(Some("default"), "w0rd"))).await;
    for none in [None, login(None, "guess")] {
        let refused = with(none).engine.top(&channel("chat:a")).await;
        assert!(matches!(refused, Err(EngineError::Unavailable)), "{refused:?}");
    }
}
