//! Scenarios of compaction: a cleaned segment comes back to the partition, whatever happened to it meanwhile.

use std::ops::ControlFlow;
use std::path::PathBuf;

use ottla_record::BatchView;
use ottla_storage::compaction::{CleanedSegment, Pass, PassMemory, PassOrder};
use ottla_storage::{CompactionConfig, DirtyRatio};

use super::*;

fn compaction() -> CompactionConfig {
    CompactionConfig {
        min_lag_ms: 0,
        max_lag_ms: i64::MAX,
        delete_retention_ms: 0,
        min_dirty_ratio: DirtyRatio::new(0.0),
    }
}

/// A partition whose log is compacted, and rolls after two batches.
struct Compacted {
    scenario: Scenario,
    root: Arc<LogDirectory>,
    folder: PathBuf,
}

impl Compacted {
    /// Four values of one key and two of another, flushed; the last two batches are in the active segment.
    fn leading() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let disk = Arc::new(FsDisk::open(&data).unwrap());
        let limits = DirectoryLimits { open_files: 16, reserve_bytes: Some(0) };
        let id = DirectoryId(Uuid::from_random([1; 16]));
        let root = Arc::new(LogDirectory::open(disk, BrokerId::new(1), id, limits).unwrap());
        let mut config = config(Durability::Fsync);
        config.log.segment_bytes = 180;
        (config.log.compacted, config.log.compaction) = (true, Some(compaction()));
        let now = Now {
            monotonic: Monotonic::from_start(Duration::from_secs(1)),
            wall: Timestamp::from_millis(1_000),
        };
        let start = LogStart { recovery_point: Offset::ZERO, log_start: None, clean: false };
        let topic = TopicId(Uuid::from_random([7; 16]));
        let (log, _) = Log::open(&root, "t-0".into(), topic, config.log.clone(), start, now).unwrap();
        let partition = Partition::new(BrokerId::new(1), log, config);
        let mut scenario = Scenario { _dir: dir, partition, now, checkpoint: None };
        scenario.event(assign(0, 1, &[1]));
        for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3"), ("b", "2"), ("a", "4")] {
            scenario.event(super::produce("p", Acks::None, keyed(key, value)));
        }
        // The flush that began with the first record, and the one for all that came meanwhile.
        scenario.flushed(1);
        scenario.flushed(6);
        assert_eq!(scenario.partition.view().flushed_end, Offset::new(6));
        Self { scenario, root, folder: data.join("t-0") }
    }

    /// What a pass makes of the sealed segments.
    fn clean(&self) -> CleanedSegment {
        let view = self.scenario.partition.view();
        let wall = self.scenario.now.wall;
        let cleanable = view.log.cleanable(None, view.flushed_end, &compaction(), wall).unwrap();
        let mut config = config(Durability::Fsync).log;
        (config.compacted, config.compaction) = (true, Some(compaction()));
        let order =
            PassOrder { view: view.log.clone(), cleanable, config, producers: Default::default(), now: wall };
        let memory = PassMemory { map_bytes: 4_096, load_factor: 1.0, buffer_bytes: 0, secret: [3; 16] };
        let mut pace = |_| ControlFlow::Continue(());
        let mut pass = Pass::begin(&self.root, order, memory, &mut pace).unwrap();
        pass.next_cleaned(&mut pace).unwrap().expect("the sealed segments are dirty")
    }

    fn swap(&mut self, cleaned: CleanedSegment) -> String {
        self.scenario.event(Event::SwapCleaned { waiter: "cleaner", cleaned })
    }

    /// What a reader from the start sees.
    fn read(&self) -> String {
        let view = self.scenario.partition.view();
        let (mut next, mut said) = (view.log_start, String::new());
        while let Some(slice) = view.log.read(next, 4_096, view.log_end, true).unwrap() {
            let bytes = slice.read().unwrap();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let batch = BatchView::parse(rest).unwrap();
                for record in &batch.records(4_096).unwrap() {
                    let record = record.unwrap();
                    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                    write!(said, "{}:{}={} ", record.offset, text(record.key), text(record.value)).unwrap();
                }
                next = batch.last_offset().next();
                rest = &rest[batch.len()..];
            }
        }
        said.trim_end().to_owned()
    }
}

