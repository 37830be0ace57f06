use std::sync::Arc;

use bytes::Bytes;
use ottla_record::produce::{Origin, ProduceRules, validate};
use ottla_record::{
    BatchBuilder, BrokerId, Codec, DirectoryId, Monotonic, ProducerEpoch, ProducerId, ProducerStamp,
    Sequence, TimestampType, Uuid,
};

use super::*;
use crate::config::LogStart;
use crate::fs_disk::FsDisk;
use crate::log_directory::DirectoryLimits;
use crate::recovery::Recovery;

/// A log in a directory of its own, which goes with it.
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) root: Arc<LogDirectory>,
}

pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1 << 20,
        segment_ms: i64::MAX,
        segment_jitter_ms: 0,
        segment_index_bytes: 10 << 20,
        index_interval_bytes: 200,
        retention_bytes: None,
        retention_ms: None,
        delete_expired: true,
        compacted: false,
        file_delete_delay_ms: 60_000,
        preallocate: false,
        producer_id_expiration_ms: 86_400_000,
    }
}

pub(crate) fn at(wall: i64) -> Now {
    Now { monotonic: Monotonic::ZERO, wall: Timestamp::from_millis(wall) }
}

pub(crate) fn topic_id() -> TopicId {
    TopicId(Uuid::from_random([7; 16]))
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = open_root(dir.path());
        Self { dir, root }
    }

    pub(crate) fn open(&self, config: LogConfig) -> (Log, Recovery) {
        self.try_open(config).unwrap()
    }

    pub(crate) fn try_open(&self, config: LogConfig) -> Result<(Log, Recovery), crate::OpenError> {
        let name = TopicPartition::from_directory(Path::new("t-0")).unwrap();
        let start = self.root.log_start_of(&name);
        Log::open(&self.root, "t-0".into(), topic_id(), config, start, at(1000))
    }

    pub(crate) fn open_from(
        &self,
        config: LogConfig,
        start: LogStart,
    ) -> Result<(Log, Recovery), crate::OpenError> {
        Log::open(&self.root, "t-0".into(), topic_id(), config, start, at(1000))
    }

    /// As after a kill of the process: the files are what they are, memory is gone.
    pub(crate) fn restart(self) -> Self {
        let Self { dir, root } = self;
        drop(root);
        let root = open_root(dir.path());
        Self { dir, root }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("data/t-0").join(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = self.root.disk().list(Path::new("t-0")).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }
}

fn open_root(dir: &Path) -> Arc<LogDirectory> {
    let disk = Arc::new(FsDisk::open(dir.join("data")).unwrap());
    let limits = DirectoryLimits { open_files: 16, reserve_bytes: Some(0) };
    let id = DirectoryId(Uuid::from_random([1; 16]));
    Arc::new(LogDirectory::open(disk, BrokerId::new(1), id, limits).unwrap())
}

pub(crate) fn rules() -> ProduceRules {
    ProduceRules {
        origin: Origin::Coordinator,
        max_batch_bytes: 1 << 20,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        compression: None,
        compacted: false,
        allow_zstd: true,
        max_decompressed_bytes: 1 << 20,
    }
}

pub(crate) fn validated(bytes: Bytes) -> ValidatedBatches {
    validate(bytes, &rules(), Timestamp::from_millis(0)).unwrap()
}

/// A batch of `values` records with the timestamps `ts, ts + 1, …`.
pub(crate) fn batch(ts: i64, values: &[&str]) -> ValidatedBatches {
    let mut builder = BatchBuilder::new(Codec::None);
    for (value, ts) in values.iter().zip(ts..) {
        builder.push(Some(Timestamp::from_millis(ts)), None, Some(value.as_bytes()), &[]);
    }
    validated(builder.build().unwrap())
}

pub(crate) fn stamp(id: i64, epoch: i16, sequence: i32) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Sequence::from_wire(sequence),
    }
}

pub(crate) fn stamped(stamp: ProducerStamp, values: &[&str]) -> ValidatedBatches {
    let mut builder = BatchBuilder::new(Codec::None).producer(stamp);
    for value in values {
        builder.push(Some(Timestamp::from_millis(5)), None, Some(value.as_bytes()), &[]);
    }
    validated(builder.build().unwrap())
}

