//! Opening a log: taking what can be trusted as it is, scanning what cannot, and cutting only what no flush had covered.
//!
//! Below the recovery point everything had been flushed; bytes that are missing or wrong there are damage, and the log
//! is not opened. From the recovery point on, every batch is checked. The first that is not whole and intact ends the
//! log: a power cut leaves any part of what was not synced. What survives is written once more and synced before it
//! counts as flushed: after a mere kill it is in the page cache only, and after a failed sync the page cache may call it
//! clean, so that a sync alone would do nothing.

mod interrupted_swap;
mod segment_scan;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_record::header::BatchHeader;
use ottla_record::{Now, Offset, TopicId};

use crate::checkpoint::TopicPartition;
use crate::config::{LogConfig, LogStart};
use crate::disk::{Disk, EntryKind, File, OpenMode};
use crate::error::{AtPath, OpenError};
use crate::file_names::{
    CLEANED_SUFFIX, DELETED_SUFFIX, FileKind, FileName, LEADER_EPOCHS, PARTITION_METADATA, SWAP_SUFFIX,
    TEMPORARY_SUFFIX,
};
use crate::identity::PartitionMetadata;
use crate::leader_epochs::LeaderEpochs;
use crate::log::{Active, Log};
use crate::log_directory::{LogDirectory, read_topic_id};
use crate::producer_rebuild::{RebuildBounds, rebuild_producers, walk};
use crate::reservation::Reservation;
use crate::scan::{BatchScan, Check, Scanned, written_end};
use crate::segment::{Indexer, Segment, sealed_bytes};
use crate::whole_file;

/// What opening a log took, for one line in the broker's own log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments found.
    pub segments: usize,
    /// Bytes of batches that were read and checked.
    pub scanned_bytes: u64,
    /// Bytes cut off because they were no whole batch, or came after one that was not.
    pub truncated_bytes: u64,
    /// Segments removed because they came after the cut.
    pub removed_segments: usize,
    /// Segments whose indexes were built anew.
    pub rebuilt_indexes: usize,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} segments, {} bytes scanned, {} bytes of a torn tail cut off, {} segments behind it removed, \
             {} indexes rebuilt",
            self.segments,
            self.scanned_bytes,
            self.truncated_bytes,
            self.removed_segments,
            self.rebuilt_indexes
        )
    }
}

impl Log {
    /// Opens (or creates) the log in `dir`, a directory of the root named `<topic>-<partition>`.
    ///
    /// Afterwards everything in it is durable: `flushed_end = log_end`. A torn tail is cut with one warning.
    pub fn open(
        root: &Arc<LogDirectory>,
        dir: PathBuf,
        topic_id: TopicId,
        config: LogConfig,
        start: LogStart,
        now: Now,
    ) -> Result<(Self, Recovery), OpenError> {
        let not_a_partition = || OpenError::Metadata {
            path: dir.clone(),
            reason: "a partition's directory is named <topic>-<number>".to_owned(),
        };
        let name = TopicPartition::from_directory(&dir).ok_or_else(not_a_partition)?;
        prepare_directory(&**root.disk(), &dir, topic_id)?;
        let loader = Loader {
            root,
            dir: dir.into(),
            start,
            interval: u64::from(config.index_interval_bytes),
            report: Recovery::default(),
            segments: Vec::new(),
            epochs: LeaderEpochs::default(),
            epochs_known: false,
            compacted: config.compacted || root.cleaned_to(&name).is_some(),
            transactions_from: None,
            changed: Vec::new(),
        };
        loader.load(name, topic_id, config, now)
    }
}

/// Sees to the directory and its `partition.metadata`, durably.
fn prepare_directory(disk: &dyn Disk, dir: &Path, topic_id: TopicId) -> Result<(), OpenError> {
    let exists = match disk.list(dir) {
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => Err(error).at(dir)?,
    };
    if !exists {
        disk.create_dir(dir).at(dir)?;
    }
    match read_topic_id(disk, dir)? {
        Some(found) if found != topic_id => {
            Err(OpenError::TopicId { path: dir.to_owned(), expected: topic_id, found })
        }
        Some(_) => Ok(()),
        None => {
            // Before the first file: a directory with this file in it has a durable name, whoever was killed meanwhile.
            disk.sync_dir(Path::new("")).at("")?;
            let path = dir.join(PARTITION_METADATA);
            let text = PartitionMetadata { topic_id }.write();
            Ok(whole_file::replace(disk, &path, text.as_bytes()).at(path)?)
        }
    }
}

