//! The simulated disk: the [`Disk`] port over an [`Image`] in memory. It counts every sync, can stop before any
//! operation, fails by schedule, and hands out the image at every moment a crash could hit.

mod content;
mod crash;
mod fault;
mod image;

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ottla_storage::{Disk, Entry, File, OpenMode, Space};
use parking_lot::Mutex;

pub use self::content::Content;
pub use self::crash::Survival;
pub use self::fault::{Fault, OpKind, Planned};
pub use self::image::Image;
use self::image::{DirNode, FileNode, FileOp, Inode, NameOp, Node};
use crate::rng::{Rng, mix};

#[cfg(test)]
mod tests;

/// A moment at which a crash could hit: just before an operation that changes the disk, or makes it durable.
#[derive(Clone, Debug)]
pub struct CrashPoint {
    /// How many syncs were done before, over the life of this [`SimDisk`].
    pub syncs: u64,
    /// What was about to be done.
    pub before: Operation,
    /// The disk at that moment.
    pub image: Image,
    /// The write that was about to be made, of which any part may have happened.
    in_flight: Option<(Inode, FileOp)>,
}

/// An operation, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    verb: &'static str,
    path: Arc<Path>,
    position: u64,
    len: u64,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} [{}+{}]", self.verb, self.path.display(), self.position, self.len)
    }
}

impl CrashPoint {
    /// The image as it stands once a part of the write that was about to be made has reached the page cache: a kill
    /// may end a process in the middle of one.
    #[must_use]
    pub fn in_mid_write(&self, rng: &mut Rng) -> Image {
        let mut image = self.image.clone();
        if let Some((inode, FileOp::Write { position, bytes })) = &self.in_flight {
            let part: Arc<[u8]> = bytes.split_at(rng.index(bytes.len() + 1)).0.into();
            if let Some(file) = image.file_mut(*inode) {
                let op = FileOp::Write { position: *position, bytes: part };
                op.apply(&mut file.written);
                file.pending.push((u64::MAX, op));
            }
        }
        image
    }

    /// True if the operation was a write of bytes.
    pub const fn is_write(&self) -> bool {
        self.in_flight.is_some()
    }
}

/// The simulated disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    image: Image,
    rng: Rng,
    /// Number of the next operation that changes something.
    seq: u64,
    /// Operations seen, by [`OpKind`].
    counts: [u64; 4],
    plan: Vec<Planned>,
    off: bool,
    capacity: u64,
    /// Every crash point since the last [`SimDisk::take_crash_points`]; `None` if nobody asked.
    points: Option<Vec<CrashPoint>>,
    trace: u64,
    elapsed: Duration,
}

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    inode: Inode,
    path: Arc<Path>,
    writable: bool,
}

