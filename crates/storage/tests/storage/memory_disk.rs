//! A disk in memory that never fails: for inputs that are tried by the thousand.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use ottla_storage::{Disk, Entry, EntryKind, File, OpenMode, Space};

type Bytes = Arc<Mutex<Vec<u8>>>;

#[derive(Debug, Default)]
pub(crate) struct MemoryDisk {
    files: Mutex<BTreeMap<PathBuf, Bytes>>,
}

impl MemoryDisk {
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        lock(&self.files).insert(PathBuf::from(path), Arc::new(Mutex::new(bytes.to_vec())));
    }

    /// Every file.
    #[allow(dead_code, reason = "the fuzz targets include this file and do not compare disks")]
    pub(crate) fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        lock(&self.files).iter().map(|(path, file)| (path.clone(), lock(file).clone())).collect()
    }

    pub(crate) fn total_bytes(&self) -> usize {
        lock(&self.files).values().map(|file| lock(file).len()).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[derive(Debug)]
struct MemoryFile(Bytes);

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut files = lock(&self.files);
        let file = match (files.get(path), mode) {
            (None, OpenMode::Read | OpenMode::Write) => return Err(io::ErrorKind::NotFound.into()),
            (Some(_), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(file), OpenMode::Truncate) => {
                lock(file).clear();
                Arc::clone(file)
            }
            (Some(file), _) => Arc::clone(file),
            (None, _) => {
                let file = Bytes::default();
                files.insert(path.to_owned(), Arc::clone(&file));
                file
            }
        };
        Ok(Arc::new(MemoryFile(file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let files = lock(&self.files);
        let names = files.keys().filter(|path| path.parent() == Some(dir));
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(names.map(|path| Entry { name: name(path), kind: EntryKind::File }).collect())
    }

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        lock(&self.files).remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.files);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_files(&self, files: &[Arc<dyn File>]) -> Vec<io::Result<()>> {
        files.iter().map(|_| Ok(())).collect()
    }

    fn space(&self) -> io::Result<Space> {
        Ok(Space { free: 1 << 40, total: 1 << 40 })
    }

    fn root(&self) -> Option<PathBuf> {
        None
    }
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let bytes = lock(&self.0);
        let rest = bytes.get(position as usize..).unwrap_or_default();
        let read = rest.len().min(buf.len());
        buf[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let mut bytes = lock(&self.0);
        let mut at = position as usize;
        for slice in slices {
            let end = at + slice.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at..end].copy_from_slice(slice);
            at = end;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        lock(&self.0).resize(len as usize, 0);
        Ok(())
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        let mut bytes = lock(&self.0);
        let len = bytes.len().max(len as usize);
        bytes.resize(len, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
