//! Where the workspace, its target directory and this package's own files are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, ensure};

/// The workspace's root directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

/// Files of this package that are programs of another language: `tests/clients`.
pub fn client(name: &str) -> PathBuf {
    root().join("tests/clients").join(name)
}

/// What `cargo metadata` says of the workspace, without its dependencies.
pub fn metadata() -> &'static serde_json::Value {
    static METADATA: OnceLock<serde_json::Value> = OnceLock::new();
    METADATA.get_or_init(|| read_metadata().expect("cargo metadata"))
}

fn read_metadata() -> anyhow::Result<serde_json::Value> {
    let output = cargo().args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The target directory in use; it differs from `root()/target` when `CARGO_TARGET_DIR` is set.
pub fn target() -> PathBuf {
    PathBuf::from(metadata()["target_directory"].as_str().expect("a string"))
}

/// The cargo that runs us, in the workspace's root.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// How the broker's binary is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `dev`, what tests run.
    Dev,
    /// `dist`, what is installed and measured.
    Release,
}

/// Builds the `ottla` binary when it is not up to date and returns its path. Only the first call of a process asks cargo.
/// `OTTLA_IT_BINARY` names a binary to test instead, a packaged one for instance.
pub fn ottla(profile: Profile) -> anyhow::Result<PathBuf> {
    if let Some(binary) = std::env::var_os("OTTLA_IT_BINARY") {
        return Ok(binary.into());
    }
    static DEV: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    static RELEASE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let slot = match profile {
        Profile::Dev => &DEV,
        Profile::Release => &RELEASE,
    };
    slot.get_or_init(|| build(profile).map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

/// A program of `tests/examples`, compiled for tests. `cargo test` of the workspace has built it; where [`ottla`] is built here, so is this.
pub fn example(name: &str) -> anyhow::Result<PathBuf> {
    let binary = target().join("debug/examples").join(name);
    if std::env::var_os("OTTLA_IT_BINARY").is_none() || !binary.exists() {
        let output = cargo().args(["build", "--quiet", "--package", "it", "--example", name]).output()?;
        ensure!(output.status.success(), "building {name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(binary)
}

fn build(profile: Profile) -> anyhow::Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--quiet", "--package", "ottla-broker", "--bin", "ottla"]);
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            command.args(["--profile", "dist"]);
            "dist"
        }
    };
    let output = command.output().context("cargo build")?;
    ensure!(output.status.success(), "building ottla: {}", String::from_utf8_lossy(&output.stderr));
    let binary = target().join(folder).join("ottla");
    ensure!(binary.exists(), "{} was not built", binary.display());
    Ok(binary)
}
