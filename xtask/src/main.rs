//! Ottla's one entry for tests, schemas, fuzzing, interop and benchmarks: `cargo xtask --help`.

use std::process::Command as Process;

use anyhow::ensure;
use clap::Parser;

#[derive(Parser)]
#[command(about, disable_help_subcommand = true)]
enum Command {
    /// Formats every crate.
    Fmt,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Fmt => {
            let status = Process::new("cargo").args(["fmt", "--all"]).status()?;
            ensure!(status.success(), "cargo fmt failed");
            Ok(())
        }
    }
}
