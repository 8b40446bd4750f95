//! Which server has which partition.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use redis::{RedisError, Value, cmd, from_redis_value_ref};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, interval, timeout};

use super::address::{Address, Mode};
use super::keys::{PARTITIONS, slot};
use super::line::{Finder, Line};
use super::outage::Outage;

/// Between two looks at the map of a Cluster.
const REFRESH: Duration = Duration::from_secs(5);
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(2);

/// One server.
pub(super) struct Server {
    /// `host:port`, or the name of the master.
    pub(super) name: Arc<str>,
    pub(super) finder: Arc<Finder>,
    /// For commands; none of them blocks.
    pub(super) line: Line,
    /// For WAIT, which does; made when it is first wanted.
    waiting: Mutex<Option<Arc<Line>>>,
    cluster: bool,
}

impl Server {
    fn new(name: &str, finder: Finder, cluster: bool) -> Arc<Self> {
        let (finder, name) = (Arc::new(finder), Arc::from(name));
        let line = Line::open(Arc::clone(&finder), cluster, Outage::new(&name, "commands"));
        Arc::new(Self { name, finder, line, waiting: Mutex::new(None), cluster })
    }

    /// The line on which WAIT may block.
    pub(super) fn waiting(&self) -> Arc<Line> {
        let open = || {
            let outage = Outage::new(&self.name, "replicated publishes");
            Arc::new(Line::open(Arc::clone(&self.finder), self.cluster, outage))
        };
        Arc::clone(self.waiting.lock().get_or_insert_with(open))
    }
}

/// The server of each partition.
pub(super) type Table = Vec<Arc<Server>>;

/// Which server has which partition.
pub(super) struct Router {
    address: Address,
    servers: Mutex<HashMap<Arc<str>, Arc<Server>>>,
    table: ArcSwap<Table>,
    /// Whether the map of a Cluster was read once; until then the first server stands for all.
    read: AtomicBool,
    changed: watch::Sender<u64>,
    stale: Notify,
}

impl Router {
    pub(super) fn new(address: Address) -> Result<Arc<Self>, RedisError> {
        let first = match address.mode {
            Mode::Sentinel => Server::new(&address.master, Finder::Master(address.clone()), false),
            mode => {
                let host = address.hosts.first().map_or("", String::as_str);
                Server::new(host, Finder::At(address.client(host)?), mode == Mode::Cluster)
            }
        };
        let table = vec![Arc::clone(&first); usize::from(PARTITIONS)];
        Ok(Arc::new(Self {
            servers: Mutex::new(HashMap::from([(Arc::clone(&first.name), first)])),
            table: ArcSwap::from_pointee(table),
            read: AtomicBool::new(false),
            changed: watch::Sender::new(0),
            stale: Notify::new(),
            address,
        }))
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.address.mode == Mode::Cluster
    }

    /// Whether it is known which server has which partition.
    pub(super) fn is_read(&self) -> bool {
        !self.is_cluster() || self.read.load(Ordering::Acquire)
    }

    /// The server of a partition.
    pub(super) fn of(&self, partition: u16) -> Option<Arc<Server>> {
        self.table.load().get(usize::from(partition)).map(Arc::clone)
    }

    /// All servers that have a partition, each with one of its partitions.
    pub(super) fn all(&self) -> Vec<(Arc<Server>, u16)> {
        let mut found: Vec<(Arc<Server>, u16)> = Vec::new();
        for (partition, server) in (0..).zip(self.table.load().iter()) {
            if !found.iter().any(|(known, _)| Arc::ptr_eq(known, server)) {
                found.push((Arc::clone(server), partition));
            }
        }
        found
    }

    /// Tells of every change of the map.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether every server that has a partition can be reached.
    pub(super) fn is_up(&self) -> bool {
        self.all().iter().all(|(server, _)| server.line.is_up())
    }

