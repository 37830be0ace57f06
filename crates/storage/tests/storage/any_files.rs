//! Any bytes as the files of a partition: opening ends in a log that works or in an error, never in a panic, and what
//! it has repaired stays repaired. Shared by the stable tests and the fuzz targets `index_recover` and
//! `checkpoint_parse`.

use std::path::PathBuf;
use std::sync::Arc;

use ottla_record::produce::{Origin, ProduceRules, validate};
use ottla_record::{
    BatchBuilder, BrokerId, Codec, DirectoryId, LeaderEpoch, Monotonic, Now, Offset, Timestamp,
    TimestampType, TopicId, Uuid,
};
use ottla_storage::{
    DirectoryLimits, LeaderEpochs, Log, LogConfig, LogDirectory, LogStart, OpenError, checkpoint,
    producer_snapshot,
};

use crate::memory_disk::MemoryDisk;

/// The files of an input, in its order. Each stands behind its length (`u16`); 65535 for a file that is missing.
pub(crate) const FILES: [&str; 8] = [
    "t-0/00000000000000000000.log",
    "t-0/00000000000000000000.index",
    "t-0/00000000000000000000.timeindex",
    "t-0/00000000000000000000.txnindex",
    "t-0/00000000000000000000.snapshot",
    "t-0/leader-epoch-checkpoint",
    "t-0/00000000000000000020.log",
    "t-0/00000000000000000020.snapshot",
];

/// The files of a partition, and what the checkpoints say of it.
pub(crate) struct Input {
    files: Vec<(&'static str, Vec<u8>)>,
    pub(crate) start: LogStart,
    pub(crate) config: LogConfig,
}

impl Input {
    /// The first byte is the recovery point, the second holds flags; then the files.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let [recovery_point, flags, rest @ ..] = data else { return None };
        let mut rest = rest;
        let mut files = Vec::new();
        for name in FILES {
            let Some((len, after)) = rest.split_first_chunk::<2>() else { break };
            let len = usize::from(u16::from_be_bytes(*len));
            rest = after;
            if len < usize::from(u16::MAX) {
                let (bytes, after) = rest.split_at(len.min(rest.len()));
                files.push((name, bytes.to_vec()));
                rest = after;
            }
        }
        let start = LogStart {
            recovery_point: Offset::new(i64::from(*recovery_point)),
            log_start: (flags & 1 != 0).then(|| Offset::new(i64::from(flags >> 4))),
            clean: flags & 2 != 0,
        };
        Some(Self { files, start, config: config(flags & 4 != 0) })
    }

    /// A disk with these files and nothing else.
    pub(crate) fn disk(&self) -> MemoryDisk {
        let disk = MemoryDisk::default();
        for (name, bytes) in &self.files {
            disk.put(name, bytes);
        }
        disk
    }
}

pub(crate) fn open_and_use(data: &[u8]) {
    let Some(input) = Input::read(data) else { return };
    let (start, config) = (input.start, &input.config);
    let disk = Arc::new(input.disk());
    let before = disk.total_bytes();
    let limits = DirectoryLimits { open_files: 4, reserve_bytes: Some(0) };
    let id = DirectoryId(Uuid::from_random([1; 16]));
    let Ok(root) = LogDirectory::open(Arc::clone(&disk) as _, BrokerId::new(1), id, limits) else { return };
    let root = Arc::new(root);
    let Ok((mut log, _)) = open(&root, config, start) else { return };
    // Repairs derive little from what is there: indexes, an epoch file, metadata.
    assert!(disk.total_bytes() <= 2 * before + 4096, "{} bytes out of {before}", disk.total_bytes());
    assert!(log.log_end() >= start.recovery_point, "flushed records are gone");
    log.check_invariants();
    let view = log.view();
    let (first, end) = (read_all(&log), log.log_end());
    // What was repaired is sound now: opened again, nothing changes.
    let again = LogStart { recovery_point: end, log_start: Some(log.log_start()), clean: false };
    drop(log.checkpoint());
    let (mut log, recovery) = match open(&root, config, again) {
        Ok(opened) => opened,
        // Damage that lay where the first start did not look may be met by the second, and is then told.
        Err(OpenError::Corrupt { .. }) if start.recovery_point > Offset::ZERO => return,
        Err(error) => panic!("{error}"),
    };
    assert_eq!((recovery.truncated_bytes, recovery.removed_segments, log.log_end()), (0, 0, end));
    assert_eq!(read_all(&log), first);
    // Records that no checksum of ours covers (their values) may be anything; looking into them must not panic.
    let _ = view.offset_for_timestamp(Timestamp::from_millis(5), end);
    let _ = view.max_timestamp(end);
    let _ = view.aborted_transactions(Offset::ZERO, end);
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(None, None, Some(b"new"), &[]);
    let batch = validate(batch.build().unwrap(), &rules(), Timestamp::EPOCH).unwrap();
    let epoch = log.leader_epochs().latest().map_or(LeaderEpoch::ZERO, |latest| latest.epoch);
    if log.append_as_leader(&batch, epoch, now()).is_ok() {
        log.check_invariants();
        let slice = log.view().read(end, 1000, log.log_end(), true).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(slice.unwrap().base_offset, end);
        log.truncate_to(end, Timestamp::EPOCH).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read_all(&log), first);
    }
}

