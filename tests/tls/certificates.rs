//! Which certificate is shown, and what is said of one that cannot be.

use rustix::process::Signal;

use super::{Certificate, connect, self_signed};
use crate::support::server::{Servers, Setup};
use crate::support::wait;

#[tokio::test]
async fn what_the_handshake_names_is_spoken() {
    let certificate = Certificate::new();
    let server = certificate.setup().start();
    for (offered, chosen) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let stream = connect(&server, &certificate.der, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen.map(str::as_bytes));
    }
    assert!(connect(&server, &certificate.der, &["spdy/3"]).await.is_err());
}

#[tokio::test]
async fn a_certificate_that_changes_is_shown_and_a_bad_one_leaves_the_old_one() {
    let certificate = Certificate::new();
    let servers = certificate.setup().servers();
    let server = servers.own();
    let new = self_signed();
    // The certificate alone: the key is not its own.
    std::fs::write(&certificate.cert, new.cert.pem()).unwrap();
    server.signal(Signal::HUP);
    counted(&servers, "tls_mismatch").await;
    connect(server, &certificate.der, &[]).await.unwrap();
    assert!(server.log().contains("tls_mismatch"));
    assert!(server.log().contains("tls.key_file"));

    std::fs::write(&certificate.key, new.signing_key.serialize_pem()).unwrap();
    server.signal(Signal::HUP);
    counted(&servers, "ok").await;
    connect(server, new.cert.der(), &[]).await.unwrap();
    assert!(connect(server, &certificate.der, &[]).await.is_err());
}

async fn counted(servers: &Servers, result: &str) {
    let name = format!("throughline_certificates_read_total{{result=\"{result}\"}}");
    wait::until(&name, async || servers.metric(&name).await >= 1.0).await;
}

#[test]
fn files_that_are_no_certificate_and_key_are_refused_by_key_and_code() {
    let (good, other) = (Certificate::new(), Certificate::new());
    let missing = good.cert.with_extension("none");
    for (cert, key, expected) in [
        (&missing, &good.key, "tls.cert_file: "),
        (&missing, &good.key, "(tls_unreadable)"),
        (&good.key, &good.key, "has no certificate (tls_no_certificate)"),
        (&good.cert, &good.cert, "has no private key in PEM (tls_no_key)"),
        (&good.cert, &other.key, "tls.key_file: "),
        (&good.cert, &other.key, "is not the certificate's key (tls_mismatch)"),
    ] {
        let said = Setup::suite()
            .set("tls.cert_file", &format!("{cert:?}"))
            .set("tls.key_file", &format!("{key:?}"))
            .refused();
        assert!(said.contains(expected), "{said}");
    }
    let half = Setup::suite().set("tls.cert_file", &format!("{:?}", good.cert)).refused();
    assert!(half.contains("tls.key_file: empty"), "{half}");
}
