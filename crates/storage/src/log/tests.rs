use std::sync::Arc;

use ottla_record::produce::{ProduceRules, validate};
use ottla_record::{BatchBuilder, Codec, Monotonic, ProducerStamp};

use super::*;
use crate::batches::{contents, epoch, rules, validated};
use crate::config::LogStart;
use crate::directory;
pub(crate) use crate::directory::{at, topic_id};
use crate::fs_disk::FsDisk;
use crate::recovery::Recovery;
use crate::wrapped_disk::{Wrap, WrappedDisk};

/// A log in a directory of its own, which goes with it.
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) root: Arc<LogDirectory>,
}

/// Segments of a MiB, and the delays of a broker.
pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1 << 20,
        file_delete_delay_ms: 60_000,
        producer_id_expiration_ms: 86_400_000,
        ..directory::config()
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = directory::root(&dir.path().join("data"));
        Self { dir, root }
    }

    pub(crate) fn open(&self, config: LogConfig) -> (Log, Recovery) {
        self.try_open(config).unwrap()
    }

    pub(crate) fn try_open(&self, config: LogConfig) -> Result<(Log, Recovery), crate::OpenError> {
        self.open_from(config, self.root.log_start_of(&directory::name()))
    }

    pub(crate) fn open_from(
        &self,
        config: LogConfig,
        start: LogStart,
    ) -> Result<(Log, Recovery), crate::OpenError> {
        directory::open_at(&self.root, config, start, at(1000))
    }

    /// As after a kill of the process: the files are what they are, memory is gone.
    pub(crate) fn restart(self) -> Self {
        let Self { dir, root } = self;
        drop(root);
        let root = directory::root(&dir.path().join("data"));
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

/// A batch of `values` records with the timestamps `ts, ts + 1, …`.
pub(crate) fn batch(ts: i64, values: &[&str]) -> ValidatedBatches {
    validated(directory::builder(Codec::None, ts, values).build().unwrap())
}

pub(crate) fn stamped(stamp: ProducerStamp, values: &[&str]) -> ValidatedBatches {
    let mut builder = BatchBuilder::new(Codec::None).producer(stamp);
    for value in values {
        builder.push(Some(Timestamp::from_millis(5)), None, Some(value.as_bytes()), &[]);
    }
    validated(builder.build().unwrap())
}

pub(crate) fn flush(log: &mut Log) {
    directory::flush(&Arc::clone(&log.root), log);
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
        assert_eq!(slice.end_offset.get(), base + 2 * batches as i64, "{from} {max} {upper}");
    }
    assert!(view.read(Offset::new(200), 1000, Offset::new(200), true).unwrap().is_none());
    assert!(view.read(Offset::new(150), 1000, Offset::new(150), true).unwrap().is_none());
    assert!(matches!(
        view.read(Offset::new(201), 1000, Offset::new(300), true),
        Err(crate::ReadError::OffsetOutOfRange { .. })
    ));
}

/// Which next operations fail.
#[derive(Clone, Copy, Debug, Default)]
struct Failure {
    write: Option<io::ErrorKind>,
    reserve: bool,
    cut: bool,
    free: Option<u64>,
}

#[derive(Debug)]
struct FailingFile(Arc<dyn File>, Arc<parking_lot::Mutex<Failure>>);

impl Wrap for Arc<parking_lot::Mutex<Failure>> {
    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FailingFile(inner, Arc::clone(self)))
    }
    fn space(&self, inner: crate::Space) -> crate::Space {
        crate::Space { free: self.lock().free.unwrap_or(inner.free), ..inner }
    }
}

impl File for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buf, position)
    }
    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let Some(kind) = self.1.lock().write else { return self.0.write_at(slices, position) };
        // The first slice gets through.
        self.0.write_at(&slices[..1], position)?;
        Err(kind.into())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.1.lock().cut { Err(io::ErrorKind::Other.into()) } else { self.0.set_len(len) }
    }
    fn reserve(&self, len: u64) -> io::Result<()> {
        if self.1.lock().reserve { Err(io::ErrorKind::StorageFull.into()) } else { self.0.reserve(len) }
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.0.descriptor()
    }
}

fn failing(reserve_bytes: u64) -> (tempfile::TempDir, Log, Arc<parking_lot::Mutex<Failure>>) {
    let dir = tempfile::tempdir().unwrap();
    let failure = Arc::new(parking_lot::Mutex::new(Failure::default()));
    let inner = Arc::new(FsDisk::open(dir.path()).unwrap());
    let disk = WrappedDisk { inner, wrap: Arc::clone(&failure) };
    let root = directory::root_on(Arc::new(disk), reserve_bytes);
    let start = LogStart { recovery_point: Offset::ZERO, log_start: None, clean: false };
    let (log, _) = directory::open_at(&root, config(), start, at(0)).unwrap();
    (dir, log, failure)
}

