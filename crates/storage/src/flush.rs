//! Making appends durable. The log says what must be synced ([`Log::begin_flush`]), the caller has it done in whatever
//! grouping is cheapest, and reports back ([`Log::complete_flush`]). Only then is anything acknowledged.

use std::path::PathBuf;
use std::sync::Arc;

use ottla_record::Offset;

use crate::disk::{Disk, File};
use crate::error::{AtPath, StorageError};
use crate::log::Log;
use crate::segment::Segment;

/// What must be synced so that everything below `end` survives a power cut.
#[derive(Clone, Debug)]
pub struct FlushJob {
    /// Files to sync, oldest segment first.
    pub files: Vec<Arc<dyn File>>,
    /// Directories to sync as well: they hold the name of a new segment.
    pub dirs: Vec<PathBuf>,
    /// What is durable then.
    pub end: Offset,
}

impl FlushJob {
    /// Does it. After an error nothing is known about the bytes since the last flush: the log must be
    /// [poisoned](Log::poison), never flushed again.
    pub fn run(&self, disk: &dyn Disk) -> Result<(), StorageError> {
        for result in disk.sync_files(&self.files) {
            result.at(self.dirs.first().cloned().unwrap_or_default())?;
        }
        for dir in &self.dirs {
            disk.sync_dir(dir).at(dir)?;
        }
        Ok(())
    }
}

/// A segment with bytes that have not been flushed. It keeps the file open: the error of a failed write-back is
/// reported to descriptors that were open when it happened.
#[derive(Debug)]
pub(crate) struct Unflushed {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn File>,
    /// The end of the segment's offsets, if it is sealed.
    pub(crate) sealed_at: Option<Offset>,
}

impl Log {
    /// What must be synced to make everything appended so far durable; `None` if nothing is left to do, or the log is
    /// poisoned. A second job may be taken while one runs; each is complete in itself.
    pub fn begin_flush(&mut self) -> Option<FlushJob> {
        if self.poisoned || self.flushed_end == self.log_end {
            return None;
        }
        if self.begun_flushes.last().is_none_or(|(end, _)| *end != self.log_end) {
            self.begun_flushes.push((self.log_end, self.appended_bytes));
        }
        Some(FlushJob {
            files: self.unflushed.iter().map(|unflushed| Arc::clone(&unflushed.file)).collect(),
            dirs: if self.newest_unsynced_base.is_some() { vec![self.dir.to_path_buf()] } else { Vec::new() },
            end: self.log_end,
        })
    }

    /// A job with this end has been done. One that was begun before a truncation says nothing about what was appended
    /// since, and is not counted.
    pub fn complete_flush(&mut self, end: Offset) {
        if let Some(void) = self.void_flushes.iter().position(|void| *void == end) {
            self.void_flushes.swap_remove(void);
            return;
        }
        let covered =
            self.begun_flushes.iter().filter(|(begun, _)| *begun <= end).map(|(_, bytes)| *bytes).max();
        self.begun_flushes.retain(|(begun, _)| *begun > end);
        let end = end.min(self.log_end);
        if self.poisoned || end <= self.flushed_end {
            return;
        }
        self.flushed_end = end;
        self.flushed_bytes = self.flushed_bytes.max(covered.unwrap_or(0));
        self.unflushed.retain(|unflushed| unflushed.sealed_at.unwrap_or(self.log_end) > end);
        if self.newest_unsynced_base.is_some_and(|base| base < end) {
            self.newest_unsynced_base = None;
        }
        self.debug_check();
    }

    /// Takes the log offline for writing after a failed write or flush. What was flushed before stays readable; what
    /// comes after it is unknown.
    pub fn poison(&mut self) {
        self.poisoned = true;
    }

    /// True if a write or flush has failed.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}
