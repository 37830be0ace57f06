//! What checking a produced batch costs: `cargo run --release -p ottla-record --example speed`.
//!
//! Prints nanoseconds per batch for the CRC alone and for `validate`, the fastest of many rounds, so that a busy machine
//! disturbs little.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measurement needs a clock, and may stop at the first surprise"
)]

use std::hint::black_box;
use std::time::Instant;

use ottla_record::header::crc32c;
use ottla_record::produce::{Origin, ProduceRules, validate};
use ottla_record::{BatchBuilder, Codec, Timestamp, TimestampType};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn main() {
    let rules = ProduceRules {
        origin: Origin::Client,
        max_batch_bytes: 2 << 20,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: 3_600_000,
        compression: None,
        compacted: false,
        allow_zstd: true,
        max_decompressed_bytes: 64 << 20,
    };
    let append_time = ProduceRules { timestamp_type: TimestampType::LogAppendTime, ..rules };
    println!(
        "{:>9} {:>9} {:>8} {:>9} {:>12} {:>14}",
        "batch", "records", "crc ns", "crc GB/s", "validate ns", "appendtime ns"
    );
    for (batch, value) in [
        (200, 120),
        (1 << 10, 100),
        (16 << 10, 1 << 10),
        (64 << 10, 100),
        (64 << 10, 1 << 10),
        (64 << 10, 10 << 10),
        (1 << 20, 100),
        (1 << 20, 1 << 10),
    ] {
        let mut builder = BatchBuilder::new(Codec::None);
        let value = vec![b'v'; value];
        while builder.record_count() == 0 || builder.size_bytes() + value.len() <= batch {
            builder.push(Some(NOW), Some(b"some-key"), Some(&value), &[]);
        }
        let records = builder.record_count();
        let bytes = builder.build().unwrap();
        let crc = fastest(|| black_box(crc32c(black_box(&bytes[21..]))));
        let create = fastest(|| black_box(validate(bytes.clone(), black_box(&rules), NOW).unwrap()));
        let append = fastest(|| black_box(validate(bytes.clone(), black_box(&append_time), NOW).unwrap()));
        let rate = bytes.len() as f64 / crc;
        println!("{:>9} {records:>9} {crc:>8.1} {rate:>9.1} {create:>12.1} {append:>14.1}", bytes.len());
    }
    println!("CRC implementation: {}", crc_fast::get_calculator_target(crc_fast::CrcAlgorithm::Crc32Iscsi));
}

fn fastest<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..300 {
        let rounds = 200;
        let start = Instant::now();
        for _ in 0..rounds {
            drop(run());
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(rounds));
    }
    best
}
