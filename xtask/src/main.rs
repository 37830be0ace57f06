//! Ottla's one entry for tests, schemas, fuzzing, interop and benchmarks: `cargo xtask --help`.
#![allow(clippy::indexing_slicing, reason = "a tool for developers: a surprise stops it and says where")]

mod bench;
mod chaos;
mod cluster;
mod fuzz;
mod image;
mod interop;
mod kafka_jars;
mod mutants;
mod oracle;
mod process;
mod record_oracle;
mod schema;
mod sim;
mod test;
mod tools;

use clap::Parser;

#[derive(Parser)]
#[command(about, disable_help_subcommand = true)]
enum Command {
    /// Formats every crate.
    Fmt,
    /// Checks format and lints, then runs every test of the workspace; what the README and CI call.
    Test,
    /// Installs the foreign clients and tools the tests use into target/tools.
    Tools,
    /// Measures Ottla and Apache Kafka in turn and writes docs/benchmarks.md.
    Bench(bench::Options),
    /// Faults of every kind on three brokers under idempotent producers; prints the longest outage of each kind.
    Chaos(chaos::Options),
    /// A cluster on loopback to try things on.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Compares our record batches with Kafka's own, both ways (needs Java and Maven).
    RecordOracle(record_oracle::Options),
    /// Runs the suites with foreign clients alone.
    Interop(interop::Options),
    /// Runs every fuzz target from its corpus (needs a nightly compiler).
    Fuzz(fuzz::Options),
    /// Runs partitions through random faults and crashes them at every operation, from seeds; with --mutants, breaks them first.
    Sim(sim::Options),
    /// Builds the container image's files as the Dockerfile does, and runs a broker in nothing but them (needs root and musl-gcc).
    Image,
    /// Regenerates `crates/wire/schema/` from Kafka's jars (needs Java and Maven).
    Schema,
    /// Lets Kafka's classes judge `crates/wire` (needs Java and Maven).
    Oracle(oracle::Options),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Fmt => process::run(it::project::cargo().args(["fmt", "--all"])),
        Command::Test => test::run(),
        Command::Tools => tools::install(),
        Command::Bench(options) => bench::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Cluster(command) => cluster::run(&command),
        Command::RecordOracle(options) => record_oracle::run(&options),
        Command::Interop(options) => interop::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Image => image::run(),
        Command::Schema => schema::run(),
        Command::Oracle(options) => oracle::run(&options),
    }
}