/// Every small file that is parsed as a whole: what is read is written as it was.
pub(crate) fn parse(data: &[u8]) {
    if let Ok(offsets) = checkpoint::read_offsets(data) {
        let text = checkpoint::write_offsets(&offsets);
        assert_eq!(checkpoint::read_offsets(text.as_bytes()), Ok(offsets));
    }
    if let Ok(epochs) = LeaderEpochs::read(data) {
        assert_eq!(LeaderEpochs::read(epochs.write().as_bytes()), Ok(epochs));
    }
    if let Ok(states) = producer_snapshot::decode(data) {
        assert_eq!(producer_snapshot::decode(&producer_snapshot::encode(&states)), Ok(states));
    }
    // The same behind a checksum that is right, or the fuzzer would hardly ever get past it.
    let mut sealed = vec![0, 1, 0, 0, 0, 0];
    sealed.extend_from_slice(data);
    let crc = ottla_record::header::crc32c(data);
    sealed[2..6].copy_from_slice(&crc.to_be_bytes());
    if let Ok(states) = producer_snapshot::decode(&sealed) {
        assert_eq!(producer_snapshot::decode(&producer_snapshot::encode(&states)), Ok(states));
    }
    let disk = Arc::new(MemoryDisk::default());
    for name in ["meta.properties", ".kafka_cleanshutdown", "log-start-offset-checkpoint"] {
        disk.put(name, data);
    }
    let limits = DirectoryLimits { open_files: 4, reserve_bytes: Some(0) };
    let id = DirectoryId(Uuid::from_random([1; 16]));
    let _ = LogDirectory::open(disk, BrokerId::new(1), id, limits);
}

pub(crate) fn open(
    root: &Arc<LogDirectory>,
    config: &LogConfig,
    start: LogStart,
) -> Result<(Log, ottla_storage::Recovery), ottla_storage::OpenError> {
    let topic_id = TopicId(Uuid::from_random([7; 16]));
    Log::open(root, PathBuf::from("t-0"), topic_id, config.clone(), start, now())
}

fn read_all(log: &Log) -> Vec<u8> {
    let view = log.view();
    let (mut from, mut all) = (view.log_start(), Vec::new());
    // Below the recovery point the inside of a segment is not checked: a read may end in an error.
    while let Ok(Some(slice)) = view.read(from, 1 << 16, view.log_end(), true) {
        let bytes = slice.read().unwrap();
        let asked = from;
        for (number, batch) in ottla_record::Batches::new(&bytes).enumerate() {
            // Below the recovery point no start looks at the inside of a segment: only the first batch was looked up.
            let Ok(batch) = batch else {
                assert!(number > 0, "a read begins with a batch");
                break;
            };
            assert!(number > 0 || batch.last_offset() >= asked, "a reader goes back");
            from = from.max(batch.last_offset().next());
        }
        all.extend(bytes);
    }
    all
}

fn now() -> Now {
    Now { monotonic: Monotonic::ZERO, wall: Timestamp::EPOCH }
}

fn config(compacted: bool) -> LogConfig {
    LogConfig {
        segment_bytes: 1 << 20,
        segment_ms: i64::MAX,
        segment_jitter_ms: 0,
        segment_index_bytes: 1 << 20,
        index_interval_bytes: 100,
        retention_bytes: None,
        retention_ms: None,
        delete_expired: true,
        compacted,
        compaction: None,
        file_delete_delay_ms: 0,
        preallocate: false,
        producer_id_expiration_ms: i64::MAX,
    }
}

fn rules() -> ProduceRules {
    ProduceRules {
        origin: Origin::Client,
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
