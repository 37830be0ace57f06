//! What a directory may hold after deletions, compaction and crashes, and what a start makes of it.

use std::fs;
use std::path::{Path, PathBuf};

use ottla_record::{Batches, Codec, Offset};
use ottla_storage::{Log, LogConfig, LogDirectory, LogStart, OpenError};

use crate::batches::{contents, epoch, validated};
use crate::support::{self, DIR, builder, config, flush, now, root};

/// A few records a segment, an index entry for nearly every batch.
fn small() -> LogConfig {
    LogConfig { segment_bytes: 400, index_interval_bytes: 80, ..config() }
}

fn compacted() -> LogConfig {
    LogConfig { compacted: true, ..small() }
}

fn fill(log: &mut Log, from: i64, to: i64) {
    for number in from..to {
        let batch = builder(Codec::None, number, &[format!("value {number}")]).build().unwrap();
        log.append_as_leader(&validated(batch), epoch(1), now()).unwrap();
    }
}

fn values(offsets: impl IntoIterator<Item = i64>) -> Vec<(i64, String)> {
    offsets.into_iter().map(|number| (number, format!("value {number}"))).collect()
}

fn start(recovery_point: i64, log_start: Option<i64>) -> LogStart {
    let (recovery_point, log_start) = (Offset::new(recovery_point), log_start.map(Offset::new));
    LogStart { recovery_point, log_start, clean: false }
}

