use std::fs;

use ottla_record::{BatchBuilder, Codec, ControlType, Timestamp};

use super::*;
use crate::batches::{contents, epoch, marker, stamp, validated};
use crate::log::tests::{Fixture, at, batch, config, flush, stamped};
use crate::{Append, LogConfig};

type DamageBytes = fn(&mut Vec<u8>);
type DamageFile = fn(&Path);

/// Small segments, an index entry for nearly every batch.
fn small() -> LogConfig {
    LogConfig { segment_bytes: 500, index_interval_bytes: 100, ..config() }
}

fn fill(log: &mut Log, from: i64, to: i64) {
    for number in from..to {
        let value = format!("value {number}");
        log.append_as_leader(&batch(1000 + number, &[&value]), epoch((number / 10) as i32), at(1000))
            .unwrap();
    }
}

fn values(from: i64, to: i64) -> Vec<(i64, String)> {
    (from..to).map(|number| (number, format!("value {number}"))).collect()
}

fn log_files(fixture: &Fixture) -> Vec<String> {
    fixture.names().into_iter().filter(|name| name.ends_with(".log")).collect()
}

fn start(recovery_point: i64) -> LogStart {
    LogStart { recovery_point: Offset::new(recovery_point), log_start: None, clean: false }
}

#[test]
fn after_a_kill_everything_past_the_recovery_point_is_scanned_and_kept() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(small());
    fill(&mut log, 0, 20);
    flush(&mut log);
    assert_eq!(log.checkpoint().unwrap(), Offset::new(20));
    fixture.root.store_checkpoints().unwrap();
    fill(&mut log, 20, 50);
    let epochs = log.leader_epochs().clone();
    drop(log);
    let fixture = fixture.restart();
    let (log, recovery) = fixture.open(small());
    assert_eq!(contents(&log), values(0, 50));
    assert_eq!(log.leader_epochs(), &epochs);
    assert_eq!((log.flushed_end(), log.recovery_point()), (Offset::new(50), Offset::new(50)));
    assert_eq!(recovery.truncated_bytes, 0);
    assert!(recovery.scanned_bytes < 35 * 100, "{recovery:?}");
    drop(log);
    // Again, with nothing left to do.
    fixture.root.store_checkpoints().unwrap();
    let fixture = fixture.restart();
    let (log, recovery) = fixture.open(small());
    assert_eq!(contents(&log), values(0, 50));
    assert_eq!((recovery.scanned_bytes, recovery.rebuilt_indexes), (0, 0));
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_back_to_the_last_whole_batch() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(config());
    fill(&mut log, 0, 3);
    let whole = log.size_bytes();
    fill(&mut log, 3, 4);
    let end = log.size_bytes();
    drop(log);
    let name = "00000000000000000000.log";
    let bytes = fs::read(fixture.file(name)).unwrap();
    assert_eq!(bytes.len() as u64, end);
    for cut in whole..end {
        for tail in [&[][..], &[0; 100], &[0xff; 30]] {
            let torn = [&bytes[..cut as usize], tail].concat();
            // Zeros may complete the batch to what it was.
            if torn.get(..bytes.len()) == Some(&bytes[..]) {
                continue;
            }
            fs::write(fixture.file(name), &torn).unwrap();
            let (log, recovery) = fixture.open_from(config(), start(2)).unwrap();
            assert_eq!(contents(&log), values(0, 3), "cut at {cut}");
            assert_eq!(log.size_bytes(), whole);
            assert_eq!(fs::metadata(fixture.file(name)).unwrap().len(), whole);
            let written = torn.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
            assert_eq!(recovery.truncated_bytes, written.saturating_sub(whole));
            drop(log);
            let (log, again) = fixture.open_from(config(), start(3)).unwrap();
            assert_eq!((again.truncated_bytes, again.scanned_bytes), (0, 0), "recovery is idempotent");
            assert_eq!(log.log_end(), Offset::new(3));
        }
    }
}

#[test]
fn a_reserved_tail_is_no_loss() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(LogConfig { preallocate: true, segment_bytes: 100_000, ..config() });
    fill(&mut log, 0, 5);
    let end = log.size_bytes();
    drop(log);
    let path = fixture.file("00000000000000000000.log");
    assert_eq!(fs::metadata(&path).unwrap().len(), 100_000);
    let (log, recovery) = fixture.open(config());
    assert_eq!(contents(&log), values(0, 5));
    assert_eq!(recovery.truncated_bytes, 0);
    assert_eq!(fs::metadata(&path).unwrap().len(), end);
}