fn keyed(key: &str, value: &str) -> ValidatedBatches {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(Some(Timestamp::from_millis(1_000)), Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    let rules = ProduceRules {
        origin: Origin::Client,
        max_batch_bytes: 1 << 20,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        compression: None,
        compacted: true,
        allow_zstd: true,
        max_decompressed_bytes: 1 << 20,
    };
    validate(builder.build().unwrap(), &rules, Timestamp::from_millis(1_000)).unwrap()
}

/// The first value of `a` has gone; everything else is there, the newest records untouched.
fn assert_cleaned(read: &str) {
    assert!(!read.contains("0:a=1"), "{read}");
    assert!(read.starts_with("1:b=1 ") && read.ends_with("3:a=3 4:b=2 5:a=4"), "{read}");
}

fn assert_says(said: &str, lines: &[&str]) {
    for line in lines {
        assert!(said.contains(line), "no `{line}` in:\n{said}");
    }
}

#[test]
fn a_cleaned_segment_takes_the_place_of_what_it_was_made_from() {
    let mut p = Compacted::leading();
    assert_eq!(p.read(), "0:a=1 1:b=1 2:a=2 3:a=3 4:b=2 5:a=4");
    let old = p.scenario.partition.view();
    let cleaned = p.clean();
    let said = p.swap(cleaned);
    assert_says(
        &said,
        &["remove ", "cleaner: swapped: Ok(())", "readers see 0 ≤ hw 6, flushed 6, end 6; leads 0 from 0"],
    );
    assert_cleaned(&p.read());
    // Whoever reads by a picture from before finds what it showed, as long as its files are there.
    assert!(old.log.read(Offset::ZERO, 4_096, old.log_end, true).unwrap().is_some());
    // Appends go on behind it.
    let said = p.scenario.event(super::produce("p", Acks::All, keyed("b", "3")));
    assert_says(&said, &["flush to 7", "end 7"]);
}

#[test]
fn a_replica_that_does_not_lead_compacts_its_own_log() {
    let mut p = Compacted::leading();
    let cleaned = p.clean();
    p.scenario.event(assign(1, 2, &[1, 2]));
    assert_says(&p.swap(cleaned), &["cleaner: swapped: Ok(())", "does not lead"]);
    assert_cleaned(&p.read());
}

#[test]
fn a_segment_made_from_what_is_not_there_any_more_is_given_up() {
    let mut p = Compacted::leading();
    // Two passes over the same segments, of which the second takes the files of the first, as both have the same names.
    let (first, second) = (p.clean(), p.clean());
    assert_says(&p.swap(second), &["cleaner: swapped: Ok(())"]);
    let cleaned = p.read();
    assert_cleaned(&cleaned);
    assert_eq!(p.swap(first), "cleaner: swapped: Err(Stale)\n");
    assert_eq!(p.read(), cleaned);
}

#[test]
fn a_disk_that_fails_in_the_middle_takes_the_partition_offline() {
    let mut p = Compacted::leading();
    let cleaned = p.clean();
    for entry in std::fs::read_dir(&p.folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with(".log.cleaned") {
            std::fs::remove_file(path).unwrap();
        }
    }
    assert_says(&p.swap(cleaned), &["the directory has failed", "cleaner: swapped: Err(Storage", "offline"]);
    assert_eq!(p.scenario.partition.view().availability, Availability::Offline);
}

#[test]
fn a_partition_that_is_offline_gives_a_cleaned_segment_up() {
    let mut p = Compacted::leading();
    let cleaned = p.clean();
    p.scenario.event(Event::DirectoryFailed);
    assert_says(&p.swap(cleaned), &["cleaner: swapped: Err("]);
    assert!(
        std::fs::read_dir(&p.folder).unwrap().all(|entry| !entry
            .unwrap()
            .path()
            .to_str()
            .unwrap()
            .ends_with(".cleaned"))
    );
}
