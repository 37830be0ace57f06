//! Removing segments at the front of the log: because they are too old or too many, or because records were deleted.
//!
//! The log start is made durable before the first name changes. So whatever combination of old names a crash brings
//! back, everything below the log start is known to be gone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ottla_record::{Monotonic, Now, Offset, Timestamp};

use crate::disk::{Disk, OpenMode};
use crate::error::{AtPath, StorageError};
use crate::file_names::{DELETED_SUFFIX, FileKind, FileName, with_suffix};
use crate::log::Log;
use crate::segment::Segment;
use crate::whole_file;

/// A segment that has left the log. Its files wait under another name for readers that still have them open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedSegment {
    /// The files under their names now.
    pub files: Vec<PathBuf>,
    /// Bytes of batches.
    pub bytes: u64,
    /// When they may be removed (`file.delete.delay.ms`).
    pub due: Monotonic,
}

impl DeletedSegment {
    /// Removes the files. What a crash leaves of them goes at the next start.
    pub fn remove(&self, disk: &dyn Disk) -> Result<(), StorageError> {
        for file in &self.files {
            whole_file::remove(disk, file).at(file)?;
        }
        Ok(())
    }
}

impl Log {
    /// Removes whole segments that are beyond the retention by time or size, or lie below the log start: oldest first,
    /// none that reaches above the high watermark. If all of them go, an empty one takes their place.
    pub fn retain(&mut self, high_watermark: Offset, now: Now) -> Result<Vec<DeletedSegment>, StorageError> {
        if self.poisoned {
            return Ok(Vec::new());
        }
        let mut excess = match self.config.retention_bytes.filter(|_| self.config.delete_expired) {
            Some(retained) => self.size_bytes().saturating_sub(retained),
            None => 0,
        };
        let mut count = 0;
        while let Some(segment) = self.segments.get(count) {
            let next = self.segments.get(count + 1);
            let (end, size, newest) = match next {
                Some(next) => (next.base(), segment.size(), segment.max_timestamp().map(|max| max.timestamp)),
                None => {
                    let newest = self.active.indexer.max_timestamp().map(|max| max.timestamp);
                    (self.log_end, self.active.end, newest)
                }
            };
            let too_much = size > 0 && excess >= size;
            let expired = self.config.delete_expired && self.is_expired(newest, now.wall);
            let below_start = next.is_some() && end <= self.log_start;
            let wanted = below_start || too_much || expired;
            // An empty active segment is what is left when everything else has gone.
            if !wanted || end > high_watermark || next.is_none() && size == 0 {
                break;
            }
            excess = excess.saturating_sub(size);
            count += 1;
        }
        if count == self.segments.len() {
            self.roll(self.log_end, now.wall)?;
        }
        self.delete_front(count, now)
    }

    fn is_expired(&self, newest: Option<Timestamp>, wall: Timestamp) -> bool {
        // Without a timestamp, the time at which the segment was created or the log opened is the best that is known.
        let newest = newest.unwrap_or(self.active.since);
        self.config.retention_ms.is_some_and(|retained| wall.millis_since(newest) > retained)
    }

    /// Raises the log start (DeleteRecords, or a follower hearing of its leader's), durably, and removes the segments
    /// below it. Never above the high watermark, and never back.
    pub fn advance_log_start(
        &mut self,
        to: Offset,
        high_watermark: Offset,
        now: Now,
    ) -> Result<Vec<DeletedSegment>, StorageError> {
        let to = to.min(high_watermark).min(self.log_end);
        if self.poisoned || to <= self.log_start {
            return Ok(Vec::new());
        }
        let below = self.segments.iter().skip(1).take_while(|next| next.base() <= to).count();
        // A start after a crash removes what lies below the log start.
        let first_kept = self.segments.get(below).map(|segment| segment.base());
        if let Some(first_kept) = first_kept.filter(|_| below > 0) {
            let kept = self.keep_snapshot(first_kept);
            self.poisoned |= kept.is_err();
            kept?;
        }
        self.raise_log_start(to)?;
        self.delete_front(below, now)
    }

