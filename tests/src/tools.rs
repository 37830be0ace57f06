//! Foreign programs the tests need, where `cargo xtask tools` puts them.
//!
//! A missing one is a loud failure when `CI` is set and a loud skip elsewhere: see [`require`].

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::project;

/// The version of Apache Kafka whose jars are peer, client and judge.
pub const KAFKA_VERSION: &str = "4.3.0";

/// A foreign program or library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Kafka's jars with all their dependencies, and a Java to run them.
    Kafka,
    /// kcat, the command-line client over librdkafka.
    Kcat,
    /// promtool, Prometheus's own judge of what a scrape may look like.
    Promtool,
    /// A Python with confluent-kafka, kafka-python and gRPC.
    Python,
    /// strace, allowed to attach to our own processes.
    Strace,
    /// tmux, a terminal that programs can drive.
    Tmux,
}

impl Tool {
    /// All of them.
    pub const ALL: [Tool; 6] =
        [Tool::Kafka, Tool::Kcat, Tool::Promtool, Tool::Python, Tool::Strace, Tool::Tmux];

    /// Whether it can be used now.
    pub fn is_present(self) -> bool {
        match self {
            Tool::Kafka => {
                kafka_jars().join(format!("kafka_2.13-{KAFKA_VERSION}.jar")).exists()
                    && on_path("java").is_some()
            }
            Tool::Kcat => binary("kcat").is_some(),
            Tool::Promtool => promtool_binary().is_some(),
            Tool::Python => python().exists(),
            Tool::Strace => on_path("strace").is_some(),
            Tool::Tmux => binary("tmux").is_some(),
        }
    }
}

/// True when every tool is there. Otherwise says so on the terminal (past the test runner's capture) and returns false, for
/// the test to return early; panics when `CI` is set, where a test that did not run must not look like one that passed.
pub fn require(tools: &[Tool]) -> bool {
    let missing: Vec<Tool> = tools.iter().copied().filter(|tool| !tool.is_present()).collect();
    if missing.is_empty() {
        return true;
    }
    skip(&format!("{missing:?} not installed; `cargo xtask tools` installs what it can"));
    false
}

/// Says loudly that a test is not run, and why; panics when `CI` is set.
pub fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var_os("CI").is_none(), "{test} cannot run: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Where installed tools live: `target/tools`.
pub fn folder() -> PathBuf {
    project::target().join("tools")
}

/// The folder of Kafka's jars.
pub fn kafka_jars() -> PathBuf {
    folder().join(format!("kafka-{KAFKA_VERSION}"))
}

/// The Python interpreter of the clients' virtual environment.
pub fn python() -> PathBuf {
    folder().join("venv/bin/python")
}

/// The root into which Debian packages are unpacked when the system lacks them.
pub fn debian_root() -> PathBuf {
    folder().join("debian")
}

/// A command that runs promtool: the system's, else the unpacked one.
pub fn promtool() -> Command {
    Command::new(promtool_binary().expect("require(&[Tool::Promtool]) said it is there"))
}

fn promtool_binary() -> Option<PathBuf> {
    let unpacked = debian_root().join("usr/bin/promtool");
    on_path("promtool").or_else(|| Some(unpacked).filter(|unpacked| unpacked.exists()))
}

/// A command that runs kcat: the system's, else the unpacked one with its own libraries.
pub fn kcat() -> Command {
    command("kcat")
}

/// A command that runs tmux: the system's, else the unpacked one with its own libraries.
pub fn tmux() -> Command {
    command("tmux")
}

fn command(program: &str) -> Command {
    let binary = binary(program).expect("require() said it is there");
    let mut command = Command::new(&binary);
    if binary.starts_with(debian_root()) {
        let libraries = debian_root().join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
        command.env("LD_LIBRARY_PATH", libraries);
    }
    command
}

fn binary(program: &str) -> Option<PathBuf> {
    let unpacked = debian_root().join("usr/bin").join(program);
    on_path(program).or_else(|| Some(unpacked).filter(|unpacked| unpacked.exists()))
}

/// The full path of a program, searched as a shell would.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_file(file))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// Says that a test does not apply here, by design: not a skip.
pub fn note(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "{test} does not apply: {why}");
}
