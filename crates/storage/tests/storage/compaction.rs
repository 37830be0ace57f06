//! Compaction against a model: whatever is missing from the log must be missing for a reason, and what has no reason to be
//! there after a pass must be gone. And what a crash in the middle of a swap leaves, file by file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use ottla_record::{BatchBuilder, Batches, Codec, ControlType, Now, Offset, ProducerId, Sequence, Timestamp};
use ottla_storage::compaction::{Pass, PassError, PassMemory, PassOrder, PassReport, SwapError};
use ottla_storage::producer_state::RECENT_BATCHES;
use ottla_storage::{AbortedTransaction, CompactionConfig, DirtyRatio, Disk, Log, LogConfig, LogDirectory};
use proptest::prelude::*;

use crate::batches::{epoch, marker, stamp, validated};
use crate::memory_disk::MemoryDisk;
use crate::support::{self, DIR, at, config, flush, name, root};

const DELETE_RETENTION_MS: i64 = 1_000;

pub(crate) fn compacting() -> LogConfig {
    let compaction = CompactionConfig {
        delete_retention_ms: DELETE_RETENTION_MS,
        min_lag_ms: 0,
        max_lag_ms: i64::MAX,
        min_dirty_ratio: DirtyRatio::new(0.5),
    };
    LogConfig {
        segment_bytes: 700,
        index_interval_bytes: 100,
        delete_expired: false,
        compacted: true,
        compaction: Some(compaction),
        ..config()
    }
}

pub(crate) fn memory(keys: u64) -> PassMemory {
    PassMemory { map_bytes: (keys + 1) * 24, load_factor: 1.0, buffer_bytes: 1, secret: [9; 16] }
}

/// Makes everything durable and decided, so that a pass may take it.
pub(crate) fn settle(root: &LogDirectory, log: &mut Log) {
    flush(root, log);
    log.checkpoint().unwrap();
    let end = log.log_end();
    log.high_watermark_reached(end);
}

fn order(root: &LogDirectory, log: &Log, now: Now) -> PassOrder {
    let upper = log.producers().first_unstable_offset().unwrap_or(log.log_end()).min(log.recovery_point());
    let view = log.view();
    let config = log.config().clone();
    let cleaned_to = root.cleaned_to(log.name());
    let cleanable = view.cleanable(cleaned_to, upper, &config.compaction.unwrap(), now.wall).unwrap();
    PassOrder { view, cleanable, config, producers: log.last_of_producers(), now: now.wall }
}

/// A whole pass. How far it came.
pub(crate) fn compact(
    root: &Arc<LogDirectory>,
    log: &mut Log,
    memory: PassMemory,
    now: Now,
) -> (Offset, PassReport) {
    let mut pace = |_| ControlFlow::Continue(());
    let mut pass = Pass::begin(root, order(root, log, now), memory, &mut pace).unwrap();
    while let Some(cleaned) = pass.next_cleaned(&mut pace).unwrap() {
        for deleted in log.swap_cleaned(cleaned, now).unwrap() {
            deleted.remove(&**root.disk()).unwrap();
        }
    }
    root.store_cleaned_to(log.name(), pass.end()).unwrap();
    (pass.end(), *pass.report())
}

pub(crate) fn append(log: &mut Log, at: i64, records: &[(&str, Option<&str>)]) {
    let mut builder = BatchBuilder::new(Codec::None);
    for (key, value) in records {
        let key = Some(key.as_bytes()).filter(|key| !key.is_empty());
        builder.push(Some(Timestamp::from_millis(at)), key, value.map(str::as_bytes), &[]);
    }
    log.append_as_leader(&validated(builder.build().unwrap()), epoch(1), support::now()).unwrap();
}

/// A record as a reader sees it: offset, key, value.
type Seen = (i64, Option<String>, Option<String>);

