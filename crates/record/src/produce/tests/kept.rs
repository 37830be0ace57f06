//! What is accepted: what stays as it came, and what the topic changes.

use super::*;
use crate::batch::BatchView;
use crate::control::{ControlType, EndTransactionMarker};
use crate::header::ProducerStamp;
use crate::ids::{ProducerEpoch, ProducerId, Sequence};
use crate::record::Header;

#[test]
fn what_is_kept_as_it_came_is_not_copied() {
    for codec in [Codec::None, Codec::Zstd { level: 3 }] {
        let sent = batch(codec);
        let validated = validate(sent.clone(), &rules(), NOW).unwrap();
        let kept = validated.first();
        assert_eq!(kept.records().as_ptr(), sent[HEADER_LEN..].as_ptr());
        assert_eq!(kept.header().to_bytes(), sent[..HEADER_LEN]);
        assert_eq!(kept.len(), sent.len());
        assert_eq!(validated.offset_count(), 3);
        assert_eq!(validated.log_append_time(), None);
    }
}

#[test]
fn log_append_time_changes_the_header_alone() {
    let sent = batch(Codec::Lz4);
    let rules = ProduceRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    let later = Timestamp::from_millis(NOW.millis() + 77);
    let validated = validate(sent.clone(), &rules, later).unwrap();
    let kept = validated.first();
    assert_eq!(kept.records().as_ptr(), sent[HEADER_LEN..].as_ptr());
    assert_eq!(validated.log_append_time(), Some(later));

    let stored = stored(kept);
    let view = BatchView::parse(&stored).unwrap();
    view.verify_crc().unwrap();
    let records = view.records(1 << 20).unwrap();
    assert!(records.iter().all(|record| record.unwrap().timestamp == Some(later)));
}

/// The batch as the log would hold it.
fn stored(batch: &ValidatedBatch) -> Vec<u8> {
    [&batch.stamped(Offset::new(5), LeaderEpoch::new(1))[..], batch.records()].concat()
}

#[test]
fn another_codec_for_the_topic_keeps_the_records_and_the_stamps() {
    let all = [Codec::None, Codec::Gzip { level: 9 }, Codec::Snappy, Codec::Lz4, Codec::Zstd { level: 19 }];
    for from in all {
        for to in all {
            let mut sent = BatchBuilder::new(from).transactional().producer(ProducerStamp {
                id: ProducerId::new(9),
                epoch: ProducerEpoch::new(1),
                base_sequence: Some(Sequence::new(40)),
            });
            let headers = [Header { key: b"h", value: None }];
            sent.push(Some(NOW), None, Some(&[b'v'; 500]), &headers);
            sent.push(None, Some(b"k"), None, &[]);
            let sent = sent.build().unwrap();
            let rules = ProduceRules { compression: Some(to), ..rules() };
            let validated = validate(sent.clone(), &rules, NOW).unwrap();
            let kept = validated.first();
            assert_eq!(kept.header().compression(), to.compression());
            assert_eq!(kept.header().len(), kept.len());
            if from == to {
                assert_eq!(kept.records().as_ptr(), sent[HEADER_LEN..].as_ptr());
            }
            let stored = stored(kept);
            let view = BatchView::parse(&stored).unwrap();
            view.verify_crc().unwrap();
            assert_eq!(view.header().producer(), BatchHeader::parse(&sent).unwrap().producer());
            assert!(view.header().attributes().is_transactional());
            let records = view.records(1 << 20).unwrap();
            let records: Vec<_> = records.iter().map(Result::unwrap).collect();
            assert_eq!(records.len(), 2);
            assert_eq!(records[0].value, Some(&[b'v'; 500][..]));
            assert_eq!(records[0].headers.iter().collect::<Vec<_>>(), headers);
            assert_eq!((records[1].key, records[1].timestamp), (Some(&b"k"[..]), None));
        }
    }
}

#[test]
fn a_batch_that_grows_past_the_limit_by_another_codec_is_refused() {
    let mut sent = BatchBuilder::new(Codec::Zstd { level: 3 });
    sent.push(Some(NOW), None, Some(&[0; 100_000]), &[]);
    let rules = ProduceRules { compression: Some(Codec::None), max_batch_bytes: 50_000, ..rules() };
    let error = validate(sent.build().unwrap(), &rules, NOW).unwrap_err();
    assert_eq!(error, BatchError::TooLarge { size: 100_072, max: 50_000 });
}

#[test]
fn a_coordinator_may_append_markers_and_several_batches() {
    let marker = EndTransactionMarker { control: ControlType::Commit, coordinator_epoch: 3 };
    let mut control = BatchBuilder::new(Codec::None).control().transactional().producer(ProducerStamp {
        id: ProducerId::new(9),
        epoch: ProducerEpoch::new(1),
        base_sequence: None,
    });
    control.push_marker(NOW, marker);
    let control = control.build().unwrap();
    let both = Bytes::from([&batch(Codec::None)[..], &control].concat());
    assert_eq!(validate(control, &rules(), NOW).unwrap_err(), BatchError::ControlBatch);

    let rules = ProduceRules { origin: Origin::Coordinator, ..rules() };
    let validated = validate(both.clone(), &rules, NOW).unwrap();
    assert_eq!(validated.size_bytes(), both.len());
    assert_eq!(validated.offset_count(), 4);
    let last = validated.iter().last().unwrap();
    assert!(last.header().attributes().is_control());
}

#[test]
fn the_list_of_refused_records_is_bounded() {
    let mut keyless = BatchBuilder::new(Codec::None);
    (0..5_000).for_each(|_| keyless.push(Some(NOW), None, None, &[]));
    let rules = ProduceRules { compacted: true, ..rules() };
    let error = validate(keyless.build().unwrap(), &rules, NOW).unwrap_err();
    assert_eq!(error.record_errors().len(), MAX_RECORD_ERRORS);
}
