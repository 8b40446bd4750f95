//! The server as a process of its own, on a port that the system gives.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::seq::IteratorRandom as _;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use toml::Table;

use super::http::{Request, Response};
use super::openapi;

/// The addresses of servers to use instead of starting one, with commas between.
const SERVERS: &str = "THROUGHLINE_TEST_SERVERS";
/// The key of the API in `suite.toml`.
pub const API_KEY: &str = "suite";

/// The configuration in a server's folder.
const CONFIG: &str = "throughline.toml";

/// A configuration: the suite's, and what a test lays on it.
#[derive(Clone)]
pub struct Setup(Table);

impl Setup {
    /// The suite's.
    pub fn suite() -> Self {
        Self(include_str!("suite.toml").parse().expect("suite.toml is TOML"))
    }

    /// Sets a dotted key to a value, written as in TOML.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let parsed: Table = format!("v = {value}").parse().expect(value);
        let (mut table, mut parts) = (&mut self.0, key.split('.').peekable());
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_owned(), parsed["v"].clone());
                break;
            }
            let inner = table.entry(part).or_insert_with(|| Table::new().into());
            table = inner.as_table_mut().expect("a part of a key is a table");
        }
        self
    }

    /// A folder of its own that holds it.
    pub(super) fn folder(&self) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(super::unique("server"));
        std::fs::create_dir_all(&folder).expect("a folder of its own");
        std::fs::write(folder.join(CONFIG), self.0.to_string()).expect("a configuration file");
        folder
    }

    /// Starts a server with it.
    pub fn start(self) -> Server {
        Server::start(&self)
    }

    /// What a server says that does not start with it.
    pub fn refused(&self) -> String {
        let folder = self.folder();
        let said = launch(&folder, "127.0.0.1:0", &[]).err().expect("it does not start");
        let _ = std::fs::remove_dir_all(folder);
        said
    }

    /// Starts a server with it, for tests that take one or several alike.
    pub fn servers(self) -> Servers {
        let server = self.start();
        let address = server.address;
        Servers { own: Some(Arc::new(server)), ..Servers::of(&[address]) }
    }
}

/// A program that listens.
pub(super) struct Launched {
    pub(super) child: Child,
    pub(super) address: SocketAddr,
    /// Where it speaks TLS, beside the plain listener.
    pub(super) secure: Option<SocketAddr>,
}

/// The program, without the suite's own settings: they are in the environment, where it looks for its.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.to_string_lossy().starts_with("THROUGHLINE_")) {
        command.env_remove(name);
    }
    command
}

/// Starts the program with the configuration in its folder, and these variables in its environment,
/// and waits until it says where it listens. What it logged is the error.
pub(super) fn launch(
    folder: &Path,
    listen: &str,
    environment: &[(&str, String)],
) -> Result<Launched, String> {
    let log = File::options().create(true).append(true).open(folder.join("log"));
    let mut child = program()
        // What is freed goes back at once: memory that is measured is held, and no allocator's spare.
        .env("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .args(["serve", "--listen", listen, "--config"])
        .arg(folder.join(CONFIG))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.expect("a log file"))
        .spawn()
        .expect("the server starts");
    let stdout = child.stdout.take().expect("its standard output");
    let mut secure = None;
    let address = BufReader::new(stdout).lines().map_while(Result::ok).find_map(|line| {
        if let Some(address) = line.strip_prefix("listening on https://") {
            secure = address.parse().ok();
        }
        line.strip_prefix("listening on http://").and_then(|address| address.parse().ok())
    });
    let Some(address) = address else {
        let _ = child.wait();
        return Err(std::fs::read_to_string(folder.join("log")).unwrap_or_default());
    };
    Ok(Launched { child, address, secure })
}

/// Sends a child a signal. One that is told to stop has stopped then: on a busy machine some of its
/// threads run on for a while.
pub(super) fn send(child: Pid, signal: Signal) {
    kill_process(child, signal).expect("the process is there");
    if signal == Signal::STOP {
        waitid(WaitId::Pid(child), WaitIdOptions::STOPPED).expect("it stops");
    }
}

/// A process; killed when dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it speaks TLS, if it does beside the plain listener.
    pub secure: Option<SocketAddr>,
    child: Child,
    folder: PathBuf,
}

impl Server {
    fn start(setup: &Setup) -> Self {
        let folder = setup.folder();
        let Launched { child, address, secure } = launch(&folder, "127.0.0.1:0", &[])
            .unwrap_or_else(|log| panic!("the server did not say where it listens:\n{log}"));
        Self { address, secure, child, folder }
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Kills it, as a crash does; its connections are reset.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, signal: Signal) {
        send(Pid::from_child(&self.child), signal);
    }

