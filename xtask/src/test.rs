//! `cargo xtask test`: everything that must hold before a change is merged.

use it::project::{cargo, target};
use it::tools::Tool;

use xtask::process;

use crate::{mutants, oracle, tools};

/// Format, lints, the foreign tools, new messages both ways between Kafka's classes and ours, the mutants, then every test, and at last three minutes of faults; cargo's own test lines come last.
pub(crate) fn run() -> anyhow::Result<()> {
    process::run(cargo().args(["fmt", "--all", "--check"]))?;
    tools::install()?;
    process::run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "--deny",
        "warnings",
    ]))?;
    // Without Kafka's jars the committed judgement of its classes has to do: `tools` has said that they are missing.
    if Tool::Kafka.is_present() {
        oracle::live(std::process::id())?;
    }
    // A crash test that cannot fail proves nothing: known breaks must be caught. Before the tests are built, because these builds take
    // each other's place.
    mutants::run("")?;
    // The binary that lies there when tests run is built with them; built for itself, with fewer features of what it uses, it would
    // take as long again. One run names everything that fails.
    let ottla = target().join("debug/ottla");
    process::run(cargo().args(["test", "--workspace", "--no-fail-fast"]).env("OTTLA_IT_BINARY", &ottla))?;
    // Three minutes of faults, alone: beside other tests' brokers it would measure them.
    process::run(
        cargo()
            .args(["test", "--workspace", "--test", "it", "--", "--ignored", "--nocapture", "chaos"])
            .env("OTTLA_IT_BINARY", ottla),
    )
}
