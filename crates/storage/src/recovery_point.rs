//! Raising the recovery point: below it, a start scans nothing. So everything that a scan would rebuild must be durable
//! first: indexes, the epoch file, a producer snapshot, and the names of them all.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ottla_record::Offset;

use crate::disk::{Disk, File, OpenMode};
use crate::error::{AtPath, StorageError};
use crate::file_names::{FileKind, FileName, LEADER_EPOCHS};
use crate::log::Log;
use crate::whole_file;

/// A checkpoint is due after so many flushed bytes.
pub const CHECKPOINT_BYTES: u64 = 64 << 20;
/// A producer snapshot is taken with the first checkpoint after so many bytes, so that no start reads more headers.
const SNAPSHOT_BYTES: u64 = 64 << 20;

/// What must be synced before the recovery point may rise.
#[derive(Clone, Debug)]
pub struct CheckpointJob {
    /// Files to sync.
    pub files: Vec<Arc<dyn File>>,
    /// Directories to sync as well.
    pub dirs: Vec<PathBuf>,
    /// The recovery point then.
    pub recovery_point: Offset,
    /// What had been appended below it.
    flushed_bytes: u64,
    snapshots: Vec<Offset>,
}

impl CheckpointJob {
    /// Does it. After an error the log must be [poisoned](Log::poison).
    pub fn run(&self, disk: &dyn Disk) -> Result<(), StorageError> {
        let dir = self.dirs.first().cloned().unwrap_or_default();
        for result in disk.sync_files(&self.files) {
            result.at(&dir)?;
        }
        for dir in &self.dirs {
            disk.sync_dir(dir).at(dir)?;
        }
        Ok(())
    }
}

impl Log {
    /// True if so much was flushed since the last checkpoint began that the next should not wait for its time. What is
    /// not flushed does not count: a checkpoint could not pass it.
    pub fn is_checkpoint_due(&self) -> bool {
        self.flushed_bytes.saturating_sub(self.checkpointed_bytes) >= CHECKPOINT_BYTES
    }

    /// Begins, does and completes a checkpoint; returns the recovery point, which is noted in the log directory
    /// (durable with [`LogDirectory::store_checkpoints`](crate::LogDirectory::store_checkpoints)).
    pub fn checkpoint(&mut self) -> Result<Offset, StorageError> {
        if let Some(job) = self.begin_checkpoint()? {
            if let Err(error) = job.run(&**self.root.disk()) {
                self.poisoned = true;
                return Err(error);
            }
            self.complete_checkpoint(&job);
        }
        Ok(self.recovery_point)
    }

    /// Writes what waits in memory and says what must be synced to raise the recovery point to the flushed end. `None`
    /// if it stands there already (then an idle log gives back its reserved space and descriptors), or the log is
    /// poisoned.
    pub fn begin_checkpoint(&mut self) -> Result<Option<CheckpointJob>, StorageError> {
        if self.poisoned {
            return Ok(None);
        }
        if self.recovery_point == self.flushed_end {
            if self.flushed_end == self.log_end {
                self.rest()?;
            }
            return Ok(None);
        }
        let result = self.prepare_checkpoint();
        self.poisoned |= result.is_err();
        result.map(Some)
    }

    fn prepare_checkpoint(&mut self) -> Result<CheckpointJob, StorageError> {
        let mut files: Vec<Arc<dyn File>> = Vec::new();
        let active = Arc::clone(&self.active.segment);
        for segment in self.unsynced_indexes.iter().chain([&active]) {
            let path = segment.files.path(FileKind::OffsetIndex);
            segment.write_indexes().at(&path)?;
            files.extend(segment.index_files().at(&path)?);
        }
        // A snapshot must describe the log at its offset, so it is taken at the log end only: recovery ignores it if
        // the log turns out to end below.
        if self.bytes_since_snapshot >= SNAPSHOT_BYTES {
            self.write_snapshot(self.log_end)?;
        }
        let disk = Arc::clone(self.root.disk());
        for offset in &self.unsynced_snapshots {
            let path = self.path_of(FileName { base: *offset, kind: FileKind::ProducerSnapshot }.to_string());
            files.push(disk.open(&path, OpenMode::Write).at(path)?);
        }
        if self.epochs_dirty {
            self.store_epochs()?;
        }
        Ok(CheckpointJob {
            files,
            dirs: vec![self.dir.to_path_buf()],
            recovery_point: self.flushed_end,
            flushed_bytes: self.flushed_bytes,
            snapshots: self.unsynced_snapshots.clone(),
        })
    }

