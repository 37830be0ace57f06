//! `cargo xtask test`: everything that must hold before a change is merged.

use it::project::cargo;

use crate::{process, tools};

/// Format, lints, the foreign tools, the broker's binary, then every test; cargo's own test lines come last.
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
    process::run(cargo().args(["test", "--workspace"]))
}
