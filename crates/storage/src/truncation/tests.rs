use ottla_record::ProducerId;

use super::*;
use crate::batches::{contents, epoch, stamp};
use crate::log::tests::{Fixture, at, batch, config, flush, stamped};
use crate::{LogConfig, Producer, ProducerStates};

fn small() -> LogConfig {
    LogConfig { segment_bytes: 500, index_interval_bytes: 100, ..config() }
}

fn fill(log: &mut Log, from: i64, to: i64, text: &str) {
    for number in from..to {
        let value = format!("{text} {number}");
        log.append_as_leader(&batch(1000 + number, &[&value]), epoch((number / 10) as i32), at(1000))
            .unwrap();
    }
}

fn values(from: i64, to: i64, text: &str) -> Vec<(i64, String)> {
    (from..to).map(|number| (number, format!("{text} {number}"))).collect()
}

fn wall() -> Timestamp {
    Timestamp::EPOCH
}

#[test]
fn a_cut_at_every_offset_leaves_the_records_below() {
    for cut in 0..=30 {
        let fixture = Fixture::new();
        let (mut log, _) = fixture.open(small());
        fill(&mut log, 0, 30, "old");
        if cut % 2 == 0 {
            flush(&mut log);
            log.checkpoint().unwrap();
            fixture.root.store_checkpoints().unwrap();
        }
        log.truncate_to(Offset::new(cut), wall()).unwrap();
        assert_eq!(log.log_end(), Offset::new(cut));
        assert_eq!(contents(&log), values(0, cut, "old"));
        assert!(log.leader_epochs().latest().is_none_or(|latest| latest.start < log.log_end()));
        if cut < 30 {
            assert_eq!(log.flushed_end(), log.log_end());
        }
        // A crash right here leaves nothing to repair.
        drop(log);
        let fixture = fixture.restart();
        let (mut log, recovery) = fixture.open(small());
        assert_eq!(recovery.truncated_bytes, 0);
        assert_eq!(contents(&log), values(0, cut, "old"));
        fill(&mut log, cut, 40, "new");
        let expected = [values(0, cut, "old"), values(cut, 40, "new")].concat();
        assert_eq!(contents(&log), expected);
        log.close().unwrap();
        let (log, _) = fixture.open(small());
        assert_eq!(contents(&log), expected);
    }
}

/// A leader that was elected uncleanly has committed records cut. Others may stand in their place by the next start, which must not
/// take them for committed.
#[test]
fn a_cut_takes_the_stored_high_watermark_with_it() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(small());
    fill(&mut log, 0, 30, "old");
    fixture.root.note_high_watermark(&log.name, Offset::new(20));
    fixture.root.store_checkpoints().unwrap();
    let name = log.name.clone();
    log.truncate_to(Offset::new(25), wall()).unwrap();
    assert_eq!(fixture.root.high_watermark_of(&name), Some(Offset::new(20)), "nothing committed was cut");
    log.truncate_to(Offset::new(12), wall()).unwrap();
    fill(&mut log, 12, 30, "new");
    flush(&mut log);
    drop(log);
    let fixture = fixture.restart();
    assert_eq!(fixture.root.high_watermark_of(&name), Some(Offset::new(12)));
    let (mut log, _) = fixture.open(small());
    log.truncate_fully_and_start_at(Offset::new(5), ProducerStates::default(), wall()).unwrap();
    drop(log);
    assert_eq!(fixture.restart().root.high_watermark_of(&name), Some(Offset::ZERO));
}

#[test]
fn a_reader_of_an_older_view_gets_the_old_bytes_or_an_error() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(small());
    fill(&mut log, 0, 30, "old");
    let view = log.view();
    let slices: Vec<_> = (0..30)
        .map(|offset| view.read(Offset::new(offset), 1, view.log_end(), true).unwrap().unwrap())
        .collect();
    let before: Vec<_> = slices.iter().map(|slice| slice.read().unwrap()).collect();
    log.truncate_to(Offset::new(12), wall()).unwrap();
    fill(&mut log, 12, 40, "new");
    for (offset, (slice, before)) in slices.iter().zip(before).enumerate() {
        match slice.read() {
            Ok(bytes) => assert_eq!(bytes, before, "{offset}"),
            Err(error) => assert!(offset >= 12, "{offset}: {error}"),
        }
        match view.read(Offset::new(offset as i64), 1, view.log_end(), true) {
            Ok(slice) => assert_eq!(slice.unwrap().read().unwrap(), before),
            Err(error) => assert!(matches!(error, ReadError::Stale), "{error}"),
        }
    }
}

