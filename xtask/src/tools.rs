//! Installs the foreign clients and tools of the tests into `target/tools`, pinned, each only once.
//!
//! Nothing outside `target/` changes. What cannot be installed is said; whether that is a failure is decided by the tests
//! that need it (a skip, or with `CI` set a failure).

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use it::tools::{Tool, debian_root, folder, kcat, on_path, promtool, python, tmux};

use xtask::{kafka_jars, process};

/// The Python clients, one line a package as pip reads it.
const PYTHON_CLIENTS: &str = "\
aiokafka==0.14.0
confluent-kafka==2.16.1
kafka-python==3.0.12
googleapis-common-protos==1.76.0
grpcio==1.76.0
grpcio-health-checking==1.76.0
grpcio-reflection==1.76.0
grpcio-tools==1.76.0
";

/// Installs what is missing. Fails on the first failure when `CI` is set; elsewhere goes on and reports.
pub(crate) fn install() -> anyhow::Result<()> {
    std::fs::create_dir_all(folder())?;
    for tool in Tool::ALL {
        let outcome = match tool {
            Tool::Kafka => kafka_jars::kafka_jars().map(drop),
            Tool::Kcat => install_package(tool, "kcat", || says(kcat().arg("-V"))),
            Tool::Promtool => install_promtool(),
            Tool::Python => install_python(),
            Tool::Strace => on_path("strace").map(drop).context("strace is not installed"),
            Tool::Tmux => install_package(tool, "tmux", || says(tmux().arg("-V"))),
        };
        match outcome {
            Ok(()) => eprintln!("{tool:?}: ready"),
            Err(error) if std::env::var_os("CI").is_some() => {
                return Err(error.context(format!("installing {tool:?}")));
            }
            Err(error) => eprintln!("{tool:?}: NOT INSTALLED, its tests will be skipped: {error:#}"),
        }
    }
    Ok(())
}

/// The system's program, or Debian's package and the libraries it lacks, unpacked without installing them.
fn install_package(tool: Tool, package: &str, works: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    if !tool.is_present() {
        let plan = with_package_lists(|| plan_packages(package))?;
        download_and_unpack(&format!("{package}-archives"), &plan)?;
    }
    works()
}

fn says(command: &mut Command) -> anyhow::Result<()> {
    process::capture(command).map(drop)
}

/// The system's promtool, or the one in Debian's package of Prometheus, which needs nothing but the C library.
fn install_promtool() -> anyhow::Result<()> {
    if !Tool::Promtool.is_present() {
        with_package_lists(|| download_and_unpack("prometheus-archives", &["prometheus".to_owned()]))?;
    }
    process::capture(promtool().arg("--version")).map(drop)
}

/// Tries once more with fresh package lists: a fresh container has none, and only root may fetch them.
fn with_package_lists<T>(attempt: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    attempt().or_else(|_| {
        process::run(Command::new("apt-get").args(["update", "-qq"]))?;
        attempt()
    })
}

/// Fetches Debian packages into a folder of their own and unpacks them.
fn download_and_unpack(archives: &str, packages: &[String]) -> anyhow::Result<()> {
    let archives = folder().join(archives);
    std::fs::create_dir_all(&archives)?;
    process::run(Command::new("apt-get").args(["download", "-qq"]).args(packages).current_dir(&archives))?;
    for entry in std::fs::read_dir(&archives)? {
        unpack(&entry?.path())?;
    }
    Ok(())
}

fn unpack(archive: &Path) -> anyhow::Result<()> {
    process::run(Command::new("dpkg").arg("-x").arg(archive).arg(debian_root()))
}

/// What apt would install for a package: lines `Inst PACKAGE (VERSION …)` of a simulation.
fn plan_packages(package: &str) -> anyhow::Result<Vec<String>> {
    let plan = process::capture(Command::new("apt-get").args([
        "install",
        "--simulate",
        "--no-install-recommends",
        package,
    ]))?;
    let packages = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next());
    Ok(packages.map(str::to_owned).collect())
}

fn install_python() -> anyhow::Result<()> {
    let venv = folder().join("venv");
    let installed = venv.join("clients.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|clients| clients == PYTHON_CLIENTS) {
        return Ok(());
    }
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let packages = PYTHON_CLIENTS.lines();
    process::run(Command::new(python()).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
    std::fs::write(installed, PYTHON_CLIENTS)?;
    Ok(())
}
