//! The log of one partition: a row of segments, of which the last is written to. One owner, `&mut self` for every
//! change; readers work on a [`LogView`].

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_record::batch::{BatchView, Batches};
use ottla_record::control::EndTransactionMarker;
use ottla_record::header::{BatchHeader, HEADER_LEN};
use ottla_record::produce::ValidatedBatches;
use ottla_record::{LeaderEpoch, Now, Offset, Timestamp, TopicId};

use crate::checkpoint::TopicPartition;
use crate::config::LogConfig;
use crate::disk::File;
use crate::error::AppendError;
use crate::flush::Unflushed;
use crate::leader_epochs::LeaderEpochs;
use crate::log_directory::LogDirectory;
use crate::producer_state::{ProducerStates, Verdict};
use crate::read::LogView;
use crate::reservation::Reservation;
use crate::segment::{Indexer, Segment, indexes_should_be_written, sealed_bytes};

/// The segmented log of one partition.
///
/// Invariants ([`Log::check_invariants`]): `log_start ≤ log_end`; `recovery_point ≤ flushed_end ≤ log_end`; the
/// segments' bases rise strictly, the first is at or below the log start, the last at or below the log end.
#[derive(Debug)]
pub struct Log {
    pub(crate) root: Arc<LogDirectory>,
    pub(crate) dir: Arc<Path>,
    pub(crate) name: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) config: LogConfig,
    /// Oldest first; the last is the active one. Shared with views, replaced when it changes.
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    /// Bytes of batches in all segments but the active one, so that no append has to walk over them.
    pub(crate) sealed_bytes: u64,
    pub(crate) active: Active,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    pub(crate) flushed_end: Offset,
    pub(crate) recovery_point: Offset,
    pub(crate) unflushed: Vec<Unflushed>,
    /// Ends of the flushes that are under way, and what had been appended when they began.
    pub(crate) begun_flushes: Vec<(Offset, u64)>,
    /// Ends of those that were under way when the log was truncated.
    pub(crate) void_flushes: Vec<Offset>,
    /// The base of the newest segment whose name may not be durable yet.
    pub(crate) newest_unsynced_base: Option<Offset>,
    /// Sealed segments whose indexes are not durable yet; the active one's never count as durable.
    pub(crate) unsynced_indexes: Vec<Arc<Segment>>,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) epochs_dirty: bool,
    pub(crate) producers: ProducerStates,
    /// Offsets of the producer snapshots on disk.
    pub(crate) snapshots: BTreeSet<Offset>,
    /// Those of them that may not be durable yet.
    pub(crate) unsynced_snapshots: Vec<Offset>,
    pub(crate) bytes_since_snapshot: u64,
    /// Bytes appended since the log was opened.
    pub(crate) appended_bytes: u64,
    /// Those of them below the flushed end.
    pub(crate) flushed_bytes: u64,
    /// Those of them below the recovery point.
    pub(crate) checkpointed_bytes: u64,
    pub(crate) poisoned: bool,
}

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    /// Bytes of batches.
    pub(crate) end: u64,
    pub(crate) reservation: Reservation,
    pub(crate) indexer: Indexer,
    /// Timestamp of the first batch, once there is one: what `segment.ms` counts from.
    pub(crate) first_timestamp: Option<Option<Timestamp>>,
    /// The broker's clock when the segment was created or opened, for batches without a timestamp.
    pub(crate) since: Timestamp,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// The batches are in the log, not yet flushed.
    New {
        /// Offset of the first record.
        first: Offset,
        /// Offset of the last record.
        last: Offset,
        /// The broker's clock in the batches, if the topic uses LogAppendTime.
        log_append_time: Option<Timestamp>,
    },
    /// The batch was in the log already, and flushed or not like its neighbours.
    Duplicate {
        /// Offset of its first record.
        first: Offset,
        /// Offset of its last record.
        last: Offset,
        /// Its largest timestamp.
        append_time: Option<Timestamp>,
    },
}

/// One batch on its way into the log: its header as it will stand there, and the bytes behind it.
struct Incoming<'a> {
    header: BatchHeader,
    records: &'a [u8],
}