    /// The job has been done.
    pub fn complete_checkpoint(&mut self, job: &CheckpointJob) {
        // A truncation may have come between; it has lowered the recovery point for good.
        let to = job.recovery_point.min(self.flushed_end);
        if self.poisoned || to <= self.recovery_point {
            return;
        }
        self.recovery_point = to;
        self.unsynced_indexes.retain(|segment| segment.base() >= to);
        self.unsynced_snapshots.retain(|offset| !job.snapshots.contains(offset));
        self.checkpointed_bytes = job.flushed_bytes;
        self.root.note_recovery_point(&self.name, to);
        // Of the snapshots between two segment bases only the newest is of use.
        let bases: BTreeSet<Offset> = self.segments.iter().map(|segment| segment.base()).collect();
        let newest_durable = job.snapshots.iter().max().copied();
        if let Some(newest) = newest_durable
            && let Err(error) = self.remove_snapshots(|offset| offset < newest && !bases.contains(&offset))
        {
            tracing::warn!(dir = %self.dir.display(), %error, "an old producer snapshot could not be removed");
        }
        self.debug_check();
    }

    /// Writes the epoch file, durably.
    pub(crate) fn store_epochs(&mut self) -> Result<(), StorageError> {
        let path = self.path_of(LEADER_EPOCHS);
        whole_file::replace(&**self.root.disk(), &path, self.epochs.write().as_bytes()).at(path)?;
        self.epochs_dirty = false;
        Ok(())
    }

    /// Nothing was appended since the last checkpoint: an idle log keeps no reserved space and no descriptor.
    fn rest(&mut self) -> Result<(), StorageError> {
        let segment = Arc::clone(&self.active.segment);
        if self.active.reservation.reaches_beyond(self.active.end) {
            let path = segment.files.path(FileKind::Log);
            segment.log_file().and_then(|file| file.set_len(self.active.end)).at(path)?;
            self.active.reservation.given_back(self.active.end);
        }
        segment.offsets.shrink();
        segment.times.shrink();
        for segment in self.segments.iter() {
            segment.files.close();
        }
        Ok(())
    }

    /// Stops cleanly: everything is flushed, nothing stays reserved, and the recovery point is the log end, so that the
    /// next start has nothing to scan. The caller stores the checkpoints and marks the directory clean, if every log
    /// could be closed: one that is poisoned cannot.
    pub fn close(mut self) -> Result<Offset, StorageError> {
        if self.poisoned {
            let source = io::Error::other("the log is offline since a write or flush failed");
            return Err(source).at(&*self.dir);
        }
        let segment = Arc::clone(&self.active.segment);
        let path = segment.files.path(FileKind::Log);
        let file = segment.log_file().at(&path)?;
        if self.active.reservation.reaches_beyond(self.active.end) {
            file.set_len(self.active.end).at(&path)?;
            self.active.reservation.given_back(self.active.end);
            file.sync().at(&path)?;
        }
        if let Some(job) = self.begin_flush() {
            job.run(&**self.root.disk())?;
            self.complete_flush(job.end);
        }
        // As Kafka does: the largest timestamp, for whoever reads the files, is the last time entry.
        self.active.indexer.note_max_timestamp(&segment);
        if self.snapshots.last() != Some(&self.log_end) {
            self.write_snapshot(self.log_end)?;
        }
        let job = self.prepare_checkpoint()?;
        job.run(&**self.root.disk())?;
        self.complete_checkpoint(&job);
        self.root.note_recovery_point(&self.name, self.recovery_point);
        for segment in self.segments.iter() {
            segment.files.close();
        }
        Ok(self.recovery_point)
    }
}
