//! Space reserved ahead of the active segment's end. A write inside it changes no metadata, so that a flush needs no
//! journal commit: half the cost of a small durable append. The steps grow with the load, or 10,000 partitions that
//! hardly ever get a record would eat the disk.

use std::io;

use crate::disk::File;

/// The first step, once this much has been appended.
const FIRST_STEP: u64 = 64 << 10;
/// The largest step.
const LAST_STEP: u64 = 16 << 20;

/// How far the active segment's file reaches beyond what was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    /// Size of the file.
    reserved: u64,
    /// The next step; 0 as long as too little was appended.
    step: u64,
    /// Bytes appended without a reservation.
    appended: u64,
}

impl Reservation {
    /// For a file of `size` bytes, all of them written.
    pub(crate) fn none(size: u64) -> Self {
        Self { reserved: size, step: 0, appended: 0 }
    }

    /// For a file that is to be reserved as a whole (`preallocate`).
    pub(crate) fn whole(size: u64, segment_bytes: u64) -> Self {
        Self { reserved: size, step: segment_bytes, appended: 0 }
    }

    /// True if the file is longer than what was written to it.
    pub(crate) fn reaches_beyond(&self, end: u64) -> bool {
        self.reserved > end
    }

    /// Sees to it that a write up to `end` finds its place. Never reserves beyond `limit`, the size of a segment.
    pub(crate) fn extend(&mut self, file: &dyn File, end: u64, limit: u64) -> io::Result<()> {
        if end <= self.reserved {
            return Ok(());
        }
        self.appended += end - self.reserved;
        if self.step == 0 && self.appended >= FIRST_STEP {
            self.step = FIRST_STEP;
        }
        let target = end.saturating_add(self.step).min(limit);
        if self.step == 0 || target <= end {
            self.reserved = end;
            return Ok(());
        }
        match file.reserve(target) {
            Ok(()) => {
                self.reserved = target;
                self.step = (self.step * 2).min(LAST_STEP);
            }
            // Not so much is left: the write alone may still fit.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => *self = Self::none(end),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The file has been cut to `end`.
    pub(crate) fn given_back(&mut self, end: u64) {
        *self = Self::none(end);
    }
}
