//! A master, a replica and three sentinels, of which two decide.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::process::{self, Process};
use super::{Options, Redis, free_port, until};

/// How many sentinels there are.
const SENTINELS: usize = 3;

/// The trio and what it watches.
pub struct Sentinel {
    /// The name of the master.
    pub name: String,
    /// The server that is the master at first, and its replica.
    pub servers: [Redis; 2],
    watchers: Vec<Watcher>,
}

struct Watcher {
    port: u16,
    folder: PathBuf,
    _process: Process,
}

impl Sentinel {
    /// Starts it; a master is down after it has not answered for so long.
    pub fn start(down_after: Duration) -> Self {
        Self::with(down_after, Options::new())
    }

    /// Starts it over servers with these options, without passwords.
    pub fn with(down_after: Duration, options: Options) -> Self {
        let master = Redis::with(options.clone());
        let replica = Redis::with(options.replica_of("127.0.0.1", master.port()));
        replica.wait_in_sync();
        Self::over(down_after, master, replica)
    }

    /// Starts the trio over a master and its replica, which it can reach.
    pub fn over(down_after: Duration, master: Redis, replica: Redis) -> Self {
        let name = "main".to_owned();
        let watchers = (0..SENTINELS).map(|_| watcher(&name, master.port(), down_after)).collect();
        let sentinel = Self { name, servers: [master, replica], watchers };
        until("the sentinels know each other and the replica", || sentinel.is_whole());
        sentinel
    }

    /// What an engine takes: `redis+sentinel://host:port,…/NAME/0`.
    pub fn url(&self) -> String {
        let hosts = self.watchers.iter().map(|watcher| format!("127.0.0.1:{}", watcher.port));
        let hosts = hosts.collect::<Vec<_>>().join(",");
        format!("redis+sentinel://{hosts}/{}/0", self.name)
    }

    /// The server that the sentinels call the master.
    pub fn master(&self) -> &Redis {
        let answer = self.ask(0, &["GET-MASTER-ADDR-BY-NAME", &self.name]);
        let port = answer.lines().nth(1).and_then(|port| port.parse::<u16>().ok());
        let master = self.servers.iter().find(|server| Some(server.port()) == port);
        master.unwrap_or_else(|| panic!("no master: {answer}"))
    }

    /// The other one.
    pub fn replica(&self) -> &Redis {
        let master = self.master().port();
        self.servers.iter().find(|server| server.port() != master).expect("there are two")
    }

    /// Makes the replica the master, and waits until every sentinel and both servers say so: until
    /// then the old master takes writes, which are lost.
    pub fn fail_over(&self) {
        let (master, replica) = (self.master(), self.replica());
        assert_eq!(self.ask(0, &["FAILOVER", &self.name]), "OK");
        self.wait_for_master(replica);
        until("the old master follows", || master.info("role") == "slave");
    }

    /// Waits until every sentinel calls this server the master, and it is one.
    pub fn wait_for_master(&self, server: &Redis) {
        until("the other server is the master", || {
            let port = format!("127.0.0.1\n{}", server.port());
            let named = |index| self.ask(index, &["GET-MASTER-ADDR-BY-NAME", &self.name]) == port;
            (0..SENTINELS).all(named) && server.info("role") == "master"
        });
    }

    fn is_whole(&self) -> bool {
        (0..SENTINELS).all(|index| {
            let state = self.ask(index, &["MASTER", &self.name]);
            let lines: Vec<_> = state.lines().collect();
            let field = |name| lines.iter().position(|line| *line == name).map(|at| lines[at + 1]);
            field("num-other-sentinels") == Some("2") && field("num-slaves") == Some("1")
        })
    }

    fn ask(&self, index: usize, args: &[&str]) -> String {
        let port = self.watchers[index].port.to_string();
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &port, "SENTINEL"]).args(args);
        let output = command.output().expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        for watcher in &self.watchers {
            process::remove(&watcher.folder);
        }
    }
}

fn watcher(name: &str, master: u16, down_after: Duration) -> Watcher {
    let folder = process::folder("sentinel");
    let file = folder.join("sentinel.conf");
    let (port, process) = free_port(|port| {
        let down_after = down_after.as_millis();
        let config = format!(
            "bind 127.0.0.1\nport {port}\ndir \"{}\"\n\
             sentinel monitor {name} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {name} {down_after}\n\
             sentinel failover-timeout {name} 5000\n",
            folder.display()
        );
        std::fs::write(&file, config).expect("a configuration file");
        let mut command = Command::new("redis-server");
        Process::start(command.arg(&file).arg("--sentinel"), &folder, "+monitor master")
    });
    Watcher { port, folder, _process: process }
}
