//! The simulated disk: the [`Disk`] port over an [`Image`] in memory. It counts every sync, can stop before any
//! operation, fails by schedule, and hands out the image at every moment a crash could hit.

mod content;
mod crash;
mod fault;
mod image;
mod moment;
mod port;
mod state;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla_storage::Disk;
use parking_lot::Mutex;

pub use self::content::Content;
pub use self::crash::Survival;
pub use self::fault::{Fault, OpKind, Planned};
pub use self::image::Image;
use self::moment::operation;
pub use self::moment::{CrashPoint, Operation};
use self::state::State;

#[cfg(test)]
mod tests;

/// The simulated disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// A disk that starts from `image`. The seed decides what is left of operations that fail.
    pub fn new(image: Image, seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(image, seed))) }
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

    /// Forgets faults that have not happened yet; reads are whole and there is room again.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.plan.clear();
        state.short_reads = 0;
        state.capacity = u64::MAX;
    }

    /// Makes one read in `one_in` return only a part of what it was asked for, as `pread` may; 0 for none.
    pub fn shorten_reads(&self, one_in: u64) {
        self.state.lock().short_reads = one_in;
    }

    /// The kernel drops from the page cache whatever it holds to be clean.
    pub fn evict(&self) {
        // All of it: nothing is drawn that would matter.
        self.state.lock().image.evict((1, 1), &mut crate::rng::Rng::new(0));
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

    /// True once a planned [`Fault::Off`] or [`Fault::OffMidway`] has happened.
    pub fn is_off(&self) -> bool {
        self.state.lock().off
    }

    /// Does something that is not counted and that no fault meets: the checker's reading.
    pub fn quietly<T>(&self, read: impl FnOnce() -> T) -> T {
        self.state.lock().quiet = true;
        let found = read();
        self.state.lock().quiet = false;
        found
    }

    /// How many syncs have failed so far.
    pub fn failed_syncs(&self) -> u64 {
        self.state.lock().failed_syncs
    }

    /// Time that slow operations took since the last call.
    pub fn take_elapsed(&self) -> Duration {
        std::mem::take(&mut self.state.lock().elapsed)
    }

    /// A hash of every operation so far and what became of it: equal for equal seeds.
    pub fn trace(&self) -> u64 {
        self.state.lock().trace
    }

    /// One byte of a file as a reader sees it.
    pub fn byte(&self, path: &Path, at: u64) -> Option<u8> {
        let state = self.state.lock();
        let mut byte = [0];
        let read = state.image.file(state.image.lookup(path)?)?.written.read(&mut byte, at);
        (read > 0).then_some(byte[0])
    }

    /// Turns over one bit of a file, on the platter, in the page cache, and on its way from one to the other. False if
    /// there is no such byte.
    pub fn flip(&self, path: &Path, byte: u64, bit: u8) -> bool {
        let mut state = self.state.lock();
        let Some(inode) = state.image.lookup(path) else { return false };
        state.image.file_mut(inode).is_some_and(|file| file.flip(byte, bit))
    }
}
