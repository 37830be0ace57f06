//! The port through which storage reaches a disk. `FsDisk` is the real one; the simulator's keeps a written and a
//! synced image of every file and directory, and loses, tears and refuses what a real one can.
//!
//! What holds for every implementation, and what recovery is built on:
//!
//! - Written bytes are visible to readers at once, and durable only after [`File::sync`] or [`Disk::sync_files`] returned.
//! - A created, renamed or removed *name* is durable only after [`Disk::sync_dir`] of its directory returned.
//! - After a failed sync nothing is known about the bytes since the last successful one: readers may see them, now or
//!   until any moment later, and no further sync writes them, because the page cache calls them clean. So it is never
//!   retried; only bytes that are written again can become durable. This outlives the process, but not a power cut.
//! - Names and sizes are not lost like that: a file system that cannot write its metadata stops.
//! - A power cut may leave any part of an unsynced write, in any order, and zeros where the size grew without the data.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A file that must not exist yet, for reading and writing.
    CreateNew,
    /// Created if missing and emptied if not, for reading and writing.
    Truncate,
}

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name alone, without its directory.
    pub name: String,
    /// File or directory.
    pub kind: EntryKind,
}

/// Size of the file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Free for this process.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// A log directory. All paths are relative to its root.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// The entries of a directory, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Creates a directory whose parent exists; no error if it is there already.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes a file. Open handles go on reading it.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Renames a file or directory, replacing an existing file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes everything written to these files durable, as [`File::sync`] on each would, in whatever way is cheapest
    /// for so many; one result a file, in their order.
    fn sync_files(&self, files: &[Arc<dyn File>]) -> Vec<io::Result<()>>;
    /// Free and total size of the file system.
    fn space(&self) -> io::Result<Space>;
    /// The root in the real file system, where there is one: for messages only.
    fn root(&self) -> Option<PathBuf>;
}

/// An open file. All positions are in bytes from its start; all methods may be called from several threads.
pub trait File: Debug + Send + Sync + 'static {
    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Reads once, into the front of `buf`: any number of bytes up to its length, and 0 only where the file ends (or
    /// `buf` is empty). Whoever needs a whole range uses [`read_full_at`](Self::read_full_at).
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all the slices one after the other. On an error any part of them may have been written.
    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()>;
    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Extends the file's size to at least `len` with zeros and reserves the space, so that later writes below `len`
    /// change no metadata. `ENOSPC` comes here and not at the write.
    fn reserve(&self, len: u64) -> io::Result<()>;
    /// Makes everything written to this file durable, its size included.
    fn sync(&self) -> io::Result<()>;
    /// The descriptor, where there is one, for `sendfile`.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Reads until `buf` is full or the file ends; how many bytes there were. On an error nothing is known of `buf`.
    fn read_full_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, position.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// True if the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}
