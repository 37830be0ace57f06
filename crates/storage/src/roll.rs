//! Sealing the active segment and starting the next one (Kafka's `LogSegment.shouldRoll`).

use std::sync::Arc;

use ottla_record::{Now, Offset, Timestamp};

use crate::disk::File;
use crate::error::{AtPath, StorageError};
use crate::file_names::{FileKind, FileName};
use crate::flush::Unflushed;
use crate::index_file::IndexEntry;
use crate::log::{Active, Log};
use crate::offset_index::OffsetEntry;
use crate::producer_rebuild;
use crate::reservation::Reservation;
use crate::segment::{Indexer, Segment};
use crate::time_index::TimeEntry;
use crate::whole_file;

impl Log {
    /// Rolls the active segment if it has waited longer than `segment.ms` by the broker's clock: also without new
    /// records, so that retention can take what is in it. True if it did.
    pub fn roll_if_due(&mut self, now: Now) -> Result<bool, StorageError> {
        if self.poisoned || self.active.end == 0 || !self.is_time_to_roll(Some(now.wall), now.wall) {
            return Ok(false);
        }
        self.roll(self.log_end, now.wall)?;
        Ok(true)
    }

    pub(crate) fn must_roll(
        &self,
        bytes: u64,
        last_offset: Offset,
        newest: Option<Timestamp>,
        wall: Timestamp,
    ) -> bool {
        let active = &self.active;
        let index_bytes = u64::from(self.config.segment_index_bytes);
        let full = |entries: u32, size: usize| (u64::from(entries) + 1) * size as u64 >= index_bytes;
        let index_full = full(active.segment.offsets.len(), OffsetEntry::SIZE)
            || full(active.segment.times.len() + 1, TimeEntry::SIZE);
        // An index holds offsets relative to the base in 31 bits (Kafka's are signed).
        let offset_overflow = last_offset - active.segment.base() > i64::from(i32::MAX);
        if offset_overflow {
            // An empty segment whose base is too far below is replaced as well.
            return active.end > 0 || active.segment.base() < self.log_end;
        }
        let full = active.end + bytes > u64::from(self.config.segment_bytes) || index_full;
        active.end > 0 && (full || self.is_time_to_roll(newest, wall))
    }

    /// `segment.ms` counts between the timestamps of the first batch and the newest one; without timestamps, by the
    /// broker's clock since the segment was created.
    fn is_time_to_roll(&self, newest: Option<Timestamp>, wall: Timestamp) -> bool {
        let limit = self.config.segment_ms.saturating_sub(self.config.segment_jitter_ms);
        match (self.active.first_timestamp, newest) {
            (Some(Some(first)), Some(newest)) => newest.millis_since(first) > limit,
            (Some(Some(_)), None) => false,
            _ => wall.millis_since(self.active.since) > limit,
        }
    }

    /// Seals the active segment and starts one at `base`. On an error the log is poisoned.
    pub(crate) fn roll(&mut self, base: Offset, wall: Timestamp) -> Result<(), StorageError> {
        let result = self.try_roll(base, wall);
        self.poisoned |= result.is_err();
        self.debug_check();
        result
    }

    fn try_roll(&mut self, base: Offset, wall: Timestamp) -> Result<(), StorageError> {
        self.seal()?;
        // What producers did up to here is in the snapshot; recovery reads on from the new segment.
        let _durable_later = self.write_snapshot(base)?;
        if base <= self.log_start {
            // All that was is deleted, and a start after a crash removes it.
            self.keep_snapshot(base)?;
        }
        self.start_segment(base, wall)
    }

    /// The active segment gets its last time entry, loses what was reserved, and is not written to again.
    pub(crate) fn seal(&mut self) -> Result<(), StorageError> {
        let segment = Arc::clone(&self.active.segment);
        let path = segment.files.path(FileKind::Log);
        self.active.indexer.note_max_timestamp(&segment);
        segment.write_indexes().at(&path)?;
        segment.offsets.shrink();
        segment.times.shrink();
        if self.active.reservation.reaches_beyond(self.active.end) {
            let file = match self.unflushed.last() {
                Some(unflushed) if unflushed.sealed_at.is_none() => Arc::clone(&unflushed.file),
                _ => segment.log_file().at(&path)?,
            };
            file.set_len(self.active.end).at(&path)?;
            self.active.reservation.given_back(self.active.end);
            // The cut is a change of the file like any other.
            if self.unflushed.last().is_none_or(|unflushed| unflushed.sealed_at.is_some()) {
                self.unflushed.push(Unflushed { segment: Arc::clone(&segment), file, sealed_at: None });
            }
        }
        segment.set_size(self.active.end);
        if let Some(unflushed) = self.unflushed.last_mut() {
            unflushed.sealed_at.get_or_insert(self.log_end);
        }
        self.unsynced_indexes.push(segment);
        Ok(())
    }

    /// Creates an empty active segment behind the others.
    pub(crate) fn start_segment(&mut self, base: Offset, wall: Timestamp) -> Result<(), StorageError> {
        let segment = Arc::new(Segment::new(self.root.disk(), self.root.handles(), &self.dir, base));
        let path = segment.files.path(FileKind::Log);
        let (file, created) = segment.files.get_or_create(FileKind::Log).at(&path)?;
        if !created {
            // Left by a crash between the creation and the first flush.
            file.set_len(0).at(&path)?;
        }
        self.newest_unsynced_base = Some(base);
        let mut segments: Vec<_> = self.segments.to_vec();
        segments.push(Arc::clone(&segment));
        self.replace_segments(segments);
        let segment_bytes = u64::from(self.config.segment_bytes);
        self.active = Active {
            segment,
            end: 0,
            reservation: if self.config.preallocate {
                Reservation::whole(0, segment_bytes)
            } else {
                Reservation::none(0)
            },
            indexer: Indexer::starting(None),
            first_timestamp: None,
            since: wall,
        };
        Ok(())
    }

    /// Writes the state of the producers at `offset`, the log end. Durable with the next checkpoint.
    pub(crate) fn write_snapshot(&mut self, offset: Offset) -> Result<Arc<dyn File>, StorageError> {
        let path = self.path_of(FileName { base: offset, kind: FileKind::ProducerSnapshot }.to_string());
        let file = producer_rebuild::write_snapshot(&**self.root.disk(), &path, &self.producers)?;
        self.snapshots.insert(offset);
        self.unsynced_snapshots.push(offset);
        self.bytes_since_snapshot = 0;
        Ok(file)
    }

    /// Removes the snapshots for which `gone` holds. The names are gone for good with the next sync of the directory.
    pub(crate) fn remove_snapshots(&mut self, gone: impl Fn(Offset) -> bool) -> Result<(), StorageError> {
        let (removed, kept) = self.snapshots.iter().partition(|offset| gone(**offset));
        self.snapshots = kept;
        let removed: std::collections::BTreeSet<Offset> = removed;
        self.unsynced_snapshots.retain(|offset| !removed.contains(offset));
        for base in removed {
            let path = self.path_of(FileName { base, kind: FileKind::ProducerSnapshot }.to_string());
            whole_file::remove(&**self.root.disk(), &path).at(path)?;
        }
        Ok(())
    }
}
