//! The examples of config/: the very files, run by the real balancers before several nodes.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{Client, PATIENCE, Transport};
use crate::support::fleet::Fleet;
use crate::support::history::History;
use crate::support::http::Request;
use crate::support::redis::{Redis, free_port};
use crate::support::server::{Setup, program};
use crate::support::unique;

/// Longer than the balancers' idle limits, which are 30 s.
const IDLE: Duration = Duration::from_secs(33);

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples").join(name)
}

/// A balancer; killed when dropped.
struct Balancer {
    address: SocketAddr,
    folder: PathBuf,
    child: Child,
}

impl Balancer {
    /// Starts one and waits until it takes connections. `run` is given its address and its folder.
    fn start(run: impl Fn(SocketAddr, &Path) -> Command) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("balancer"));
        fs::create_dir_all(&folder).expect("a folder of its own");
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let (port, child) = free_port(|port| {
            let log = fs::File::create(folder.join("log")).expect("a log file");
            let mut command = run(([127, 0, 0, 1], port).into(), &folder);
            command.env("PATH", &path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            let mut child = command.spawn().expect("scripts/setup.sh haproxy nginx installs them");
            let until = Instant::now() + PATIENCE;
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                assert!(Instant::now() < until, "{command:?} takes no connections");
                if child.try_wait().expect("its state").is_some() {
                    let said = fs::read_to_string(folder.join("log")).unwrap_or_default();
                    assert!(said.contains("in use"), "{command:?} ended: {said}");
                    return None;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Some(child)
        });
        Self { address: ([127, 0, 0, 1], port).into(), folder, child }
    }

    /// Where `balance` says which node a request goes to.
    fn haproxy(nodes: [SocketAddr; 3], balance: &str) -> Self {
        let run = |address: SocketAddr, folder: &Path| {
            let config = fs::read_to_string(example("haproxy.cfg")).expect("the example");
            assert!(config.contains("balance roundrobin"));
            let own = config.replace("balance roundrobin", &format!("balance {balance}"));
            fs::write(folder.join("haproxy.cfg"), own).expect("a copy");
            let mut command = Command::new("haproxy");
            command.arg("-f").arg(folder.join("haproxy.cfg")).env("LISTEN", address.to_string());
            for (index, node) in nodes.iter().enumerate() {
                command.env(format!("NODE{}", index + 1), node.to_string());
            }
            command
        };
        Self::start(run)
    }

    fn nginx(nodes: [SocketAddr; 3]) -> Self {
        let run = |address: SocketAddr, folder: &Path| {
            fs::copy(example("nginx/nginx.conf"), folder.join("nginx.conf")).expect("a copy");
            let nodes = nodes.map(|node| format!("server {node} max_fails=1 fail_timeout=5s;\n"));
            fs::write(folder.join("nodes.conf"), nodes.concat()).expect("the nodes");
            // Besides the address, folders that any user may write to.
            let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let own = kinds.map(|kind| format!("{kind}_temp_path {kind};\n")).concat();
            let listen = format!("listen {address};\naccess_log off;\n{own}");
            fs::write(folder.join("listen.conf"), listen).expect("the address");
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
            command.args(["-e", "error.log", "-g", "daemon off; pid nginx.pid;"]);
            command
        };
        Self::start(run)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // SIGTERM: nginx's and HAProxy's own children end with their parent.
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let _ = rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::TERM);
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the balancer's folder is {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Three nodes over one Redis.
async fn nodes() -> (Redis, Fleet, [SocketAddr; 3]) {
    let redis = Redis::start();
    let fleet = Fleet::start(&Setup::suite(), &vec![redis.url(); 3]).await;
    let addresses = [0, 1, 2].map(|node: usize| fleet.nodes[node].address);
    (redis, fleet, addresses)
}

/// Sessions of every transport, whose page nobody looks at, through a quiet time longer than the
/// balancer's idle limit: none is cut, and each gets what is published before and after. Returns how
/// many requests came to each node that has not their session.
async fn carries_everything(balancer: Balancer, fleet: &Fleet) -> Vec<f64> {
    let servers = fleet.servers();
    let (history, ch) = (History::default(), unique("chat:"));
    let mut clients = Vec::new();
    for transport in Transport::ALL {
        let open = json!({ "subs": [{ "ch": ch }], "visible": false });
        let mut client = Client::open(balancer.address, transport, open, &history).await;
        client.wait = 20_000;
        client.until_kind("subscribed").await;
        clients.push(client);
    }
    servers.publish(&ch, "before").await;
    let reads = clients.into_iter().map(|mut client| async {
        assert_eq!(client.data(&ch, 1).await, ["before"]);
        let link = client.link();
        assert_eq!(client.next_within(IDLE).await, None);
        (client, link)
    });
    let clients = futures::future::join_all(reads).await;
    servers.publish(&ch, "after").await;
    for (mut client, link) in clients {
        assert_eq!(client.data(&ch, 1).await, ["after"]);
        let uncut = client.transport == Transport::Poll || client.link() == link;
        assert!(uncut, "{:?} was cut by the idle limit", client.transport);
        client.call(json!({ "t": "publish", "ch": ch, "id": unique("id"), "data": 1 })).await;
        client.close().await;
    }
    let mut relayed = Vec::new();
    for node in &fleet.nodes {
        relayed.push(node.servers().metric("throughline_exchanges_relayed_total").await);
    }
    for hidden in ["/api/publish", "/metrics", "/ready"] {
        let answer = Request::get(hidden).send(balancer.address).await.expect("an answer");
        assert_eq!(answer.status, 404, "{hidden}");
    }
    relayed
}

fn came_to_all(relayed: &[f64]) {
    let all = relayed.iter().all(|requests| *requests > 0.0);
    assert!(all, "no request came to a node without its session: {relayed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_with_the_example_carries_every_transport_without_affinity() {
    // demand: 49, 50
    let (_redis, fleet, nodes) = nodes().await;
    came_to_all(&carries_everything(Balancer::haproxy(nodes, "roundrobin"), &fleet).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_with_affinity_by_source_carries_every_transport_too() {
    // demand: 49
    let (_redis, fleet, nodes) = nodes().await;
    let relayed = carries_everything(Balancer::haproxy(nodes, "source"), &fleet).await;
    assert_eq!(relayed, [0.0; 3], "all that comes from one address goes to one node");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_with_the_example_carries_every_transport_without_affinity() {
    // demand: 49, 50
    let (_redis, fleet, nodes) = nodes().await;
    came_to_all(&carries_everything(Balancer::nginx(nodes), &fleet).await);
}

#[test]
fn the_example_of_production_is_refused_until_each_secret_is_changed() {
    let check = |file: &Path| {
        let output = program().arg("check-config").arg("--config").arg(file).output().expect("it");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (ok, said) = check(&example("throughline.toml"));
    assert!(!ok, "{said}");
    for key in ["auth.keys", "api.keys", "session.secret"] {
        assert!(said.contains(key), "{key}: {said}");
    }
    let text = fs::read_to_string(example("throughline.toml")).expect("the example");
    let text = text.replace("\"CHANGE ME\"", "\"a secret that is long enough for every key\"");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("production"));
    fs::write(&file, text).expect("a copy");
    let (ok, said) = check(&file);
    let _ = fs::remove_file(&file);
    assert!(ok, "{said}");
}
