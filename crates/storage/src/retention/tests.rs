use super::*;
use crate::LogConfig;
use crate::batches::{contents, epoch};
use crate::log::tests::{Fixture, at, batch, config, flush};

fn small() -> LogConfig {
    LogConfig { segment_bytes: 430, index_interval_bytes: 100, ..config() }
}

/// Thirty records a second apart, about six in a segment.
fn filled(fixture: &Fixture, config: LogConfig) -> Log {
    let (mut log, _) = fixture.open(config);
    for number in 0..30 {
        log.append_as_leader(&batch(number * 1000, &[&format!("v{number}")]), epoch(0), at(0)).unwrap();
    }
    flush(&mut log);
    log
}

fn bases(log: &Log) -> Vec<i64> {
    log.segments.iter().map(|segment| segment.base().get()).collect()
}

#[test]
fn segments_go_by_time_up_to_the_high_watermark() {
    let fixture = Fixture::new();
    let config = LogConfig { retention_ms: Some(10_000), ..small() };
    let mut log = filled(&fixture, config);
    let all = bases(&log);
    assert_eq!(all, [0, 6, 12, 18, 24]);
    for (high_watermark, now, start) in
        [(30, 15_000, 0), (30, 15_001, 6), (11, 60_000, 6), (12, 60_000, 12), (29, 60_000, 24)]
    {
        log.retain(Offset::new(high_watermark), at(now)).unwrap();
        assert_eq!(log.log_start().get(), start, "{high_watermark} {now}");
        assert_eq!(contents(&log).first().unwrap().0, start);
    }
    // Even the last one goes, and an empty one takes its place.
    let deleted = log.retain(Offset::new(30), at(60_000)).unwrap();
    assert_eq!(deleted.len(), 1);
    assert_eq!((log.log_start(), log.log_end(), bases(&log)), (Offset::new(30), Offset::new(30), vec![30]));
    assert!(log.retain(Offset::new(30), at(99_000)).unwrap().is_empty());
    drop(log);
    let fixture = fixture.restart();
    let (log, _) = fixture.open(small());
    assert_eq!((log.log_start(), log.log_end()), (Offset::new(30), Offset::new(30)));
}

#[test]
fn segments_go_by_size_and_their_files_wait_under_another_name() {
    let fixture = Fixture::new();
    let mut log = filled(&fixture, small());
    let size = log.size_bytes();
    let first = log.segments[0].size();
    let view = log.view();
    let slice = view.read(Offset::ZERO, 1000, view.log_end(), true).unwrap().unwrap();
    log.set_config(LogConfig { retention_bytes: Some(size - first + 1), ..small() });
    assert!(log.retain(Offset::new(30), at(0)).unwrap().is_empty());
    log.set_config(LogConfig { retention_bytes: Some(size - first), ..small() });
    let deleted = log.retain(Offset::new(30), at(0)).unwrap();
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0].bytes, first);
    assert_eq!(deleted[0].due.since_start(), Duration::from_secs(60));
    assert_eq!(log.log_start(), Offset::new(6));
    assert!(deleted[0].files.iter().all(|file| file.to_str().unwrap().ends_with(".deleted")));
    // Who had the file open goes on reading it; who has an old view is told.
    slice.read().unwrap();
    deleted[0].remove(&**fixture.root.disk()).unwrap();
    slice.read().unwrap();
    log.set_config(LogConfig { retention_bytes: Some(0), delete_expired: false, ..small() });
    assert!(log.retain(Offset::new(30), at(0)).unwrap().is_empty(), "cleanup.policy is compact");
}

#[test]
fn a_raised_log_start_survives_whatever_names_a_crash_brings_back() {
    let fixture = Fixture::new();
    let mut log = filled(&fixture, small());
    assert!(log.advance_log_start(Offset::new(20), Offset::new(15), at(0)).unwrap().len() == 2);
    assert_eq!(log.log_start(), Offset::new(15), "not above the high watermark");
    assert!(log.advance_log_start(Offset::new(3), Offset::new(30), at(0)).unwrap().is_empty());
    let deleted = log.advance_log_start(Offset::new(20), Offset::new(30), at(0)).unwrap();
    assert_eq!(bases(&log), [18, 24]);
    assert_eq!(contents(&log).first().unwrap().0, 20);
    assert_eq!(log.leader_epochs().entries()[0].start, Offset::new(20));
    drop(log);
    // The renames of one segment were not durable.
    for file in &deleted[0].files {
        let name = file.file_name().unwrap().to_str().unwrap().trim_end_matches(".deleted");
        fixture.root.disk().rename(file, &std::path::Path::new("t-0").join(name)).unwrap();
    }
    let fixture = fixture.restart();
    let (log, recovery) = fixture.open(small());
    assert_eq!(recovery.truncated_bytes, 0);
    assert_eq!((log.log_start(), log.log_end()), (Offset::new(20), Offset::new(30)));
    assert_eq!(bases(&log), [18, 24]);
    assert!(!fixture.names().iter().any(|name| name.ends_with(".deleted")));
}
