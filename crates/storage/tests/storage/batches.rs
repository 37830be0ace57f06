//! Batches to append, and what a log holds: for the tests beside the sources and for those through the public surface,
//! which both include this file.

use bytes::Bytes;
use ottla_record::produce::{Origin, ProduceRules, validate};
use ottla_record::{
    BatchBuilder, Batches, Codec, ControlType, EndTransactionMarker, LeaderEpoch, ProducerEpoch, ProducerId,
    ProducerStamp, Sequence, Timestamp, TimestampType, ValidatedBatches,
};
use ottla_storage::Log;

pub(crate) fn epoch(epoch: i32) -> LeaderEpoch {
    LeaderEpoch::new(epoch)
}

pub(crate) fn rules() -> ProduceRules {
    ProduceRules {
        origin: Origin::Coordinator,
        max_batch_bytes: 1 << 20,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        compression: None,
        compacted: false,
        allow_zstd: true,
        max_decompressed_bytes: 1 << 20,
    }
}

pub(crate) fn validated(bytes: Bytes) -> ValidatedBatches {
    validate(bytes, &rules(), Timestamp::EPOCH).unwrap()
}

pub(crate) fn stamp(id: i64, epoch: i16, sequence: i32) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Some(Sequence::new(sequence)),
    }
}

/// The marker that ends the transaction of a producer.
pub(crate) fn marker(id: i64, control: ControlType, timestamp: i64) -> ValidatedBatches {
    let stamp = ProducerStamp { base_sequence: None, ..stamp(id, 0, 0) };
    let mut builder = BatchBuilder::new(Codec::None).producer(stamp).transactional().control();
    let marker = EndTransactionMarker { control, coordinator_epoch: 3 };
    builder.push_marker(Timestamp::from_millis(timestamp), marker);
    validated(builder.build().unwrap())
}

/// Every value in the log, with its offset, as a reader sees it.
pub(crate) fn contents(log: &Log) -> Vec<(i64, String)> {
    let view = log.view();
    let mut from = view.log_start();
    let mut values = Vec::new();
    while let Some(slice) = view.read(from, 700, view.log_end(), true).unwrap() {
        for batch in Batches::new(&slice.read().unwrap()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            for record in batch.records(1 << 20).unwrap().iter() {
                let record = record.unwrap();
                if record.offset >= from && !batch.header().attributes().is_control() {
                    let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                    values.push((record.offset.get(), value));
                }
            }
            from = batch.last_offset().next();
        }
    }
    assert_eq!(from, log.log_end());
    values
}
