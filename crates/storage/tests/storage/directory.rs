//! A log directory for a test, with one log: for the tests beside the sources and for those through the public surface,
//! which both include this file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_record::{BatchBuilder, BrokerId, Codec, DirectoryId, Monotonic, Now, Timestamp, TopicId, Uuid};
use ottla_storage::{
    DirectoryLimits, Disk, FsDisk, Log, LogConfig, LogDirectory, LogStart, OpenError, Recovery,
    TopicPartition,
};

pub(crate) const DIR: &str = "t-0";

pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        segment_ms: i64::MAX,
        segment_jitter_ms: 0,
        segment_index_bytes: 10 << 20,
        index_interval_bytes: 200,
        retention_bytes: None,
        retention_ms: None,
        delete_expired: true,
        compacted: false,
        compaction: None,
        file_delete_delay_ms: 0,
        preallocate: false,
        producer_id_expiration_ms: i64::MAX,
    }
}

pub(crate) fn at(wall: i64) -> Now {
    Now { monotonic: Monotonic::ZERO, wall: Timestamp::from_millis(wall) }
}

pub(crate) fn topic_id() -> TopicId {
    TopicId(Uuid::from_random([7; 16]))
}

pub(crate) fn name() -> TopicPartition {
    TopicPartition::from_directory(Path::new(DIR)).unwrap()
}

pub(crate) fn root(path: &Path) -> Arc<LogDirectory> {
    root_on(Arc::new(FsDisk::open(path).unwrap()), 0)
}

pub(crate) fn root_on(disk: Arc<dyn Disk>, reserve_bytes: u64) -> Arc<LogDirectory> {
    let limits = DirectoryLimits { open_files: 16, reserve_bytes: Some(reserve_bytes) };
    let id = DirectoryId(Uuid::from_random([1; 16]));
    Arc::new(LogDirectory::open(disk, BrokerId::new(1), id, limits).unwrap())
}

pub(crate) fn open_at(
    root: &Arc<LogDirectory>,
    config: LogConfig,
    start: LogStart,
    now: Now,
) -> Result<(Log, Recovery), OpenError> {
    Log::open(root, PathBuf::from(DIR), topic_id(), config, start, now)
}

/// A batch of these values, with the timestamps `timestamp, timestamp + 1, …`.
pub(crate) fn builder(codec: Codec, timestamp: i64, values: &[impl AsRef<str>]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(codec);
    for (value, timestamp) in values.iter().zip(timestamp..) {
        builder.push(Some(Timestamp::from_millis(timestamp)), None, Some(value.as_ref().as_bytes()), &[]);
    }
    builder
}

pub(crate) fn flush(root: &LogDirectory, log: &mut Log) {
    if let Some(job) = log.begin_flush() {
        job.run(&**root.disk()).unwrap();
        log.complete_flush(job.end);
    }
}
