//! Measures the gateway beside a floor server and prints tables in Markdown.
//!
//! `cargo bench --bench compare`, or with `THROUGHLINE_BENCH_QUICK=1` a quick look. A word after `--`
//! (`paced`, `flooded`, `fleet`, `sessions`) measures only that. Linux only: the figures are from /proc.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "not shipped: a measurement that goes wrong ends"
)]

mod figures;
mod floor;
mod load;

use std::io;

use figures::{Size, fanout, fleet, sessions, table};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.iter().any(|word| word == "floor") {
        return floor::run();
    }
    if !std::env::args().any(|word| word == "--bench") {
        println!("measured by cargo bench only");
        return Ok(());
    }
    // Servers inherit it.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let quick = std::env::var_os("THROUGHLINE_BENCH_QUICK").is_some();
    let size = if quick { Size::QUICK } else { Size::FULL };
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    let prefix = if quick { "THROUGHLINE_BENCH_QUICK=1 " } else { "" };
    println!("`{prefix}cargo bench --bench compare`, {}\n", machine());
    let mut lines = Vec::new();
    if wanted("paced") {
        lines.extend(fanout::paced(&size)?);
    }
    if wanted("flooded") {
        lines.extend(fanout::flooded(&size)?);
    }
    println!("{}", table::fanout(&lines));
    if wanted("fleet") {
        println!("{}", table::fleets(&fleet::fleets(&size)?, size.fleet_readers));
    }
    if wanted("sessions") {
        println!("{}", table::sessions(&sessions::sessions(&size)?, size.sessions));
    }
    Ok(())
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, Linux {}, medians of rounds", kernel.trim())
}
