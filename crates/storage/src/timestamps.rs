//! Looking up offsets by time, and aborted transactions, in a view (Kafka's `LogSegment.findOffsetByTimestamp` and
//! `UnifiedLog.fetchOffsetByTimestamp`).

use std::sync::Arc;

use ottla_record::batch::BatchView;
use ottla_record::header::BatchHeader;
use ottla_record::{LeaderEpoch, Offset, Timestamp, TimestampType};

use crate::disk::File;
use crate::error::ReadError;
use crate::file_names::FileKind;
use crate::index_file::is_damage;
use crate::read::LogView;
use crate::scan::{BatchScan, read_batch};
use crate::segment::Segment;
use crate::time_index::TimeEntry;
use crate::transaction_index::AbortedTransaction;

/// Where decompression of one batch stops. Larger than any batch that a broker takes with Kafka's defaults grows to.
pub(crate) const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;

/// A record that was found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its offset.
    pub offset: Offset,
    /// Epoch of the leader that wrote it.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl LogView {
    /// The first record (by offset) whose timestamp is `timestamp` or later; `None` if there is none below `upper`.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        upper: Offset,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        for (number, segment) in self.segments.iter().enumerate() {
            if segment.base() >= upper {
                break;
            }
            if self.max_of(number).is_none_or(|max| max.timestamp < timestamp) {
                continue;
            }
            let found = segment.first_at_or_after(timestamp, self.log_start, self.end_of(number))?;
            if found.is_some() {
                return Ok(found.filter(|found| found.offset < upper));
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp in the log; `None` if the log has no timestamps, or if that record
    /// is not below `upper`.
    pub fn max_timestamp(&self, upper: Offset) -> Result<Option<TimestampOffset>, ReadError> {
        let mut best: Option<(usize, TimeEntry)> = None;
        for number in 0..self.segments.len() {
            if let Some(max) = self.max_of(number)
                && best.is_none_or(|(_, best)| best.timestamp < max.timestamp)
            {
                best = Some((number, max));
            }
        }
        let Some((number, max)) = best else { return Ok(None) };
        let Some(segment) = self.segments.get(number) else { return Ok(None) };
        let found = segment.first_at_or_after(max.timestamp, self.log_start, self.end_of(number))?;
        Ok(found.filter(|found| found.offset < upper))
    }

    /// The aborted transactions that a `read_committed` reader of the offsets `from` to `to` (exclusive) must know.
    pub fn aborted_transactions(
        &self,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let mut found = Vec::new();
        let first = self.segments.partition_point(|segment| segment.base() <= from).saturating_sub(1);
        for segment in self.segments.get(first..).unwrap_or_default() {
            if segment.aborted.len() == 0 {
                continue;
            }
            for aborted in segment.aborted.all(&segment.files).map_err(|error| segment.read_error(error))? {
                if aborted.last_offset >= from && aborted.first_offset < to {
                    found.push(aborted);
                }
                if aborted.last_stable_offset >= to {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    fn max_of(&self, number: usize) -> Option<TimeEntry> {
        if number + 1 == self.segments.len() {
            self.active_max_timestamp
        } else {
            self.segments.get(number)?.max_timestamp()
        }
    }
}

impl Segment {
    fn first_at_or_after(
        &self,
        timestamp: Timestamp,
        log_start: Offset,
        end: u64,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let entry = match self.times.last_where(&self.files, |entry| entry.timestamp <= timestamp) {
            Ok(entry) => entry,
            Err(error) if is_damage(&error) && !self.files.is_retired() => None,
            Err(error) => return Err(self.read_error(error)),
        };
        let from = entry.map_or(self.base(), |entry| entry.last_offset).max(log_start);
        let Some(first) = self.find(from, end)? else { return Ok(None) };
        let mut scan = BatchScan::short(&*first.file, first.position, end);
        while let Some((position, header)) = self.step(&mut scan)? {
            if header.max_timestamp().is_none_or(|max| max < timestamp) || header.last_offset() < log_start {
                continue;
            }
            let found = self.first_in_batch(&first.file, position, &header, timestamp, log_start)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The exact record, which may lie inside a compressed batch.
    fn first_in_batch(
        &self,
        file: &Arc<dyn File>,
        position: u64,
        header: &BatchHeader,
        timestamp: Timestamp,
        log_start: Offset,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let leader_epoch = header.partition_leader_epoch();
        if header.attributes().timestamp_type() == TimestampType::LogAppendTime
            && let Some(timestamp) = header.max_timestamp()
        {
            let offset = header.base_offset().max(log_start);
            return Ok(Some(TimestampOffset { timestamp, offset, leader_epoch }));
        }
        let corrupt = |error: ottla_record::error::BatchError| {
            if self.files.is_retired() {
                return ReadError::Stale;
            }
            let path = self.files.path(FileKind::Log);
            ReadError::Corrupt { path, position, reason: error.to_string() }
        };
        let bytes = read_batch(&**file, position, header).map_err(|error| self.read_error(error))?;
        let batch = BatchView::parse(&bytes).map_err(corrupt)?;
        for record in batch.records(MAX_DECOMPRESSED_BYTES).map_err(corrupt)?.iter() {
            let record = record.map_err(corrupt)?;
            if let Some(found) = record.timestamp.filter(|found| *found >= timestamp)
                && record.offset >= log_start
            {
                let offset = record.offset;
                return Ok(Some(TimestampOffset { timestamp: found, offset, leader_epoch }));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
