//! What goes into the builder comes out of the view, whatever it is.

use ottla_record::{
    BatchBuilder, BatchView, Codec, Header, ProducerEpoch, ProducerId, ProducerStamp, Sequence, Timestamp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A batch as a producer may send it.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    codec: Codec,
    producer: Option<ProducerStamp>,
    records: Vec<SentRecord>,
}

#[derive(Clone, Debug)]
struct SentRecord {
    timestamp: Option<Timestamp>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut builder = BatchBuilder::new(self.codec);
        if let Some(stamp) = self.producer {
            builder = builder.producer(stamp);
        }
        for record in &self.records {
            let headers: Vec<Header<'_>> =
                record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
            let SentRecord { timestamp, key, value, .. } = record;
            builder.push(*timestamp, key.as_deref(), value.as_deref(), &headers);
        }
        builder.build().unwrap().to_vec()
    }
}

pub(crate) fn batches() -> impl Strategy<Value = Batch> {
    (codecs(), option::of(producers()), vec(records(), 1..20)).prop_map(|(codec, producer, records)| Batch {
        codec,
        producer,
        records,
    })
}

fn codecs() -> impl Strategy<Value = Codec> {
    prop_oneof![
        Just(Codec::None),
        (-1..=9).prop_map(|level| Codec::Gzip { level }),
        Just(Codec::Snappy),
        Just(Codec::Lz4),
        (-10..=9).prop_map(|level| Codec::Zstd { level }),
    ]
}

fn producers() -> impl Strategy<Value = ProducerStamp> {
    (0..=i64::MAX, 0..=i16::MAX, 0..=i32::MAX).prop_map(|(id, epoch, sequence)| ProducerStamp {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Some(Sequence::new(sequence)),
    })
}

fn records() -> impl Strategy<Value = SentRecord> {
    // From no bytes to lengths that take three bytes to write.
    let bytes = || prop_oneof![9 => vec(any::<u8>(), 0..80), 1 => vec(any::<u8>(), 0..9000)];
    let timestamps = option::of((0..=i64::MAX).prop_map(Timestamp::from_millis));
    let headers = vec((vec(any::<u8>(), 0..5), option::of(bytes())), 0..4);
    (timestamps, option::of(bytes()), option::of(bytes()), headers)
        .prop_map(|(timestamp, key, value, headers)| SentRecord { timestamp, key, value, headers })
}

proptest! {
    #[test]
    fn builder_and_view_agree(batch in batches()) {
        let bytes = batch.build();
        let view = BatchView::parse(&bytes).unwrap();
        view.verify_crc().unwrap();
        prop_assert_eq!(view.len(), bytes.len());
        prop_assert_eq!(view.header().compression(), batch.codec.compression());
        prop_assert_eq!(view.header().producer(), batch.producer);
        prop_assert_eq!(view.header().record_count() as usize, batch.records.len());
        let max = batch.records.iter().filter_map(|record| record.timestamp).max();
        prop_assert_eq!(view.header().max_timestamp(), max);

        let records = view.records(64 << 20).unwrap();
        let read: Vec<_> = records.iter().map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), batch.records.len());
        for (i, (read, sent)) in read.iter().zip(&batch.records).enumerate() {
            prop_assert_eq!(read.offset.get(), i as i64);
            prop_assert_eq!(read.timestamp, sent.timestamp);
            prop_assert_eq!(read.key, sent.key.as_deref());
            prop_assert_eq!(read.value, sent.value.as_deref());
            let headers: Vec<_> =
                read.headers.iter().map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(&headers, &sent.headers);
        }
    }
}
