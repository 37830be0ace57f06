//! A small file system of its own, to fill.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::tools;

/// A mounted tmpfs; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None` after a loud skip: mounting needs privileges.
    pub fn mount(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let size = format!("size={bytes}");
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        if output.is_ok_and(|output| output.status.success()) {
            return Some(Self { folder });
        }
        tools::skip("mounting a tmpfs needs root");
        None
    }

    /// Its root.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fills it until only so many bytes are left.
    pub fn fill(&self, left: u64) -> std::io::Result<()> {
        let file = std::fs::File::create(self.ballast())?;
        let mut tries = 0;
        loop {
            let free = rustix::fs::statvfs(self.path())?;
            let ballast = (free.f_bavail * free.f_frsize).saturating_sub(left);
            match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, ballast) {
                // A broker that writes meanwhile took some of it.
                Err(rustix::io::Errno::NOSPC) if tries < 20 => tries += 1,
                outcome => return Ok(outcome?),
            }
        }
    }

    /// Takes back what [`SmallDisk::fill`] took.
    pub fn free(&self) -> std::io::Result<()> {
        std::fs::remove_file(self.ballast())
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
