//! Writing what compaction leaves of a group of segments: a segment of its own, under names that no log reads.

use std::io::{self, IoSlice};
use std::sync::Arc;

use ottla_record::Offset;
use ottla_record::header::BatchHeader;

use super::pass::PassError;
use crate::disk::{File, OpenMode};
use crate::file_names::{CLEANED_SUFFIX, FileKind, SWAP_SUFFIX, with_suffix};
use crate::handles::SegmentFiles;
use crate::index_file::IndexFile;
use crate::segment::{Indexer, Segment, indexes_should_be_written};
use crate::transaction_index::AbortedTransaction;
use crate::whole_file;

/// A segment stays below this, whatever recompression makes of its batches: an index holds positions of 31 bits.
const MAX_SEGMENT_BYTES: u64 = i32::MAX as u64;

/// A segment that waits to take the place of others. It is durable as it is, and means nothing to a start until
/// [`Log::swap_cleaned`](crate::Log::swap_cleaned) has renamed its `.log` file.
#[derive(Debug)]
pub struct CleanedSegment {
    pub(super) segment: Arc<Segment>,
    /// What it replaces, oldest first.
    pub(super) sources: Vec<Arc<Segment>>,
}

impl CleanedSegment {
    /// Bytes of batches.
    pub fn size_bytes(&self) -> u64 {
        self.segment.size()
    }

    /// First offset of what it replaces.
    pub fn base(&self) -> Offset {
        self.segment.base()
    }

    /// Gives it up. What cannot be removed goes at the next start.
    pub fn discard(self) {
        discard(&self.segment);
    }
}

/// Synced after so many bytes. A file system that writes data before the metadata that points to it makes everybody's next sync wait for
/// all that lies unwritten in new files.
const SYNC_BYTES: u64 = 4 << 20;

/// Writes a cleaned segment.
#[derive(Debug)]
pub(super) struct CleanedWriter {
    segment: Segment,
    file: Arc<dyn File>,
    indexer: Indexer,
    /// Bytes between two index entries.
    interval: u64,
    /// Bytes that are written at once.
    block: usize,
    waiting: Vec<u8>,
    /// Bytes of batches, those that wait included.
    end: u64,
    /// Bytes that were synced.
    synced: u64,
}

impl CleanedWriter {
    /// Begins the segment that is to take the place of those from `first` on.
    pub(super) fn create(first: &Segment, interval: u64, block: usize) -> io::Result<Self> {
        let files = Arc::new(SegmentFiles::cleaned(&first.files));
        // Something of an earlier pass may have been left.
        for kind in FileKind::OF_SEGMENT {
            for suffix in [CLEANED_SUFFIX, SWAP_SUFFIX] {
                whole_file::remove(&**files.disk(), &with_suffix(&files.final_path(kind), suffix))?;
            }
        }
        let file = files.disk().open(&files.path(FileKind::Log), OpenMode::CreateNew)?;
        let segment = Segment::of(files, IndexFile::empty(), IndexFile::empty(), IndexFile::empty());
        let (indexer, waiting) = (Indexer::starting(None), Vec::new());
        Ok(Self { segment, file, indexer, interval, block, waiting, end: 0, synced: 0 })
    }

    /// Appends a batch. How many bytes were written to the disk.
    pub(super) fn append(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<u64, PassError> {
        if self.end + batch.len() as u64 > MAX_SEGMENT_BYTES {
            let grown = io::Error::new(io::ErrorKind::FileTooLarge, "the cleaned segment grows past 2 GiB");
            return Err(self.failed(grown));
        }
        self.indexer.note(&self.segment, header, self.end, self.interval);
        if indexes_should_be_written(&self.segment) {
            self.segment.write_indexes().map_err(|error| self.failed(error))?;
        }
        self.waiting.extend_from_slice(batch);
        self.end += batch.len() as u64;
        if self.waiting.len() < self.block {
            return Ok(0);
        }
        self.write().map_err(|error| self.failed(error))
    }

    /// Adds an entry of the transaction index.
    pub(super) fn note_aborted(&self, aborted: AbortedTransaction) {
        self.segment.aborted.push(aborted);
    }

    /// Entries of the offset index so far.
    pub(super) fn offset_entries(&self) -> u32 {
        self.segment.offsets.len()
    }

    /// Entries of the time index so far.
    pub(super) fn time_entries(&self) -> u32 {
        self.segment.times.len()
    }

    /// Bytes of batches so far.
    pub(super) fn size(&self) -> u64 {
        self.end
    }

    /// Makes all of it durable. The indexes get the name under which a start would take them for good if the `.log` file
    /// had its name too; that one follows in the swap, so that it never comes without them.
    pub(super) fn finish(mut self, sources: Vec<Arc<Segment>>) -> Result<CleanedSegment, PassError> {
        let finished = self.try_finish(&sources);
        match finished {
            Ok(()) => Ok(CleanedSegment { segment: Arc::new(self.segment), sources }),
            Err(error) => {
                let failed = self.failed(error);
                self.discard();
                Err(failed)
            }
        }
    }

    fn try_finish(&mut self, sources: &[Arc<Segment>]) -> io::Result<()> {
        self.write()?;
        let segment = &self.segment;
        self.indexer.note_max_timestamp(segment);
        segment.write_indexes()?;
        let mut files = vec![Arc::clone(&self.file)];
        files.push(segment.files.get(FileKind::OffsetIndex)?);
        files.push(segment.files.get(FileKind::TimeIndex)?);
        // Also without an entry, if there was one before: the swap leaves none of the old files in place.
        if segment.aborted.len() > 0 || sources.iter().any(|source| source.aborted.len() > 0) {
            segment.aborted.write_out(&segment.files)?;
            files.push(segment.files.get(FileKind::TransactionIndex)?);
        }
        segment.offsets.shrink();
        segment.times.shrink();
        segment.aborted.shrink();
        segment.set_size(self.end);
        let (disk, dir) = (segment.files.disk(), segment.files.dir());
        // One by one: threads that were first needed here would have the cleaner's low priority for good, and sync for producers.
        files.iter().try_for_each(|file| file.sync())?;
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TransactionIndex] {
            let path = segment.files.path(kind);
            match disk.rename(&path, &with_suffix(&segment.files.final_path(kind), SWAP_SUFFIX)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        disk.sync_dir(dir)
    }

    /// Gives up. What cannot be removed goes at the next start.
    pub(super) fn discard(&self) {
        discard(&self.segment);
    }

    fn write(&mut self) -> io::Result<u64> {
        let written = self.waiting.len() as u64;
        if written > 0 {
            self.file.write_at(&[IoSlice::new(&self.waiting)], self.end - written)?;
            self.waiting.clear();
        }
        if self.end - self.synced >= SYNC_BYTES {
            self.file.sync()?;
            self.synced = self.end;
        }
        Ok(written)
    }

    fn failed(&self, error: io::Error) -> PassError {
        PassError::of_cleaned(&self.segment, error)
    }
}

fn discard(segment: &Segment) {
    segment.files.retire();
    segment.files.close();
    for kind in FileKind::OF_SEGMENT {
        for suffix in [CLEANED_SUFFIX, SWAP_SUFFIX] {
            let path = with_suffix(&segment.files.final_path(kind), suffix);
            if let Err(error) = whole_file::remove(&**segment.files.disk(), &path) {
                tracing::debug!(file = %path.display(), %error, "a given-up cleaned segment stays until the next start");
            }
        }
    }
}
