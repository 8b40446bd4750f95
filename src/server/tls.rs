//! TLS: the certificate, read again when it changes, and the handshake (docs/adr/0010).

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::signal::unix::Signal;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::tls::Tls as Settings;
use crate::gateway::Gateway;
use crate::telemetry::labels::{CertificateRead, Refused};

/// The name of HTTP/2 in a handshake (RFC 9113 section 3.2).
pub(super) const HTTP2: &[u8] = b"h2";
/// And of HTTP/1.1, which WebSockets are opened on.
const HTTP1: &[u8] = b"http/1.1";
/// How often the files are compared with what is in force.
const READ_AGAIN: Duration = Duration::from_mins(1);
/// Bytes of a file at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a certificate cannot be used: the key of the setting, what is wrong, and its code.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {path}: {why} ({})", .code.as_str())]
pub(super) struct CertificateError {
    key: &'static str,
    path: String,
    why: String,
    code: CertificateRead,
}

/// The two files as they were read.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// What a listener needs to speak TLS.
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    handshakes: Semaphore,
    source: Source,
    current: Arc<Current>,
    /// The files that were looked at last, whether they could be used or not.
    seen: Mutex<Option<Files>>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

#[derive(Debug, Clone)]
struct Source {
    cert: String,
    key: String,
}

impl Source {
    fn of(settings: &Settings) -> anyhow::Result<Self> {
        let cert =
            settings.cert_file.clone().context("tls.cert_file: empty, and tls.key_file is not");
        let key =
            settings.key_file.clone().context("tls.key_file: empty, and tls.cert_file is not");
        Ok(Self { cert: cert?, key: key? })
    }

    fn error(&self, of_key: bool, code: CertificateRead, why: &impl ToString) -> CertificateError {
        let (key, path) =
            if of_key { ("tls.key_file", &self.key) } else { ("tls.cert_file", &self.cert) };
        CertificateError { key, path: path.clone(), why: why.to_string(), code }
    }

    fn files(&self) -> Result<Files, CertificateError> {
        let unreadable = |of_key| {
            move |error: io::Error| self.error(of_key, CertificateRead::Unreadable, &error)
        };
        let cert = read(&self.cert).map_err(unreadable(false))?;
        Ok(Files { cert, key: read(&self.key).map_err(unreadable(true))? })
    }

    fn parse(&self, files: &Files) -> Result<CertifiedKey, CertificateError> {
        let bad = |why: String| self.error(false, CertificateRead::NoCertificate, &why);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&files.cert).collect();
        let chain = chain.map_err(|error| bad(error.to_string()))?;
        if chain.is_empty() {
            return Err(bad("has no certificate".to_owned()));
        }
        // What is said of a key never shows it.
        let no_key = |_| self.error(true, CertificateRead::NoKey, &"has no private key in PEM");
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(no_key)?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
            match error {
                rustls::Error::InvalidCertificate(_) => bad(error.to_string()),
                rustls::Error::InconsistentKeys(_) => {
                    self.error(true, CertificateRead::Mismatch, &"is not the certificate's key")
                }
                error => self.error(true, CertificateRead::NoKey, &error),
            }
        })
    }
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("larger than the maximum, 1MiB"));
    }
    Ok(bytes)
}

/// Checks that the certificate and key can be used.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    if config.tls.is_on() { Tls::new(&config.tls).map(drop) } else { Ok(()) }
}

impl Tls {
    /// Reads the certificate and its key.
    /// # Errors
    /// With the key of the setting that is wrong, and a code.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let source = Source::of(settings)?;
        let files = source.files()?;
        let certified = source.parse(&files)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(certified)));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let handshakes = Semaphore::new(settings.handshakes);
        Ok(Self { acceptor, handshakes, source, current, seen: Mutex::new(Some(files)) })
    }

    /// The handshake, within the time of a head; its turn included.
    pub(super) async fn accept(
        &self,
        gateway: &Gateway,
        stream: TcpStream,
    ) -> Option<TlsStream<TcpStream>> {
        let handshake = async {
            let _turn = self.handshakes.acquire().await.map_err(io::Error::other)?;
            self.acceptor.accept(stream).await
        };
        match timeout(gateway.config.limits.head_timeout, handshake).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                gateway.metrics.connection_refused(Refused::TlsFailed);
            }
            Err(_) => gateway.metrics.connection_refused(Refused::TlsTimeout),
        }
        None
    }

    /// Takes the files up if they changed; `None` where they did not.
    fn read_again(&self) -> Option<Result<(), CertificateError>> {
        let files = self.source.files();
        let mut seen = self.seen.lock();
        let files = match files {
            Ok(files) if seen.as_ref() == Some(&files) => return None,
            Ok(files) => files,
            Err(error) => {
                *seen = None;
                return Some(Err(error));
            }
        };
        let certified = self.source.parse(&files);
        *seen = Some(files);
        Some(certified.map(|certified| self.current.0.store(Arc::new(certified))))
    }
}

/// Reads the files again on SIGHUP and every minute; what cannot be used leaves the old pair.
pub(super) async fn keep(
    tls: Arc<Tls>,
    gateway: Arc<Gateway>,
    mut hangup: Signal,
    stop: CancellationToken,
) {
    let mut turns = interval(READ_AGAIN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = turns.tick() => {}
            _ = hangup.recv() => {}
        }
        let read = Arc::clone(&tls);
        match tokio::task::spawn_blocking(move || read.read_again()).await {
            Ok(Some(Ok(()))) => {
                gateway.metrics.certificate_read(CertificateRead::Ok);
                tracing::info!("a new certificate is in force");
            }
            Ok(Some(Err(error))) => {
                gateway.metrics.certificate_read(error.code);
                let code = error.code.as_str();
                tracing::error!(%error, code, "the certificate was not replaced");
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the certificate was not read"),
        }
    }
}