pub(crate) fn epoch(epoch: i32) -> LeaderEpoch {
    LeaderEpoch::new(epoch)
}

pub(crate) fn flush(log: &mut Log) {
    if let Some(job) = log.begin_flush() {
        job.run(&**log.root.disk()).unwrap();
        log.complete_flush(job.end);
    }
}

/// Every value in the log, with its offset, as a reader sees it.
pub(crate) fn contents(log: &Log) -> Vec<(i64, String)> {
    let view = log.view();
    let mut from = view.log_start();
    let mut values = Vec::new();
    while let Some(slice) = view.read(from, 400, view.log_end(), true).unwrap() {
        for batch in Batches::new(&slice.read().unwrap()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            for record in batch.records(1 << 20).unwrap().iter() {
                let record = record.unwrap();
                if record.offset >= from {
                    let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                    values.push((record.offset.get(), value));
                }
            }
            from = batch.last_offset().next();
        }
    }
    values
}

#[test]
fn what_is_appended_is_read_back_also_after_a_clean_stop() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(config());
    let one = log.append_as_leader(&batch(10, &["a", "b"]), epoch(3), at(0)).unwrap();
    assert_eq!(one, Append::New { first: Offset::ZERO, last: Offset::new(1), log_append_time: None });
    let two = log.append_as_leader(&batch(20, &["c"]), epoch(3), at(0)).unwrap();
    assert_eq!(two, Append::New { first: Offset::new(2), last: Offset::new(2), log_append_time: None });
    let expected = [(0, "a".to_owned()), (1, "b".to_owned()), (2, "c".to_owned())];
    assert_eq!(contents(&log), expected);
    assert_eq!(log.flushed_end(), Offset::ZERO);
    flush(&mut log);
    assert_eq!(log.flushed_end(), Offset::new(3));
    assert!(log.begin_flush().is_none());

    log.close().unwrap();
    fixture.root.store_checkpoints().unwrap();
    fixture.root.mark_clean(None).unwrap();
    let fixture = fixture.restart();
    assert!(fixture.root.was_clean());
    let (log, recovery) = fixture.open(config());
    assert_eq!(recovery, Recovery { segments: 1, ..Recovery::default() });
    assert_eq!(contents(&log), expected);
    assert_eq!((log.log_end(), log.flushed_end()), (Offset::new(3), Offset::new(3)));
    assert_eq!(log.leader_epochs().latest().unwrap().epoch, epoch(3));
}

#[test]
fn a_read_ends_at_batches_and_at_the_upper_bound() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(config());
    for number in 0..100 {
        let value = format!("{number:050}");
        log.append_as_leader(&batch(number, &[&value, "x"]), epoch(0), at(0)).unwrap();
    }
    let view = log.view();
    let one = view.read(Offset::ZERO, 1, Offset::new(200), true).unwrap().unwrap();
    let size = one.len;
    assert_eq!(one.position, 0);
    assert!(view.read(Offset::ZERO, size - 1, Offset::new(200), false).unwrap().is_none());
    for (from, max, upper, base, batches) in [
        (0, size, 200, 0, 1),
        (0, 2 * size - 1, 200, 0, 1),
        (1, 2 * size, 200, 0, 2),
        (101, 30 * size + 3, 200, 100, 30),
        (101, 1 << 20, 200, 100, 50),
        (101, 1 << 20, 160, 100, 30),
        (101, 1 << 20, 161, 100, 31),
        (199, 1, 200, 198, 1),
    ] {
        let slice = view.read(Offset::new(from), max, Offset::new(upper), true).unwrap().unwrap();
        assert_eq!((slice.base_offset.get(), slice.len), (base, batches * size), "{from} {max} {upper}");
    }
    assert!(view.read(Offset::new(200), 1000, Offset::new(200), true).unwrap().is_none());
    assert!(view.read(Offset::new(150), 1000, Offset::new(150), true).unwrap().is_none());
    assert!(matches!(
        view.read(Offset::new(201), 1000, Offset::new(300), true),
        Err(crate::ReadError::OffsetOutOfRange { .. })
    ));
}