#[test]
fn what_follows_a_hole_is_gone() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(small());
    fill(&mut log, 0, 30);
    drop(log);
    let files = log_files(&fixture);
    assert!(files.len() > 4);
    // The last batch of the third segment never reached the disk, and what was written later did.
    let third = fixture.file(&files[2]);
    let bytes = fs::read(&third).unwrap();
    let mut torn = bytes.clone();
    torn[bytes.len() - 40..].fill(0);
    fs::write(&third, torn).unwrap();
    let base = FileName::parse(&files[3]).unwrap().base.get();
    let (log, recovery) = fixture.open_from(small(), start(0)).unwrap();
    assert_eq!(contents(&log), values(0, base - 1));
    assert_eq!(recovery.removed_segments, files.len() - 3);
    assert_eq!(log_files(&fixture).len(), 3);
    let snapshots = fixture.names().into_iter().filter(|name| name.ends_with(".snapshot"));
    assert!(snapshots.filter_map(|name| FileName::parse(&name)).all(|name| name.base <= log.log_end()));
}

#[test]
fn damage_below_the_recovery_point_is_an_error_and_cuts_nothing() {
    let damages: &[(&str, DamageBytes)] = &[
        ("a flipped bit in the last base offset", |bytes| *bytes.iter_mut().nth_back(70).unwrap() ^= 0x40),
        ("a flipped bit in the last value", |bytes| *bytes.iter_mut().nth_back(3).unwrap() ^= 0x40),
        ("cut short", |bytes| bytes.truncate(bytes.len() - 1)),
        ("zeros at the end", |bytes| {
            let from = bytes.len() - 76;
            bytes[from..].fill(0);
        }),
        ("emptied", Vec::clear),
    ];
    for (what, damage) in damages {
        for segment in [0, 2, 4] {
            let fixture = Fixture::new();
            let (mut log, _) = fixture.open(small());
            fill(&mut log, 0, 30);
            flush(&mut log);
            log.checkpoint().unwrap();
            drop(log);
            let files = log_files(&fixture);
            let path = fixture.file(&files[segment]);
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::write(&path, &bytes).unwrap();
            let error = fixture.try_open(small()).map(|_| ()).unwrap_err();
            assert!(matches!(error, OpenError::Corrupt { .. }), "{what} in segment {segment}: {error}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was cut");
            assert_eq!(log_files(&fixture), files);
        }
    }
}

#[test]
fn a_missing_segment_below_the_recovery_point_is_an_error() {
    for segment in [1, 3] {
        let fixture = Fixture::new();
        let (mut log, _) = fixture.open(small());
        fill(&mut log, 0, 30);
        flush(&mut log);
        log.checkpoint().unwrap();
        drop(log);
        fs::remove_file(fixture.file(&log_files(&fixture)[segment])).unwrap();
        assert!(matches!(fixture.try_open(small()), Err(OpenError::Corrupt { .. })));
    }
    let fixture = Fixture::new();
    let error = fixture.open_from(small(), start(5)).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "an empty directory with a recovery point");
}

#[test]
fn lost_and_damaged_indexes_are_built_anew_as_they_were() {
    let damages: &[(&str, DamageFile)] = &[
        ("missing", |path| fs::remove_file(path).unwrap()),
        ("not a whole number of entries", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("an offset outside the segment", |path| {
            let mut bytes = fs::read(path).unwrap();
            let len = bytes.len();
            let at = if path.extension().unwrap() == "index" { len - 8 } else { len - 4 };
            bytes[at] = 0x70;
            fs::write(path, bytes).unwrap();
        }),
        ("zeros at the end", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes.extend([0; 24]);
            fs::write(path, bytes).unwrap();
        }),
    ];
    for (what, damage) in damages {
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
            let fixture = Fixture::new();
            let (mut log, _) = fixture.open(small());
            fill(&mut log, 0, 30);
            log.close().unwrap();
            let files = log_files(&fixture);
            let base = FileName::parse(&files[2]).unwrap().base;
            let path = fixture.file(&FileName { base, kind }.to_string());
            let sound = fs::read(&path).unwrap();
            assert!(!sound.is_empty());
            damage(&path);
            let (log, recovery) = fixture.open(small());
            assert_eq!(recovery.rebuilt_indexes, 1, "{what}");
            assert_eq!(fs::read(&path).unwrap(), sound, "{what} {kind:?}");
            assert_eq!(contents(&log), values(0, 30));
        }
    }
}

