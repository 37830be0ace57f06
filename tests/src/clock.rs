//! A wall clock of its own for a process, so that it can jump without the rest of the machine.
//!
//! The clock is a library (`own_clock.c`) that the process is started with; a C compiler must be there, and the process must be linked to its
//! C library at run time.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

#[cfg(test)]
mod tests;

const SOURCE: &str = include_str!("own_clock.c");

/// The clocks of several processes, each by a number.
#[derive(Debug)]
pub struct Clocks {
    /// The library, and a file for each clock with what it is ahead, in nanoseconds.
    folder: tempfile::TempDir,
}

impl Clocks {
    /// Compiles the library below a folder. An error says why that is not possible here.
    pub fn create(below: &Path) -> anyhow::Result<Self> {
        let clocks = Self { folder: tempfile::Builder::new().prefix("clocks-").tempdir_in(below)? };
        let source = clocks.folder.path().join("own_clock.c");
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(clocks.library());
        let output = compiler.arg(&source).arg("-ldl").output().context("starting a C compiler")?;
        ensure!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
        Ok(clocks)
    }

    /// What a process must have in its environment to go by a clock of ours, which is right for now.
    pub fn environment(&self, number: i32) -> anyhow::Result<[(String, String); 2]> {
        self.jump(number, 0)?;
        let text = |path: PathBuf| path.to_str().map(str::to_owned).context("a path that is text");
        Ok([
            ("LD_PRELOAD".to_owned(), text(self.library())?),
            ("OTTLA_IT_CLOCK".to_owned(), text(self.file(number))?),
        ])
    }

    /// From now on a clock is so many seconds ahead; behind, when negative.
    pub fn jump(&self, number: i32, ahead_seconds: i64) -> anyhow::Result<()> {
        let file = File::options().create(true).truncate(false).write(true).open(self.file(number))?;
        // Eight bytes in a page: a reader sees the old value or the new one.
        Ok(file.write_all_at(&(ahead_seconds * 1_000_000_000).to_ne_bytes(), 0)?)
    }

    /// Whether a process has loaded the library.
    pub fn is_used_by(&self, pid: u32) -> bool {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        self.library().to_str().is_some_and(|library| maps.contains(library))
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("own_clock.so")
    }

    fn file(&self, number: i32) -> PathBuf {
        self.folder.path().join(number.to_string())
    }
}
