//! Cutting off the end of the log: what a follower does with records that its leader does not have.
//!
//! First the recovery point and the epoch file are lowered, durably: a crash after the cut must not look like damage
//! below the recovery point. Then the files are cut. What is appended next goes to a new file, so that a reader of an
//! older view meets the end of the file and never other bytes at the same place.

use std::sync::Arc;

use ottla_record::{Offset, Timestamp};

use crate::error::{AtPath, OpenError, ReadError, StorageError};
use crate::file_names::{FileKind, FileName};
use crate::handles::SegmentFiles;
use crate::index_file::IndexFile;
use crate::log::Log;
use crate::producer_rebuild::{RebuildBounds, rebuild_producers};
use crate::producer_state::ProducerStates;
use crate::retention::contains;
use crate::scan::{BatchScan, Check, Scanned};
use crate::segment::{Indexer, Segment};
use crate::whole_file;

/// Why a log could not be cut. The log is poisoned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TruncateError {
    /// The place of the cut could not be found.
    #[error("the place of the cut could not be found: {0}")]
    Read(#[from] ReadError),
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What is left could not be read again.
    #[error(transparent)]
    Reload(#[from] OpenError),
    /// An earlier write or flush failed.
    #[error("the log is offline since a write or flush failed")]
    Poisoned,
}

impl Log {
    /// Cuts off every record at `offset` or above, and the batch that holds it. The log end is then at or below
    /// `offset` (but not below the log start, unless `offset` is); everything left is durable.
    pub fn truncate_to(&mut self, offset: Offset, wall: Timestamp) -> Result<(), TruncateError> {
        if self.poisoned {
            return Err(TruncateError::Poisoned);
        }
        if offset >= self.log_end {
            return Ok(());
        }
        let first_base = self.segments.first().map_or(self.log_start, |segment| segment.base());
        if offset <= first_base || offset < self.log_start {
            let producers = self.producers_before(offset);
            let result = producers.and_then(|known| self.try_truncate_fully(offset, known, wall));
            return self.finish(result);
        }
        let result = self.try_truncate(offset, wall);
        self.finish(result)
    }

    /// Removes everything; the log starts and ends at `offset` then. `producers` are those that are known to have written
    /// before it: they must not be taken for new ones when they send again what they wrote.
    pub fn truncate_fully_and_start_at(
        &mut self,
        offset: Offset,
        producers: ProducerStates,
        wall: Timestamp,
    ) -> Result<(), TruncateError> {
        if self.poisoned {
            return Err(TruncateError::Poisoned);
        }
        let result = self.try_truncate_fully(offset, producers, wall);
        self.finish(result)
    }

    fn finish(&mut self, result: Result<(), TruncateError>) -> Result<(), TruncateError> {
        self.poisoned |= result.is_err();
        if result.is_ok() {
            self.debug_check();
        }
        result
    }

    fn try_truncate(&mut self, offset: Offset, wall: Timestamp) -> Result<(), TruncateError> {
        let number = self.segments.partition_point(|segment| segment.base() <= offset).saturating_sub(1);
        let end = self.view().end_of(number);
        let Some(cut) = self.segments.get(number).cloned() else { return Ok(()) };
        let (position, log_end) = match cut.find(offset, end)? {
            Some(found) => (found.position, found.header.base_offset().min(offset)),
            // Between the last batch of this segment and the next segment (compaction).
            None => (end, offset),
        };
        if log_end < self.log_start {
            // The batch that goes holds the log start: no record that could be read is left. Some of its records were
            // committed: this log was no truer than its leader's, which was elected without it, and so are its producers.
            return self.try_truncate_fully(self.log_start, ProducerStates::default(), wall);
        }
        if position == 0 && number == 0 {
            // What stood before the cut in the first segment has been compacted away: no record is left, and the offsets
            // up to the cut are not used again.
            let producers = self.producers_before(log_end)?;
            return self.try_truncate_fully(log_end, producers, wall);
        }
        self.lower_marks(log_end)?;
        let gone: Vec<_> = self.segments.get(number + 1..).unwrap_or_default().to_vec();
        let mut segments: Vec<_> = self.segments.get(..number).unwrap_or_default().to_vec();
        // The newest first: at every moment the log is a prefix of what it was.
        for segment in gone.iter().rev() {
            self.remove_segment(segment)?;
        }
        if position == 0 && !gone.is_empty() {
            self.sync_names()?;
        }
        if position > 0 {
            segments.push(self.cut_segment(&cut, position, log_end)?);
        } else {
            self.remove_segment(&cut)?;
        }
        self.replace_segments(segments);
        self.restart_at(log_end, wall)?;
        Ok(())
    }

    /// What this log knows of those that wrote below an offset.
    fn producers_before(&mut self, offset: Offset) -> Result<ProducerStates, TruncateError> {
        let first_base = self.segments.first().map_or(self.log_start, |segment| segment.base());
        if offset < first_base {
            return Ok(ProducerStates::default());
        }
        self.active.segment.set_size(self.active.end);
        let bounds = RebuildBounds { first_base, log_end: offset, transactions_from: None };
        let disk = Arc::clone(self.root.disk());
        Ok(rebuild_producers(&*disk, &self.dir, &self.segments, &mut self.snapshots, bounds)?.states)
    }

    fn try_truncate_fully(
        &mut self,
        offset: Offset,
        producers: ProducerStates,
        wall: Timestamp,
    ) -> Result<(), TruncateError> {
        self.producers = producers;
        let snapshot = (self.producers.iter().len() > 0).then_some(offset);
        if snapshot.is_some() {
            // Durable before the cut: nobody tells a log that begins there once more.
            let file = self.write_snapshot(offset)?;
            for result in self.root.disk().sync_files(&[file]) {
                result.at(&*self.dir)?;
            }
            self.sync_names()?;
        }
        self.lower_marks(Offset::ZERO)?;
        self.root.store_log_start(&self.name, offset)?;
        for (number, segment) in self.segments.to_vec().iter().enumerate().rev() {
            if number == 0 && self.segments.len() > 1 {
                self.sync_names()?;
            }
            self.remove_segment(segment)?;
        }
        self.replace_segments(Vec::new());
        self.log_start = offset;
        self.end_at(offset);
        self.remove_snapshots(|at| Some(at) != snapshot)?;
        self.restart_at(offset, wall)
    }

    /// A power cut may undo the removal of any name. The first segment goes only when the others are gone for good, or
    /// the log would begin at one of them.
    fn sync_names(&self) -> Result<(), StorageError> {
        self.root.disk().sync_dir(&self.dir).at(&*self.dir)
    }

    /// What must be durable before the cut.
    fn lower_marks(&mut self, log_end: Offset) -> Result<(), StorageError> {
        self.root.lower_cleaned_to(&self.name, log_end)?;
        self.root.lower_high_watermark(&self.name, log_end)?;
        self.recovery_point = self.recovery_point.min(log_end);
        self.root.lower_recovery_point(&self.name, self.recovery_point)?;
        self.epochs.truncate_from_end(log_end);
        self.store_epochs()
    }

    /// Opens a new active segment at the end of what is left and makes all of it durable.
    fn restart_at(&mut self, log_end: Offset, wall: Timestamp) -> Result<(), TruncateError> {
        self.end_at(log_end);
        self.start_segment(log_end, wall)?;
        let disk = Arc::clone(self.root.disk());
        let first_base = self.segments.first().map_or(self.log_start, |segment| segment.base());
        let bounds = RebuildBounds { first_base, log_end, transactions_from: None };
        let rebuilt = rebuild_producers(&*disk, &self.dir, &self.segments, &mut self.snapshots, bounds)?;
        self.producers = rebuilt.states;
        self.unsynced_snapshots.retain(|offset| *offset <= log_end);
        let mut files = rebuilt.changed;
        if self.producers.iter().len() > 0 && !self.snapshots.contains(&log_end) {
            // The first of the segments may once be this one.
            files.push(self.write_snapshot(log_end)?);
        }
        // Whatever had not been flushed of what is left, and the cut itself.
        files.extend(self.unflushed.iter().map(|unflushed| Arc::clone(&unflushed.file)));
        if let [.., cut, _] = self.segments.as_slice() {
            let path = cut.files.path(FileKind::Log);
            files.push(cut.log_file().at(&path)?);
            files.extend(cut.index_files().at(&path)?);
        }
        for result in disk.sync_files(&files) {
            result.at(&*self.dir)?;
        }
        disk.sync_dir(&self.dir).at(&*self.dir)?;
        self.unflushed.clear();
        let void = std::mem::take(&mut self.begun_flushes);
        self.void_flushes.extend(void.into_iter().map(|(end, _)| end));
        self.newest_unsynced_base = None;
        let segments = self.segments.to_vec();
        self.unsynced_indexes.retain(|segment| contains(&segments, segment));
        self.flushed_end = log_end;
        self.flushed_bytes = self.appended_bytes;
        Ok(())
    }

    /// The marks as they are after the cut. If the disk fails before all of it is done, they are in their order all the same.
    fn end_at(&mut self, log_end: Offset) {
        self.log_end = log_end;
        self.flushed_end = self.flushed_end.min(log_end);
    }

    /// Removes a segment whose offsets will be written again. Its file is emptied too: a reader that has it open must
    /// not go on with records that are no longer true.
    fn remove_segment(&self, segment: &Arc<Segment>) -> Result<(), StorageError> {
        let path = segment.files.path(FileKind::Log);
        let file = segment.log_file().at(&path)?;
        segment.files.retire();
        file.set_len(0).at(&path)?;
        for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TransactionIndex] {
            let path = self.path_of(FileName { base: segment.base(), kind }.to_string());
            whole_file::remove(&**self.root.disk(), &path).at(path)?;
        }
        Ok(())
    }

    /// Cuts a segment to `size` bytes and seals it. Views keep the old one, which is retired; the new one has the same
    /// files under its own handles.
    fn cut_segment(
        &self,
        old: &Arc<Segment>,
        size: u64,
        log_end: Offset,
    ) -> Result<Arc<Segment>, StorageError> {
        let path = old.files.path(FileKind::Log);
        let offsets = old.offsets.all(&old.files).at(&path)?;
        let times = old.times.all(&old.files).at(&path)?;
        let aborted = old.aborted.all(&old.files).at(&path)?;
        let (disk, handles) = (Arc::clone(self.root.disk()), Arc::clone(self.root.handles()));
        let files = Arc::new(SegmentFiles::new(disk, handles, Arc::clone(&self.dir), old.base()));
        let file = files.get(FileKind::Log).at(&path)?;
        old.files.retire();
        file.set_len(size).at(&path)?;
        let segment = Segment::of(files, IndexFile::empty(), IndexFile::empty(), IndexFile::empty());
        let below = |offset: Offset| offset < log_end;
        let offsets: Vec<_> = offsets.into_iter().filter(|entry| below(entry.last_offset)).collect();
        let times: Vec<_> = times.into_iter().filter(|entry| below(entry.last_offset)).collect();
        let aborted: Vec<_> = aborted.into_iter().filter(|entry| below(entry.last_offset)).collect();
        // The largest timestamp of what is left becomes the last time entry, as in every sealed segment.
        let from = offsets.last().map_or(0, |entry| u64::from(entry.position));
        let mut indexer = Indexer::starting(times.last().copied());
        segment.offsets.replace(&segment.files, offsets).at(&path)?;
        segment.times.replace(&segment.files, times).at(&path)?;
        if old.aborted.len() > 0 {
            segment.aborted.replace(&segment.files, aborted).at(&path)?;
        }
        let mut scan = BatchScan::new(&*file, from, size);
        while let Scanned::Batch { header, .. } = scan.next(Check::Header).at(&path)? {
            indexer.skip(&header);
        }
        indexer.note_max_timestamp(&segment);
        segment.write_indexes().at(&path)?;
        segment.set_size(size);
        Ok(Arc::new(segment))
    }
}

#[cfg(test)]
mod tests;