/// Every record that a reader from the log start sees, in order; and the batches' bounds, those without records too.
fn read(log: &Log) -> (Vec<Seen>, Vec<(i64, i64)>) {
    let view = log.view();
    let (mut records, mut batches) = (Vec::new(), Vec::new());
    let mut from = view.log_start();
    while let Some(slice) = view.read(from, 500, view.log_end(), true).unwrap() {
        for batch in Batches::new(&slice.read().unwrap()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            batches.push((batch.base_offset().get(), batch.last_offset().get()));
            assert!(batch.last_offset() >= from);
            from = batch.last_offset().next();
            if batch.header().attributes().is_control() {
                continue;
            }
            for record in &batch.records(1 << 20).unwrap() {
                let record = record.unwrap();
                if record.offset >= view.log_start() {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    records.push((record.offset.get(), record.key.map(text), record.value.map(text)));
                }
            }
        }
    }
    (records, batches)
}

pub(crate) fn values(log: &Log) -> String {
    let tell = |(offset, key, value): &Seen| {
        let part = |part: &Option<String>, none| part.clone().unwrap_or(String::from(none));
        format!("{offset}:{}={}", part(key, ""), part(value, "-"))
    };
    read(log).0.iter().map(tell).collect::<Vec<_>>().join(" ")
}

#[test]
fn small_neighbours_become_one_segment_and_a_reader_of_an_old_view_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let (mut log, _) = support::open(&root, compacting());
    for number in 0..60 {
        append(&mut log, number, &[(["a", "b", "c"][number as usize % 3], Some(&format!("{number:040}")))]);
    }
    settle(&root, &mut log);
    let before = log.segment_count();
    assert!(before >= 8, "{before}");
    let old = log.view();
    let slice = old.read(Offset::ZERO, 500, old.log_end(), true).unwrap().unwrap();
    let size_before = log.size_bytes();
    let (end, report) = compact(&root, &mut log, memory(100), support::now());
    assert_eq!((report.keys, report.records_kept), (3, 3));
    assert_eq!(report.records_read, end.get().unsigned_abs());
    assert!(log.size_bytes() < size_before / 3);
    // Each was full before; what the first pass has left of them finds place in one.
    assert_eq!(log.segment_count(), before);
    compact(&root, &mut log, memory(100), support::now());
    assert_eq!(log.segment_count(), 2);
    let kept: Vec<i64> = read(&log).0.iter().map(|(offset, ..)| *offset).collect();
    let expected: Vec<i64> = (end.get() - 3..60).collect();
    assert_eq!(kept, expected);
    // What was open reads on; what was not is told to look again.
    assert_eq!(Batches::new(&slice.read().unwrap()).next().unwrap().unwrap().base_offset(), Offset::ZERO);
    let later = old.read(Offset::new(30), 500, old.log_end(), true);
    assert!(later.is_ok() || matches!(later, Err(ottla_storage::ReadError::Stale)), "{later:?}");
    // A second pass has nothing to do, and does nothing.
    let view = order(&root, &log, support::now());
    assert_eq!(view.cleanable.dirty_bytes, 0);
    assert_eq!(view.cleanable.first_dirty, end);
    drop(log);
    let (log, recovery) = support::open(&root, compacting());
    assert_eq!((recovery.truncated_bytes, recovery.rebuilt_indexes), (0, 0));
    assert_eq!(log.log_end(), Offset::new(60));
}

#[test]
fn a_tombstone_goes_when_its_time_has_passed_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let (mut log, _) = support::open(&root, LogConfig { segment_ms: 5, ..compacting() });
    append(&mut log, 0, &[("a", Some("1")), ("b", Some("1")), ("", Some("keyless"))]);
    append(&mut log, 0, &[("a", None)]);
    append(&mut log, 10, &[("c", Some("1"))]);
    append(&mut log, 20, &[("d", Some("1"))]);
    settle(&root, &mut log);
    compact(&root, &mut log, memory(100), at(1_000_000));
    assert_eq!(values(&log), "1:b=1 3:a=- 4:c=1 5:d=1");
    append(&mut log, 30, &[("e", Some("1"))]);
    settle(&root, &mut log);
    compact(&root, &mut log, memory(100), at(1_000_000 + DELETE_RETENTION_MS - 1));
    assert_eq!(values(&log), "1:b=1 3:a=- 4:c=1 5:d=1 6:e=1");
    append(&mut log, 40, &[("f", Some("1"))]);
    settle(&root, &mut log);
    compact(&root, &mut log, memory(100), at(1_000_000 + DELETE_RETENTION_MS));
    assert_eq!(values(&log), "1:b=1 4:c=1 5:d=1 6:e=1 7:f=1");
}