struct Loader<'a> {
    root: &'a Arc<LogDirectory>,
    dir: Arc<Path>,
    start: LogStart,
    interval: u64,
    report: Recovery,
    segments: Vec<Arc<Segment>>,
    epochs: LeaderEpochs,
    /// False if the epoch file was missing or damaged: then it is rebuilt from all batches.
    epochs_known: bool,
    /// Only a compacted log has gaps.
    compacted: bool,
    /// From here on the transaction indexes are to be built anew.
    transactions_from: Option<Offset>,
    /// Files that were changed or scanned: synced before anything counts as flushed.
    changed: Vec<Arc<dyn File>>,
}

impl Loader<'_> {
    fn disk(&self) -> &dyn Disk {
        &**self.root.disk()
    }

    fn load(
        mut self,
        name: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        now: Now,
    ) -> Result<(Log, Recovery), OpenError> {
        let (bases, mut snapshots) = self.tidy()?;
        self.report.segments = bases.len();
        self.load_epochs()?;
        let mut end = None;
        let bases = self.drop_deleted(bases)?;
        self.check_front(bases.first().copied())?;
        let mut bases = bases.into_iter().peekable();
        while let Some(base) = bases.next() {
            let loaded = self.load_segment(base, bases.peek().copied())?;
            // Records were lost here, or the next segment was created when more had been written than survived.
            let gap = bases.peek().is_some_and(|next_base| *next_base != loaded.next);
            let behind_a_hole = !loaded.complete || gap && loaded.next >= self.start.recovery_point;
            end = Some(loaded);
            if behind_a_hole {
                for base in bases.by_ref() {
                    self.remove_segment(base)?;
                }
            }
        }
        let log_start = self.start.log_start.unwrap_or(Offset::ZERO);
        if self.segments.is_empty() && self.start.recovery_point > log_start {
            return Err(self.corrupt(log_start, 0, log_start, "there is no segment".to_owned()));
        }
        let (mut log_end, mut size, mut indexer) = match end {
            Some(end) => (end.next, end.size, end.indexer),
            None => (log_start, 0, Indexer::starting(None)),
        };
        if log_end.max(log_start) < self.start.recovery_point {
            let base = self.segments.last().map_or(log_start, |segment| segment.base());
            return Err(self.corrupt(base, size, log_end, "the log ends here".to_owned()));
        }
        if log_end < log_start {
            // Acknowledged from the page cache only (`os`), deleted up to the log start, and then lost: what is left
            // lies below the log start.
            for segment in std::mem::take(&mut self.segments) {
                self.remove_segment(segment.base())?;
            }
            (log_end, size, indexer) = (log_start, 0, Indexer::starting(None));
        }
        if self.segments.is_empty() {
            let segment = Segment::new(self.root.disk(), self.root.handles(), &self.dir, log_end);
            segment.files.get_or_create(FileKind::Log).at(segment.files.path(FileKind::Log))?;
            self.segments.push(Arc::new(segment));
        }
        let first_base = self.segments.first().map_or(log_end, |segment| segment.base());
        let log_start = log_start.max(first_base);
        let epochs_dirty = self.settle_epochs(log_start, log_end)?;
        let bounds = RebuildBounds { first_base, log_end, transactions_from: self.transactions_from };
        let rebuilt = rebuild_producers(self.disk(), &self.dir, &self.segments, &mut snapshots, bounds)?;
        self.changed.extend(rebuilt.changed);
        if !self.start.clean {
            // A process that was killed may not have come to sync them, and the recovery point passes them now.
            for base in snapshots.range(self.start.recovery_point..) {
                let path =
                    self.dir.join(FileName { base: *base, kind: FileKind::ProducerSnapshot }.to_string());
                match self.disk().open(&path, OpenMode::Write) {
                    Ok(file) => self.changed.push(file),
                    // It went with a segment behind a hole.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error).at(path)?,
                }
            }
        }
        if !self.start.clean || !self.changed.is_empty() {
            self.sync()?;
        }
        let Some(active) = self.segments.last().cloned() else {
            return Err(self.corrupt(log_start, 0, log_start, "there is no segment".to_owned()));
        };
        let first_timestamp = self.first_timestamp(&active, size)?;
        let reservation = if config.preallocate && size == 0 {
            Reservation::whole(0, u64::from(config.segment_bytes))
        } else {
            Reservation::none(size)
        };
        let mut log = Log {
            root: Arc::clone(self.root),
            dir: self.dir,
            name,
            topic_id,
            config,
            sealed_bytes: sealed_bytes(&self.segments),
            segments: Arc::new(self.segments),
            active: Active {
                segment: active,
                end: size,
                reservation,
                indexer,
                first_timestamp,
                since: now.wall,
            },
            log_start,
            log_end,
            flushed_end: log_end,
            recovery_point: Offset::ZERO,
            unflushed: Vec::new(),
            begun_flushes: Vec::new(),
            void_flushes: Vec::new(),
            newest_unsynced_base: (size == 0).then_some(log_end),
            unsynced_indexes: Vec::new(),
            epochs: self.epochs,
            epochs_dirty,
            producers: rebuilt.states,
            snapshots,
            unsynced_snapshots: Vec::new(),
            bytes_since_snapshot: 0,
            appended_bytes: 0,
            flushed_bytes: 0,
            checkpointed_bytes: 0,
            poisoned: false,
        };
        if log.epochs_dirty {
            log.store_epochs()?;
        }
        // Batches and indexes were synced above: nothing needs a scan any more.
        log.recovery_point = log_end;
        log.root.note_recovery_point(&log.name, log_end);
        if self.report.truncated_bytes > 0 {
            tracing::warn!(
                dir = %log.dir.display(),
                bytes = self.report.truncated_bytes,
                log_end = log_end.get(),
                "a torn tail was cut off: {} bytes that had not been flushed were no whole batch",
                self.report.truncated_bytes
            );
        }
        log.debug_check();
        Ok((log, self.report))
    }

    /// Removes what crashes and deletions have left; returns the bases of the segments and the snapshots' offsets.
    fn tidy(&mut self) -> Result<(BTreeSet<Offset>, BTreeSet<Offset>), OpenError> {
        // The segments that a compacted one replaces may be among those with the name of a deleted file: nothing may go
        // before it is in its place.
        self.finish_swaps()?;
        let mut kinds: Vec<FileName> = Vec::new();
        for entry in self.disk().list(&self.dir).at(&*self.dir)? {
            if entry.kind == EntryKind::Directory {
                continue;
            }
            let leftover = [DELETED_SUFFIX, CLEANED_SUFFIX, SWAP_SUFFIX, TEMPORARY_SUFFIX];
            if leftover.iter().any(|suffix| entry.name.ends_with(suffix)) {
                self.remove(&entry.name)?;
            } else if let Some(name) = FileName::parse(&entry.name) {
                kinds.push(name);
            }
        }
        let of = |kind| kinds.iter().filter(move |name| name.kind == kind).map(|name| name.base);
        let bases: BTreeSet<Offset> = of(FileKind::Log).collect();
        let snapshots = of(FileKind::ProducerSnapshot).collect();
        for name in &kinds {
            let is_index = !matches!(name.kind, FileKind::Log | FileKind::ProducerSnapshot);
            if is_index && !bases.contains(&name.base) {
                self.remove(&name.to_string())?;
            }
        }
        Ok((bases, snapshots))
    }

    /// Segments that lie below the log start have been deleted; of what a crash left of them, the names may be back in
    /// any combination.
    fn drop_deleted(&self, mut bases: BTreeSet<Offset>) -> Result<BTreeSet<Offset>, OpenError> {
        let log_start = self.start.log_start.unwrap_or(Offset::ZERO);
        while let (Some(first), Some(second)) = (bases.first().copied(), bases.iter().nth(1).copied()) {
            if second > log_start {
                break;
            }
            bases.remove(&first);
            for kind in FileKind::ALL {
                self.remove(&FileName { base: first, kind }.to_string())?;
            }
        }
        Ok(bases)
    }

    /// The log start is made durable before a segment leaves the front, so one that is missing there has been lost, unless
    /// it never was durable.
    fn check_front(&self, first: Option<Offset>) -> Result<(), OpenError> {
        let log_start = self.start.log_start.unwrap_or(Offset::ZERO);
        match first {
            Some(first) if first > log_start && self.start.recovery_point > log_start => {
                let reason = format!(
                    "the first segment begins at {first}, and no log start says that those before it were deleted"
                );
                Err(self.corrupt(first, 0, log_start, reason))
            }
            _ => Ok(()),
        }
    }

    fn remove(&self, name: &str) -> Result<(), OpenError> {
        let path = self.dir.join(name);
        whole_file::remove(self.disk(), &path).at(path)?;
        Ok(())
    }

    fn remove_segment(&mut self, base: Offset) -> Result<(), OpenError> {
        let path = self.dir.join(FileName { base, kind: FileKind::Log }.to_string());
        let file = self.disk().open(&path, OpenMode::Read).at(&path)?;
        let len = file.len().at(&path)?;
        self.report.truncated_bytes += written_end(&*file, 0, len).at(&path)?;
        self.report.removed_segments += 1;
        for kind in FileKind::ALL {
            self.remove(&FileName { base, kind }.to_string())?;
        }
        Ok(())
    }

    fn load_epochs(&mut self) -> Result<(), OpenError> {
        let path = self.dir.join(LEADER_EPOCHS);
        let Some(text) = whole_file::read(self.disk(), &path).at(&path)? else { return Ok(()) };
        match LeaderEpochs::read(&text) {
            Ok(epochs) => (self.epochs, self.epochs_known) = (epochs, true),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the leader epochs are read from the batches instead");
            }
        }
        Ok(())
    }

    fn note_epoch(&mut self, header: &BatchHeader) {
        if let Some(epoch) = header.partition_leader_epoch()
            && self.epochs.latest().is_none_or(|latest| latest.epoch < epoch)
        {
            self.epochs.assign(epoch, header.base_offset());
        }
    }

    /// Brings the epochs in line with the log. True if the file must be written.
    fn settle_epochs(&mut self, log_start: Offset, log_end: Offset) -> Result<bool, OpenError> {
        if !self.epochs_known {
            self.epochs = LeaderEpochs::default();
            for segment in self.segments.clone() {
                walk(&segment, log_end, |_, _, header| {
                    self.note_epoch(header);
                    Ok(())
                })?;
            }
        }
        let mut changed = !self.epochs_known && self.epochs.latest().is_some();
        changed |= self.epochs.truncate_from_end(log_end);
        changed |= self.epochs.truncate_from_start(log_start);
        Ok(changed || self.report.scanned_bytes > 0)
    }

    fn first_timestamp(
        &self,
        active: &Segment,
        size: u64,
    ) -> Result<Option<Option<ottla_record::Timestamp>>, OpenError> {
        if size == 0 {
            return Ok(None);
        }
        let path = active.files.path(FileKind::Log);
        let file = active.log_file().at(&path)?;
        match BatchScan::short(&*file, 0, size).next(Check::Header).at(&path)? {
            Scanned::Batch { header, .. } => Ok(Some(header.max_timestamp())),
            _ => Ok(Some(None)),
        }
    }

    /// What survived is made durable, and so are the names, gone and new.
    fn sync(&self) -> Result<(), OpenError> {
        for result in self.disk().sync_files(&self.changed) {
            result.at(&*self.dir)?;
        }
        self.disk().sync_dir(&self.dir).at(&*self.dir)?;
        Ok(())
    }

    fn corrupt(&self, base: Offset, position: u64, offset: Offset, reason: String) -> OpenError {
        let path = self.dir.join(FileName { base, kind: FileKind::Log }.to_string());
        let path = self.disk().root().unwrap_or_default().join(path);
        OpenError::Corrupt { path, position, offset, recovery_point: self.start.recovery_point, reason }
    }
}

#[cfg(test)]
mod tests;
