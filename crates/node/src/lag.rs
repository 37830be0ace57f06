//! How far a group is behind in one partition: in records, and as the age of the first record it has not read.
//!
//! The age is what an operator acts on: 10,000 records are a moment's work in one topic and a day's in another. It is read
//! off the log, so it is right for a group that has not run for a week, and for one that never ran.

use std::sync::Arc;
use std::time::Duration;

use ottla_record::{BatchHeader, BatchView, HEADER_LEN, Offset, Timestamp};
use ottla_replication::{Availability, View};
use ottla_storage::{ReadError, ReadSlice};

use crate::fetch::{FetchError, check_leader};
use crate::host::PartitionHost;
use crate::node::Node;
use crate::topics::TopicKey;

/// How far a reader at an offset is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// First offset in the log.
    pub log_start: Offset,
    /// End of what consumers may read.
    pub log_end: Offset,
    /// Offsets from the reader's to the end. Compaction and transactions make the number of records smaller.
    pub records: u64,
    /// Age of the first record at or after the reader's offset; zero at the end.
    pub age: Duration,
}

/// How much is read of the log to tell an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// The record itself: reads and unpacks one batch.
    Record,
    /// The first record of its batch: reads 61 bytes. Never less than the record's age.
    Batch,
}

impl Node {
    /// How far a reader at `offset` is behind. Reads the disk: call it where that may be waited for.
    ///
    /// # Errors
    /// The partition is not here or not led by this broker, or its log cannot be read.
    pub fn lag(
        &self,
        topic: &str,
        partition: i32,
        offset: Offset,
        precision: Precision,
    ) -> Result<Lag, FetchError> {
        let topics = self.topics();
        let host = topics
            .topic(TopicKey::Name(topic))
            .and_then(|topic| topic.partition(partition))
            .map(Arc::clone)?;
        drop(topics);
        let now = self.clock().now().wall;
        lag(&host, offset, precision, now, self.settings().config.max_decompressed_bytes)
    }
}

/// Views that may be overtaken by retention one after the other before the read gives up.
const MAX_STALE_VIEWS: usize = 8;

pub(crate) fn lag(
    host: &PartitionHost,
    offset: Offset,
    precision: Precision,
    now: Timestamp,
    max_decompressed: usize,
) -> Result<Lag, FetchError> {
    for _attempt in 0..MAX_STALE_VIEWS {
        let view = host.view();
        check_leader(&view, None)?;
        let (log_start, log_end) = (view.log_start, view.high_watermark);
        let records = (log_end.get().saturating_sub(offset.get())).max(0).unsigned_abs();
        let mut lag = Lag { log_start, log_end, records, age: Duration::ZERO };
        if records == 0 {
            return Ok(lag);
        }
        match first_at(&view, offset.max(log_start), precision, max_decompressed) {
            Ok(written) => {
                let age = written.map_or(0, |written| now.millis().saturating_sub(written.millis()));
                // A producer's clock may be ahead of this one.
                lag.age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
                return Ok(lag);
            }
            Err(ReadFailure::Stale) => {}
            Err(ReadFailure::Broken(error)) => {
                tracing::warn!(topic = %host.topic(), partition = host.index().get(), error, "the age of a group's lag cannot be told");
                return Err(FetchError::Storage);
            }
        }
    }
    Err(FetchError::Storage)
}

enum ReadFailure {
    Stale,
    Broken(String),
}

/// The timestamp of the first record at or after an offset.
fn first_at(
    view: &View,
    from: Offset,
    precision: Precision,
    max_decompressed: usize,
) -> Result<Option<Timestamp>, ReadFailure> {
    debug_assert!(matches!(view.availability, Availability::Leading { .. }), "only leaders know the end");
    let broken = |error: &dyn std::fmt::Display| ReadFailure::Broken(error.to_string());
    let slice = match view.log.read(from, 0, view.high_watermark, true) {
        Ok(slice) => slice,
        Err(ReadError::Stale) => return Err(ReadFailure::Stale),
        Err(error) => return Err(broken(&error)),
    };
    let Some(slice) = slice else { return Ok(None) };
    let head = ReadSlice { len: slice.len.min(HEADER_LEN), ..slice.clone() };
    let head = head.read().map_err(|error| broken(&error))?;
    let header = BatchHeader::parse(&head).map_err(|error| broken(&error))?;
    if precision == Precision::Batch || header.base_offset() >= from {
        return Ok(first_of(&header));
    }
    let bytes = slice.read().map_err(|error| broken(&error))?;
    let batch = BatchView::parse(&bytes).map_err(|error| broken(&error))?;
    for record in &batch.records(max_decompressed).map_err(|error| broken(&error))? {
        let record = record.map_err(|error| broken(&error))?;
        if record.offset >= from {
            return Ok(record.timestamp);
        }
    }
    Ok(first_of(&header))
}

/// The time of a batch's first record. Where the broker stamps, all have the largest.
fn first_of(header: &BatchHeader) -> Option<Timestamp> {
    match header.attributes().timestamp_type() {
        ottla_record::TimestampType::LogAppendTime => header.max_timestamp(),
        ottla_record::TimestampType::CreateTime => header.base_timestamp(),
    }
}
