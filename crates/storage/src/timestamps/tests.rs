use ottla_record::{
    BatchBuilder, Codec, ControlType, EndTransactionMarker, ProducerId, ProducerStamp, Timestamp,
};

use super::*;
use crate::LogConfig;
use crate::batches::{epoch, stamp, validated};
use crate::log::Log;
use crate::log::tests::{Fixture, at, batch, config, flush};

fn small() -> LogConfig {
    LogConfig { segment_bytes: 500, index_interval_bytes: 100, ..config() }
}

fn lookup(view: &LogView, timestamp: i64) -> Option<(i64, i64)> {
    let found = view.offset_for_timestamp(Timestamp::from_millis(timestamp), view.log_end()).unwrap();
    found.map(|found| (found.timestamp.millis(), found.offset.get()))
}

/// Three records a batch, ten apart: offset n has the timestamp 1000 + 10 n.
fn filled(fixture: &Fixture, codec: Codec) -> Log {
    let (mut log, _) = fixture.open(small());
    for number in 0..40 {
        let mut builder = BatchBuilder::new(codec);
        for record in 0..3 {
            let timestamp = Timestamp::from_millis(1000 + 10 * (3 * number + record));
            builder.push(Some(timestamp), None, Some(b"some value that is repeated repeated"), &[]);
        }
        log.append_as_leader(&validated(builder.build().unwrap()), epoch(4), at(0)).unwrap();
    }
    log
}

#[test]
fn the_exact_record_is_found_also_inside_a_compressed_batch() {
    for codec in [Codec::None, Codec::Lz4] {
        let fixture = Fixture::new();
        let log = filled(&fixture, codec);
        assert!(log.segment_count() > 3);
        let check = |view: &LogView| {
            for offset in 0..120 {
                let exact = 1000 + 10 * offset;
                assert_eq!(lookup(view, exact), Some((exact, offset)));
                assert_eq!(lookup(view, exact - 3), Some((exact, offset)));
            }
            assert_eq!(lookup(view, 0), Some((1000, 0)));
            assert_eq!(lookup(view, 1000 + 10 * 119 + 1), None);
            let latest = view.max_timestamp(view.log_end()).unwrap().unwrap();
            assert_eq!((latest.offset.get(), latest.leader_epoch), (119, Some(epoch(4))));
            assert_eq!(view.max_timestamp(Offset::new(119)).unwrap(), None);
            let upper = Offset::new(50);
            assert_eq!(view.offset_for_timestamp(Timestamp::from_millis(1500), upper).unwrap(), None);
            assert!(view.offset_for_timestamp(Timestamp::from_millis(1490), upper).unwrap().is_some());
        };
        check(&log.view());
        log.close().unwrap();
        let (log, _) = fixture.open(small());
        check(&log.view());
    }
}

#[test]
fn timestamps_out_of_order_and_deleted_records() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(small());
    for (offset, timestamp) in [50, 90, 10, 70, 90, 20, 80, 60, 30, 100, 40].into_iter().enumerate() {
        log.append_as_leader(&batch(timestamp, &[&format!("{offset}")]), epoch(0), at(0)).unwrap();
    }
    let view = log.view();
    for (timestamp, expected) in
        [(1, Some((50, 0))), (51, Some((90, 1))), (90, Some((90, 1))), (91, Some((100, 9))), (101, None)]
    {
        assert_eq!(lookup(&view, timestamp), expected, "{timestamp}");
    }
    flush(&mut log);
    log.advance_log_start(Offset::new(3), Offset::new(11), at(0)).unwrap();
    let view = log.view();
    assert_eq!(lookup(&view, 90), Some((90, 4)));
    assert_eq!(lookup(&view, 60), Some((70, 3)));
}

fn marker(id: i64, control: ControlType) -> ottla_record::ValidatedBatches {
    let stamp = ProducerStamp { base_sequence: None, ..stamp(id, 0, -1) };
    let mut builder = BatchBuilder::new(Codec::None).producer(stamp).transactional().control();
    let marker = EndTransactionMarker { control, coordinator_epoch: 3 };
    builder.push_marker(Timestamp::from_millis(9), marker);
    validated(builder.build().unwrap())
}

fn transactional(id: i64, sequence: i32) -> ottla_record::ValidatedBatches {
    let mut builder = BatchBuilder::new(Codec::None).producer(stamp(id, 0, sequence)).transactional();
    builder.push(Some(Timestamp::from_millis(9)), None, Some(b"in a transaction"), &[]);
    validated(builder.build().unwrap())
}

#[test]
fn aborted_transactions_are_found_by_whoever_reads_their_records() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(small());
    let mut append = |batch| log.append_as_leader(&batch, epoch(0), at(0)).unwrap();
    append(transactional(1, 0)); // 0
    append(transactional(2, 0)); // 1
    append(transactional(1, 1)); // 2
    append(marker(1, ControlType::Abort)); // 3
    for _ in 0..10 {
        append(batch(5, &["outside"])); // 4 to 13
    }
    append(marker(2, ControlType::Commit)); // 14
    append(transactional(1, 2)); // 15
    append(marker(1, ControlType::Abort)); // 16
    append(transactional(2, 1)); // 17
    let aborted = |first, last, stable| AbortedTransaction {
        producer: ProducerId::new(1),
        first_offset: Offset::new(first),
        last_offset: Offset::new(last),
        last_stable_offset: Offset::new(stable),
    };
    let (one, two) = (aborted(0, 3, 1), aborted(15, 16, 17));
    let check = |log: &Log| {
        let view = log.view();
        for (from, to, expected) in [
            (0, 18, vec![one, two]),
            (3, 4, vec![one]),
            (4, 15, vec![]),
            (4, 16, vec![two]),
            (0, 1, vec![one]),
            (17, 18, vec![]),
        ] {
            let found = view.aborted_transactions(Offset::new(from), Offset::new(to)).unwrap();
            assert_eq!(found, expected, "{from} to {to}");
        }
        assert_eq!(log.producers().first_open_transaction().unwrap().0, Offset::new(17));
    };
    check(&log);
    assert_eq!(log.producers().first_unstable_offset(), Some(Offset::ZERO), "no marker is replicated yet");
    log.high_watermark_reached(Offset::new(4));
    assert_eq!(log.producers().first_unstable_offset(), Some(Offset::new(1)));
    log.high_watermark_reached(Offset::new(18));
    assert_eq!(log.producers().first_unstable_offset(), Some(Offset::new(17)));
    // After a kill, before anything was checkpointed, and after that again.
    drop(log);
    for _ in 0..2 {
        let (log, _) = fixture.open(small());
        check(&log);
    }
    let path = fixture.file("00000000000000000000.txnindex");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 34);
    // Damaged, it is rebuilt from the batches.
    let sound = std::fs::read(&path).unwrap();
    std::fs::write(&path, &sound[..30]).unwrap();
    let (log, recovery) = fixture.open(small());
    assert_eq!(recovery.rebuilt_indexes, 1);
    check(&log);
    assert_eq!(std::fs::read(&path).unwrap(), sound);
}
