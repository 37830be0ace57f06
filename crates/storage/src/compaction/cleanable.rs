//! How dirty a log is, and up to where a pass may go (Kafka's `LogCleanerManager.cleanableOffsets`).
//!
//! ```text
//!   log start          first dirty                  end                     log end
//!      │  clean: passes   │  dirty: what a pass reads  │  not yet: active segment, │
//!      │  went over it    │  the keys of               │  above the upper bound,   │
//!      │                  │                            │  or too young             │
//! ```

use ottla_record::{Offset, Timestamp};

use crate::config::CompactionConfig;
use crate::error::ReadError;
use crate::read::LogView;
use crate::scan::BatchScan;
use crate::segment::Segment;

/// What there is to clean in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    /// The first offset that no pass has read the keys of.
    pub first_dirty: Offset,
    /// Where a pass ends: the end of a sealed segment.
    pub end: Offset,
    /// Bytes of the segments that are wholly clean.
    pub clean_bytes: u64,
    /// Bytes of the dirty segments up to the end.
    pub dirty_bytes: u64,
    /// A dirty record has waited longer than `max.compaction.lag.ms`.
    pub overdue: bool,
}

impl Cleanable {
    /// The share of the log that is dirty, 0 to 1.
    pub fn dirty_ratio(&self) -> f64 {
        match self.clean_bytes + self.dirty_bytes {
            0 => 0.0,
            all => self.dirty_bytes as f64 / all as f64,
        }
    }

    /// True if a pass is due: dirty enough, or overdue.
    pub fn is_due(&self, config: &CompactionConfig) -> bool {
        self.dirty_bytes > 0 && (self.overdue || self.dirty_ratio() > config.min_dirty_ratio.get())
    }
}

impl LogView {
    /// What there is to clean. `cleaned_to`: how far earlier passes came. `upper`: nothing at or above it may be cleaned;
    /// the caller takes the last stable offset and the recovery point, for what is compacted must be decided and durable.
    ///
    /// # Errors
    /// The first batch of a dirty segment cannot be read. (Only `max.compaction.lag.ms` wants it.)
    pub fn cleanable(
        &self,
        cleaned_to: Option<Offset>,
        upper: Offset,
        config: &CompactionConfig,
        now: Timestamp,
    ) -> Result<Cleanable, ReadError> {
        // A checkpoint from outside the log is from before a truncation or a deletion of records.
        let known = cleaned_to.filter(|offset| (self.log_start..=self.log_end).contains(offset));
        let first_dirty = known.unwrap_or(self.log_start);
        let mut found =
            Cleanable { first_dirty, end: first_dirty, clean_bytes: 0, dirty_bytes: 0, overdue: false };
        let too_young = now.plus_millis(config.min_lag_ms.saturating_neg());
        let too_old = now.plus_millis(config.max_lag_ms.saturating_neg());
        for (segment, end) in self.sealed() {
            if end <= first_dirty {
                found.clean_bytes += segment.size();
                continue;
            }
            let newest = segment.max_timestamp().map(|max| max.timestamp);
            if end > upper || config.min_lag_ms > 0 && newest.is_some_and(|newest| newest > too_young) {
                break;
            }
            found.dirty_bytes += segment.size();
            found.end = end;
            found.overdue = found.overdue
                || config.max_lag_ms < i64::MAX
                    && segment.first_timestamp()?.is_some_and(|first| first < too_old);
        }
        Ok(found)
    }

    /// The segments that are no longer written to, each with the end of its offsets.
    pub(super) fn sealed(&self) -> impl Iterator<Item = (&std::sync::Arc<Segment>, Offset)> {
        self.segments.iter().zip(self.segments.iter().skip(1).map(|next| next.base()))
    }
}

impl Segment {
    /// The largest timestamp of the first batch.
    fn first_timestamp(&self) -> Result<Option<Timestamp>, ReadError> {
        let file = self.log_file().map_err(|error| self.read_error(error))?;
        let mut scan = BatchScan::short(&*file, 0, self.size());
        Ok(self.step(&mut scan)?.and_then(|(_, header)| header.max_timestamp()))
    }
}
