//! The figures in Markdown.

use std::fmt::Write as _;

use super::fanout::Fanout;
use super::fleet::Fleet;
use super::median;
use super::process::figure;
use super::sessions::Sessions;

/// What a delivery costs.
pub(crate) fn fanout(lines: &[Fanout]) -> String {
    let mut table = String::from(
        "| CPU a delivery, WebSocket, 128 bytes of data | floor, µs | Throughline, µs | ratio (of each round) | deliveries a second |\n|---|---|---|---|---|\n",
    );
    for line in lines {
        let ratios: Vec<_> = line.ours.iter().zip(&line.floor).map(|(o, f)| o / f).collect();
        let (low, high) = spread(&ratios);
        let _ = writeln!(
            table,
            "| {} | {:.2} | {:.2} | {:.2} ({low:.2}–{high:.2}) | {:.0} |",
            line.name,
            median(&line.floor),
            median(&line.ours),
            median(&ratios),
            line.per_s
        );
    }
    table
}

/// What a fleet costs.
pub(crate) fn fleets(lines: &[Fleet], readers: usize) -> String {
    let mut table = format!(
        "| {readers} readers of one durable channel, 4 messages a second, over | deliveries a second of CPU of all nodes | each second that the busiest node works | share of the busiest node | Redis, ms of CPU a second |\n|---|---|---|---|---|\n",
    );
    for Fleet { nodes, per_cpu_s, busiest, redis_ms } in lines {
        let whole = per_cpu_s / busiest;
        let _ = writeln!(
            table,
            "| {nodes} | {per_cpu_s:.0} | {whole:.0} | {:.0} % | {redis_ms:.1} |",
            busiest * 100.0
        );
    }
    table
}

/// What a session costs.
pub(crate) fn sessions(lines: &[Sessions], size: usize) -> String {
    let many = figure(size as u64);
    let mut table = format!(
        "| {many} sessions of one channel | CPU to connect and open, µs | private bytes, idle | after 16 KiB to each |\n|---|---|---|---|\n",
    );
    for line in lines {
        let Sessions { name, open_us, fresh, after } = line;
        let _ = writeln!(table, "| {name} | {open_us:.0} | {fresh:.0} | {after:.0} |");
    }
    table
}

fn spread(figures: &[f64]) -> (f64, f64) {
    let low = figures.iter().copied().fold(f64::INFINITY, f64::min);
    (low, figures.iter().copied().fold(0.0, f64::max))
}