    fn raise_log_start(&mut self, to: Offset) -> Result<(), StorageError> {
        let result = self.root.store_log_start(&self.name, to);
        self.poisoned |= result.is_err();
        result?;
        self.log_start = self.log_start.max(to);
        self.epochs_dirty |= self.epochs.truncate_from_start(self.log_start);
        Ok(())
    }

    /// Takes the first `count` segments out of the log.
    fn delete_front(&mut self, count: usize, now: Now) -> Result<Vec<DeletedSegment>, StorageError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let result = self.try_delete_front(count, now);
        self.poisoned |= result.is_err();
        self.debug_check();
        result
    }

    fn try_delete_front(&mut self, count: usize, now: Now) -> Result<Vec<DeletedSegment>, StorageError> {
        let Some(first_kept) = self.segments.get(count).map(|segment| segment.base()) else {
            return Ok(Vec::new());
        };
        self.keep_snapshot(first_kept)?;
        self.raise_log_start(first_kept.max(self.log_start))?;
        // What is gone needs no flush (with `os` it may never have had one).
        self.flushed_end = self.flushed_end.max(first_kept);
        let (gone, kept) = self.segments.split_at(count);
        let (gone, kept) = (gone.to_vec(), kept.to_vec());
        self.replace_segments(kept);
        self.unflushed.retain(|unflushed| !contains(&gone, &unflushed.segment));
        self.unsynced_indexes.retain(|segment| !contains(&gone, segment));
        let due = now.monotonic + Duration::from_millis(self.config.file_delete_delay_ms);
        let mut deleted = Vec::with_capacity(gone.len());
        for segment in &gone {
            deleted.push(DeletedSegment {
                files: self.rename_away(segment, &FileKind::ALL)?,
                bytes: segment.size(),
                due,
            });
        }
        for segment in &gone {
            self.snapshots.remove(&segment.base());
            self.unsynced_snapshots.retain(|offset| *offset != segment.base());
        }
        // A snapshot below the log start is of no more use.
        self.remove_snapshots(|offset| offset < first_kept)?;
        Ok(deleted)
    }

    /// What is known of the producers whose batches go is in the snapshot of the first segment that stays: durable before they go.
    pub(crate) fn keep_snapshot(&mut self, first_kept: Offset) -> Result<(), StorageError> {
        if !self.unsynced_snapshots.contains(&first_kept) {
            return Ok(());
        }
        let path = self.path_of(FileName { base: first_kept, kind: FileKind::ProducerSnapshot }.to_string());
        let disk = self.root.disk();
        let file = disk.open(&path, OpenMode::Write).at(&path)?;
        for result in disk.sync_files(&[file]) {
            result.at(&path)?;
        }
        disk.sync_dir(&self.dir).at(&*self.dir)?;
        self.unsynced_snapshots.retain(|offset| *offset != first_kept);
        Ok(())
    }

    /// Renames a segment's files. Open files stay readable; nothing is opened under the old names any more.
    pub(crate) fn rename_away(
        &self,
        segment: &Segment,
        kinds: &[FileKind],
    ) -> Result<Vec<PathBuf>, StorageError> {
        segment.files.retire();
        let mut renamed = Vec::new();
        for kind in kinds {
            let path = segment.files.final_path(*kind);
            let deleted = with_suffix(&path, DELETED_SUFFIX);
            match self.root.disk().rename(&path, &deleted) {
                Ok(()) => renamed.push(deleted),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).at(path),
            }
        }
        Ok(renamed)
    }
}

pub(crate) fn contains(segments: &[Arc<Segment>], segment: &Arc<Segment>) -> bool {
    segments.iter().any(|other| Arc::ptr_eq(other, segment))
}

#[cfg(test)]
mod tests;
