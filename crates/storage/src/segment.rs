//! One segment: a `.log` file with its indexes, shared by the log that owns it and the readers that see it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_record::Offset;
use ottla_record::header::BatchHeader;

use crate::disk::{Disk, File};
use crate::file_names::FileKind;
use crate::handles::{Handles, SegmentFiles};
use crate::index_file::{BUFFERED_ENTRIES, IndexFile};
use crate::offset_index::OffsetEntry;
use crate::time_index::TimeEntry;
use crate::transaction_index::AbortedTransaction;

/// A segment. Its bytes below the end a reader knows never change: what is cut off is cut off together with the
/// segment being [retired](SegmentFiles::retire), and what is written next goes to another file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) files: Arc<SegmentFiles>,
    pub(crate) offsets: IndexFile<OffsetEntry>,
    pub(crate) times: IndexFile<TimeEntry>,
    pub(crate) aborted: IndexFile<AbortedTransaction>,
    /// Bytes of batches, once the segment is sealed. Of the active one, the view knows the size.
    size: AtomicU64,
}

impl Segment {
    pub(crate) fn new(disk: &Arc<dyn Disk>, handles: &Arc<Handles>, dir: &Arc<Path>, base: Offset) -> Self {
        let files = SegmentFiles::new(Arc::clone(disk), Arc::clone(handles), Arc::clone(dir), base);
        Self::of(Arc::new(files), IndexFile::empty(), IndexFile::empty(), IndexFile::empty())
    }

    pub(crate) fn of(
        files: Arc<SegmentFiles>,
        offsets: IndexFile<OffsetEntry>,
        times: IndexFile<TimeEntry>,
        aborted: IndexFile<AbortedTransaction>,
    ) -> Self {
        Self { files, offsets, times, aborted, size: AtomicU64::new(0) }
    }

    pub(crate) fn base(&self) -> Offset {
        self.files.base()
    }

    pub(crate) fn log_file(&self) -> io::Result<Arc<dyn File>> {
        self.files.get(FileKind::Log)
    }

    /// Bytes of batches in a sealed segment.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// The largest timestamp of a sealed segment.
    pub(crate) fn max_timestamp(&self) -> Option<TimeEntry> {
        self.times.last()
    }

    /// Writes what waits in memory of the three indexes. True if a file was created.
    pub(crate) fn write_indexes(&self) -> io::Result<bool> {
        let mut created = self.offsets.write_out(&self.files)?;
        created |= self.times.write_out(&self.files)?;
        // Most segments never see an aborted transaction; Kafka has no file for them either.
        if self.aborted.len() > 0 {
            created |= self.aborted.write_out(&self.files)?;
        }
        Ok(created)
    }

    /// Forgets every entry of the three indexes, whatever their files hold.
    pub(crate) fn clear_indexes(&self) -> io::Result<()> {
        self.offsets.clear(&self.files)?;
        self.times.clear(&self.files)?;
        if self.aborted.len() > 0 {
            self.aborted.clear(&self.files)?;
        }
        Ok(())
    }

    /// The index files that exist, for syncing.
    pub(crate) fn index_files(&self) -> io::Result<Vec<Arc<dyn File>>> {
        let mut files = vec![self.files.get(FileKind::OffsetIndex)?, self.files.get(FileKind::TimeIndex)?];
        if self.aborted.len() > 0 {
            files.push(self.files.get(FileKind::TransactionIndex)?);
        }
        Ok(files)
    }
}

/// What decides whether the next batch gets an index entry (Kafka's `LogSegment.append`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indexer {
    bytes_since_entry: u64,
    /// The largest timestamp so far and the last offset of the batch that holds it.
    max_timestamp: Option<TimeEntry>,
}

impl Indexer {
    /// For a segment whose last time entry is known; counting starts anew.
    pub(crate) fn starting(max_timestamp: Option<TimeEntry>) -> Self {
        Self { bytes_since_entry: 0, max_timestamp }
    }

    pub(crate) fn max_timestamp(&self) -> Option<TimeEntry> {
        self.max_timestamp
    }

    /// Takes note of a batch at `position`, with an entry if it is time for one.
    pub(crate) fn note(&mut self, segment: &Segment, header: &BatchHeader, position: u64, interval: u64) {
        let last_offset = header.last_offset();
        self.note_timestamp(header);
        if self.bytes_since_entry > interval
            && let Ok(position) = u32::try_from(position)
        {
            segment.offsets.push(OffsetEntry { last_offset, position });
            self.note_max_timestamp(segment);
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += header.len() as u64;
    }

    /// Takes note of a batch that has its entry, or needs none.
    pub(crate) fn skip(&mut self, header: &BatchHeader) {
        self.note_timestamp(header);
        self.bytes_since_entry += header.len() as u64;
    }

    /// What compaction has left of a batch without its records still has their time, but nothing of that time is there: an entry for it would
    /// lead nowhere, and Kafka's dump tool objects to one.
    fn note_timestamp(&mut self, header: &BatchHeader) {
        if header.record_count() > 0
            && let Some(timestamp) = header.max_timestamp()
            && self.max_timestamp.is_none_or(|max| max.timestamp < timestamp)
        {
            self.max_timestamp = Some(TimeEntry { timestamp, last_offset: header.last_offset() });
        }
    }

    /// Gives the largest timestamp an entry, if it has grown since the last one.
    pub(crate) fn note_max_timestamp(&self, segment: &Segment) {
        if let Some(max) = self.max_timestamp
            && segment.times.last().is_none_or(|last| last.timestamp < max.timestamp)
        {
            segment.times.push(max);
        }
    }
}

/// Bytes of batches in all segments of a log but the last, the active one.
pub(crate) fn sealed_bytes(segments: &[Arc<Segment>]) -> u64 {
    segments.iter().rev().skip(1).map(|segment| segment.size()).sum()
}

/// True if so many entries wait in memory that they should be written.
pub(crate) fn indexes_should_be_written(segment: &Segment) -> bool {
    segment.offsets.buffered() >= BUFFERED_ENTRIES
        || segment.times.buffered() >= BUFFERED_ENTRIES
        || segment.aborted.buffered() >= BUFFERED_ENTRIES
}
