//! Ottla's one entry for tests, schemas, fuzzing, interop and benchmarks: `cargo xtask --help`.

mod kafka_jars;
mod process;
mod schema;
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
    /// Regenerates `crates/wire/schema/` from Kafka's jars (needs Java and Maven).
    Schema,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Fmt => process::run(it::project::cargo().args(["fmt", "--all"])),
        Command::Test => test::run(),
        Command::Tools => tools::install(),
        Command::Schema => schema::run(),
    }
}
