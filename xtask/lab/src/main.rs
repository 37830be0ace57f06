//! What `cargo xtask` measures, simulates and starts for hours. `cargo xtask --help` lists all of it; nobody needs to call this by itself.
#![allow(clippy::indexing_slicing, reason = "a tool for developers: a surprise stops it and says where")]

mod bench;
mod chaos;
mod cluster;
mod record_oracle;
mod sim;

use clap::Parser;

#[derive(Parser)]
#[command(about, name = "cargo xtask", disable_help_subcommand = true)]
enum Command {
    /// Measures Ottla and Apache Kafka in turn and writes docs/benchmarks.md.
    Bench(bench::Options),
    /// Faults of every kind on three brokers under idempotent producers; prints the longest outage of each kind.
    Chaos(chaos::Options),
    /// A cluster on loopback to try things on.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Compares our record batches with Kafka's own, both ways (needs Java and Maven).
    RecordOracle(record_oracle::Options),
    /// Runs partitions through random faults and crashes them at every operation, from seeds.
    Sim(sim::Options),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Bench(options) => bench::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Cluster(command) => cluster::run(&command),
        Command::RecordOracle(options) => record_oracle::run(&options),
        Command::Sim(options) => sim::run(&options),
    }
}