#[test]
fn producers_and_lookups_by_time_follow_the_cut() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(small());
    for sequence in 0..20 {
        log.append_as_leader(&stamped(stamp(1, 0, sequence), &["x"]), epoch(0), at(0)).unwrap();
    }
    log.truncate_to(Offset::new(8), wall()).unwrap();
    let id = ottla_record::ProducerId::new(1);
    assert_eq!(log.producers().get(id).unwrap().next_sequence().unwrap().get(), 8);
    log.append_as_leader(&stamped(stamp(1, 0, 8), &["y"]), epoch(0), at(0)).unwrap();
    assert_eq!(contents(&log).last().unwrap(), &(8, "y".to_owned()));

    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(small());
    fill(&mut log, 0, 30, "old");
    log.truncate_to(Offset::new(17), wall()).unwrap();
    let view = log.view();
    let latest = view.max_timestamp(view.log_end()).unwrap().unwrap();
    assert_eq!((latest.offset.get(), latest.timestamp.millis()), (16, 1016));
}

#[test]
fn starting_anew_elsewhere_forgets_everything() {
    for start in [0, 7, 100] {
        let fixture = Fixture::new();
        let (mut log, _) = fixture.open(small());
        fill(&mut log, 0, 30, "old");
        flush(&mut log);
        log.checkpoint().unwrap();
        fixture.root.store_checkpoints().unwrap();
        log.truncate_fully_and_start_at(Offset::new(start), ProducerStates::default(), wall()).unwrap();
        assert_eq!((log.log_start().get(), log.log_end().get()), (start, start));
        drop(log);
        let fixture = fixture.restart();
        let (mut log, _) = fixture.open(small());
        assert_eq!((log.log_start().get(), log.log_end().get()), (start, start));
        fill(&mut log, start, start + 10, "new");
        assert_eq!(contents(&log), values(start, start + 10, "new"));
    }
}

#[test]
fn a_flush_begun_before_the_cut_says_nothing_about_what_came_after() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(small());
    fill(&mut log, 0, 20, "old");
    let job = log.begin_flush().unwrap();
    log.truncate_to(Offset::new(12), wall()).unwrap();
    fill(&mut log, 12, 25, "new");
    job.run(&**fixture.root.disk()).unwrap();
    log.complete_flush(job.end);
    assert_eq!(log.flushed_end(), Offset::new(12));
    flush(&mut log);
    assert_eq!(log.flushed_end(), Offset::new(25));
}

/// What a log knew of producers at an offset is told of that offset alone: a snapshot in the name of a later one would be believed by a start.
#[test]
fn no_snapshot_is_written_for_what_lies_behind_the_cut() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(small());
    for sequence in 0..24 {
        log.append_as_leader(&stamped(stamp(7, 0, sequence), &["x"]), epoch(0), at(1000)).unwrap();
    }
    let bases: Vec<Offset> = log.segments.iter().skip(1).map(|segment| segment.base()).collect();
    assert!(bases.len() > 2, "{bases:?}");
    let cut = bases[0].next();
    let known = log.producers_before(cut).unwrap();
    let next = known.get(ProducerId::new(7)).and_then(Producer::next_sequence);
    assert_eq!(
        next.map(|next| i64::from(next.get())),
        Some(cut.get()),
        "a record has the number of its offset"
    );
    let snapshots: Vec<String> =
        fixture.names().into_iter().filter(|name| name.ends_with(".snapshot")).collect();
    assert_eq!(snapshots, [format!("{:020}.snapshot", bases[0].get())]);
}
