//! A disk in front of another, whose files a test wraps: for the tests beside the sources and for those through the public
//! surface, which both include this file.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_storage::{Disk, Entry, File, OpenMode, Space};

/// What is different about the disk in front.
pub(crate) trait Wrap: Debug + Send + Sync + 'static {
    /// The file in front of one.
    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File>;
    /// How much space it says there is.
    fn space(&self, inner: Space) -> Space {
        inner
    }
}

/// The disk in front.
#[derive(Debug)]
pub(crate) struct WrappedDisk<W> {
    pub(crate) inner: Arc<dyn Disk>,
    pub(crate) wrap: W,
}

impl<W: Wrap> Disk for WrappedDisk<W> {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap.file(self.inner.open(path, mode)?))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir(dir)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.remove_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }
    fn sync_files(&self, files: &[Arc<dyn File>]) -> Vec<io::Result<()>> {
        // The inner disk does not know the files in front.
        files.iter().map(|file| file.sync()).collect()
    }
    fn space(&self) -> io::Result<Space> {
        Ok(self.wrap.space(self.inner.space()?))
    }
    fn root(&self) -> Option<PathBuf> {
        self.inner.root()
    }
}
