//! One pass over a log: the keys of its dirty part are read into the map, then everything below is written anew with only
//! what the [filter](super::filter) keeps, in segments that are filled as far as they go: otherwise they would only ever
//! get smaller. (Kafka joins neighbours by the sizes they had before, and takes several passes to the same end.) It works on a [`LogView`] and takes no lock;
//! the log changes when the owner [swaps](crate::Log::swap_cleaned) what the pass has written.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use ottla_record::{BatchError, BatchView, EndTransactionMarker, Offset, Timestamp};

use super::batch_reader::BatchReader;
use super::cleanable::Cleanable;
use super::cleaned::{CleanedSegment, CleanedWriter};
use super::filter::{Filter, Filtered, LastOfProducers};
use super::key_map::{KeyHash, KeyMap};
use super::transactions::TransactionScan;
use crate::config::LogConfig;
use crate::error::ReadError;
use crate::file_names::FileKind;
use crate::index_file::IndexEntry;
use crate::log_directory::LogDirectory;
use crate::offset_index::OffsetEntry;
use crate::read::LogView;
use crate::segment::Segment;
use crate::time_index::TimeEntry;
use crate::timestamps::MAX_DECOMPRESSED_BYTES;

/// Told how many bytes were read or written just now. It may wait, to keep to a rate, or end the pass with `Break`.
pub type Pace<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// What a pass is to clean.
#[derive(Debug)]
pub struct PassOrder {
    /// The log as it is now.
    pub view: LogView,
    /// What of it, as [`LogView::cleanable`] has found.
    pub cleanable: Cleanable,
    /// The log's settings. Without [`LogConfig::compaction`], tombstones go at once.
    pub config: LogConfig,
    /// What the log must not forget: [`Log::last_of_producers`](crate::Log::last_of_producers), asked after `view` was taken.
    pub producers: LastOfProducers,
    /// The clock, against which delete horizons are held and from which new ones are counted.
    pub now: Timestamp,
}

/// The memory of a pass.
#[derive(Clone, Copy, Debug)]
pub struct PassMemory {
    /// Bytes of the key map (`log.cleaner.dedupe.buffer.size`).
    pub map_bytes: u64,
    /// How full the map may get (`log.cleaner.io.buffer.load.factor`).
    pub load_factor: f64,
    /// Bytes of the read and the write buffer together (`log.cleaner.io.buffer.size`).
    pub buffer_bytes: usize,
    /// The secret of the key map's hash, drawn anew for every pass.
    pub secret: [u8; 16],
}

/// What a pass has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Keys in the dirty part.
    pub keys: u64,
    /// Bytes read to learn them.
    pub map_bytes_read: u64,
    /// Bytes read to be cleaned.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Records read to be cleaned.
    pub records_read: u64,
    /// Those of them that stay.
    pub records_kept: u64,
    /// Those that went because they had no key.
    pub records_without_key: u64,
    /// Segments written.
    pub segments_written: u64,
}

/// Why a pass ended early. The log is as it was after the last swap.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassError {
    /// The log was cut or deleted meanwhile, or the caller wants no more.
    #[error("the log changed meanwhile, or the broker stops")]
    Aborted,
    /// The disk has no room for a second copy of some segments.
    #[error(
        "cleaning needs up to {needed} bytes more, and only {free} bytes are free above the reserve (ottla.disk.reserve.bytes)"
    )]
    NoSpace {
        /// What the next segment may take.
        needed: u64,
        /// What is free above the reserve.
        free: u64,
    },
    /// Not even the keys of the first dirty batch fit into the map.
    #[error("a map of {keys} keys does not hold the keys of one batch; raise log.cleaner.dedupe.buffer.size")]
    MapTooSmall {
        /// Keys that fit.
        keys: usize,
    },
    /// What stands on disk is no whole, intact batch.
    #[error("{} is damaged at byte {position}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the batch starts.
        position: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// A pass under way.
#[derive(Debug)]
pub struct Pass {
    root: Arc<LogDirectory>,
    view: LogView,
    config: LogConfig,
    buffer_bytes: usize,
    filter: Filter,
    mapped_to: Offset,
    /// Segments of the view that are to be cleaned, those before `next` have been.
    count: usize,
    next: usize,
    report: PassReport,
}