#[test]
fn a_map_that_is_full_ends_the_pass_early_and_the_next_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let (mut log, _) = support::open(&root, compacting());
    for number in 0..100 {
        append(
            &mut log,
            number,
            &[(&format!("k{}", number % 40), Some("some value that takes a few bytes"))],
        );
    }
    settle(&root, &mut log);
    let mut ends = Vec::new();
    loop {
        let found = order(&root, &log, support::now()).cleanable;
        if found.dirty_bytes == 0 {
            break;
        }
        ends.push(compact(&root, &mut log, memory(15), support::now()).0.get());
        assert!(ends.len() < 20, "{ends:?}");
    }
    assert!(ends.len() > 3 && ends[0] == 15, "{ends:?}");
    // As many passes as it takes, the result is that of one.
    let end = *ends.last().unwrap();
    let kept: Vec<i64> =
        read(&log).0.iter().map(|(offset, ..)| *offset).filter(|offset| *offset < end).collect();
    assert_eq!(kept, (end - 40..end).collect::<Vec<_>>());
    // One batch with more keys than the map holds: told, not tried for ever.
    let many: Vec<String> = (0..20).map(|number| format!("n{number}")).collect();
    let many: Vec<(&str, Option<&str>)> = many.iter().map(|key| (key.as_str(), Some("x"))).collect();
    append(&mut log, 0, &many);
    for number in 0..20 {
        append(&mut log, number, &[("z", Some("some value that takes a few bytes to fill the segment"))]);
    }
    settle(&root, &mut log);
    let found = order(&root, &log, support::now());
    let mut pace = |_| ControlFlow::Continue(());
    root.store_cleaned_to(log.name(), Offset::new(100)).unwrap();
    let found = PassOrder { cleanable: order(&root, &log, support::now()).cleanable, ..found };
    let error = Pass::begin(&root, found, memory(15), &mut pace).unwrap_err();
    assert!(matches!(error, PassError::MapTooSmall { keys: 15 }), "{error}");
}

#[test]
fn a_pass_over_a_log_that_changed_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let (mut log, _) = support::open(&root, compacting());
    for number in 0..60 {
        append(&mut log, number, &[("a", Some(&format!("{number:040}")))]);
    }
    settle(&root, &mut log);
    let mut pace = |_| ControlFlow::Continue(());
    // The cleaned segment in place of the one at an offset.
    let cleaned_at = |pass: &mut Pass, offset: i64| {
        loop {
            let cleaned = pass.next_cleaned(&mut |_| ControlFlow::Continue(())).unwrap().unwrap();
            if cleaned.base() == Offset::new(offset) {
                return cleaned;
            }
            cleaned.discard();
        }
    };
    for change in ["truncate", "delete", "stop"] {
        let mut pass = Pass::begin(&root, order(&root, &log, support::now()), memory(10), &mut pace).unwrap();
        let expected = match change {
            "truncate" => {
                let cleaned = cleaned_at(&mut pass, 18);
                log.truncate_to(Offset::new(20), support::now().wall).unwrap();
                let error = log.swap_cleaned(cleaned, support::now()).unwrap_err();
                assert!(matches!(error, SwapError::Stale), "{error}");
                0..20
            }
            "delete" => {
                let cleaned = cleaned_at(&mut pass, 0);
                let end = log.log_end();
                for deleted in log.advance_log_start(Offset::new(12), end, support::now()).unwrap() {
                    deleted.remove(&**root.disk()).unwrap();
                }
                let error = log.swap_cleaned(cleaned, support::now()).unwrap_err();
                assert!(matches!(error, SwapError::Stale), "{error}");
                12..20
            }
            _ => {
                let mut stop = |_| ControlFlow::Break(());
                let error = pass.next_cleaned(&mut stop).unwrap_err();
                assert!(matches!(error, PassError::Aborted), "{error}");
                12..20
            }
        };
        let found: Vec<i64> = read(&log).0.iter().map(|(offset, ..)| *offset).collect();
        assert_eq!(found, expected.collect::<Vec<_>>(), "{change}");
        assert_eq!(leftovers(dir.path()), Vec::<String>::new(), "{change}");
        settle(&root, &mut log);
    }
}