#[test]
fn producers_are_known_again_with_all_their_recent_batches() {
    for (name, end) in [("kill", false), ("clean stop", true)] {
        let fixture = Fixture::new();
        let (mut log, _) = fixture.open(small());
        for sequence in 0..12 {
            let sent = stamped(stamp(7, 2, sequence), &["x"]);
            log.append_as_leader(&sent, epoch(0), at(0)).unwrap();
        }
        let states = log.producers().clone();
        if end {
            log.close().unwrap();
        } else {
            drop(log);
        }
        let fixture = fixture.restart();
        let (mut log, _) = fixture.open(small());
        assert_eq!(log.producers(), &states, "{name}");
        for sequence in 7..12 {
            let again =
                log.append_as_leader(&stamped(stamp(7, 2, sequence), &["x"]), epoch(1), at(0)).unwrap();
            let offset = Offset::new(i64::from(sequence));
            let append_time = Some(Timestamp::from_millis(5));
            assert_eq!(again, Append::Duplicate { first: offset, last: offset, append_time });
        }
        assert!(log.append_as_leader(&stamped(stamp(7, 2, 6), &["x"]), epoch(1), at(0)).is_err());
        log.append_as_leader(&stamped(stamp(7, 2, 12), &["x"]), epoch(1), at(0)).unwrap();
    }
}

#[test]
fn damaged_snapshots_and_epochs_are_read_from_the_batches() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(small());
    for sequence in 0..12 {
        log.append_as_leader(&stamped(stamp(7, 2, sequence), &["x"]), epoch(sequence / 4), at(0)).unwrap();
    }
    let (states, epochs) = (log.producers().clone(), log.leader_epochs().clone());
    log.close().unwrap();
    for name in fixture.names().iter().filter(|name| name.ends_with(".snapshot")) {
        let mut bytes = fs::read(fixture.file(name)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(fixture.file(name), bytes).unwrap();
    }
    fs::write(fixture.file(LEADER_EPOCHS), "0\n3\n0 0\n").unwrap();
    let (log, _) = fixture.open(small());
    assert_eq!((log.producers(), log.leader_epochs()), (&states, &epochs));
    drop(log);
    assert_eq!(fs::read_to_string(fixture.file(LEADER_EPOCHS)).unwrap(), "0\n3\n0 0\n1 4\n2 8\n");
}

/// A power cut tears the snapshot of a segment; the start builds what it said from the batches, and writes it again: once those batches
/// are deleted, it is all that is known of those that wrote them. Behind the recovery point it is not even looked at.
#[test]
fn a_damaged_snapshot_is_written_again_before_its_batches_can_be_deleted() {
    for all_was_flushed in [true, false] {
        let fixture = Fixture::new();
        let (mut log, _) = fixture.open(small());
        log.append_as_leader(&stamped(stamp(7, 2, 0), &["x"]), epoch(0), at(0)).unwrap();
        for sequence in 0..12 {
            log.append_as_leader(&stamped(stamp(8, 0, sequence), &["x"]), epoch(0), at(0)).unwrap();
        }
        let states = log.producers().clone();
        if all_was_flushed {
            log.close().unwrap();
        } else {
            drop(log);
        }
        for name in fixture.names().iter().filter(|name| name.ends_with(".snapshot")) {
            fs::write(fixture.file(name), b"torn").unwrap();
        }
        let fixture = fixture.restart();
        let (mut log, _) = fixture.open(small());
        let end = log.log_end();
        let gone = log.advance_log_start(end, end, at(0)).unwrap();
        assert!(!gone.is_empty());
        drop(log);
        let fixture = fixture.restart();
        let (log, _) = fixture.open(small());
        assert_eq!(log.producers(), &states, "all was flushed: {all_was_flushed}");
    }
}