impl Pass {
    /// Begins a pass: reads the keys of the dirty part, as many as fit into the map.
    ///
    /// # Errors
    /// Any [`PassError`].
    pub fn begin(
        root: &Arc<LogDirectory>,
        order: PassOrder,
        memory: PassMemory,
        pace: &mut Pace<'_>,
    ) -> Result<Self, PassError> {
        let PassOrder { view, cleanable, config, producers, now } = order;
        let Cleanable { first_dirty, end, .. } = cleanable;
        let first = view.segments.first().map_or(first_dirty, |segment| segment.base());
        let aborted = view.aborted_transactions(first, end).map_err(PassError::of_read)?;
        let dirty = (end - first_dirty).max(0).unsigned_abs();
        let keys = KeyMap::new(memory.map_bytes, memory.load_factor, dirty, &memory.secret);
        let mut reading = KeyReading {
            keys,
            transactions: TransactionScan::new(aborted.iter().copied()),
            first_dirty,
            mapped_to: first_dirty,
            bytes_read: 0,
            records: Vec::new(),
        };
        let buffer_bytes = memory.buffer_bytes / 2;
        reading.run(&view, end, &mut BatchReader::new(buffer_bytes), pace)?;
        let KeyReading { keys, mapped_to, bytes_read, .. } = reading;
        if mapped_to <= first_dirty && end > first_dirty {
            return Err(PassError::MapTooSmall { keys: keys.capacity() });
        }
        let report = PassReport { keys: keys.len() as u64, map_bytes_read: bytes_read, ..Default::default() };
        let retention = config.compaction.map_or(0, |compaction| compaction.delete_retention_ms);
        let filter = Filter::new(keys, mapped_to, producers, aborted, now, retention);
        let count =
            view.sealed().take_while(|(segment, end_of)| segment.base() < mapped_to && *end_of <= end);
        let count = count.count();
        Ok(Self {
            root: Arc::clone(root),
            view,
            config,
            buffer_bytes,
            filter,
            mapped_to,
            count,
            next: 0,
            report,
        })
    }

    /// Writes the next segment that is to take the place of others; `None` when the pass is through. Segments of which
    /// everything stays are left as they are.
    ///
    /// # Errors
    /// Any [`PassError`]; what was written for this group has been removed then.
    pub fn next_cleaned(&mut self, pace: &mut Pace<'_>) -> Result<Option<CleanedSegment>, PassError> {
        while self.next < self.count {
            if let Some(cleaned) = self.clean(pace)? {
                self.report.segments_written += 1;
                return Ok(Some(cleaned));
            }
        }
        Ok(None)
    }

    /// The first dirty offset once everything that the pass has written is in the log.
    pub fn end(&self) -> Offset {
        self.mapped_to
    }

    /// What it has done so far.
    pub fn report(&self) -> &PassReport {
        &self.report
    }

    /// Cleans the next segment and as many of its neighbours as find place in the same new one.
    fn clean(&mut self, pace: &mut Pace<'_>) -> Result<Option<CleanedSegment>, PassError> {
        let first = self.next;
        let Some(source) = self.view.segments.get(first).cloned() else { return Ok(None) };
        let interval = u64::from(self.config.index_interval_bytes);
        let mut writer = CleanedWriter::create(&source, interval, self.buffer_bytes)
            .map_err(|error| PassError::of_cleaned(&source, error))?;
        let copied = self.fill(&mut writer, pace);
        let sources = self.view.segments.get(first..self.next).unwrap_or_default().to_vec();
        match copied {
            Err(error) => {
                writer.discard();
                Err(error)
            }
            Ok(false) if sources.len() == 1 => {
                writer.discard();
                Ok(None)
            }
            Ok(_) => {
                self.report.bytes_written += writer.size();
                writer.finish(sources).map(Some)
            }
        }
    }

    /// Copies what stays of one segment after the other, as long as the next may fit whole. True if not all stayed, byte
    /// for byte.
    fn fill(&mut self, writer: &mut CleanedWriter, pace: &mut Pace<'_>) -> Result<bool, PassError> {
        let mut changed = false;
        let mut reader = BatchReader::new(self.buffer_bytes);
        let first = self.next;
        while let Some(source) = self.view.segments.get(self.next).cloned() {
            let needed = source.size();
            let room = self.root.space().room_for(&**self.root.disk(), needed);
            room.map_err(|free| PassError::NoSpace { needed, free })?;
            self.next += 1;
            let mut open = reader.open(&source, 0)?;
            let mut position = 0;
            let mut joined = false;
            while let Some((batch, is_last)) = reader.next(&mut open, pace)? {
                if is_last {
                    joined = self.next_joins(first, writer, batch.len() as u64);
                }
                let outcome = self
                    .filter
                    .filter(&batch, is_last && !joined)
                    .map_err(|error| PassError::damaged(&source, position, error))?;
                let written = match &outcome.filtered {
                    Filtered::Unchanged => writer.append(batch.header(), batch.bytes())?,
                    Filtered::Rewritten(bytes) => {
                        let rewritten = BatchView::parse(bytes)
                            .map_err(|error| PassError::damaged(&source, position, error))?;
                        writer.append(rewritten.header(), bytes)?
                    }
                    Filtered::Gone => 0,
                };
                if let Some(aborted) = outcome.aborted {
                    writer.note_aborted(aborted);
                }
                changed |= outcome.filtered != Filtered::Unchanged;
                position += batch.len() as u64;
                self.report.records_read += u64::from(batch.header().record_count());
                self.report.records_kept += u64::from(outcome.kept);
                self.report.records_without_key += u64::from(outcome.without_key);
                spend(pace, written)?;
            }
            self.report.bytes_read += position;
            if !joined {
                break;
            }
        }
        Ok(changed)
    }