impl Log {
    /// Appends what a producer (or a coordinator) sent, as leader of `epoch`: assigns offsets and the epoch.
    /// Durable only after a flush.
    pub fn append_as_leader(
        &mut self,
        batches: &ValidatedBatches,
        epoch: LeaderEpoch,
        now: Now,
    ) -> Result<Append, AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        if let Some(latest) = self.epochs.latest()
            && latest.epoch > epoch
        {
            return Err(AppendError::OldLeaderEpoch { current: latest.epoch, got: Some(epoch) });
        }
        let first = self.log_end;
        if first.get().checked_add(batches.offset_count()).is_none() {
            return Err(AppendError::OffsetsExhausted(first));
        }
        let mut base = first;
        let incoming = batches.iter().map(|batch| {
            let header = batch.header().stamped(base, epoch);
            base = header.last_offset().next();
            Incoming { header, records: batch.records() }
        });
        let incoming: InlineVec<Incoming<'_>> = incoming.collect();
        for batch in incoming.as_slice() {
            let marker = marker_of(&batch.header, batch.records)?;
            let verdict = self.producers.check(&batch.header, marker.as_ref())?;
            if let Verdict::Duplicate(known) = verdict {
                let (first, last) = (known.first_offset(), known.last_offset);
                return Ok(Append::Duplicate { first, last, append_time: known.timestamp });
            }
        }
        self.append(incoming.as_slice(), now)?;
        let last = base.prev().unwrap_or(first);
        Ok(Append::New { first, last, log_append_time: batches.log_append_time() })
    }

    /// Appends batches that the leader sent, as they stand. They must begin at the log end and be whole; their CRCs are
    /// checked. Returns the offset of the last record.
    pub fn append_as_follower(&mut self, batches: &[u8], now: Now) -> Result<Option<Offset>, AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        let mut incoming = InlineVec::default();
        let mut end = self.log_end;
        let mut latest = self.epochs.latest().map(|entry| entry.epoch);
        for batch in Batches::new(batches) {
            let batch = batch?;
            batch.verify_crc()?;
            let header = *batch.header();
            // Only a compacted log has gaps; none goes back.
            let gap = header.base_offset() > end;
            if header.base_offset() < end || gap && !self.may_have_gaps() {
                return Err(AppendError::NotDense { expected: end, got: header.base_offset() });
            }
            if gap {
                self.root.note_gaps(&self.name, self.log_start);
            }
            let epoch = header.partition_leader_epoch();
            if let Some(current) = latest.filter(|latest| epoch.is_none_or(|epoch| epoch < *latest)) {
                return Err(AppendError::OldLeaderEpoch { current, got: epoch });
            }
            (latest, end) = (epoch, header.last_offset().next());
            incoming.push(Incoming { header, records: batch.records_bytes() });
        }
        self.append(incoming.as_slice(), now)?;
        Ok(incoming.as_slice().last().map(|batch| batch.header.last_offset()))
    }

    fn append(&mut self, batches: &[Incoming<'_>], now: Now) -> Result<(), AppendError> {
        let [first, ..] = batches else { return Ok(()) };
        let bytes: u64 = batches.iter().map(|batch| batch.header.len() as u64).sum();
        let segment_bytes = u64::from(self.config.segment_bytes);
        if bytes > segment_bytes {
            return Err(AppendError::TooLarge { bytes, segment_bytes });
        }
        self.root.space().take(&**self.root.disk(), bytes, now.monotonic)?;
        let last_offset = batches.last().unwrap_or(first).header.last_offset();
        let newest = batches.iter().filter_map(|batch| batch.header.max_timestamp()).max();
        if self.must_roll(bytes, last_offset, newest, now.wall) {
            // A follower of a compacted log may roll at a gap. The new segment begins where this one ends all the same: a
            // gap between the two would be taken, after a crash, for records that were lost, and all behind it with them.
            // Only what no index could hold begins at its own offset.
            let too_far = last_offset - self.log_end > i64::from(i32::MAX);
            let base = if too_far { first.header.base_offset() } else { self.log_end };
            self.roll(base, now.wall).map_err(|error| {
                self.poisoned = true;
                AppendError::Io(error.source)
            })?;
        }
        let file = self.write(batches, bytes)?;
        self.admit(batches, file);
        self.debug_check();
        Ok(())
    }

    /// One vectored write: each batch's header as stamped, and the rest from where it was received.
    fn write(&mut self, batches: &[Incoming<'_>], bytes: u64) -> Result<Arc<dyn File>, AppendError> {
        let file = match self.active_file() {
            Ok(file) => file,
            Err(error) => {
                self.poisoned = true;
                return Err(AppendError::Io(error));
            }
        };
        let position = self.active.end;
        let limit = u64::from(self.config.segment_bytes);
        let reserved = self.active.reservation.extend(&*file, position + bytes, limit);
        let written = reserved.and_then(|()| match batches {
            [batch] => {
                let header = batch.header.to_bytes();
                file.write_at(&[IoSlice::new(&header), IoSlice::new(batch.records)], position)
            }
            _ => {
                let headers: Vec<[u8; HEADER_LEN]> =
                    batches.iter().map(|batch| batch.header.to_bytes()).collect();
                let pairs = headers.iter().zip(batches);
                let slices: Vec<IoSlice<'_>> = pairs
                    .flat_map(|(header, batch)| [IoSlice::new(header), IoSlice::new(batch.records)])
                    .collect();
                file.write_at(&slices, position)
            }
        });
        let Err(error) = written else { return Ok(file) };
        // Whatever part was written is cut off at once; if even that fails, nothing is known about the file's end.
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        self.active.reservation.given_back(position);
        if file.set_len(position).is_err() || !full {
            self.poisoned = true;
            return Err(AppendError::Io(error));
        }
        self.root.space().forget();
        Err(self.root.space().refusal())
    }

    /// The batches are in the file: everything that is known about the log follows.
    fn admit(&mut self, batches: &[Incoming<'_>], file: Arc<dyn File>) {
        let interval = u64::from(self.config.index_interval_bytes);
        for batch in batches {
            let header = &batch.header;
            let position = self.active.end;
            self.active.first_timestamp.get_or_insert(header.max_timestamp());
            self.active.indexer.note(&self.active.segment, header, position, interval);
            self.active.end += header.len() as u64;
            if let Some(epoch) = header.partition_leader_epoch() {
                self.epochs_dirty |= self.epochs.assign(epoch, header.base_offset());
            }
            // The marker was parsed before anything was written; a follower takes what the leader let in.
            let marker = marker_of(header, batch.records).unwrap_or_default();
            if let Some(ended) = self.producers.apply(header, marker.as_ref())
                && let Some(aborted) = ended.aborted()
            {
                self.active.segment.aborted.push(aborted);
            }
            self.log_end = header.last_offset().next();
            self.appended_bytes += header.len() as u64;
            self.bytes_since_snapshot += header.len() as u64;
        }
        let segment = &self.active.segment;
        if self.unflushed.last().is_none_or(|unflushed| !Arc::ptr_eq(&unflushed.segment, segment)) {
            self.unflushed.push(Unflushed { segment: Arc::clone(segment), file, sealed_at: None });
        }
        // A failure here costs no records: the index waits in memory, and the next checkpoint meets the same disk.
        if indexes_should_be_written(segment)
            && let Err(error) = segment.write_indexes()
        {
            tracing::warn!(dir = %self.dir.display(), %error, "index entries could not be written; kept in memory");
        }
    }

    /// The active segment's file: the one that is kept for the next flush, or opened.
    fn active_file(&self) -> io::Result<Arc<dyn File>> {
        match self.unflushed.last() {
            Some(unflushed) if unflushed.sealed_at.is_none() => Ok(Arc::clone(&unflushed.file)),
            _ => self.active.segment.log_file(),
        }
    }

    /// The settings.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Changes the settings, from the next append on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// The partition's directory, relative to the root.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Topic and partition.
    pub fn name(&self) -> &TopicPartition {
        &self.name
    }

    /// The topic's id.
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// The first offset that can be read.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset of the next record.
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Everything below survives a power cut.
    pub fn flushed_end(&self) -> Offset {
        self.flushed_end
    }

    /// Everything below needs no scan at the next start.
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// Bytes of batches in all segments.
    pub fn size_bytes(&self) -> u64 {
        self.sealed_bytes + self.active.end
    }

    /// Number of segments, at least one.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// The history of leaders.
    pub fn leader_epochs(&self) -> &LeaderEpochs {
        &self.epochs
    }

    /// What is known of producers.
    pub fn producers(&self) -> &ProducerStates {
        &self.producers
    }

    /// Forgets producers that have been silent for `producer.id.expiration.ms`.
    pub fn expire_producers(&mut self, now: Timestamp) {
        self.producers.expire(now, self.config.producer_id_expiration_ms);
    }

    /// Transactions whose marker is below the high watermark no longer hold back `read_committed` readers.
    pub fn high_watermark_reached(&mut self, high_watermark: Offset) {
        self.producers.high_watermark_reached(high_watermark);
    }

    /// What readers see now. Cheap; a reader keeps it without any lock.
    pub fn view(&self) -> LogView {
        LogView {
            segments: Arc::clone(&self.segments),
            active_end: self.active.end,
            active_max_timestamp: self.active.indexer.max_timestamp(),
            log_start: self.log_start,
            log_end: self.log_end,
        }
    }

    /// Compaction leaves gaps, which stay when the topic is no longer compacted.
    fn may_have_gaps(&self) -> bool {
        self.config.compacted || self.root.cleaned_to(&self.name).is_some()
    }

    /// The only way to another row of segments: what is known of the row as a whole follows.
    pub(crate) fn replace_segments(&mut self, segments: Vec<Arc<Segment>>) {
        self.sealed_bytes = sealed_bytes(&segments);
        self.segments = Arc::new(segments);
    }

    pub(crate) fn path_of(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// Panics if the log is not what its own code promises. It costs a walk over the segments: for debug builds, tests
    /// and the simulator.
    #[expect(
        clippy::panic,
        reason = "assertions on our own state stay on; nothing here was read from a disk"
    )]
    pub fn check_invariants(&self) {
        let bases: Vec<Offset> = self.segments.iter().map(|segment| segment.base()).collect();
        let rises = |pair: &[Offset]| pair.first() < pair.last();
        let checks = [
            ("log start ≤ log end", self.log_start <= self.log_end),
            ("flushed end ≤ log end", self.flushed_end <= self.log_end),
            ("recovery point ≤ flushed end", self.recovery_point <= self.flushed_end),
            ("bases rise", bases.windows(2).all(rises)),
            ("the first segment begins at or below the log start", bases.first() <= Some(&self.log_start)),
            ("the active segment begins at or below the log end", bases.last() <= Some(&self.log_end)),
            (
                "the active segment is the last",
                self.segments.last().is_some_and(|last| Arc::ptr_eq(last, &self.active.segment)),
            ),
            (
                "the sealed bytes are those of the sealed segments",
                self.sealed_bytes == sealed_bytes(&self.segments),
            ),
            ("unflushed bytes have a file", self.flushed_end == self.log_end || !self.unflushed.is_empty()),
            (
                "epochs start inside the log",
                self.epochs.latest().is_none_or(|latest| latest.start <= self.log_end),
            ),
            (
                "the last index entry lies in the active segment",
                self.active.segment.offsets.last().is_none_or(|entry| {
                    entry.last_offset < self.log_end && u64::from(entry.position) < self.active.end
                }),
            ),
        ];
        for (what, holds) in checks {
            if !holds {
                panic!(
                    "{}: broken invariant: {what}; log start {}, recovery point {}, flushed end {}, log end {}, \
                     segments at {bases:?}",
                    self.dir.display(),
                    self.log_start,
                    self.recovery_point,
                    self.flushed_end,
                    self.log_end
                );
            }
        }
    }

    pub(crate) fn debug_check(&self) {
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }
}

/// The marker in a control batch, which its record must be looked at for.
pub(crate) fn marker_of(
    header: &BatchHeader,
    records: &[u8],
) -> Result<Option<EndTransactionMarker>, AppendError> {
    if !header.attributes().is_control() {
        return Ok(None);
    }
    let bytes = [&header.to_bytes(), records].concat();
    let batch = BatchView::parse(&bytes)?;
    // Markers are never compressed, and no longer than this.
    let records = batch.records(MAX_MARKER_BYTES)?;
    let Some(record) = records.iter().next() else { return Ok(None) };
    Ok(EndTransactionMarker::parse(&record?))
}

/// Far more than a marker takes.
const MAX_MARKER_BYTES: usize = 64 << 10;

/// One item without an allocation, more with one: nearly every append is one batch.
struct InlineVec<T> {
    one: Option<[T; 1]>,
    more: Vec<T>,
}

impl<T> Default for InlineVec<T> {
    fn default() -> Self {
        Self { one: None, more: Vec::new() }
    }
}

impl<T> InlineVec<T> {
    fn push(&mut self, item: T) {
        if self.more.is_empty() {
            match self.one.take() {
                None => return self.one = Some([item]),
                Some([first]) => self.more.push(first),
            }
        }
        self.more.push(item);
    }

    fn as_slice(&self) -> &[T] {
        self.one.as_ref().map_or(&self.more, |one| one)
    }
}

impl<T> FromIterator<T> for InlineVec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut all = Self::default();
        for item in items {
            all.push(item);
        }
        all
    }
}

#[cfg(test)]
pub(crate) mod tests;