impl SimDisk {
    /// A disk that starts from `image`. The seed decides what is left of operations that fail.
    pub fn new(image: Image, seed: u64) -> Self {
        let state = State {
            image,
            rng: Rng::new(seed),
            seq: 1,
            counts: [0; 4],
            plan: Vec::new(),
            off: false,
            capacity: u64::MAX,
            points: None,
            trace: 0,
            elapsed: Duration::ZERO,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// As a port.
    pub fn port(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Schedules a fault.
    pub fn plan(&self, planned: Planned) {
        self.state.lock().plan.push(planned);
    }

    /// Stops the machine before the `at`-th sync (from 0): everything from there on fails.
    pub fn cut_at(&self, at: u64) {
        self.plan(Planned { kind: OpKind::Sync, at, fault: Fault::Off });
    }

    /// Forgets faults that have not happened yet.
    pub fn heal(&self) {
        self.state.lock().plan.clear();
    }

    /// Bounds the bytes that fit.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// Keeps a crash point before each operation from now on.
    pub fn record_crash_points(&self) {
        self.state.lock().points = Some(Vec::new());
    }

    /// The crash points since the last call.
    pub fn take_crash_points(&self) -> Vec<CrashPoint> {
        self.state.lock().points.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The moment after everything done so far.
    pub fn crash_point_now(&self) -> CrashPoint {
        let before = operation("nothing more", Path::new(""));
        CrashPoint { syncs: self.syncs(), before, image: self.image(), in_flight: None }
    }

    /// The disk as it stands.
    pub fn image(&self) -> Image {
        self.state.lock().image.clone()
    }

    /// How many files and directories were synced so far.
    pub fn syncs(&self) -> u64 {
        self.count(OpKind::Sync)
    }

    /// How many operations of this kind there were so far.
    pub fn count(&self, kind: OpKind) -> u64 {
        let [read, write, sync, name] = self.state.lock().counts;
        match kind {
            OpKind::Read => read,
            OpKind::Write => write,
            OpKind::Sync => sync,
            OpKind::Name => name,
        }
    }

    /// True once a planned [`Fault::Off`] has happened.
    pub fn is_off(&self) -> bool {
        self.state.lock().off
    }

    /// Time that slow operations took since the last call.
    pub fn take_elapsed(&self) -> Duration {
        std::mem::take(&mut self.state.lock().elapsed)
    }

    /// A hash of every operation so far and what became of it: equal for equal seeds.
    pub fn trace(&self) -> u64 {
        self.state.lock().trace
    }

    /// Turns over one bit of a file, on the platter and in the page cache. False if there is no such byte.
    pub fn flip(&self, path: &Path, byte: u64, bit: u8) -> bool {
        let mut state = self.state.lock();
        let Some(inode) = state.image.lookup(path) else { return false };
        state.image.file_mut(inode).is_some_and(|file| {
            file.synced.flip(byte, bit);
            file.written.flip(byte, bit)
        })
    }
}

impl State {
    /// Counts an operation, keeps a crash point, and says which fault it is to show.
    fn begin(
        &mut self,
        kind: OpKind,
        operation: Operation,
        in_flight: Option<(Inode, &FileOp)>,
    ) -> Result<Option<Fault>, io::Error> {
        if self.off {
            return Err(fault::power_off());
        }
        let verb = operation.verb.as_bytes().first().copied().unwrap_or(0);
        self.note(u64::from(verb) << 56 ^ operation.position << 24 ^ operation.len);
        let [read, write, sync, name] = &mut self.counts;
        let syncs = *sync;
        let count = match kind {
            OpKind::Read => read,
            OpKind::Write => write,
            OpKind::Sync => sync,
            OpKind::Name => name,
        };
        let number = *count;
        *count += 1;
        if kind != OpKind::Read
            && let Some(points) = &mut self.points
        {
            let in_flight = in_flight.map(|(inode, op)| (inode, op.clone()));
            points.push(CrashPoint { syncs, before: operation, image: self.image.clone(), in_flight });
        }
        let planned = self.plan.iter().position(|p| p.kind == kind && p.at == number);
        let Some(fault) = planned.map(|index| self.plan.swap_remove(index).fault) else { return Ok(None) };
        self.note(fault as u64 + 1);
        match fault {
            Fault::Slow => self.elapsed += SLOW,
            Fault::Off => self.off = true,
            Fault::Io | Fault::NoSpace => {}
        }
        match fault {
            Fault::Off => Err(fault::power_off()),
            Fault::Slow => Ok(None),
            Fault::Io | Fault::NoSpace => Ok(Some(fault)),
        }
    }

    /// As [`State::begin`] for an operation that does nothing at all when it fails.
    fn begin_or_fail(&mut self, kind: OpKind, operation: Operation) -> io::Result<()> {
        match self.begin(kind, operation, None)?.and_then(fault::error) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn note(&mut self, what: u64) {
        self.trace = mix(self.trace ^ what);
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Makes a change to a file: visible at once, durable later.
    fn change(&mut self, inode: Inode, op: FileOp) -> io::Result<()> {
        let seq = self.next_seq();
        let file = self.image.file_mut(inode).ok_or(io::ErrorKind::NotFound)?;
        op.apply(&mut file.written);
        file.pending.push((seq, op));
        Ok(())
    }

    /// Does a part of an operation that then fails.
    fn change_in_part(&mut self, inode: Inode, op: &FileOp) {
        if let FileOp::Write { position, bytes } = op {
            let part = bytes.split_at(self.rng.index(bytes.len() + 1)).0.into();
            // A handle's file is there as long as the handle is; a failure here is the failure that is on its way.
            let _ = self.change(inode, FileOp::Write { position: *position, bytes: part });
        }
    }

    fn rename_in(&mut self, dir: Inode, op: NameOp) -> io::Result<()> {
        let seq = self.next_seq();
        let dir = self.image.dir_mut(dir).ok_or(io::ErrorKind::NotFound)?;
        op.apply(&mut dir.written);
        dir.pending.push((seq, op));
        Ok(())
    }

    /// Makes a file or directory durable.
    fn sync(&mut self, inode: Inode) -> io::Result<()> {
        if let Some(file) = self.image.file_mut(inode) {
            // Not a copy of `written`: what a failed sync lost stays lost.
            for (_, op) in std::mem::take(&mut file.pending) {
                op.apply(&mut file.synced);
            }
            return Ok(());
        }
        let dir = self.image.dir_mut(inode).ok_or(io::ErrorKind::NotFound)?;
        for (_, op) in std::mem::take(&mut dir.pending) {
            op.apply(&mut dir.synced);
        }
        Ok(())
    }

    /// Loses what a failed sync should have made durable, but for the part the device happened to have taken.
    fn fail_sync(&mut self, inode: Inode) {
        let mut rng = self.rng.fork(inode.0);
        if let Some(file) = self.image.file_mut(inode) {
            for (_, op) in std::mem::take(&mut file.pending) {
                if rng.chance(1, 2) {
                    crash::tear(&op, &mut file.synced, &mut rng);
                }
            }
        } else if let Some(dir) = self.image.dir_mut(inode) {
            for (_, op) in std::mem::take(&mut dir.pending) {
                if rng.chance(1, 2) {
                    op.apply(&mut dir.synced);
                }
            }
        }
    }

    fn sync_or_fail(&mut self, inode: Inode, operation: Operation) -> io::Result<()> {
        match self.begin(OpKind::Sync, operation, None)?.and_then(fault::error) {
            Some(error) => {
                self.fail_sync(inode);
                Err(error)
            }
            None => self.sync(inode),
        }
    }

    /// The directory and the last name of a path.
    fn parent_of(&self, path: &Path) -> io::Result<(Inode, Arc<str>)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.image.lookup(path.parent().unwrap_or_else(|| Path::new("")));
        let parent = parent.ok_or(io::ErrorKind::NotFound)?;
        Ok((parent, name.into()))
    }

    fn find(&self, path: &Path) -> io::Result<Inode> {
        self.image.lookup(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&mut self, path: &Path, node: Node) -> io::Result<Inode> {
        let (parent, name) = self.parent_of(path)?;
        let inode = self.image.add(node);
        self.rename_in(parent, NameOp::Link { name, to: inode })?;
        Ok(inode)
    }
}

fn operation(verb: &'static str, path: &Path) -> Operation {
    Operation { verb, path: path.into(), position: 0, len: 0 }
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
        Ok(state.image.file(self.inode).map_or(0, |file| file.written.read(buf, position)))
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

/// What a slow operation takes.
const SLOW: Duration = Duration::from_millis(100);
