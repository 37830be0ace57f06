//! `cargo xtask test`: everything that must hold before a change is merged.

use it::project::cargo;
use it::tools::Tool;

use crate::{mutants, oracle, process, tools};

/// Format, lints, the foreign tools, new messages both ways between Kafka's classes and ours, the mutants, then every test; cargo's own test lines come last.
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
    // A crash test that cannot fail proves nothing: known breaks must be caught.
    mutants::run("")?;
    process::run(cargo().args(["test", "--workspace"]))
}