    /// Whether it ended with exit code 0, if it ends in time.
    pub async fn ends(&mut self, within: Duration) -> bool {
        let until = Instant::now() + within;
        loop {
            match self.child.try_wait().expect("its state") {
                Some(status) => return status.success(),
                None if Instant::now() > until => return false,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Its private memory, in bytes (Linux `smaps_rollup`: `Private_Dirty`; what is clean is the
    /// program's own text, private or shared as other servers come and go).
    pub fn private_memory(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(path).expect("smaps_rollup");
        let private = text.lines().filter(|line| line.starts_with("Private_Dirty:"));
        let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.sum::<u64>() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log is in {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// One server or several that act as one: each request goes to one of them at random.
#[derive(Clone)]
pub struct Servers {
    addresses: Arc<[SocketAddr]>,
    /// Those that nothing is sent to.
    shunned: Shunned,
    own: Option<Arc<Server>>,
}

/// Servers that a balancer has seen not to answer.
pub type Shunned = Arc<Mutex<HashSet<SocketAddr>>>;

impl Servers {
    /// Those of the environment, or one that is started.
    pub fn suite() -> Self {
        let Ok(list) = std::env::var(SERVERS) else { return Setup::suite().servers() };
        let parse = |address: &str| {
            let address = address.trim().trim_start_matches("http://");
            address.parse().expect("an address in the list")
        };
        Self::of(&list.split(',').map(parse).collect::<Vec<_>>())
    }

    /// Those at these addresses.
    pub fn of(addresses: &[SocketAddr]) -> Self {
        Self { addresses: addresses.into(), shunned: Shunned::default(), own: None }
    }

    /// The same, without those that are shunned, whenever that changes.
    pub fn but(self, shunned: &Shunned) -> Self {
        Self { shunned: Arc::clone(shunned), ..self }
    }

    /// One of them alone: for what only connections of one node can show.
    pub fn one(self) -> Self {
        Self { addresses: vec![self.pick()].into(), ..self }
    }

    /// Where they listen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// One of them.
    pub fn pick(&self) -> SocketAddr {
        let shunned = self.shunned.lock().unwrap();
        let good = self.addresses.iter().filter(|address| !shunned.contains(address));
        *good.choose(&mut rand::rng()).expect("at least one server")
    }

    /// The one that the test started.
    pub fn own(&self) -> &Server {
        self.own.as_ref().expect("a server of its own")
    }

    /// A request to one of them. What the API answers must be as docs/openapi.json says.
    pub async fn send(&self, request: Request) -> Response {
        let answer = request.send(self.pick()).await.expect("an answer");
        openapi::judge(&request, &answer);
        answer
    }

    /// A call of the application's API.
    pub async fn api(&self, path: &str, body: &Value) -> Response {
        let request = Request::post(&format!("/api{path}"), body.to_string());
        let request = request.header("content-type", "application/json");
        self.send(request.header("authorization", &format!("Bearer {API_KEY}"))).await
    }

    /// A question to the application's API.
    pub async fn api_get(&self, path: &str) -> Value {
        let request = Request::get(&format!("/api{path}"));
        let answer = self.send(request.header("authorization", &format!("Bearer {API_KEY}"))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Publishes through the API; the receipt.
    pub async fn publish(&self, channel: &str, data: impl Into<Value>) -> Value {
        let body = serde_json::json!({ "channel": channel, "data": data.into() });
        let answer = self.api("/publish", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The position of the last event of a durable channel.
    pub async fn top(&self, channel: &str) -> String {
        let page = self.api_get(&format!("/history?channel={channel}&limit=1000")).await;
        super::text(&page, "pos").to_owned()
    }

    /// Publishes a batch to a durable channel through the API.
    pub async fn publish_many(&self, channel: &str, data: impl IntoIterator<Item = Value>) {
        let events: Vec<_> = data.into_iter().map(|d| serde_json::json!({ "data": d })).collect();
        for events in events.chunks(500) {
            let body = serde_json::json!({ "batches": [{ "channel": channel, "events": events }] });
            let answer = self.api("/batch", &body).await.json();
            assert!(answer["results"][0]["pos"].is_string(), "{answer}");
        }
    }

    /// The sum of a metric's samples whose name and labels begin with `name`, over all servers.
    pub async fn metric(&self, name: &str) -> f64 {
        let mut sum = 0.0;
        for address in &*self.addresses {
            let answer = Request::get("/metrics").send(*address).await.expect("metrics");
            let text = answer.text();
            let lines = text.lines().filter(|line| line.starts_with(name));
            sum +=
                lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
        }
        sum
    }
}