    /// True if the next segment finds place behind what is written, even if all of it stays, and a last batch of this
    /// size with it.
    fn next_joins(&self, first: usize, writer: &CleanedWriter, last_batch: u64) -> bool {
        let (Some(start), Some(next)) = (self.view.segments.get(first), self.view.segments.get(self.next))
        else {
            return false;
        };
        let end = self.view.segments.get(self.next + 1).map_or(self.view.log_end, |after| after.base());
        let limit = u64::from(self.config.segment_index_bytes);
        let index =
            |ours: u32, theirs: u32, size: usize| (u64::from(ours) + u64::from(theirs) + 1) * size as u64;
        self.next < self.count
            && self.next - first < MAX_JOINED
            && writer.size() + last_batch + next.size() <= u64::from(self.config.segment_bytes)
            && index(writer.offset_entries(), next.offsets.len(), OffsetEntry::SIZE) <= limit
            && index(writer.time_entries(), next.times.len(), TimeEntry::SIZE) <= limit
            // An index holds offsets relative to the base in 31 bits.
            && end - start.base() <= i64::from(i32::MAX)
    }
}

/// Segments that become one at most: the swap renames the files of each under the log's lock.
const MAX_JOINED: usize = 100;

/// Reading the keys of the dirty part.
struct KeyReading {
    keys: KeyMap,
    transactions: TransactionScan,
    first_dirty: Offset,
    /// The map has every key from the first dirty offset up to here.
    mapped_to: Offset,
    bytes_read: u64,
    /// The keys of the current batch.
    records: Vec<(KeyHash, Offset)>,
}

impl KeyReading {
    fn run(
        &mut self,
        view: &LogView,
        end: Offset,
        reader: &mut BatchReader,
        pace: &mut Pace<'_>,
    ) -> Result<(), PassError> {
        let first_dirty = self.first_dirty;
        let dirty = view.sealed().filter(|(_, segment_end)| *segment_end > first_dirty);
        for (segment, segment_end) in dirty.take_while(|(_, segment_end)| *segment_end <= end) {
            let from = segment.find(first_dirty, segment.size()).map_err(PassError::of_read)?;
            let Some(from) = from else { continue };
            let mut open = reader.open(segment, from.position)?;
            while let Some((batch, _)) = reader.next(&mut open, pace)? {
                self.bytes_read += batch.len() as u64;
                let fits = self.batch(&batch);
                if !fits.map_err(|error| PassError::damaged(segment, from.position, error))? {
                    return Ok(());
                }
                self.mapped_to = batch.last_offset().next();
            }
            // Behind the last batch there may be offsets that an earlier pass has emptied.
            self.mapped_to = segment_end;
        }
        Ok(())
    }

    /// Notes the keys of a batch. False if one of them does not fit.
    fn batch(&mut self, batch: &BatchView<'_>) -> Result<bool, BatchError> {
        let header = batch.header();
        if header.attributes().is_control() {
            let marker = match batch.records(MAX_DECOMPRESSED_BYTES)?.iter().next().transpose()? {
                Some(record) => EndTransactionMarker::parse(&record),
                None => None,
            };
            self.transactions.control_batch(header, marker.map(|marker| marker.control));
            return Ok(true);
        }
        // What was aborted replaces nothing.
        if self.transactions.batch(header) {
            return Ok(true);
        }
        self.records.clear();
        for record in &batch.records(MAX_DECOMPRESSED_BYTES)? {
            let record = record?;
            if let Some(key) = record.key.filter(|_| record.offset >= self.first_dirty) {
                self.records.push((self.keys.hash(key), record.offset));
            }
        }
        Ok(self.keys.put_all(&self.records).is_ok())
    }
}

/// Tells the caller of bytes that were read or written.
pub(super) fn spend(pace: &mut Pace<'_>, bytes: u64) -> Result<(), PassError> {
    match pace(bytes) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(PassError::Aborted),
    }
}

impl PassError {
    /// A file of the log could not be read: because it is no longer part of it, or because the disk failed.
    pub(super) fn of_segment(segment: &Segment, source: io::Error) -> Self {
        if segment.files.is_retired() {
            return Self::Aborted;
        }
        Self::Io { path: segment.files.path(FileKind::Log), source }
    }

    /// A file that the pass writes failed.
    pub(super) fn of_cleaned(segment: &Segment, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { needed: 0, free: 0 },
            // A deleted partition's directory has another name by now.
            io::ErrorKind::NotFound => Self::Aborted,
            _ => Self::Io { path: segment.files.path(FileKind::Log), source },
        }
    }

    pub(super) fn damaged(segment: &Segment, position: u64, error: BatchError) -> Self {
        if segment.files.is_retired() {
            return Self::Aborted;
        }
        Self::Damaged { path: segment.files.path(FileKind::Log), position, reason: error.to_string() }
    }

    fn of_read(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt { path, position, reason } => Self::Damaged { path, position, reason },
            ReadError::Io { path, source } => Self::Io { path, source },
            ReadError::Stale | ReadError::OffsetOutOfRange { .. } => Self::Aborted,
        }
    }
}
