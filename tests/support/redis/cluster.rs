//! A Cluster of three masters.

use std::process::Command;

use super::super::wait;
use super::{Options, Redis};

/// How many masters there are.
const MASTERS: usize = 3;

/// Three masters; where one is down, the others serve their slots still.
pub struct Cluster {
    /// The masters.
    pub nodes: Vec<Redis>,
    options: Options,
}

impl Cluster {
    /// Starts it and waits until every node knows every slot.
    pub fn start() -> Self {
        Self::with(&Options::new())
    }

    /// Starts it with these options, without passwords.
    pub fn with(options: &Options) -> Self {
        let options = options
            .clone()
            .arg("cluster-enabled", "yes")
            .arg("cluster-node-timeout", "2000")
            .arg("cluster-require-full-coverage", "no");
        let nodes: Vec<_> = (0..MASTERS).map(|_| Redis::with(options.clone())).collect();
        let cluster = Self { nodes, options };
        let addresses: Vec<_> = cluster.addresses();
        let mut args = vec!["create"];
        args.extend(addresses.iter().map(String::as_str));
        cluster.manage(&args);
        wait::until_now("every node knows every slot", || cluster.is_whole());
        cluster
    }

    /// What an engine takes: `redis+cluster://host:port,…`.
    pub fn url(&self) -> String {
        format!("redis+cluster://{}", self.addresses().join(","))
    }

    /// What a command answers, by way of the node that has its key.
    pub fn cli(&self, args: &[&str]) -> String {
        let with: Vec<_> = ["-c"].iter().chain(args).copied().collect();
        self.nodes[0].cli(&with)
    }

    /// Starts a replica of a master, which every master knows and which has all that it has.
    pub fn replica_of(&self, node: usize) -> Redis {
        let (replica, id) = (Redis::with(self.options.clone()), self.id(node));
        let port = self.nodes[node].port().to_string();
        assert_eq!(replica.cli(&["CLUSTER", "MEET", "127.0.0.1", &port]), "OK");
        let follows = || replica.cli(&["CLUSTER", "REPLICATE", &id]) == "OK";
        wait::until_now("the replica knows its master", follows);
        replica.wait_in_sync();
        let own = replica.cli(&["CLUSTER", "MYID"]);
        wait::until_now("every master knows the replica", || {
            let knows = |node: &Redis| {
                let all = node.cli(&["CLUSTER", "NODES"]);
                all.lines().any(|line| line.starts_with(&own) && line.contains("slave"))
            };
            self.nodes.iter().all(knows)
        });
        replica
    }

    /// Moves so many slots from one node to another, with what is in them.
    pub fn reshard(&self, from: usize, to: usize, slots: usize) {
        let (address, slots) = (self.addresses().remove(0), slots.to_string());
        let (from, to) = (self.id(from), self.id(to));
        self.manage(&[
            "reshard",
            &address,
            "--cluster-from",
            &from,
            "--cluster-to",
            &to,
            "--cluster-slots",
            &slots,
        ]);
        wait::until_now("every node knows every slot", || self.is_whole());
    }

    /// The slot of a key.
    pub fn slot(&self, key: &str) -> u16 {
        self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]).parse().expect("a slot")
    }

    /// The node that has a slot.
    pub fn owner(&self, slot: u16) -> usize {
        let owner = |node: &Redis| {
            let slots = node.cli(&["CLUSTER", "NODES"]);
            let own = slots.lines().find(|line| line.contains("myself")).expect("its own line");
            own.split(' ').skip(8).any(|range| holds(range, slot))
        };
        self.nodes.iter().position(owner).expect("a slot has an owner")
    }

    /// Begins to move a slot: from here on scripts with several keys of it can be told TRYAGAIN.
    pub fn begin_move(&self, slot: u16, to: usize) {
        let (slot_text, from) = (slot.to_string(), self.owner(slot));
        let set = |node: usize, state: &str, other: usize| {
            let id = self.id(other);
            let answer = self.nodes[node].cli(&["CLUSTER", "SETSLOT", &slot_text, state, &id]);
            assert_eq!(answer, "OK");
        };
        set(to, "IMPORTING", from);
        set(from, "MIGRATING", to);
    }

    /// Moves so many keys of a slot that moves. Returns how many there were.
    pub fn move_keys(&self, slot: u16, to: usize, many: usize) -> usize {
        let from = &self.nodes[self.owner(slot)];
        let keys = from.cli(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &many.to_string()]);
        let port = self.nodes[to].port().to_string();
        let keys: Vec<_> = keys.lines().filter(|key| !key.is_empty()).collect();
        for key in &keys {
            assert_eq!(from.cli(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]), "OK");
        }
        keys.len()
    }

    /// Ends the move: the slot is the other's, with every key left in it.
    pub fn end_move(&self, slot: u16, to: usize) {
        let from = self.owner(slot);
        while self.move_keys(slot, to, 100) > 0 {}
        let id = self.id(to);
        // The taker first (Redis Cluster specification, "Live reconfiguration").
        for node in [to, from].into_iter().chain((0..MASTERS).filter(|n| *n != to && *n != from)) {
            let set = ["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id];
            assert_eq!(self.nodes[node].cli(&set), "OK");
        }
    }

    fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect()
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].cli(&["CLUSTER", "MYID"])
    }

    fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| {
            let info = node.cli(&["CLUSTER", "INFO"]);
            let has = |line: &str| info.lines().any(|found| found.trim_end() == line);
            has("cluster_state:ok") && has("cluster_slots_assigned:16384")
        })
    }

    fn manage(&self, args: &[&str]) {
        let mut command = Command::new("redis-cli");
        command.arg("--cluster").args(args).arg("--cluster-yes");
        let output = command.output().expect("redis-cli is installed");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{args:?}: {text}");
    }
}

/// Whether a range of slots, as `CLUSTER NODES` prints them, holds one.
fn holds(range: &str, slot: u16) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).contains(&slot),
        _ => false,
    }
}
