use super::*;
use crate::batch::BatchView;
use crate::builder::BatchBuilder;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn rules() -> ProduceRules {
    ProduceRules {
        origin: Origin::Client,
        max_batch_bytes: 1_048_588,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: 3_600_000,
        compression: None,
        compacted: false,
        allow_zstd: true,
        max_decompressed_bytes: 1 << 20,
    }
}

fn batch(codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for i in 0..3 {
        let timestamp = Timestamp::from_millis(NOW.millis() + i);
        builder.push(Some(timestamp), Some(b"key"), Some(b"value"), &[]);
    }
    builder.build().unwrap()
}

#[test]
fn what_is_kept_as_it_came_is_not_copied() {
    for codec in [Codec::None, Codec::Zstd { level: 3 }] {
        let sent = batch(codec);
        let validated = validate(sent.clone(), &rules(), NOW).unwrap();
        let kept = validated.first();
        assert_eq!(kept.records().as_ptr(), sent[HEADER_LEN..].as_ptr());
        assert_eq!(kept.header().to_bytes(), sent[..HEADER_LEN]);
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

    let stored = [&kept.stamped(Offset::new(5), LeaderEpoch::new(1))[..], kept.records()].concat();
    let view = BatchView::parse(&stored).unwrap();
    view.verify_crc().unwrap();
    let records = view.records(1 << 20).unwrap();
    assert!(records.iter().all(|record| record.unwrap().timestamp == Some(later)));
}
