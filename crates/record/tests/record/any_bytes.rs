//! What must hold for any bytes at all. The fuzz target `batch_decode` calls it too.

use bytes::Bytes;
use ottla_record::header::crc32c;
use ottla_record::produce::{Origin, ProduceRules, validate};
use ottla_record::{
    BatchHeader, BatchView, Batches, Codec, Compression, HEADER_LEN, LeaderEpoch, Offset, Timestamp,
    TimestampType, dump,
};

const MAX_DECOMPRESSED: usize = 64 * 1024;
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

const RULES: ProduceRules = ProduceRules {
    origin: Origin::Client,
    max_batch_bytes: 1 << 20,
    timestamp_type: TimestampType::CreateTime,
    before_max_ms: i64::MAX,
    after_max_ms: i64::MAX,
    compression: None,
    compacted: false,
    allow_zstd: true,
    max_decompressed_bytes: MAX_DECOMPRESSED,
};

/// Nothing panics, nothing grows past its bound, and what is accepted can be read back.
pub(crate) fn check(data: &[u8]) {
    let mut batches = Batches::new(data);
    while let Some(batch) = batches.next() {
        if let Ok(view) = batch {
            check_view(&view);
        } else {
            assert!(batches.next().is_none());
        }
    }
    for compression in Compression::ALL {
        if let Ok(records) = compression.decompress(data, MAX_DECOMPRESSED) {
            assert!(records.len() <= MAX_DECOMPRESSED.max(data.len()));
        }
    }
    // With a wrong CRC nothing would be looked at behind it, and no fuzzer guesses one.
    if let Ok(batch) = BatchView::parse(data) {
        let mut fixed = batch.bytes().to_vec();
        let crc = crc32c(&fixed[21..]);
        fixed[17..21].copy_from_slice(&crc.to_be_bytes());
        check_produced(&Bytes::from(fixed));
    }
}

fn check_view(view: &BatchView<'_>) {
    assert_eq!(view.header().to_bytes(), view.bytes()[..HEADER_LEN]);
    assert_eq!(view.len(), view.header().len());
    assert!(view.base_offset() <= view.last_offset());
    let _ = view.verify_crc();
    if let Ok(records) = view.records(MAX_DECOMPRESSED) {
        assert!(records.size_bytes() <= MAX_DECOMPRESSED.max(view.len()));
        // Stops at the first error, and has at most as many records as the bytes can hold.
        assert!(records.iter().flatten().count() <= records.size_bytes());
    }
    let _ = dump::json(view, MAX_DECOMPRESSED);
}

fn check_produced(batch: &Bytes) {
    for compression in [None, Some(Codec::None), Some(Codec::Lz4)] {
        for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
            let rules = ProduceRules { compression, timestamp_type, ..RULES };
            let Ok(validated) = validate(batch.clone(), &rules, NOW) else { continue };
            let kept = validated.first();
            let header = kept.stamped(Offset::new(7), LeaderEpoch::new(1));
            let stored = [&header[..], kept.records()].concat();
            let view = BatchView::parse(&stored).unwrap();
            view.verify_crc().unwrap();
            assert_eq!(view.len(), stored.len());
            let sent = BatchHeader::parse(batch).unwrap();
            assert_eq!(view.header().producer(), sent.producer());
            // Compressed records that the topic's rules do not open may be rubbish; others are read in full.
            let opened = compression.is_some_and(|codec| codec.compression() != sent.compression());
            if sent.compression() == Compression::None || opened {
                let records = view.records(MAX_DECOMPRESSED).unwrap();
                let records: Vec<_> = records.iter().map(Result::unwrap).collect();
                assert_eq!(records.len(), view.header().record_count() as usize);
                let last = records.last().unwrap();
                assert_eq!(last.offset, view.last_offset());
            }
        }
    }
}
