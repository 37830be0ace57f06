//! The [`Disk`] and [`File`] ports over the simulated disk.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_storage::{Disk, Entry, File, OpenMode, Space};
use parking_lot::Mutex;

use super::SimDisk;
use super::fault::{self, OpKind};
use super::image::{DirNode, FileNode, FileOp, Inode, NameOp, Node};
use super::moment::{Operation, operation};
use super::state::State;

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    inode: Inode,
    path: Arc<Path>,
    writable: bool,
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        let there = state.image.lookup(path);
        let inode = match (mode, there) {
            (OpenMode::Read | OpenMode::Write, Some(inode)) => {
                state.begin_or_fail(OpKind::Read, operation("open", path))?;
                inode
            }
            (OpenMode::Read | OpenMode::Write, None) => return Err(io::ErrorKind::NotFound.into()),
            (OpenMode::CreateNew, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Truncate, Some(inode)) => {
                state.begin_or_fail(OpKind::Write, operation("truncate", path))?;
                state.change(inode, FileOp::SetLen(0))?;
                inode
            }
            (OpenMode::CreateNew | OpenMode::Truncate, None) => {
                state.begin_or_fail(OpKind::Name, operation("create", path))?;
                state.create(path, Node::File(FileNode::default()))?
            }
        };
        if state.image.file(inode).is_none() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let state = Arc::clone(&self.state);
        Ok(Arc::new(SimFile { state, inode, path: path.into(), writable: mode != OpenMode::Read }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut state = self.state.lock();
        state.begin_or_fail(OpKind::Read, operation("list", dir))?;
        let inode = state.find(dir)?;
        let dir = state.image.dir(inode).ok_or(io::ErrorKind::NotADirectory)?;
        Ok(state.image.entries(dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        match state.image.lookup(dir) {
            Some(inode) if state.image.dir(inode).is_some() => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => {
                state.begin_or_fail(OpKind::Name, operation("mkdir", dir))?;
                state.create(dir, Node::Dir(DirNode::default())).map(drop)
            }
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.find(path)?;
        state.image.file(inode).ok_or(io::ErrorKind::IsADirectory)?;
        state.begin_or_fail(OpKind::Name, operation("remove", path))?;
        let (parent, name) = state.parent_of(path)?;
        state.rename_in(parent, NameOp::Unlink { name })
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.find(dir)?;
        if !state.image.dir(inode).ok_or(io::ErrorKind::NotADirectory)?.written.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.begin_or_fail(OpKind::Name, operation("rmdir", dir))?;
        let (parent, name) = state.parent_of(dir)?;
        state.rename_in(parent, NameOp::Unlink { name })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.find(from)?;
        let (from_parent, from_name) = state.parent_of(from)?;
        let (to_parent, name) = state.parent_of(to)?;
        if let Some(there) = state.image.lookup(to)
            && state.image.dir(there).is_some_and(|dir| !dir.written.is_empty())
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.begin_or_fail(OpKind::Name, operation("rename", from))?;
        if from_parent == to_parent {
            return state.rename_in(to_parent, NameOp::Rename { from: from_name, name, to: inode });
        }
        state.rename_in(to_parent, NameOp::Link { name, to: inode })?;
        state.rename_in(from_parent, NameOp::Unlink { name: from_name })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.find(dir)?;
        state.image.dir(inode).ok_or(io::ErrorKind::NotADirectory)?;
        state.sync_or_fail(inode, operation("sync_dir", dir))
    }

    fn sync_files(&self, files: &[Arc<dyn File>]) -> Vec<io::Result<()>> {
        files.iter().map(|file| file.sync()).collect()
    }

    fn space(&self) -> io::Result<Space> {
        let state = self.state.lock();
        if state.off {
            return Err(fault::power_off());
        }
        let total = state.capacity;
        if total == u64::MAX {
            // Nobody bounds it: what is used need not be counted.
            return Ok(Space { free: total, total });
        }
        Ok(Space { free: total.saturating_sub(state.image.used()), total })
    }

    fn root(&self) -> Option<PathBuf> {
        None
    }
}

impl SimFile {
    fn operation(&self, verb: &'static str, position: u64, len: u64) -> Operation {
        Operation { verb, path: Arc::clone(&self.path), position, len }
    }

    /// Changes the file, or fails as planned or for want of space, having done a part of it.
    fn change(&self, verb: &'static str, op: FileOp, end: u64) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut state = self.state.lock();
        let (position, len) = match &op {
            FileOp::Write { position, bytes } => (*position, bytes.len() as u64),
            FileOp::SetLen(len) => (0, *len),
        };
        let in_flight = matches!(op, FileOp::Write { .. }).then_some((self.inode, &op));
        let planned = state.begin(OpKind::Write, self.operation(verb, position, len), in_flight)?;
        let error = planned.and_then(fault::error).or_else(|| {
            let size = state.image.file(self.inode).map_or(0, |file| file.written.len());
            let growth = end.saturating_sub(size);
            let full = state.capacity != u64::MAX
                && growth > 0
                && state.image.used().saturating_add(growth) > state.capacity;
            full.then(fault::no_space)
        });
        match error {
            Some(error) => {
                state.change_in_part(self.inode, &op);
                Err(error)
            }
            None => state.change(self.inode, op),
        }
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.state.lock();
        if state.off {
            return Err(fault::power_off());
        }
        Ok(state.image.file(self.inode).map_or(0, |file| file.written.len()))
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.begin_or_fail(OpKind::Read, self.operation("read", position, buf.len() as u64))?;
        let wanted = state.shortened(buf.len());
        let (part, _) = buf.split_at_mut(wanted);
        Ok(state.image.file(self.inode).map_or(0, |file| file.written.read(part, position)))
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        if bytes.is_empty() {
            return Ok(());
        }
        let end = position.saturating_add(bytes.len() as u64);
        self.change("write", FileOp::Write { position, bytes: bytes.into() }, end)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change("set_len", FileOp::SetLen(len), len)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        if self.len()? >= len {
            return Ok(());
        }
        self.change("reserve", FileOp::SetLen(len), len)
    }

    fn sync(&self) -> io::Result<()> {
        let operation = self.operation("sync", 0, 0);
        self.state.lock().sync_or_fail(self.inode, operation)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
