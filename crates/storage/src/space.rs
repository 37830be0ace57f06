//! Keeps a reserve of free disk space: below it appends are refused, while reads, retention and metadata go on, so that
//! a full disk never becomes a torn one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ottla_record::Monotonic;

use crate::disk::Disk;
use crate::error::AppendError;

/// How long a look at the file system is believed. What is appended meanwhile is counted.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The free space of one log directory, looked at now and then.
#[derive(Debug)]
pub(crate) struct SpaceGuard {
    reserve: u64,
    free: AtomicU64,
    /// Nanoseconds of the monotonic clock at which `free` is to be read anew.
    look_again: AtomicU64,
}

impl SpaceGuard {
    pub(crate) fn new(reserve: u64) -> Self {
        Self { reserve, free: AtomicU64::new(u64::MAX), look_again: AtomicU64::new(0) }
    }

    /// Takes `bytes` from the free space, or refuses.
    pub(crate) fn take(&self, disk: &dyn Disk, bytes: u64, now: Monotonic) -> Result<(), AppendError> {
        let nanos = |time: Monotonic| u64::try_from(time.since_start().as_nanos()).unwrap_or(u64::MAX);
        if nanos(now) >= self.look_again.load(Ordering::Relaxed)
            // If the file system does not say, the write itself will.
            && let Ok(space) = disk.space()
        {
            self.free.store(space.free, Ordering::Relaxed);
            self.look_again.store(nanos(now + LOOK_EVERY), Ordering::Relaxed);
        }
        let free = self.free.load(Ordering::Relaxed);
        let left = free.checked_sub(bytes).filter(|left| *left >= self.reserve);
        let left = left.ok_or(AppendError::NoSpace { free, reserve: self.reserve })?;
        // Two appends at once may both subtract from the same number: the next look sets it right.
        self.free.store(left, Ordering::Relaxed);
        Ok(())
    }

    /// True if `bytes` more than what is stored now leave the reserve alone; otherwise how much room there is.
    pub(crate) fn room_for(&self, disk: &dyn Disk, bytes: u64) -> Result<(), u64> {
        // If the file system does not say, the write itself will.
        let Ok(space) = disk.space() else { return Ok(()) };
        let room = space.free.saturating_sub(self.reserve);
        if bytes <= room { Ok(()) } else { Err(room) }
    }

    /// After the disk refused a write: look again before the next append.
    pub(crate) fn forget(&self) {
        self.look_again.store(0, Ordering::Relaxed);
    }

    pub(crate) fn refusal(&self) -> AppendError {
        AppendError::NoSpace { free: self.free.load(Ordering::Relaxed), reserve: self.reserve }
    }
}