#[test]
fn leftovers_are_removed_and_another_topics_directory_is_refused() {
    let fixture = Fixture::new();
    let (log, _) = fixture.open(small());
    log.close().unwrap();
    for name in
        ["00000000000000000000.log.deleted", "00000000000000000005.index", "leader-epoch-checkpoint.tmp"]
    {
        fs::write(fixture.file(name), "x").unwrap();
    }
    fixture.open(small());
    assert_eq!(
        fixture.names(),
        [
            "00000000000000000000.index",
            "00000000000000000000.log",
            "00000000000000000000.snapshot",
            "00000000000000000000.timeindex",
            "partition.metadata"
        ]
    );
    let text = "version: 0\ntopic_id: AwMDAwMDQwODAwMDAwMDAw";
    fs::write(fixture.file(PARTITION_METADATA), text).unwrap();
    assert!(matches!(fixture.try_open(small()), Err(OpenError::TopicId { .. })));
    fs::write(fixture.file(PARTITION_METADATA), "").unwrap();
    assert!(matches!(fixture.try_open(small()), Err(OpenError::Metadata { .. })));
}

#[test]
fn a_follower_keeps_what_the_leader_sent() {
    let leader = Fixture::new();
    let (mut log, _) = leader.open(small());
    fill(&mut log, 0, 25);
    let follower = Fixture::new();
    let (mut copy, _) = follower.open(small());
    let view = log.view();
    let mut from = Offset::ZERO;
    while let Some(slice) = view.read(from, 200, view.log_end(), true).unwrap() {
        let bytes = slice.read().unwrap();
        from = copy.append_as_follower(&bytes, at(0)).unwrap().unwrap().next();
        assert!(copy.append_as_follower(&bytes, at(0)).is_err(), "offsets never go back");
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(copy.append_as_follower(&flipped, at(0)).is_err());
        assert!(copy.append_as_follower(&bytes[..bytes.len() - 1], at(0)).is_err());
    }
    assert_eq!(contents(&copy), values(0, 25));
    assert_eq!(copy.leader_epochs(), log.leader_epochs());
    for name in log_files(&leader) {
        assert_eq!(fs::read(leader.file(&name)).unwrap(), fs::read(follower.file(&name)).unwrap());
    }
}

fn transactional(id: i64, sequence: i32, value: &str) -> ottla_record::ValidatedBatches {
    let mut builder = BatchBuilder::new(Codec::None).producer(stamp(id, 0, sequence)).transactional();
    builder.push(Some(Timestamp::from_millis(5)), None, Some(value.as_bytes()), &[]);
    validated(builder.build().unwrap())
}

#[test]
fn an_abort_between_the_recovery_point_and_a_snapshot_is_known_again() {
    // The marker comes between the recovery point and the roll, whose snapshot knows the transaction as ended.
    for begun_before in [true, false] {
        let fixture = Fixture::new();
        let large = LogConfig { index_interval_bytes: 100, ..config() };
        let (mut log, _) = fixture.open(large.clone());
        fill(&mut log, 0, 10);
        if begun_before {
            log.append_as_leader(&transactional(7, 0, "aborted"), epoch(1), at(0)).unwrap();
        }
        flush(&mut log);
        log.checkpoint().unwrap();
        fixture.root.store_checkpoints().unwrap();
        let first = log.log_end();
        log.append_as_leader(&transactional(7, i32::from(begun_before), "aborted"), epoch(1), at(0)).unwrap();
        log.append_as_leader(&marker(7, ControlType::Abort, 6), epoch(1), at(0)).unwrap();
        log.roll(log.log_end, Timestamp::EPOCH).unwrap();
        log.append_as_leader(&batch(0, &["after"]), epoch(1), at(0)).unwrap();
        let expected = log.view().aborted_transactions(Offset::ZERO, log.log_end()).unwrap();
        assert_eq!(expected.len(), 1);
        assert_eq!(expected[0].first_offset, if begun_before { Offset::new(10) } else { first });
        let producers = log.producers().clone();
        drop(log);
        let fixture = fixture.restart();
        let (log, _) = fixture.open(large);
        assert_eq!(log.view().aborted_transactions(Offset::ZERO, log.log_end()).unwrap(), expected);
        assert_eq!(log.producers(), &producers);
    }
}
