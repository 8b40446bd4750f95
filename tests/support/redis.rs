//! Real Redis servers: one, one that follows another, a Sentinel trio, a Cluster. Each is a child
//! process on a port and in a folder of its own, and is killed when dropped.

pub mod cluster;
pub mod messages;
pub mod monitor;
mod process;
pub mod sentinel;

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use self::monitor::Monitor;
pub use self::process::free_port;
use self::process::{Process, Resource, Signal};
use super::wait;

/// What a server is started with, besides a port, a folder and no snapshots.
#[derive(Debug, Clone, Default)]
pub struct Options {
    args: Vec<String>,
    user: Option<String>,
    password: Option<String>,
}

impl Options {
    /// Nothing more: what it holds is gone with the process.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more setting of `redis.conf`: `("maxmemory", "10mb")`, with spaces between several
    /// values.
    pub fn arg(mut self, name: &str, values: &str) -> Self {
        self.args.push(format!("--{name}"));
        self.args.extend(values.split(' ').map(str::to_owned));
        self
    }

    /// An append-only file, written through `always`, `everysec` or `no`.
    pub fn append_only(self, fsync: &str) -> Self {
        self.arg("appendonly", "yes").arg("appendfsync", fsync)
    }

    /// The default user has this password; it is in the URL too.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.arg("requirepass", password)
    }

    /// A user with these rules of ACL besides its password (`~* &* +@all`), who is in the URL. The
    /// default user may do everything still: `cli` is that one.
    pub fn user(mut self, user: &str, password: &str, rules: &str) -> Self {
        self.user = Some(format!("{user}:{password}"));
        self.arg("user", &format!("{user} on >{password} {rules}"))
    }

    /// It follows the server at this address: another, or a shim before it.
    pub fn replica_of(self, host: &str, port: u16) -> Self {
        self.arg("replicaof", &format!("{host} {port}"))
    }
}

/// A server.
pub struct Redis {
    port: u16,
    folder: PathBuf,
    options: Options,
    process: Mutex<Option<Process>>,
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    pub fn start() -> Self {
        Self::with(Options::new())
    }

    /// Starts one and waits until it answers.
    pub fn with(options: Options) -> Self {
        let folder = process::folder("redis");
        let (port, process) = free_port(|port| run(port, &folder, &options));
        let redis = Self { port, folder, options, process: Mutex::new(Some(process)) };
        assert_eq!(redis.cli(&["PING"]), "PONG");
        redis
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The password of the default user.
    fn password(&self) -> Option<&str> {
        self.options.password.as_deref()
    }

    /// What an engine takes: `redis://[user:password@]127.0.0.1:PORT/0`.
    pub fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// The same by another port: that of a shim before it.
    pub fn url_by(&self, port: u16) -> String {
        let password = self.options.password.as_ref().map(|password| format!(":{password}"));
        let login = self.options.user.clone().or(password);
        let login = login.map(|login| login + "@").unwrap_or_default();
        format!("redis://{login}127.0.0.1:{port}/0")
    }

    /// What a command answers, as `redis-cli` prints it for programs; an error is its text.
    pub fn cli(&self, args: &[&str]) -> String {
        let Output { stdout, stderr, .. } =
            self.command(args).output().expect("redis-cli is installed");
        let text = if stdout.is_empty() { stderr } else { stdout };
        String::from_utf8_lossy(&text).trim_end().to_owned()
    }

    /// `redis-cli` on this server.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("redis-cli");
        command.env_remove("REDISCLI_AUTH");
        if let Some(password) = &self.options.password {
            command.env("REDISCLI_AUTH", password);
        }
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]).args(args);
        command
    }

    /// A field of `INFO`, or "".
    pub fn info(&self, field: &str) -> String {
        let info = self.cli(&["INFO", "everything"]);
        let value = info.lines().find_map(|line| line.trim_end().strip_prefix(field));
        value.and_then(|value| value.strip_prefix(':')).unwrap_or_default().to_owned()
    }

    /// Every command that it runs from here on.
    pub fn monitor(&self) -> Monitor {
        Monitor::start(self.command(&["MONITOR"]))
    }

    /// Stops it where it is: connections stay, nothing is answered.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// From here on no file of it may grow beyond so many bytes, as where a disk is full; nothing is a
    /// disk without an end.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let process = self.process.lock().unwrap();
        process.as_ref().expect("the server runs").limit(Resource::Fsize, bytes);
    }

    /// Ends it at once, as a crash of the process does.
    pub fn kill(&self) {
        self.process.lock().unwrap().take();
    }

    /// Ends it in order: `SHUTDOWN`.
    pub fn shut_down(&self) {
        let process = self.process.lock().unwrap().take();
        if let Some(mut process) = process {
            process.signal(Signal::TERM);
            process.wait();
        }
    }

    /// Starts it again on its port and in its folder, and waits until it answers; one that runs is
    /// killed first.
    pub fn restart(&self) {
        let mut process = self.process.lock().unwrap();
        process.take();
        let again = run(self.port, &self.folder, &self.options);
        *process = Some(again.expect("the port is free still"));
        drop(process);
        assert_eq!(self.cli(&["PING"]), "PONG");
    }

    /// Cuts this fraction off the end of the append-only file, as a loss of power does with what was
    /// not written through. The server must not run. Returns how many bytes are gone.
    pub fn truncate_aof(&self, fraction: f64) -> u64 {
        assert!(self.process.lock().unwrap().is_none(), "the server runs");
        let files = fs::read_dir(self.folder.join("appendonlydir")).expect("Redis 7 or later");
        let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        // `appendonly.aof.N.incr.aof`, the last of which is written to.
        files.retain(|file| file.to_string_lossy().ends_with(".incr.aof"));
        files.sort();
        let file = OpenOptions::new().write(true).open(files.last().expect("an append-only file"));
        let file = file.expect("it can be written");
        let length = file.metadata().expect("its length").len();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a fraction of a file is no exact figure"
        )]
        let kept = (length as f64 * (1.0 - fraction)) as u64;
        file.set_len(kept).expect("it can be cut");
        length - kept
    }

    /// Waits until this replica has what its master has.
    pub fn wait_in_sync(&self) {
        wait::until_now("the replica is in sync", || self.info("master_link_status") == "up");
    }

    fn signal(&self, signal: Signal) {
        self.process.lock().unwrap().as_ref().expect("the server runs").signal(signal);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        process::remove(&self.folder);
    }
}

/// Starts it; nothing where the port is taken.
fn run(port: u16, folder: &Path, options: &Options) -> Option<Process> {
    // A file that may not grow is an error to it, as on a full disk, and no reason to end.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec redis-server \"$@\"", "redis-server"]);
    command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"]);
    command.arg(folder).args(&options.args);
    Process::start(&mut command, folder, "Ready to accept connections")
}
