use expect_test::{Expect, expect};
use ottla_record::{BatchBuilder, Codec, ProducerEpoch, ProducerId, ProducerStamp, Sequence, Timestamp};

use super::*;

const LIMIT: ByteSize = ByteSize::mib(1);

/// A batch of records named by their offsets.
fn batch(base: i64, count: i64, codec: Codec) -> Vec<u8> {
    records(BatchBuilder::new(codec), base, count)
}

fn in_transaction(producer: i64, base: i64, count: i64) -> Vec<u8> {
    records(BatchBuilder::new(Codec::None).producer(stamp(producer, Some(0))).transactional(), base, count)
}

fn records(builder: BatchBuilder, base: i64, count: i64) -> Vec<u8> {
    let mut builder = builder.base_offset(Offset::new(base));
    for offset in base..base + count {
        builder.push(Some(Timestamp::from_millis(1)), None, Some(format!("r{offset}").as_bytes()), &[]);
    }
    builder.build().unwrap().to_vec()
}

fn marker(producer: i64, offset: i64, control: ControlType) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None)
        .base_offset(Offset::new(offset))
        .producer(stamp(producer, None))
        .transactional()
        .control();
    builder.push_marker(Timestamp::from_millis(1), EndTransactionMarker { control, coordinator_epoch: 0 });
    builder.build().unwrap().to_vec()
}

fn stamp(producer: i64, sequence: Option<i32>) -> ProducerStamp {
    let base_sequence = sequence.map(Sequence::new);
    ProducerStamp { id: ProducerId::new(producer), epoch: ProducerEpoch::ZERO, base_sequence }
}

fn message(batches: &[Vec<u8>], aborted: &[(i64, i64)]) -> Message {
    let aborted = aborted
        .iter()
        .map(|(producer_id, first_offset)| v1::AbortedTransaction {
            producer_id: *producer_id,
            first_offset: *first_offset,
        })
        .collect();
    let response = v1::FetchResponse { batches: batches.concat().into(), aborted, ..Default::default() };
    Message::new("t".into(), response)
}

fn check(batches: &[Vec<u8>], aborted: &[(i64, i64)], from: i64, expected: Expect) {
    let mut message = message(batches, aborted);
    let mut seen = Vec::new();
    while let Some(records) = message.next_batch(Offset::new(from), LIMIT).unwrap() {
        seen.push(
            records
                .iter()
                .map(|record| {
                    let value =
                        record.value.as_deref().map(|value| String::from_utf8_lossy(value).into_owned());
                    assert_eq!(value, Some(format!("r{}", record.offset)));
                    record.offset.to_string()
                })
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    expected.assert_eq(&seen.join(" | "));
}

#[test]
fn batches_of_every_codec_are_unpacked() {
    let codecs =
        [Codec::None, Codec::Gzip { level: -1 }, Codec::Snappy, Codec::Lz4, Codec::Zstd { level: 3 }];
    let batches: Vec<_> = (0..).zip(codecs).map(|(n, codec)| batch(n * 2, 2, codec)).collect();
    check(&batches, &[], 0, expect!["0 1 | 2 3 | 4 5 | 6 7 | 8 9"]);
}

#[test]
fn what_lies_before_the_offset_asked_for_is_left_out() {
    let batches = [batch(0, 3, Codec::None), batch(3, 3, Codec::Lz4), batch(6, 1, Codec::None)];
    check(&batches, &[], 4, expect![" | 4 5 | 6"]);
}

#[test]
fn an_aborted_transaction_is_dropped_between_its_first_record_and_its_marker() {
    let batches = [
        in_transaction(1, 0, 2),
        batch(2, 1, Codec::None),
        in_transaction(2, 3, 2),
        in_transaction(1, 5, 1),
        marker(1, 6, ControlType::Abort),
        marker(2, 7, ControlType::Commit),
        in_transaction(1, 8, 2),
        marker(1, 10, ControlType::Commit),
    ];
    check(&batches, &[(1, 0)], 0, expect![" | 2 | 3 4 |  |  |  | 8 9 | "]);
    // Without the list, as with ReadUncommitted, only the markers are left out.
    check(&batches, &[], 0, expect!["0 1 | 2 | 3 4 | 5 |  |  | 8 9 | "]);
    // Two aborts of one producer, listed out of order.
    let twice = [
        in_transaction(1, 0, 1),
        marker(1, 1, ControlType::Abort),
        in_transaction(1, 2, 1),
        marker(1, 3, ControlType::Commit),
        in_transaction(1, 4, 1),
        marker(1, 5, ControlType::Abort),
    ];
    check(&twice, &[(1, 4), (1, 0)], 0, expect![" |  | 2 |  |  | "]);
}

#[test]
fn a_record_outside_of_transactions_is_no_part_of_an_abort() {
    let idempotent = records(BatchBuilder::new(Codec::None).producer(stamp(1, Some(0))), 1, 1);
    check(&[in_transaction(1, 0, 1), idempotent], &[(1, 0)], 0, expect![" | 1"]);
}

#[test]
fn damage_is_reported_and_the_message_stays_where_it_is() {
    let mut damaged = batch(1, 1, Codec::None);
    *damaged.last_mut().unwrap() ^= 1;
    let mut message = message(&[batch(0, 1, Codec::None), damaged], &[]);
    assert_eq!(message.next_batch(Offset::ZERO, LIMIT).unwrap().unwrap().len(), 1);
    for _ in 0..2 {
        let error = message.next_batch(Offset::ZERO, LIMIT).unwrap_err();
        assert!(matches!(error, BatchError::CorruptCrc { .. }), "{error}");
    }
}

#[test]
fn a_bomb_is_refused() {
    let mut builder = BatchBuilder::new(Codec::Zstd { level: 3 });
    builder.push(None, None, Some(&vec![0; 1 << 20]), &[]);
    let mut message = message(&[builder.build().unwrap().to_vec()], &[]);
    let error = message.next_batch(Offset::ZERO, ByteSize::kib(64)).unwrap_err();
    assert!(matches!(error, BatchError::DecompressedTooLarge { .. }), "{error}");
}

#[test]
fn keys_values_and_headers_share_the_batchs_memory() {
    let mut message = message(&[batch(0, 1, Codec::None)], &[]);
    let range = message.batches.as_ptr_range();
    let records = message.next_batch(Offset::ZERO, LIMIT).unwrap().unwrap();
    assert!(range.contains(&records[0].value.as_ref().unwrap().as_ptr()));
}
