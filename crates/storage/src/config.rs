//! The topic-level settings that storage needs, already resolved. No defaults here: they stand in the broker's
//! configuration table.

/// Settings of one partition's log. Names in the comments are Kafka's topic configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is rolled before it grows past this; also the largest append.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment is rolled when a record this much later than its first one arrives.
    pub segment_ms: i64,
    /// This log's share of `segment.jitter.ms`, drawn by the caller: rolling comes this much earlier, so that many
    /// partitions do not roll at once.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: a segment is rolled when an index would grow past this.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: bytes between two index entries.
    pub index_interval_bytes: u32,
    /// `retention.bytes`; `None` keeps everything.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`; `None` keeps everything.
    pub retention_ms: Option<i64>,
    /// `cleanup.policy` contains `delete`; without it only segments below the log start are removed.
    pub delete_expired: bool,
    /// `cleanup.policy` contains `compact`, or did at any time: offsets may have gaps. Otherwise a gap is damage.
    pub compacted: bool,
    /// How the log is compacted; `None` if `cleanup.policy` does not contain `compact`.
    pub compaction: Option<CompactionConfig>,
    /// `file.delete.delay.ms`: how long a segment's files stay on disk under another name after it left the log.
    pub file_delete_delay_ms: u64,
    /// `preallocate`: reserve a whole segment when it is created.
    pub preallocate: bool,
    /// `producer.id.expiration.ms`: a producer that has been silent this long is forgotten.
    pub producer_id_expiration_ms: i64,
}

/// How a log is compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionConfig {
    /// `delete.retention.ms`: how long a tombstone stays after a pass has come by it.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: nothing younger is compacted; 0 for no such bound.
    pub min_lag_ms: i64,
    /// `max.compaction.lag.ms`: nothing older stays uncompacted; `i64::MAX` for no such bound.
    pub max_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`: a pass waits until more than this share of the log is dirty.
    pub min_dirty_ratio: DirtyRatio,
}

/// A share from 0 to 1, exact to a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirtyRatio {
    millionths: u32,
}

impl DirtyRatio {
    /// The nearest share; what lies outside 0 to 1 counts as the nearer of the two.
    pub fn new(ratio: f64) -> Self {
        // A cast of a float saturates, and makes 0 of what is no number.
        Self { millionths: (ratio.min(1.0) * 1e6).round() as u32 }
    }

    /// As a number from 0 to 1.
    pub fn get(self) -> f64 {
        f64::from(self.millionths) / 1e6
    }
}

/// Where a log stands according to the checkpoint files of its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStart {
    /// Everything below was flushed, indexes included: it is not scanned, and damage there is not a torn tail.
    pub recovery_point: ottla_record::Offset,
    /// The log start, where records were deleted inside a segment.
    pub log_start: Option<ottla_record::Offset>,
    /// The directory was shut down cleanly: nothing needs to be scanned.
    pub clean: bool,
}
