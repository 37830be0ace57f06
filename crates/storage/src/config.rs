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
    /// `file.delete.delay.ms`: how long a segment's files stay on disk under another name after it left the log.
    pub file_delete_delay_ms: u64,
    /// `preallocate`: reserve a whole segment when it is created.
    pub preallocate: bool,
    /// `producer.id.expiration.ms`: a producer that has been silent this long is forgotten.
    pub producer_id_expiration_ms: i64,
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
