//! Ottla's one entry for tests, schemas, fuzzing, interop and benchmarks: `cargo xtask --help`.
#![allow(clippy::indexing_slicing, reason = "a tool for developers: a surprise stops it and says where")]

mod fuzz;
mod image;
mod interop;
mod mutants;
mod oracle;
mod schema;
mod test;
mod tools;

use std::ffi::OsString;

use clap::Parser;

use xtask::process;

/// What `lab` is to do: a package of its own, so that the tests do not wait for it to be compiled.
#[derive(clap::Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
    arguments: Vec<OsString>,
}

impl Rest {
    fn run(self, command: &str) -> anyhow::Result<()> {
        let lab = ["run", "--quiet", "--package", "lab", "--", command];
        process::run(it::project::cargo().args(lab).args(self.arguments))
    }
}

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
    #[command(disable_help_flag = true)]
    Bench(Rest),
    /// Faults of every kind on three brokers under idempotent producers; prints the longest outage of each kind.
    #[command(disable_help_flag = true)]
    Chaos(Rest),
    /// A cluster on loopback to try things on.
    #[command(disable_help_flag = true)]
    Cluster(Rest),
    /// Compares our record batches with Kafka's own, both ways (needs Java and Maven).
    #[command(disable_help_flag = true)]
    RecordOracle(Rest),
    /// Runs the suites with foreign clients alone.
    Interop(interop::Options),
    /// Runs every fuzz target from its corpus (needs a nightly compiler).
    Fuzz(fuzz::Options),
    /// Runs partitions through random faults and crashes them at every operation, from seeds.
    #[command(disable_help_flag = true)]
    Sim(Rest),
    /// Breaks the production code in known ways and demands that the simulator catches each break.
    Mutants {
        /// Those whose name contains this.
        #[arg(default_value = "")]
        only: String,
    },
    /// Builds the container image's files as the Dockerfile does, and runs a broker in nothing but them (needs root and musl-gcc).
    Image,
    /// Regenerates `crates/wire/schema/` from Kafka's jars (needs Java and Maven).
    Schema,
    /// Lets Kafka's classes judge `crates/wire` (needs Java and Maven).
    Oracle(oracle::Options),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Mutants { only } => mutants::run(&only),
        Command::Fmt => process::run(it::project::cargo().args(["fmt", "--all"])),
        Command::Test => test::run(),
        Command::Tools => tools::install(),
        Command::Bench(rest) => rest.run("bench"),
        Command::Chaos(rest) => rest.run("chaos"),
        Command::Cluster(rest) => rest.run("cluster"),
        Command::RecordOracle(rest) => rest.run("record-oracle"),
        Command::Interop(options) => interop::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Sim(rest) => rest.run("sim"),
        Command::Image => image::run(),
        Command::Schema => schema::run(),
        Command::Oracle(options) => oracle::run(&options),
    }
}
