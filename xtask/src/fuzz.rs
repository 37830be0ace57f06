//! `cargo xtask fuzz`: every fuzz target for a while, from its committed corpus.

use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;
use clap::Args;
use it::project::{root, target};

use xtask::process;

/// Pinned, so that the same sources build everywhere.
const CARGO_FUZZ_VERSION: &str = "0.13.1";

/// How long, and what.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Targets to run; all when none is named.
    targets: Vec<String>,
}

/// Runs the targets one after another; a crash leaves its input under `fuzz/artifacts` and is the error.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let known = process::capture(fuzz()?.arg("list"))?;
    let known: Vec<&str> = known.lines().collect();
    ensure!(!known.is_empty(), "fuzz/ has no targets");
    for name in &options.targets {
        ensure!(known.contains(&name.as_str()), "no fuzz target `{name}`; there are {}", known.join(", "));
    }
    let wanted = known
        .iter()
        .filter(|name| options.targets.is_empty() || options.targets.iter().any(|asked| asked == *name));
    for name in wanted {
        eprintln!("fuzzing {name} for {} s", options.seconds);
        // libFuzzer writes what it finds interesting into the first folder: not into the committed one.
        let found = target().join("fuzz-corpus").join(name);
        std::fs::create_dir_all(&found)?;
        let mut command = fuzz()?;
        command.args(["run", "--target-dir"]).arg(target().join("fuzz"));
        command.arg(name).arg(&found);
        let committed = root().join("fuzz/corpus").join(name);
        if committed.exists() {
            command.arg(committed);
        }
        command.args(["--", "-print_final_stats=1", &format!("-max_total_time={}", options.seconds)]);
        process::run(&mut command)?;
    }
    Ok(())
}

/// `cargo fuzz` on a nightly compiler, which its instrumentation needs.
fn fuzz() -> anyhow::Result<Command> {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).arg(installed()?).arg("fuzz").current_dir(root());
    // A cargo that runs us names its own toolchain here.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
    Ok(command)
}

/// The binary of cargo-fuzz under `target/tools`.
fn installed() -> anyhow::Result<PathBuf> {
    let place = it::tools::folder().join("cargo-fuzz");
    let binary = place.join("bin/cargo-fuzz");
    if !binary.exists() {
        let mut install = Command::new(env!("CARGO"));
        install
            .args(["install", "cargo-fuzz", "--locked", "--quiet", "--version", CARGO_FUZZ_VERSION, "--root"])
            .arg(&place);
        process::run(&mut install)?;
    }
    Ok(binary)
}
