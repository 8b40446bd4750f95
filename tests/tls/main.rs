//! TLS and HTTP/2 from outside, against the program itself: rustls and the h2 crate as the client,
//! and frames by hand where a client attacks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::pedantic,
    reason = "a failed test is what a panic is for"
)]

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod certificates;
mod client;
mod drain;
mod floods;
mod frames;
mod sessions;
mod slow;
mod streams;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use support::server::{Server, Setup};

/// A certificate in files of its own.
struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    der: CertificateDer<'static>,
}

impl Certificate {
    fn new() -> Self {
        let stem = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(support::unique("certificate"));
        let (cert, key) = (stem.with_extension("crt"), stem.with_extension("key"));
        let CertifiedKey { cert: made, signing_key } = self_signed();
        std::fs::write(&cert, made.pem()).unwrap();
        std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        Self { cert, key, der: made.der().clone() }
    }

    fn setup(&self) -> Setup {
        Setup::suite()
            .set("tls.listen", "'127.0.0.1:0'")
            .set("tls.cert_file", &format!("{:?}", self.cert))
            .set("tls.key_file", &format!("{:?}", self.key))
    }
}

fn self_signed() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = (std::fs::remove_file(&self.cert), std::fs::remove_file(&self.key));
    }
}

/// Connects, trusting this certificate alone.
async fn connect(
    server: &Server,
    trusted: &CertificateDer<'static>,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_to(server.secure.unwrap(), trusted, alpn).await
}

/// The same at an address.
async fn connect_to(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
