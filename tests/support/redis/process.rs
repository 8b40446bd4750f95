//! A child that says on its standard output when it is ready.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Rlimit, getrlimit, prlimit};

pub(super) use rustix::process::{Resource, Signal};

use super::super::server::send;

/// Ports for servers. Below those that systems give to clients (Linux: from 32768): a client that
/// connects to a server that is down must not be given that very port, which would connect it to
/// itself. A Cluster's nodes speak with each other on the port 10000 above.
const PORTS: std::ops::Range<u16> = 10_000..22_000;

/// A process; killed when dropped.
pub(super) struct Process {
    child: Child,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts it and waits until a line holds `ready`; nothing where its port is taken. What it says
    /// goes on to `log` in its folder.
    pub(super) fn start(command: &mut Command, folder: &Path, ready: &str) -> Option<Self> {
        let log = File::options().create(true).append(true).open(folder.join("log"));
        let mut log = log.expect("a log file");
        let errors = log.try_clone().expect("a second handle");
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?}: {error}; scripts/setup.sh redis installs it")
        });
        let mut lines = BufReader::new(child.stdout.take().expect("its standard output")).lines();
        let is_ready = lines.by_ref().map_while(Result::ok).any(|line| {
            let _ = writeln!(log, "{line}");
            line.contains(ready)
        });
        if !is_ready {
            let _ = (child.kill(), child.wait());
            let said = fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(said.contains("already in use"), "{command:?} ended:\n{said}");
            return None;
        }
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = writeln!(log, "{line}");
            }
        });
        Some(Self { child, reader: Some(reader) })
    }

    pub(super) fn signal(&self, signal: Signal) {
        send(Pid::from_child(&self.child), signal);
    }

    /// Sets its limit of a resource; none is as it began.
    pub(super) fn limit(&self, resource: Resource, to: Option<u64>) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let Rlimit { current, maximum } = getrlimit(resource);
        let limit = Rlimit { current: to.or(current), maximum };
        prlimit(pid, resource, limit).expect("a limit of a child");
    }

    /// Waits until it has ended.
    pub(super) fn wait(&mut self) {
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process too.
        let _ = self.child.kill();
        self.wait();
    }
}

/// A folder that no other has.
pub(super) fn folder(prefix: &str) -> PathBuf {
    let name = format!("{prefix}-{:016x}", rand::random::<u64>());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a folder of its own");
    folder
}

/// Removes a folder, unless a test fails: then its log is worth reading.
pub(super) fn remove(folder: &Path) {
    if std::thread::panicking() {
        eprintln!("its log is in {}", folder.display());
    } else {
        let _ = fs::remove_dir_all(folder);
    }
}

/// Runs `start` with ports that are free, until one was still free when it came to it.
pub fn free_port<T>(mut start: impl FnMut(u16) -> Option<T>) -> (u16, T) {
    for _ in 0..100 {
        let port = rand::random_range(PORTS);
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port)
            && is_free(port + 10_000)
            && let Some(started) = start(port)
        {
            return (port, started);
        }
    }
    panic!("no free port")
}
