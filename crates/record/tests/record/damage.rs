//! The fuzzer's corpus replayed, and random damage on top of it.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use ottla_record::produce::{Origin, ProduceRules, validate};
use ottla_record::{BatchView, Timestamp, TimestampType};
use proptest::prelude::*;

use crate::any_bytes;
use crate::properties::batches;

#[test]
fn the_fuzz_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/batch_decode");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        any_bytes::check(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 20, "{replayed} files in {}", folder.display());
}

proptest! {
    #[test]
    fn bytes_overwritten_anywhere(
        batch in batches(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = batch.build();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        any_bytes::check(&bytes);
    }

    #[test]
    fn bytes_cut_anywhere(batch in batches(), at in any::<prop::sample::Index>()) {
        let bytes = batch.build();
        let cut = &bytes[..at.index(bytes.len())];
        any_bytes::check(cut);
        prop_assert!(BatchView::parse(cut).is_err());
    }

    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        any_bytes::check(&bytes);
    }

    /// The leader epoch is the broker's to write and lies outside the CRC; every other bit is watched.
    #[test]
    fn a_flipped_bit_is_caught(batch in batches(), bit in any::<prop::sample::Index>()) {
        let bytes = batch.build();
        let bit = bit.index(bytes.len() * 8);
        prop_assume!(!(12..16).contains(&(bit / 8)));
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let rules = ProduceRules {
            origin: Origin::Client,
            max_batch_bytes: usize::MAX,
            timestamp_type: TimestampType::LogAppendTime,
            before_max_ms: i64::MAX,
            after_max_ms: i64::MAX,
            compression: None,
            compacted: false,
            allow_zstd: true,
            max_decompressed_bytes: usize::MAX,
        };
        prop_assert!(validate(bytes.into(), &rules, Timestamp::EPOCH).is_ok());
        prop_assert!(validate(Bytes::from(flipped), &rules, Timestamp::EPOCH).is_err());
    }
}
