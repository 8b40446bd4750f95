//! A master, a replica and three sentinels, of which two decide.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::super::wait;
use super::process::{self, Process};
use super::{Options, Redis, free_port};

/// How many sentinels there are.
const SENTINELS: usize = 3;

/// The trio and what it watches.
pub struct Sentinel {
    /// The name of the master.
    pub name: String,
    /// The server that is the master at first, and its replica.
    pub servers: [Redis; 2],
    watchers: Vec<Watcher>,
    lock: Option<&'static str>,
}

/// What the sentinels, and the replica, log in with at servers that let nobody in without: other
/// users than the nodes, which can be kept out alone.
const WATCH: &str = "watch";
const FOLLOW: &str = "follow";
const WORD: &str = "word";

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

    /// Starts it over servers on which nodes, sentinels and the replica are users of their own, so
    /// that [`Self::isolate`] can keep out the latter two alone.
    pub fn of_users(down_after: Duration) -> Self {
        let all = |name: &str| format!("{name} on >{WORD} ~* &* +@all");
        let options = Options::new()
            .password(WORD)
            .arg("user", &all(WATCH))
            .arg("user", &all(FOLLOW))
            .arg("masteruser", FOLLOW)
            .arg("masterauth", WORD);
        let master = Redis::with(options.clone());
        let replica = Redis::with(options.replica_of("127.0.0.1", master.port()));
        replica.wait_in_sync();
        Self::watching(down_after, master, replica, (Some((WATCH, WORD)), None))
    }

    /// Starts it with sentinels that let nobody in without this password.
    pub fn locked(down_after: Duration, word: &'static str) -> Self {
        let master = Redis::start();
        let replica = Redis::with(Options::new().replica_of("127.0.0.1", master.port()));
        replica.wait_in_sync();
        Self::watching(down_after, master, replica, (None, Some(word)))
    }

    /// Starts the trio over a master and its replica, which it can reach.
    pub fn over(down_after: Duration, master: Redis, replica: Redis) -> Self {
        Self::watching(down_after, master, replica, (None, None))
    }

    /// What the sentinels log in with at the servers, and what others do at the sentinels.
    fn watching(
        down_after: Duration,
        master: Redis,
        replica: Redis,
        (login, lock): (Option<(&str, &str)>, Option<&'static str>),
    ) -> Self {
        let name = "main".to_owned();
        let watch = |_| watcher(&name, master.port(), down_after, (login, lock));
        let watchers = (0..SENTINELS).map(watch).collect();
        let sentinel = Self { name, servers: [master, replica], watchers, lock };
        wait::until_now("the sentinels know each other and the replica", || sentinel.is_whole());
        sentinel
    }

    /// Neither the sentinels nor the replica reach a server any more, while its other clients do; or
    /// they do again.
    pub fn isolate(&self, server: &Redis, yes: bool) {
        for user in [WATCH, FOLLOW] {
            let state = if yes { "off" } else { "on" };
            assert_eq!(server.cli(&["ACL", "SETUSER", user, state]), "OK");
            if yes {
                server.cli(&["CLIENT", "KILL", "USER", user]);
            }
        }
    }

    /// The ports of the sentinels.
    pub fn ports(&self) -> Vec<u16> {
        self.watchers.iter().map(|watcher| watcher.port).collect()
    }

    /// What an engine takes: `redis+sentinel://host:port,…/NAME/0`.
    pub fn url(&self) -> String {
        self.url_by(&self.ports())
    }

    /// The same by other ports: those of shims before the sentinels.
    pub fn url_by(&self, ports: &[u16]) -> String {
        let hosts = ports.iter().map(|port| format!("127.0.0.1:{port}"));
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let password = self.servers[0].password().map(|word| format!(":{word}@"));
        format!("redis+sentinel://{}{hosts}/{}/0", password.unwrap_or_default(), self.name)
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
        self.wait_for_replica(master);
    }

    /// Waits until a server follows the other one.
    pub fn wait_for_replica(&self, server: &Redis) {
        wait::until_now("the old master follows", || server.info("role") == "slave");
    }

    /// Waits until every sentinel calls this server the master, and it is one.
    pub fn wait_for_master(&self, server: &Redis) {
        wait::until_now("the other server is the master", || {
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
        if let Some(word) = self.lock {
            command.env("REDISCLI_AUTH", word);
        }
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

fn watcher(
    name: &str,
    master: u16,
    down_after: Duration,
    (login, lock): (Option<(&str, &str)>, Option<&str>),
) -> Watcher {
    let folder = process::folder("sentinel");
    let file = folder.join("sentinel.conf");
    let (port, process) = free_port(|port| {
        let down_after = down_after.as_millis();
        let login = login.map(|(user, word)| {
            format!("sentinel auth-user {name} {user}\nsentinel auth-pass {name} {word}\n")
        });
        let login = login.unwrap_or_default();
        let lock = lock.map(|word| format!("requirepass {word}\nsentinel sentinel-pass {word}\n"));
        let lock = lock.unwrap_or_default();
        let config = format!(
            "bind 127.0.0.1\nport {port}\ndir \"{}\"\n\
             sentinel monitor {name} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {name} {down_after}\n\
             sentinel failover-timeout {name} 5000\n{login}{lock}",
            folder.display()
        );
        std::fs::write(&file, config).expect("a configuration file");
        let mut command = Command::new("redis-server");
        Process::start(command.arg(&file).arg("--sentinel"), &folder, "+monitor master")
    });
    Watcher { port, folder, _process: process }
}