    /// Whether every one of them ever was.
    pub(super) fn was_up(&self) -> bool {
        self.all().iter().all(|(server, _)| server.line.was_up())
    }

    /// The server at `host:port`, which a redirection named; an empty host is the one that said so.
    pub(super) fn at(&self, name: &str) -> Option<Arc<Server>> {
        let mut servers = self.servers.lock();
        if let Some(server) = servers.get(name) {
            return Some(Arc::clone(server));
        }
        let client = self.address.client(name).ok()?;
        let server = Server::new(name, Finder::At(client), self.is_cluster());
        servers.insert(Arc::clone(&server.name), Arc::clone(&server));
        Some(server)
    }

    /// A partition has moved.
    pub(super) fn moved(&self, partition: u16, server: &Arc<Server>) {
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            if let Some(place) = table.get_mut(usize::from(partition)) {
                *place = Arc::clone(server);
            }
            table
        });
        self.changed.send_modify(|change| *change += 1);
        self.stale.notify_one();
    }

    /// Keeps the map of a Cluster; ends with the engine.
    pub(super) async fn keep(self: Arc<Self>) {
        if !self.is_cluster() {
            return;
        }
        let mut looks = interval(REFRESH);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = self.stale.notified() => {}
            }
            self.refresh().await;
        }
    }

    /// Reads the map anew from the first server that answers.
    pub(super) async fn refresh(&self) {
        let known: Vec<_> = self.servers.lock().values().map(Arc::clone).collect();
        let seeds = self.address.hosts.iter().filter_map(|host| self.at(host));
        for server in known.into_iter().chain(seeds.collect::<Vec<_>>()) {
            if let Ok(Some(table)) = timeout(LOOK, self.read(&server)).await {
                self.replace(table);
                self.read.store(true, Ordering::Release);
                return;
            }
        }
    }

    async fn read(&self, server: &Server) -> Option<Table> {
        let mut conn = server.line.ready(Instant::now() + LOOK).await?;
        let ranges: Vec<Value> =
            cmd("CLUSTER").arg("SLOTS").query_async(&mut conn.connection).await.ok()?;
        let ranges: Vec<_> = ranges.iter().filter_map(|range| range_of(range, server)).collect();
        let of = |partition: u16| {
            let slot = slot(partition);
            let range = ranges.iter().find(|(from, to, _)| (*from..=*to).contains(&slot));
            range.and_then(|(_, _, name)| self.at(name)).or_else(|| self.of(partition))
        };
        (0..PARTITIONS).map(of).collect()
    }

    fn replace(&self, table: Table) {
        let old = self.table.load();
        let same = old.iter().zip(&table).all(|(old, new)| Arc::ptr_eq(old, new));
        if same {
            return;
        }
        let used: Vec<_> = table.iter().map(|server| Arc::clone(&server.name)).collect();
        self.table.store(Arc::new(table));
        self.servers.lock().retain(|name, _| used.contains(name));
        self.changed.send_modify(|change| *change += 1);
    }
}

/// First slot, last slot, and `host:port` of the master. An empty host is that of the server that
/// was asked.
fn range_of(range: &Value, asked: &Server) -> Option<(u16, u16, String)> {
    let (from, to, master): (u16, u16, Vec<Value>) = match range {
        Value::Array(parts) => (
            from_redis_value_ref(parts.first()?).ok()?,
            from_redis_value_ref(parts.get(1)?).ok()?,
            from_redis_value_ref(parts.get(2)?).ok()?,
        ),
        _ => return None,
    };
    let host: Option<String> = from_redis_value_ref(master.first()?).ok()?;
    let port: u16 = from_redis_value_ref(master.get(1)?).ok()?;
    let host = match host.filter(|host| !host.is_empty() && host != "?") {
        Some(host) if host.contains(':') => format!("[{host}]"),
        Some(host) => host,
        None => asked.name.rsplit_once(':').map(|(host, _)| host.to_owned())?,
    };
    Some((from, to, format!("{host}:{port}")))
}