#[test]
fn a_short_write_on_a_full_disk_is_cut_back_and_appends_resume() {
    let (dir, mut log, failure) = failing(0);
    log.append_as_leader(&batch(1, &["a"]), epoch(0), at(0)).unwrap();
    let size = log.size_bytes();
    failure.lock().write = Some(io::ErrorKind::StorageFull);
    let error = log.append_as_leader(&batch(1, &["b"]), epoch(0), at(0)).unwrap_err();
    assert!(matches!(error, AppendError::NoSpace { .. }), "{error}");
    assert!(!log.is_poisoned());
    let path = dir.path().join("t-0/00000000000000000000.log");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), size);
    failure.lock().write = None;
    log.append_as_leader(&batch(1, &["c"]), epoch(0), at(0)).unwrap();
    assert_eq!(contents(&log), [(0, "a".to_owned()), (1, "c".to_owned())]);
}

#[test]
fn a_failed_write_or_a_failed_cut_takes_the_log_offline() {
    for (write, cut) in [(io::ErrorKind::Other, false), (io::ErrorKind::StorageFull, true)] {
        let (_dir, mut log, failure) = failing(0);
        log.append_as_leader(&batch(1, &["a"]), epoch(0), at(0)).unwrap();
        flush(&mut log);
        *failure.lock() = Failure { write: Some(write), cut, ..Failure::default() };
        let error = log.append_as_leader(&batch(1, &["b"]), epoch(0), at(0)).unwrap_err();
        assert!(matches!(error, AppendError::Io(_)), "{error}");
        *failure.lock() = Failure::default();
        let error = log.append_as_leader(&batch(1, &["c"]), epoch(0), at(0)).unwrap_err();
        assert!(matches!(error, AppendError::Poisoned));
        assert!(log.begin_flush().is_none());
        assert_eq!((log.flushed_end(), log.log_end()), (Offset::new(1), Offset::new(1)));
        assert_eq!(contents(&log), [(0, "a".to_owned())], "what was there stays readable");
        assert!(log.close().is_err(), "a stop is clean only if everything is on disk");
    }
}

#[test]
fn below_the_reserve_appends_are_refused_until_space_returns() {
    let (_dir, mut log, failure) = failing(1_000_000);
    failure.lock().free = Some(1_000_050);
    let error = log.append_as_leader(&batch(1, &["a"]), epoch(0), at(0)).unwrap_err();
    assert!(matches!(error, AppendError::NoSpace { reserve: 1_000_000, .. }), "{error}");
    failure.lock().free = Some(5_000_000);
    let later = Now { monotonic: Monotonic::ZERO + std::time::Duration::from_millis(300), ..at(0) };
    log.append_as_leader(&batch(1, &["a"]), epoch(0), later).unwrap();
}

#[test]
fn space_is_reserved_in_growing_steps_and_given_back() {
    let (dir, mut log, failure) = failing(0);
    let path = dir.path().join("t-0/00000000000000000000.log");
    let value = "z".repeat(10_000);
    let mut sizes = Vec::new();
    for _ in 0..60 {
        log.append_as_leader(&batch(1, &[&value]), epoch(0), at(0)).unwrap();
        let ahead = std::fs::metadata(&path).unwrap().len() - log.size_bytes();
        if sizes.last().is_none_or(|last| *last < ahead) {
            sizes.push(ahead);
        }
    }
    // The last step ends at the segment.
    assert_eq!(sizes[..4], [0, 64 << 10, 128 << 10, 256 << 10]);
    // A disk that is nearly full still takes the write alone.
    failure.lock().reserve = true;
    for _ in 0..30 {
        log.append_as_leader(&batch(1, &[&value]), epoch(0), at(0)).unwrap();
    }
    failure.lock().reserve = false;
    flush(&mut log);
    log.checkpoint().unwrap();
    // The second finds the log idle.
    log.checkpoint().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), log.size_bytes());
    log.append_as_leader(&batch(1, &[&value]), epoch(0), at(0)).unwrap();
    assert_eq!(contents(&log).len(), 91);
}

#[test]
fn a_segment_is_rolled_by_time_size_and_offset() {
    let fixture = Fixture::new();
    let config = LogConfig { segment_ms: 1000, segment_jitter_ms: 100, ..config() };
    let (mut log, _) = fixture.open(config);
    for (timestamp, segments) in [(5000, 1), (5900, 1), (5901, 2), (100, 2), (6802, 3)] {
        log.append_as_leader(&batch(timestamp, &["x"]), epoch(0), at(0)).unwrap();
        assert_eq!(log.segment_count(), segments, "{timestamp}");
    }
    assert!(!log.roll_if_due(at(7702)).unwrap());
    assert!(log.roll_if_due(at(7703)).unwrap());
    assert!(!log.roll_if_due(at(99_999)).unwrap(), "an empty segment is not rolled");
    let big = "w".repeat(2 << 20);
    assert!(matches!(
        log.append_as_leader(&validated_large(&big), epoch(0), at(0)),
        Err(AppendError::TooLarge { .. })
    ));
}

fn validated_large(value: &str) -> ValidatedBatches {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(None, None, Some(value.as_bytes()), &[]);
    let rules = ProduceRules { max_batch_bytes: 64 << 20, ..rules() };
    validate(builder.build().unwrap(), &rules, Timestamp::EPOCH).unwrap()
}
