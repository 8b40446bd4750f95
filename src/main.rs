//! The `throughline` program: its command line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use throughline::auth::{Authenticator, tokens};
use throughline::config::access::TokenAlg;
use throughline::config::grants::{Pattern, Right};
use throughline::config::load::{Flags, load};
use throughline::config::value::parse_duration;
use throughline::config::{Config, LogFormat};
use throughline::telemetry::{clock, logging};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A realtime gateway: one session over WebSocket, streams, Server-Sent Events and long polling.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until told to stop.
    Serve {
        #[command(flatten)]
        file: File,
        /// Where to listen, over `listen`.
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
        /// Where shared state lives, over `engine.url`.
        #[arg(long, value_name = "URL")]
        engine: Option<String>,
        /// The certificate and its chain, over `tls.cert_file`.
        #[arg(long, value_name = "FILE", requires = "tls_key")]
        tls_cert: Option<String>,
        /// The certificate's private key, over `tls.key_file`.
        #[arg(long, value_name = "FILE", requires = "tls_cert")]
        tls_key: Option<String>,
    },
    /// Prints `ok`, or everything that is wrong with the configuration.
    CheckConfig {
        #[command(flatten)]
        file: File,
        /// Prints the configuration in force instead of `ok`, secrets as `***`.
        #[arg(long)]
        print: bool,
    },
    /// Prints a token signed with the first HS256 key of `auth.keys`, for development.
    Token {
        #[command(flatten)]
        file: File,
        /// The user that it is for.
        #[arg(long)]
        sub: String,
        /// What it allows, as JSON: `{"room:*": ["subscribe", "publish"]}`.
        #[arg(long, value_name = "JSON", default_value = "{}")]
        caps: String,
        /// What other members are shown, as JSON.
        #[arg(long, value_name = "JSON")]
        info: Option<String>,
        /// How long it is good.
        #[arg(long, value_name = "DURATION", default_value = "1h")]
        ttl: String,
    },
}

#[derive(Args)]
struct File {
    /// A file that is laid on the defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl File {
    fn load(&self, flags: &Flags) -> anyhow::Result<Config> {
        Ok(load(self.config.as_deref(), flags)?)
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve { file, listen, engine, tls_cert, tls_key } => {
            serve(file.load(&Flags { listen, engine, tls_cert, tls_key })?)
        }
        Command::CheckConfig { file, print } => check_config(&file, print),
        Command::Token { file, sub, caps, info, ttl } => {
            println!(
                "{}",
                token(&file.load(&Flags::default())?, &sub, &caps, info.as_deref(), &ttl)?
            );
            Ok(())
        }
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    let format = match config.telemetry.format {
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    };
    logging::start(&config.telemetry.log, format)?;
    for warning in config.warnings() {
        tracing::warn!(warning, "configuration");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(throughline::server::run(config))
}

fn check_config(file: &File, print: bool) -> anyhow::Result<()> {
    let config = file.load(&Flags::default())?;
    Authenticator::new(&config)?;
    throughline::server::check(&config)?;
    for warning in config.warnings() {
        eprintln!("warning: {warning}");
    }
    if print {
        print!("{}", toml::to_string(&config)?);
    } else {
        println!("ok");
    }
    Ok(())
}

fn token(
    config: &Config,
    sub: &str,
    caps: &str,
    info: Option<&str>,
    ttl: &str,
) -> anyhow::Result<String> {
    let Some(key) = config.auth.keys.iter().find(|key| key.alg == TokenAlg::HS256) else {
        bail!("auth.keys has no HS256 key");
    };
    let caps: BTreeMap<Pattern, Vec<Right>> = serde_json::from_str(caps).context("--caps")?;
    let ttl = parse_duration(ttl).context("--ttl")?;
    let now_ms = clock::wall_ms();
    let mut claims = serde_json::json!({
        "sub": sub,
        "caps": caps,
        "exp": (now_ms / 1000).saturating_add(ttl.as_secs()),
    });
    if let (Some(claims), Some(info)) = (claims.as_object_mut(), info) {
        let info = serde_json::from_str(info).context("--info")?;
        claims.insert("info".to_owned(), info);
    }
    for (name, value) in [("iss", &config.auth.issuer), ("aud", &config.auth.audience)] {
        if let (Some(claims), Some(value)) = (claims.as_object_mut(), value) {
            claims.insert(name.to_owned(), value.clone().into());
        }
    }
    let token = tokens::sign(key, &claims)?;
    // What this prints must open a session here, or the mistake is found only in a browser.
    if let Err(error) = tokens::Tokens::new(&config.auth)?.verify(&token, now_ms) {
        bail!("{error}");
    }
    Ok(token)
}
