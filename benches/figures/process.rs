//! The servers, each a process of its own, and what the kernel says that they use.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A server; it ends with this value.
pub(crate) struct Server {
    process: Child,
    output: BufReader<ChildStdout>,
    /// Where readers connect.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// The gateway.
    pub(crate) fn gateway() -> io::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bench.toml");
        Self::start(command.args(["serve", "--config", config]))
    }

    /// The gateway as a node of a fleet.
    pub(crate) fn node(engine: &str) -> io::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bench.toml");
        Self::start(command.args(["serve", "--config", config, "--engine", engine]))
    }

    /// A Redis that keeps nothing on disk; ready when this returns.
    pub(crate) fn redis(port: u16) -> io::Result<Self> {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()]);
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        while output.read_line(&mut line)? > 0 && !line.contains("Ready to accept connections") {
            line.clear();
        }
        Ok(Self { process, output, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }

    /// The floor, and where its control is.
    pub(crate) fn floor() -> io::Result<(Self, SocketAddr)> {
        let mut floor = Self::start(Command::new(std::env::current_exe()?).arg("floor"))?;
        let control = read_address(&mut floor.output, "control ")?;
        Ok((floor, control))
    }

    fn start(command: &mut Command) -> io::Result<Self> {
        // The gateway reads its settings from the environment too, and knows no others.
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("THROUGHLINE_")) {
            command.env_remove(key);
        }
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut output = BufReader::new(output);
        let address = read_address(&mut output, "listening on http://")?;
        Ok(Self { process, output, address })
    }

    /// Microseconds of CPU that all its threads have used, from the scheduler's count in
    /// nanoseconds (Linux, `Documentation/scheduler/sched-stats.rst`).
    pub(crate) fn cpu_us(&self) -> io::Result<f64> {
        let mut ns = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            // A thread may end meanwhile.
            let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            ns += stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(figure(ns) / 1000.0)
    }

    /// Bytes that are its own: written to, and shared with no other process.
    pub(crate) fn private_bytes(&self) -> io::Result<f64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.id()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
        let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        Ok(figure(kib.ok_or(io::ErrorKind::InvalidData)?) * 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read_address(output: &mut impl io::BufRead, after: &str) -> io::Result<SocketAddr> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    let address = line.trim().strip_prefix(after).and_then(|address| address.parse().ok());
    address.ok_or_else(|| io::Error::other(format!("the server said {line:?}")))
}

/// A count as a figure.
#[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn figure(count: u64) -> f64 {
    count as f64
}