#[test]
fn damage_ends_a_pass_and_is_not_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let (mut log, _) = support::open(&root, compacting());
    for number in 0..40 {
        append(&mut log, number, &[("a", Some(&format!("{number:040}")))]);
    }
    settle(&root, &mut log);
    let path = dir.path().join(DIR).join("00000000000000000000.log");
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut pace = |_| ControlFlow::Continue(());
    let error = Pass::begin(&root, order(&root, &log, support::now()), memory(10), &mut pace).unwrap_err();
    assert!(matches!(&error, PassError::Damaged { position: 109, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert!(!log.is_poisoned());
}

#[test]
fn a_topic_that_is_no_longer_compacted_keeps_its_gaps_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let (mut log, _) = support::open(&root, compacting());
    for number in 0..60 {
        append(&mut log, number, &[("a", Some(&format!("{number:040}")))]);
    }
    settle(&root, &mut log);
    compact(&root, &mut log, memory(10), support::now());
    let expected = values(&log);
    drop(log);
    let plain = LogConfig { compacted: false, compaction: None, delete_expired: true, ..compacting() };
    for recovery_point in [Offset::ZERO, Offset::new(60)] {
        let start = ottla_storage::LogStart { recovery_point, ..root.log_start_of(&name()) };
        let (log, recovery) = support::open_from(&root, plain.clone(), start).unwrap();
        assert_eq!(values(&log), expected);
        assert_eq!(recovery.removed_segments, 0);
    }
}

/// The files that a pass or a swap has left.
fn leftovers(dir: &Path) -> Vec<String> {
    let names =
        fs::read_dir(dir.join(DIR)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter(|name| [".cleaned", ".swap", ".deleted"].iter().any(|suffix| name.ends_with(suffix)))
        .collect();
    names.sort();
    names
}

fn snapshot(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir.join(DIR)).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

/// Every state that a crash between two renames can leave, and those that a power cut leaves between two syncs of the
/// directory: any of the renames since the last one done, the others not.
#[test]
fn a_swap_that_a_crash_interrupted_is_finished_or_undone() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(dir.path());
    let (mut log, _) = support::open(&root, compacting());
    for number in 0..24i64 {
        // An aborted transaction, so that there is a transaction index to swap too.
        if number == 4 {
            let mut builder = BatchBuilder::new(Codec::None).producer(stamp(5, 0, 0)).transactional();
            builder.push(Some(Timestamp::EPOCH), Some(b"b"), Some(b"aborted"), &[]);
            log.append_as_leader(&validated(builder.build().unwrap()), epoch(1), support::now()).unwrap();
            log.append_as_leader(&marker(5, ControlType::Abort, 0), epoch(1), support::now()).unwrap();
        }
        append(&mut log, number, &[(["a", "b"][number as usize % 2], Some(&format!("{number:060}")))]);
    }
    settle(&root, &mut log);
    // A first pass, for the second to join what it has left; and a few records that the second changes.
    compact(&root, &mut log, memory(10), support::now());
    for number in 0..14 {
        append(&mut log, number, &[("a", Some(&format!("{number:060}")))]);
    }
    settle(&root, &mut log);
    let mut pace = |_| ControlFlow::Continue(());
    let before = values(&log);
    let old = snapshot(dir.path());
    let mut pass = Pass::begin(&root, order(&root, &log, support::now()), memory(10), &mut pace).unwrap();
    let cleaned = pass.next_cleaned(&mut pace).unwrap().unwrap();
    let prepared = snapshot(dir.path());
    log.swap_cleaned(cleaned, support::now()).unwrap();
    let after = values(&log);
    let aborted_before = log.view().aborted_transactions(Offset::ZERO, log.log_end()).unwrap().len();
    let swapped = snapshot(dir.path());
    drop(log);
    root.store_checkpoints().unwrap();
    assert_ne!(before, after);
    let base = "00000000000000000000";
    let new: Vec<&String> = prepared.keys().filter(|name| !old.contains_key(*name)).collect();
    assert_eq!(
        new.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["index.swap", "log.cleaned", "timeindex.swap", "txnindex.swap"].map(|kind| format!("{base}.{kind}"))
    );
    let replaced: Vec<&String> =
        old.keys().filter(|name| swapped.contains_key(&format!("{name}.deleted"))).collect();
    assert!(replaced.len() >= 7, "{replaced:?}");

    // The renames of each step, between which the directory is synced.
    let rename = |files: &mut BTreeMap<String, Vec<u8>>, from: &str, to: &str| {
        if let Some(bytes) = files.remove(from) {
            files.insert(to.to_owned(), bytes);
        }
    };
    let index_kinds = ["index", "timeindex", "txnindex"];
    let steps: [Vec<(String, String)>; 5] = [
        index_kinds.map(|kind| (format!("{base}.{kind}.cleaned"), format!("{base}.{kind}.swap"))).to_vec(),
        vec![(format!("{base}.log.cleaned"), format!("{base}.log.swap"))],
        replaced.iter().map(|name| ((*name).clone(), format!("{name}.deleted"))).collect(),
        index_kinds.map(|kind| (format!("{base}.{kind}.swap"), format!("{base}.{kind}"))).to_vec(),
        vec![(format!("{base}.log.swap"), format!("{base}.log"))],
    ];
    let mut state = prepared.clone();
    for kind in index_kinds {
        rename(&mut state, &format!("{base}.{kind}.swap"), &format!("{base}.{kind}.cleaned"));
    }
    let mut tried = 0;
    for (number, step) in steps.iter().enumerate() {
        let count = step.len();
        // Each prefix; each alone; all but each; and a spread of others.
        let mut choices: BTreeSet<u64> = (0..=count).map(|done| (1u64 << done) - 1).collect();
        choices.extend((0..count).flat_map(|one| [1u64 << one, ((1 << count) - 1) & !(1 << one)]));
        choices.extend((0..40u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & ((1 << count) - 1)));
        for choice in choices {
            let mut left = state.clone();
            for (at, (from, to)) in step.iter().enumerate() {
                if choice & (1 << at) != 0 {
                    rename(&mut left, from, to);
                }
            }
            let counts = number > 1 || number == 1 && choice == 1;
            for path in snapshot(dir.path()).keys() {
                fs::remove_file(dir.path().join(DIR).join(path)).unwrap();
            }
            for (path, bytes) in &left {
                fs::write(dir.path().join(DIR).join(path), bytes).unwrap();
            }
            // Twice: what the first start leaves must be as good.
            for _ in 0..2 {
                let (log, recovery) = support::open(&root, compacting());
                assert_eq!(values(&log), *if counts { &after } else { &before }, "step {number}, {choice:b}");
                assert_eq!((recovery.truncated_bytes, recovery.removed_segments), (0, 0));
                let aborted = log.view().aborted_transactions(Offset::ZERO, log.log_end()).unwrap();
                assert_eq!(aborted.len(), aborted_before, "step {number}, {choice:b}: {aborted:?}");
                assert_eq!(leftovers(dir.path()), Vec::<String>::new(), "step {number}, {choice:b}");
            }
            tried += 1;
        }
        for (from, to) in step {
            rename(&mut state, from, to);
        }
    }
    assert!(tried > 60, "{tried}");
    assert_eq!(state, swapped);
}

#[derive(Clone, Debug)]
enum Step {
    Append { keys: Vec<Option<u8>>, tombstones: u8, size: usize, codec: u8, producer: bool },
    Transactional { keys: Vec<u8>, size: usize },
    End { commit: bool },
    Settle,
    Compact { keys: u8 },
    Pause { ms: u16 },
    Kill,
    CleanStop,
    Truncate { back: u8 },
    DeleteRecords { share: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop_oneof![30 => (0..7u8).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        16 => (prop::collection::vec(key, 1..5), any::<u8>(), 0..90usize, 0..3u8, any::<bool>())
            .prop_map(|(keys, tombstones, size, codec, producer)| {
                Step::Append { keys, tombstones: tombstones & (tombstones >> 4), size, codec, producer }
            }),
        5 => (prop::collection::vec(0..7u8, 1..4), 0..90usize)
            .prop_map(|(keys, size)| Step::Transactional { keys, size }),
        3 => any::<bool>().prop_map(|commit| Step::End { commit }),
        5 => Just(Step::Settle),
        6 => (4..20u8).prop_map(|keys| Step::Compact { keys }),
        3 => (0..1_500u16).prop_map(|ms| Step::Pause { ms }),
        1 => Just(Step::Kill),
        1 => Just(Step::CleanStop),
        1 => any::<u8>().prop_map(|back| Step::Truncate { back }),
        1 => any::<u8>().prop_map(|share| Step::DeleteRecords { share }),
    ]
}

/// A record as it was written.
#[derive(Clone, Debug)]
struct Written {
    key: Option<String>,
    value: Option<String>,
    at: i64,
    /// First offset of its transaction; decided by a marker.
    transaction: Option<i64>,
    /// Base of its batch.
    batch: i64,
}

/// How a transaction ended: at the marker's offset.
type Ends = BTreeMap<i64, (i64, bool)>;

const PLAIN: i64 = 1;
const TRANSACTIONAL: i64 = 2;

struct World {
    disk: Arc<MemoryDisk>,
    root: Option<Arc<LogDirectory>>,
    log: Option<Log>,
    written: BTreeMap<i64, Written>,
    ends: Ends,
    /// Last offset and next sequence of each producer's batches with a sequence.
    batches: BTreeMap<i64, (i64, i32)>,
    open: Option<i64>,
    /// Producers of which a truncation took more batches than are remembered.
    forgotten: BTreeSet<i64>,
    high_watermark: i64,
    wall: i64,
    epoch: i32,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            disk: Arc::default(),
            root: None,
            log: None,
            written: BTreeMap::new(),
            ends: BTreeMap::new(),
            batches: BTreeMap::new(),
            open: None,
            forgotten: BTreeSet::new(),
            high_watermark: 0,
            wall: 1_700_000_000_000,
            epoch: 0,
        };
        world.reopen();
        world
    }

    fn reopen(&mut self) {
        self.root = None;
        let root = support::root_on(Arc::clone(&self.disk) as Arc<dyn Disk>, 0);
        let (log, recovery) = support::open(&root, compacting());
        assert_eq!((recovery.truncated_bytes, recovery.removed_segments), (0, 0));
        (self.root, self.log) = (Some(root), Some(log));
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn write(
        &mut self,
        mut builder: BatchBuilder,
        producer: Option<i64>,
        records: Vec<(Option<String>, Option<String>)>,
    ) {
        let base = self.log().log_end().get();
        if let Some(id) = producer {
            let next =
                self.log().producers().get(ProducerId::new(id)).and_then(|known| known.next_sequence());
            let sequence = next.unwrap_or(Sequence::ZERO);
            builder = builder.producer(stamp(id, 0, sequence.get()));
            let count = records.len() as i32;
            self.forgotten.remove(&id);
            self.batches.insert(base + i64::from(count) - 1, (id, sequence.advance(count).get()));
        }
        let (wall, transaction) = (self.wall, self.open.filter(|_| producer == Some(TRANSACTIONAL)));
        for (number, (key, value)) in records.iter().enumerate() {
            let at = Timestamp::from_millis(wall);
            builder.push(
                Some(at),
                key.as_deref().map(str::as_bytes),
                value.as_deref().map(str::as_bytes),
                &[],
            );
            let record =
                Written { key: key.clone(), value: value.clone(), at: wall, transaction, batch: base };
            self.written.insert(base + number as i64, record);
        }
        let (batches, epoch) = (validated(builder.build().unwrap()), epoch(self.epoch));
        self.log().append_as_leader(&batches, epoch, support::now()).unwrap();
    }

    fn value(&mut self, size: usize) -> Option<String> {
        Some(format!("{} {}", self.log().log_end(), "y".repeat(size)))
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append { keys, tombstones, size, codec, producer } => {
                let codec = [Codec::None, Codec::Lz4, Codec::Zstd { level: 3 }][usize::from(*codec)];
                let value = self.value(*size);
                let records = keys.iter().enumerate().map(|(number, key)| {
                    let value = value.clone().filter(|_| tombstones & (1 << number) == 0);
                    (key.map(|key| format!("k{key}")), value)
                });
                let records = records.collect();
                self.write(BatchBuilder::new(codec), producer.then_some(PLAIN), records);
            }
            Step::Transactional { keys, size } => {
                let base = self.log().log_end().get();
                self.open.get_or_insert(base);
                let value = self.value(*size);
                let records = keys.iter().map(|key| (Some(format!("k{key}")), value.clone())).collect();
                self.write(BatchBuilder::new(Codec::None).transactional(), Some(TRANSACTIONAL), records);
            }
            Step::End { commit } => {
                let Some(start) = self.open.take() else { return };
                let control = if *commit { ControlType::Commit } else { ControlType::Abort };
                let at = self.log().log_end().get();
                let (wall, epoch) = (self.wall, epoch(self.epoch));
                self.log()
                    .append_as_leader(&marker(TRANSACTIONAL, control, wall), epoch, support::now())
                    .unwrap();
                self.ends.insert(start, (at, *commit));
            }
            Step::Settle => {
                let root = Arc::clone(self.root.as_ref().unwrap());
                settle(&root, self.log());
                root.store_checkpoints().unwrap();
                self.high_watermark = self.log().log_end().get();
            }
            Step::Compact { keys } => self.compact(u64::from(*keys)),
            Step::Pause { ms } => self.wall += i64::from(*ms),
            Step::Kill => {
                self.log = None;
                self.epoch += 1;
                self.reopen();
            }
            Step::CleanStop => {
                self.log.take().unwrap().close().unwrap();
                self.root.as_ref().unwrap().store_checkpoints().unwrap();
                self.root.as_ref().unwrap().mark_clean(None).unwrap();
                self.reopen();
            }
            Step::Truncate { back } => self.truncate(i64::from(back % 12)),
            Step::DeleteRecords { share } => {
                let (start, end) = (self.log().log_start().get(), self.log().log_end().get());
                let to = Offset::new(start + (end - start) * i64::from(*share) / 600);
                self.log().advance_log_start(to, Offset::new(end), support::now()).unwrap();
            }
        }
        self.check(None);
    }

    fn truncate(&mut self, back: i64) {
        // Nothing below the high watermark is ever cut, and nothing above it is ever compacted.
        let high_watermark = self.high_watermark;
        let log = self.log();
        let to = (log.log_end().get() - back).max(log.log_start().get()).max(high_watermark);
        log.truncate_to(Offset::new(to), support::now().wall).unwrap();
        let end = log.log_end().get();
        self.written.split_off(&end);
        let cut = self.batches.split_off(&end);
        for id in [PLAIN, TRANSACTIONAL] {
            if cut.values().filter(|(of, _)| *of == id).count() >= RECENT_BATCHES {
                self.forgotten.insert(id);
            }
        }
        self.ends.retain(|start, (marker, _)| *start < end && *marker < end);
        self.epoch += 1;
        // Whose marker was cut is open again.
        self.open = self.written.values().rev().filter_map(|record| record.transaction).next();
        self.open = self.open.filter(|start| !self.ends.contains_key(start));
        let open = self.log().producers().first_open_transaction().map(|(offset, _)| offset.get());
        let start = self.log().log_start().get();
        let is_left =
            |open: &i64| self.written.range(start..).any(|(_, record)| record.transaction == Some(*open));
        // Of one that lies below the log start nothing is left to be open.
        match (open, self.open) {
            (None, Some(lost)) => {
                assert!(!is_left(&lost), "{lost}");
                self.open = None;
            }
            (found, known) => assert_eq!(found.is_some(), known.is_some(), "{found:?} {known:?}"),
        }
    }

    fn compact(&mut self, keys: u64) {
        let root = Arc::clone(self.root.as_ref().unwrap());
        // A pass goes up to the recovery point, which is above the high watermark in this test unless everything is.
        self.run(&Step::Settle);
        let (now, first) = (at(self.wall), root.cleaned_to(&name()));
        let (end, report) = compact(&root, self.log(), memory(keys), now);
        assert!(report.records_kept <= report.records_read);
        // Below what earlier passes came to, every key that a later one read is gone; so only one pass over all tells.
        let whole = first.is_none_or(|first| first <= self.log().log_start());
        self.check(Some(end.get()).filter(|_| whole));
    }

    fn counts(&self, offset: i64, record: &Written) -> bool {
        let _ = offset;
        record.transaction.is_none_or(|start| self.ends.get(&start).is_none_or(|(_, commit)| *commit))
    }

    /// Every record that is missing is missing for a reason; and below `cleaned_to`, none is there without one.
    fn check(&mut self, cleaned_to: Option<i64>) {
        self.log().check_invariants();
        let (start, end) = (self.log().log_start().get(), self.log().log_end().get());
        let (found, batches) = read(self.log());
        assert!(batches.windows(2).all(|pair| pair[0].1 < pair[1].0), "{batches:?}");
        assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let found: BTreeMap<i64, (Option<String>, Option<String>)> =
            found.into_iter().map(|(offset, key, value)| (offset, (key, value))).collect();
        for (offset, (key, value)) in &found {
            let written = &self.written[offset];
            assert_eq!((key, value), (&written.key, &written.value), "offset {offset} has changed");
        }
        let mut latest: BTreeMap<&String, i64> = BTreeMap::new();
        let mut latest_cleaned: BTreeMap<&String, i64> = BTreeMap::new();
        for (offset, record) in self.written.range(start..end) {
            if let Some(key) = record.key.as_ref().filter(|_| self.counts(*offset, record)) {
                latest.insert(key, *offset);
                if cleaned_to.is_some_and(|to| *offset < to) {
                    latest_cleaned.insert(key, *offset);
                }
            }
        }
        for (offset, record) in self.written.range(start..end) {
            let superseded =
                record.key.as_ref().and_then(|key| latest.get(key)).is_some_and(|last| last > offset);
            let expired = record.value.is_none() && self.wall >= record.at + DELETE_RETENTION_MS;
            let may_go = superseded || record.key.is_none() || expired || !self.counts(*offset, record);
            let there = found.contains_key(offset);
            assert!(there || may_go, "offset {offset} is missing: {record:?}");
            let must_go = cleaned_to.is_some_and(|to| *offset < to)
                && (record.key.is_none()
                    || !self.counts(*offset, record)
                    || record
                        .key
                        .as_ref()
                        .and_then(|key| latest_cleaned.get(key))
                        .is_some_and(|last| last > offset));
            assert!(!there || !must_go, "offset {offset} should have gone: {record:?}");
        }
        self.check_transactions(start, end, &found);
        self.check_producers(start);
    }

    /// Whatever is left of an aborted transaction, a reader at `read_committed` is told to leave out.
    fn check_transactions(
        &mut self,
        start: i64,
        end: i64,
        found: &BTreeMap<i64, (Option<String>, Option<String>)>,
    ) {
        let told: Vec<AbortedTransaction> =
            self.log().view().aborted_transactions(Offset::new(start), Offset::new(end)).unwrap();
        for offset in found.keys() {
            let record = &self.written[offset];
            let decided = record.transaction.and_then(|start| self.ends.get(&start));
            let is_told = told.iter().any(|entry| {
                record.transaction.is_some()
                    && (entry.first_offset.get()..=entry.last_offset.get()).contains(&record.batch)
            });
            assert_eq!(is_told, decided.is_some_and(|(_, commit)| !commit), "offset {offset}: {told:?}");
        }
    }

    fn check_producers(&mut self, start: i64) {
        let mut next: BTreeMap<i64, (i64, i32)> = BTreeMap::new();
        for (last, (id, sequence)) in &self.batches {
            next.insert(*id, (*last, *sequence));
        }
        for (id, (last, sequence)) in next {
            let known =
                self.log().producers().get(ProducerId::new(id)).and_then(|known| known.next_sequence());
            if last >= start && !self.forgotten.contains(&id) {
                assert_eq!(known.map(Sequence::get), Some(sequence), "producer {id}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_missing_is_missing_for_a_reason(steps in prop::collection::vec(step(), 1..90)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
        }
        for step in [Step::Settle, Step::Compact { keys: 19 }, Step::Kill, Step::CleanStop] {
            world.run(&step);
        }
    }
}
