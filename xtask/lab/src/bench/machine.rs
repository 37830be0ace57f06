//! The machine and the commit the figures belong to.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use it::project;

use xtask::process::capture;

/// Where the figures come from.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// One line about processors, memory, kernel and file system.
    pub(crate) hardware: String,
    /// The commit, with a mark when files differ from it.
    pub(crate) commit: String,
    /// The day, UTC.
    pub(crate) day: String,
}

/// Reads it from the system.
pub(crate) fn describe() -> anyhow::Result<Machine> {
    let root = project::root();
    let git = |args: &[&str]| capture(Command::new("git").args(args).current_dir(root));
    let changed = if git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
        ""
    } else {
        " with local changes"
    };
    let cpu =
        first_value("/proc/cpuinfo", "model name").unwrap_or_else(|_| std::env::consts::ARCH.to_owned());
    let memory_kib: u64 = kibibytes("MemTotal")?;
    let kernel = capture(Command::new("uname").arg("-r"))?;
    let file_system = capture(Command::new("df").arg("--output=fstype").arg(project::target()))?;
    let cores = std::thread::available_parallelism()?;
    Ok(Machine {
        hardware: format!(
            "{cpu}, {cores} processors, {} GiB, Linux {}, {}",
            memory_kib >> 20,
            kernel.trim(),
            file_system.lines().last().unwrap_or("an unknown file system")
        ),
        commit: format!("{}{changed}", git(&["rev-parse", "--short=12", "HEAD"])?.trim()),
        day: capture(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.trim().to_owned(),
    })
}

/// What a load of 2 GB and its sockets need, in KiB.
const TOUCHED_KIB: u64 = 3 << 20;

/// Writes and deletes a file as large as a load will need memory.
///
/// A virtual machine gives memory that is free back to its host within seconds (free page reporting), and the next
/// touch of it is charged to whoever comes first, inside the kernel's copy: measured, 2.2 CPU seconds per GB of page cache on top of 0.6.
pub(crate) fn touch_memory() -> anyhow::Result<()> {
    let shared = Path::new("/dev/shm");
    if !shared.exists() {
        return Ok(());
    }
    let kib = (kibibytes("MemAvailable")? / 10 * 6).min(TOUCHED_KIB);
    let path = shared.join(format!("ottla-bench-{}", std::process::id()));
    let outcome = fill(&path, kib);
    fs::remove_file(&path)?;
    outcome
}

fn fill(path: &Path, kib: u64) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    let chunk = vec![1; 1 << 20];
    for _ in 0..kib >> 10 {
        file.write_all(&chunk)?;
    }
    Ok(())
}

fn kibibytes(field: &str) -> anyhow::Result<u64> {
    let value = first_value("/proc/meminfo", field)?;
    Ok(value.trim_end_matches(" kB").parse()?)
}

fn first_value(file: &str, field: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(file)?;
    let line =
        text.lines().find(|line| line.starts_with(field)).with_context(|| format!("{field} in {file}"))?;
    Ok(line.split_once(':').map_or(line, |(_, value)| value).trim().to_owned())
}
