//! A log directory for a test.

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

pub(crate) fn now() -> Now {
    Now { monotonic: Monotonic::ZERO, wall: Timestamp::from_millis(1_700_000_000_000) }
}

pub(crate) fn root(path: &Path) -> Arc<LogDirectory> {
    root_on(Arc::new(FsDisk::open(path).unwrap()))
}

pub(crate) fn root_on(disk: Arc<dyn Disk>) -> Arc<LogDirectory> {
    let limits = DirectoryLimits { open_files: 16, reserve_bytes: Some(0) };
    let id = DirectoryId(Uuid::from_random([1; 16]));
    Arc::new(LogDirectory::open(disk, BrokerId::new(1), id, limits).unwrap())
}

pub(crate) fn name() -> TopicPartition {
    TopicPartition::from_directory(Path::new(DIR)).unwrap()
}

pub(crate) fn open(root: &Arc<LogDirectory>, config: LogConfig) -> (Log, Recovery) {
    open_from(root, config, root.log_start_of(&name())).unwrap()
}

pub(crate) fn open_from(
    root: &Arc<LogDirectory>,
    config: LogConfig,
    start: LogStart,
) -> Result<(Log, Recovery), OpenError> {
    let topic_id = TopicId(Uuid::from_random([7; 16]));
    Log::open(root, PathBuf::from(DIR), topic_id, config, start, now())
}

pub(crate) fn builder(codec: Codec, timestamp: i64, values: &[String]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(codec);
    for (value, timestamp) in values.iter().zip(timestamp..) {
        builder.push(Some(Timestamp::from_millis(timestamp)), None, Some(value.as_bytes()), &[]);
    }
    builder
}

pub(crate) fn flush(root: &LogDirectory, log: &mut Log) {
    if let Some(job) = log.begin_flush() {
        job.run(&**root.disk()).unwrap();
        log.complete_flush(job.end);
    }
}
