//! The real disk: a directory of a file system, through rustix.
//!
//! How files are made durable decides the cost of an acknowledgement (measured: one `syncfs` costs a quarter of six
//! `fdatasync`s, because the device is flushed once), so [`FsDisk::sync_files`] picks:
//!
//! - one file: `fdatasync` on the caller's thread;
//! - three or more, while the file system is calm: one `syncfs`. It waits for everybody's dirty data, so above
//!   [`CALM_DIRTY_BYTES`] of it a neighbour's burst would become our latency. It tells of a failed write-back since
//!   Linux 5.8 only, and only once, whichever file it was: on an older kernel it is not used, and never again after it
//!   has failed, because the next one would say that all is well for a file whose bytes are lost;
//! - otherwise `fdatasync` in a small pool, so that the device sees several at once.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, FlockOperation};

use crate::disk::{Disk, Entry, EntryKind, File, OpenMode, Space};
use crate::sync_pool::SyncPool;

/// From so many dirty files on, one `syncfs` is cheaper than a `fdatasync` each.
const SYNCFS_FROM_FILES: usize = 3;
/// `Dirty` + `Writeback` of the whole machine up to which `syncfs` is not held up by others.
const CALM_DIRTY_BYTES: u64 = 16 << 20;
/// Name of the file whose lock keeps a second broker out (Kafka's name).
const LOCK_FILE: &str = ".lock";

/// A log directory on a real file system, locked for this process until dropped.
#[derive(Debug)]
pub struct FsDisk {
    root: PathBuf,
    /// Opened before the first write and kept: `syncfs` reports write-back errors per descriptor.
    root_handle: OwnedFd,
    meminfo: Option<fs::File>,
    /// `syncfs` can be believed.
    syncfs_tells: AtomicBool,
    pool: SyncPool,
    /// The lock goes with the descriptor, so that no crash leaves it behind.
    _lock: fs::File,
}

/// Why a directory could not be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds the lock.
    #[error("{} is locked by {}: stop it, or use another data directory", lock_file.display(), holder(*pid))]
    Held {
        /// The lock file.
        lock_file: PathBuf,
        /// The process that holds it, if it wrote its number.
        pid: Option<u32>,
    },
    /// The directory or its lock file cannot be created or opened.
    #[error("cannot open the data directory {}: {source}", path.display())]
    Io {
        /// What was opened.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl FsDisk {
    /// Creates the directory if it is missing and locks it.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, LockError> {
        let root = root.into();
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| LockError::Io { path, source }
        };
        fs::create_dir_all(&root).map_err(io_error(&root))?;
        let lock_file = root.join(LOCK_FILE);
        let lock = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_file)
            .map_err(io_error(&lock_file))?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let pid = fs::read_to_string(&lock_file).ok().and_then(|text| text.trim().parse().ok());
            return Err(LockError::Held { lock_file, pid });
        }
        lock.set_len(0)
            .and_then(|()| lock.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0))
            .map_err(io_error(&lock_file))?;
        let root_handle = fs::File::open(&root).map_err(io_error(&root))?.into();
        Ok(Self {
            root,
            root_handle,
            meminfo: fs::File::open("/proc/meminfo").ok(),
            syncfs_tells: AtomicBool::new(
                fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|release| syncfs_tells(&release)),
            ),
            pool: SyncPool::default(),
            _lock: lock,
        })
    }

    /// Opens one file anywhere for reading, without a lock: for looking at the files of a directory that is not ours.
    pub fn open_for_reading(path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(FsFile(fs::File::open(path)?)))
    }

    fn path(&self, relative: &Path) -> PathBuf {
        self.root.join(relative)
    }

    /// True if so little is waiting to be written on this machine that `syncfs` returns as soon as our own data is out.
    fn is_calm(&self) -> bool {
        let mut text = [0u8; 2048];
        let Some(read) = self.meminfo.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()) else {
            return false;
        };
        let dirty_kib = text
            .get(..read)
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b"Dirty:") || line.starts_with(b"Writeback:"))
            .filter_map(|line| std::str::from_utf8(line).ok()?.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum::<u64>();
        dirty_kib * 1024 <= CALM_DIRTY_BYTES
    }
}

impl Disk for FsDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
            OpenMode::Truncate => options.write(true).create(true).truncate(true),
        };
        Ok(Arc::new(FsFile(options.open(self.path(path))?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.path(dir))? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = if entry.file_type()?.is_dir() { EntryKind::Directory } else { EntryKind::File };
            entries.push(Entry { name, kind });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(self.path(dir)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(self.path(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(self.path(dir))?.sync_all()
    }

    fn sync_files(&self, files: &[Arc<dyn File>]) -> Vec<io::Result<()>> {
        match files {
            [] => Vec::new(),
            [file] => vec![file.sync()],
            _ if files.len() >= SYNCFS_FROM_FILES
                && self.syncfs_tells.load(Ordering::Acquire)
                && self.is_calm() =>
            {
                let result = rustix::fs::syncfs(&self.root_handle);
                if result.is_err() {
                    // Whose bytes were lost is not said. Each file's own `fdatasync` still knows.
                    self.syncfs_tells.store(false, Ordering::Release);
                }
                files.iter().map(|_| result.map_err(io::Error::from)).collect()
            }
            _ => self.pool.sync(files),
        }
    }

    fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::fstatvfs(&self.root_handle)?;
        Ok(Space { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
    }

    fn root(&self) -> Option<PathBuf> {
        Some(self.root.clone())
    }
}

#[derive(Debug)]
struct FsFile(fs::File);

impl File for FsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buf, position)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut written = 0;
        // One call in the ordinary case: `pwritev` takes up to 1,024 slices.
        if slices.len() <= IOV_MAX {
            loop {
                match rustix::io::pwritev(&self.0, slices, position) {
                    Ok(bytes) => {
                        written = bytes;
                        break;
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if written == total {
            return Ok(());
        }
        // A short write: a full disk or a signal. The rest goes slice by slice, so that the error, if any, is told.
        let mut skip = written;
        let mut position = position + written as u64;
        for slice in slices {
            let rest = slice.get(skip.min(slice.len())..).unwrap_or_default();
            skip -= skip.min(slice.len());
            self.0.write_all_at(rest, position)?;
            position += rest.len() as u64;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        let old = self.len()?;
        if len <= old {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), old, len - old) {
            // File systems without fallocate (NFS, some overlays): the size grows all the same.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.0.set_len(len),
            result => Ok(result?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

/// True if this kernel's `syncfs` returns the errors of write-back (since Linux 5.8).
fn syncfs_tells(release: &str) -> bool {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 8)
}

/// Linux' limit of slices in one vectored write.
const IOV_MAX: usize = 1024;

#[cfg(test)]
mod tests;