/// The partition's files and what is in them.
fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(root.join(DIR)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

/// Batches of one record each, as a leader has them.
fn single_batches(dir: &Path, count: i64) -> Vec<Vec<u8>> {
    let root = root(dir);
    let (mut log, _) = support::open(&root, LogConfig { segment_bytes: 1 << 20, ..config() });
    fill(&mut log, 0, count);
    let slice = log.view().read(Offset::ZERO, 1 << 20, log.log_end(), true).unwrap().unwrap();
    let bytes = slice.read().unwrap();
    let mut at = 0;
    let mut batches = Vec::new();
    for batch in Batches::new(&bytes) {
        let len = batch.unwrap().header().len();
        batches.push(bytes[at..at + len].to_vec());
        at += len;
    }
    batches
}

/// A follower's copy of a log whose compaction has left these offsets.
fn follow(root: &LogDirectory, log: &mut Log, batches: &[Vec<u8>], kept: &[i64]) {
    for offset in kept {
        log.append_as_follower(&batches[*offset as usize], now()).unwrap();
    }
    flush(root, log);
}

const KEPT: [i64; 16] = [0, 1, 5, 6, 7, 20, 21, 30, 33, 34, 35, 36, 50, 51, 58, 59];

#[test]
fn of_deleted_segments_any_names_may_be_back() {
    let dir = tempfile::tempdir().unwrap();
    let directory = root(dir.path());
    let (mut log, _) = support::open(&directory, small());
    fill(&mut log, 0, 30);
    flush(&directory, &mut log);
    log.checkpoint().unwrap();
    let before = files(dir.path());
    let deleted = log.advance_log_start(Offset::new(17), Offset::new(30), now()).unwrap();
    assert!(deleted.len() >= 3, "{deleted:?}");
    for segment in &deleted {
        segment.remove(&**directory.disk()).unwrap();
    }
    let log_start = log.log_start();
    drop(log);
    directory.store_checkpoints().unwrap();
    let after = files(dir.path());
    let gone: Vec<_> =
        before.iter().filter(|(path, _)| !after.iter().any(|(kept, _)| kept == path)).collect();
    assert!(gone.len() > 8);
    // Every one alone, every one missing from the rest, each kind of file alone, and all of them.
    let mut choices: Vec<Vec<usize>> = (0..gone.len()).map(|one| vec![one]).collect();
    choices.extend((0..gone.len()).map(|one| (0..gone.len()).filter(|at| *at != one).collect()));
    choices.push((0..gone.len()).filter(|at| is_log(&gone[*at].0)).collect());
    choices.push((0..gone.len()).filter(|at| !is_log(&gone[*at].0)).collect());
    choices.push((0..gone.len()).collect());
    for choice in choices {
        for at in &choice {
            fs::write(&gone[*at].0, &gone[*at].1).unwrap();
        }
        let (log, recovery) = support::open(&directory, small());
        assert_eq!(contents(&log), values(17..30), "{choice:?}");
        assert_eq!((log.log_start(), recovery.truncated_bytes), (log_start, 0));
        drop(log);
        // Snapshots lie at offsets, not in segments: an old one may stay, and is not used.
        let logs = |files: &[(PathBuf, Vec<u8>)]| {
            files.iter().map(|(path, _)| path.clone()).filter(|path| is_log(path)).collect::<Vec<_>>()
        };
        assert_eq!(logs(&files(dir.path())), logs(&after), "{choice:?}");
        for (path, _) in files(dir.path()) {
            if !after.iter().any(|(kept, _)| *kept == path) {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

#[test]
fn a_first_segment_that_nobody_deleted_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let directory = root(dir.path());
    let (mut log, _) = support::open(&directory, small());
    fill(&mut log, 0, 30);
    flush(&directory, &mut log);
    drop(log);
    fs::remove_file(dir.path().join(DIR).join("00000000000000000000.log")).unwrap();
    let second = files(dir.path()).into_iter().find(|(path, _)| is_log(path)).unwrap().0;
    let second: i64 = second.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let before = files(dir.path());
    for (recovery_point, log_start) in [(30, None), (1, None), (30, Some(1)), (30, Some(second - 1))] {
        let opened = support::open_from(&directory, small(), start(recovery_point, log_start));
        let error = opened.map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{recovery_point} {log_start:?}: {error}");
        assert!(error.to_string().contains("no log start says"), "{error}");
        let logs = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<_> {
            files.into_iter().filter(|(path, _)| is_log(path)).collect()
        };
        assert_eq!(logs(files(dir.path())), logs(before.clone()), "nothing was cut");
    }
    let (log, _) = support::open_from(&directory, small(), start(30, Some(second))).unwrap();
    assert_eq!(contents(&log), values(second..30), "a segment that was deleted is not missed");
}

#[test]
fn a_log_start_above_everything_that_is_left_begins_an_empty_log() {
    // With `os`, records may be acknowledged, deleted and lost, the log start alone being durable.
    for (recovery_point, log_start) in [(0, 40), (30, 31), (40, 40)] {
        let dir = tempfile::tempdir().unwrap();
        let directory = root(dir.path());
        let (mut log, _) = support::open(&directory, small());
        fill(&mut log, 0, 30);
        drop(log);
        let (mut log, _) =
            support::open_from(&directory, small(), start(recovery_point, Some(log_start))).unwrap();
        assert_eq!((log.log_start().get(), log.log_end().get()), (log_start, log_start));
        fill(&mut log, log_start, log_start + 3);
        assert_eq!(contents(&log), values(log_start..log_start + 3));
        drop(log);
        let (log, _) = support::open_from(&directory, small(), start(0, Some(log_start))).unwrap();
        assert_eq!(contents(&log), values(log_start..log_start + 3));
    }
}

#[test]
fn a_compacted_log_keeps_its_gaps_wherever_the_recovery_point_is() {
    let source = tempfile::tempdir().unwrap();
    let batches = single_batches(source.path(), 60);
    for recovery_point in [0, 1, 2, 6, 8, 20, 22, 25, 35, 37, 51, 60] {
        let dir = tempfile::tempdir().unwrap();
        let directory = root(dir.path());
        let (mut log, _) = support::open(&directory, compacted());
        follow(&directory, &mut log, &batches, &KEPT);
        assert!(log.segment_count() > 3);
        drop(log);
        let (log, recovery) =
            support::open_from(&directory, compacted(), start(recovery_point, None)).unwrap();
        assert_eq!(
            contents(&log),
            values(KEPT),
            "everything had been flushed, recovery point {recovery_point}"
        );
        assert_eq!((recovery.truncated_bytes, recovery.removed_segments), (0, 0));
    }
}

#[test]
fn a_gap_between_segments_below_the_recovery_point_is_compactions_alone() {
    let source = tempfile::tempdir().unwrap();
    let batches = single_batches(source.path(), 60);
    let dir = tempfile::tempdir().unwrap();
    let directory = root(dir.path());
    let (mut log, _) = support::open(&directory, compacted());
    follow(&directory, &mut log, &batches, &KEPT);
    drop(log);
    // A cleaner leaves a segment that ends below the next one: here, without its last batch.
    let logs: Vec<_> = files(dir.path()).into_iter().filter(|(path, _)| is_log(path)).collect();
    let (path, bytes) = &logs[1];
    let lens: Vec<usize> = Batches::new(bytes).map(|batch| batch.unwrap().header().len()).collect();
    let lost = Batches::new(bytes).last().unwrap().unwrap().header().base_offset().get();
    fs::write(path, &bytes[..bytes.len() - lens.last().unwrap()]).unwrap();
    let kept: Vec<i64> = KEPT.into_iter().filter(|offset| *offset != lost).collect();
    let (log, _) = support::open_from(&directory, compacted(), start(60, None)).unwrap();
    assert_eq!(contents(&log), values(kept.iter().copied()));
    drop(log);
    // Above it, nothing tells it from a tail that a power cut took: what is behind is behind a hole.
    let (log, recovery) = support::open_from(&directory, compacted(), start(0, None)).unwrap();
    assert_eq!(contents(&log), values(kept.into_iter().filter(|offset| *offset < lost)));
    assert_eq!(recovery.removed_segments, logs.len() - 2);
}

#[test]
fn a_swap_that_kafka_has_not_finished_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let directory = root(dir.path());
    let (mut log, _) = support::open(&directory, compacted());
    fill(&mut log, 0, 30);
    let expected = contents(&log);
    drop(log);
    let partition = dir.path().join(DIR);
    let name = "00000000000000000000.log";
    fs::copy(partition.join(name), partition.join(format!("{name}.swap"))).unwrap();
    fs::rename(partition.join(name), partition.join(format!("{name}.deleted"))).unwrap();
    let (log, _) = support::open_from(&directory, compacted(), start(30, None)).unwrap();
    assert_eq!(contents(&log), expected);
    assert!(partition.join(name).exists());
    let left = files(dir.path()).into_iter().map(|(path, _)| path.to_string_lossy().into_owned());
    assert_eq!(left.filter(|name| name.ends_with(".swap") || name.ends_with(".deleted")).count(), 0);
}

#[test]
fn a_damaged_swap_is_told_and_nothing_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let directory = root(dir.path());
    let (mut log, _) = support::open(&directory, compacted());
    fill(&mut log, 0, 30);
    drop(log);
    let partition = dir.path().join(DIR);
    let name = "00000000000000000000.log";
    let mut bytes = fs::read(partition.join(name)).unwrap();
    bytes.truncate(bytes.len() - 7);
    fs::write(partition.join(format!("{name}.swap")), bytes).unwrap();
    fs::rename(partition.join(name), partition.join(format!("{name}.deleted"))).unwrap();
    let before = files(dir.path());
    let error = support::open_from(&directory, compacted(), start(30, None)).map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, OpenError::Corrupt { path, .. } if path.ends_with(format!("{DIR}/{name}.swap"))),
        "{error}"
    );
    assert_eq!(files(dir.path()), before, "what it replaces is still there under another name");
}
