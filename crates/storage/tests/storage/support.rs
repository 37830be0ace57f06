//! A log directory for a test, and batches to append.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_record::produce::{Origin, ProduceRules, validate};
use ottla_record::{
    BatchBuilder, Batches, BrokerId, Codec, ControlType, DirectoryId, EndTransactionMarker, LeaderEpoch,
    Monotonic, Now, Offset, ProducerEpoch, ProducerId, ProducerStamp, Sequence, Timestamp, TimestampType,
    TopicId, Uuid, ValidatedBatches,
};
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

pub(crate) fn epoch(epoch: i32) -> LeaderEpoch {
    LeaderEpoch::new(epoch)
}

pub(crate) fn validated(bytes: Bytes) -> ValidatedBatches {
    let rules = ProduceRules {
        origin: Origin::Coordinator,
        max_batch_bytes: 1 << 20,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        compression: None,
        compacted: false,
        allow_zstd: true,
        max_decompressed_bytes: 1 << 20,
    };
    validate(bytes, &rules, Timestamp::EPOCH).unwrap()
}

pub(crate) fn builder(codec: Codec, timestamp: i64, values: &[String]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(codec);
    for (value, timestamp) in values.iter().zip(timestamp..) {
        builder.push(Some(Timestamp::from_millis(timestamp)), None, Some(value.as_bytes()), &[]);
    }
    builder
}

pub(crate) fn stamp(id: i64, epoch: i16, sequence: Option<i32>) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: sequence.map(Sequence::new),
    }
}

pub(crate) fn marker(id: i64, control: ControlType, timestamp: i64) -> ValidatedBatches {
    let mut builder = BatchBuilder::new(Codec::None).producer(stamp(id, 0, None)).transactional().control();
    let marker = EndTransactionMarker { control, coordinator_epoch: 3 };
    builder.push_marker(Timestamp::from_millis(timestamp), marker);
    validated(builder.build().unwrap())
}

pub(crate) fn flush(root: &LogDirectory, log: &mut Log) {
    if let Some(job) = log.begin_flush() {
        job.run(&**root.disk()).unwrap();
        log.complete_flush(job.end);
    }
}

/// Every value below `upper` with its offset and leader epoch, as a reader sees it.
pub(crate) fn contents(log: &Log) -> Vec<(i64, String)> {
    let view = log.view();
    let mut from = view.log_start();
    let mut values = Vec::new();
    while let Some(slice) = view.read(from, 700, view.log_end(), true).unwrap() {
        for batch in Batches::new(&slice.read().unwrap()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            for record in batch.records(1 << 20).unwrap().iter() {
                let record = record.unwrap();
                if record.offset >= from && !batch.header().attributes().is_control() {
                    let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                    values.push((record.offset.get(), value));
                }
            }
            from = batch.last_offset().next();
        }
    }
    assert_eq!(from, Offset::new(log.log_end().get()));
    values
}
