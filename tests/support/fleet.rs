//! Several nodes over one backplane, each a process that can be killed, stopped and started again
//! where it was.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use super::client::PATIENCE;
use super::http::Request;
use super::redis::free_port;
use super::server::{Launched, Servers, Setup, Shunned, launch, send};
use super::wait;

/// A node. Killed when dropped.
pub struct Node {
    /// Where it listens, whenever it runs.
    pub address: SocketAddr,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
    child: Mutex<Option<Child>>,
}

impl Node {
    /// Starts it over an engine and waits until it listens.
    pub fn start(setup: &Setup, engine: &str) -> Self {
        Self::within(setup, engine, Vec::new())
    }

    /// The same with these variables in its environment.
    pub fn within(setup: &Setup, engine: &str, environment: Vec<(&'static str, String)>) -> Self {
        let folder = setup.clone().set("engine.url", &format!("'{engine}'")).folder();
        let start = |port| match launch(&folder, &format!("127.0.0.1:{port}"), &environment) {
            Ok(started) => Some(started),
            Err(log) if log.contains("in use") => None,
            Err(log) => panic!("the node did not start:\n{log}"),
        };
        let (_, Launched { child, address, .. }) = free_port(start);
        Self { address, folder, environment, child: Mutex::new(Some(child)) }
    }

    /// Ends it at once.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Tells it to go away, and waits until it has.
    pub async fn drain(&self) -> ExitStatus {
        self.signal(Signal::TERM);
        let mut child = self.child.lock().unwrap().take().expect("the node runs");
        let until = Instant::now() + 4 * PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("its state") {
                return status;
            }
            assert!(Instant::now() < until, "{} does not end:\n{}", self.address, self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops it where it is.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts it again where it was, as another incarnation, and waits until it listens.
    pub fn restart(&self) {
        self.kill();
        let started = launch(&self.folder, &self.address.to_string(), &self.environment);
        let Launched { child, .. } =
            started.unwrap_or_else(|log| panic!("the node did not start:\n{log}"));
        *self.child.lock().unwrap() = Some(child);
    }

    /// What `/ready` answers: its status and its body. Nothing where it does not answer.
    pub async fn ready(&self) -> Option<(u16, serde_json::Value)> {
        let answer = Request::get("/ready").send(self.address).await.ok()?;
        Some((answer.status, serde_json::from_slice(&answer.body).ok()?))
    }

    /// Waits until it is ready, within a bound.
    pub async fn wait_until_ready(&self) {
        let what = format!("{} is ready", self.address);
        let is_ready = async || matches!(self.ready().await, Some((200, _)));
        wait::until(&what, is_ready).await;
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// It alone.
    pub fn servers(&self) -> Servers {
        Servers::of(&[self.address])
    }

    /// From here on it may open so many more files, sockets among them; nothing is as it began.
    pub fn limit_files(&self, more: Option<u64>) {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let limit = more.map(|more| self.files() + more).or(current);
        let limit = Rlimit { current: limit, maximum };
        prlimit(Some(self.pid()), Resource::Nofile, limit).expect("a limit of a child");
    }

    fn files(&self) -> u64 {
        let folder = format!("/proc/{}/fd", self.pid().as_raw_nonzero());
        std::fs::read_dir(folder).expect("its files").count() as u64
    }

    /// How long it has worked, in all.
    pub fn worked(&self) -> Duration {
        let stat = format!("/proc/{}/stat", self.pid().as_raw_nonzero());
        let stat = std::fs::read_to_string(stat).expect("what it does");
        // After the name, which may hold anything: utime and stime, in hundredths (`man 5 proc`).
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
        let ticks: u64 = fields.take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    fn pid(&self) -> Pid {
        let child = self.child.lock().unwrap();
        let pid = child.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        pid.and_then(Pid::from_raw).expect("the node runs")
    }

    fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the node's log is in {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Nodes that act as one.
pub struct Fleet {
    /// The nodes.
    pub nodes: Vec<Node>,
    shunned: Shunned,
}

impl Fleet {
    /// Starts a node over each of these engines and waits until all are ready.
    pub async fn start(setup: &Setup, engines: &[String]) -> Self {
        Self::of(engines.iter().map(|engine| Node::start(setup, engine)).collect()).await
    }

    /// Nodes that run; waits until all are ready.
    pub async fn of(nodes: Vec<Node>) -> Self {
        let fleet = Self { nodes, shunned: Shunned::default() };
        for node in &fleet.nodes {
            node.wait_until_ready().await;
        }
        fleet
    }

    /// All of them, for clients: each request goes to one at random.
    pub fn servers(&self) -> Servers {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.address).collect();
        Servers::of(&nodes).but(&self.shunned)
    }

    /// From here on no client is sent to a node, or is again: what a balancer does whose health checks
    /// are not answered, or are.
    pub fn shun(&self, node: usize, yes: bool) {
        let (address, mut shunned) = (self.nodes[node].address, self.shunned.lock().unwrap());
        if yes {
            shunned.insert(address)
        } else {
            shunned.remove(&address)
        };
    }
}
