use super::*;

const MAX: usize = 1 << 20;

fn codecs() -> Vec<Codec> {
    let gzip = [-1, 1, 9].map(|level| Codec::Gzip { level });
    let zstd = [-7, 1, 3, 19, 22].map(|level| Codec::Zstd { level });
    [&[Codec::None, Codec::Snappy, Codec::Lz4][..], &gzip, &zstd].concat()
}

fn compress(codec: Codec, records: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    codec.compress(records, &mut out).unwrap();
    out
}

/// Text-like bytes, some of which repeat and some of which do not.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|i| if i % 3 == 0 { next() } else { b'a' }).collect()
}

#[test]
fn what_was_compressed_comes_back() {
    for codec in codecs() {
        // Around the block sizes of snappy (32 KiB) and lz4 (64 KiB).
        for len in [0, 1, 100, 32_767, 32_768, 32_769, 65_536, 65_537, 200_000] {
            let records = sample(len);
            let compressed = compress(codec, &records);
            let back = codec.compression().decompress(&compressed, MAX).unwrap();
            assert!(back == records, "{codec:?} of {len} bytes");
        }
    }
}

#[test]
fn decompression_stops_at_the_limit() {
    for codec in codecs().into_iter().filter(|c| c.compression().compresses()) {
        let compression = codec.compression();
        let bomb = compress(codec, &vec![0; 8 << 20]);
        let refused = compression.decompress(&bomb, MAX);
        assert_eq!(refused, Err(BatchError::DecompressedTooLarge { compression, max: MAX }));
        let exact = compress(codec, &sample(MAX));
        assert_eq!(compression.decompress(&exact, MAX).unwrap().len(), MAX);
        assert!(compression.decompress(&exact, MAX - 1).is_err());
    }
}

#[test]
fn cut_short_is_an_error() {
    for codec in codecs().into_iter().filter(|c| c.compression().compresses()) {
        let compressed = compress(codec, &sample(100_000));
        for len in [compressed.len() - 1, compressed.len() / 2, 20, 5] {
            let result = codec.compression().decompress(&compressed[..len], MAX);
            assert!(
                matches!(result, Err(BatchError::Decompression { .. })),
                "{codec:?} cut to {len}: {:?}",
                result.map(|r| r.len())
            );
        }
    }
}

#[test]
fn snappy_as_librdkafka_sends_it_is_one_raw_block() {
    let records = sample(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&records).unwrap();
    assert!(Compression::Snappy.decompress(&raw, MAX).unwrap() == records);
}

#[test]
fn snappy_streams_may_follow_each_other() {
    let one = compress(Codec::Snappy, b"first ");
    let two = compress(Codec::Snappy, b"second");
    let both = Compression::Snappy.decompress(&[one, two].concat(), MAX).unwrap();
    assert_eq!(both, b"first second");
}

#[test]
fn a_snappy_block_that_claims_too_much_is_refused_before_memory_is_taken() {
    // A raw block of six bytes that claims 1,000,000.
    let claim = [0xc0, 0x84, 0x3d, 0, 0, 0];
    assert!(matches!(Compression::Snappy.decompress(&claim, MAX), Err(BatchError::Decompression { .. })));
}

#[test]
fn the_lz4_frame_is_the_one_kafka_writes() {
    let frame = compress(Codec::Lz4, b"records");
    // Magic, FLG: version 1, independent blocks, no checksums, BD: 64 KiB, header checksum.
    assert_eq!(frame[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
}

#[test]
fn lz4_frames_of_every_kind() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;

    let records = sample(300_000);
    for block_size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max4MB] {
        for block_mode in [BlockMode::Independent, BlockMode::Linked] {
            for checksums in [false, true] {
                let frame = FrameInfo::new()
                    .block_size(block_size)
                    .block_mode(block_mode)
                    .block_checksums(checksums)
                    .content_checksum(checksums)
                    .content_size(checksums.then_some(300_000));
                let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
                encoder.write_all(&records).unwrap();
                let compressed = encoder.finish().unwrap();
                assert!(Compression::Lz4.decompress(&compressed, MAX).unwrap() == records);
                let mut damaged = compressed.clone();
                *damaged.last_mut().unwrap() ^= 1;
                // The last byte is the content checksum's or else the end mark's.
                assert!(Compression::Lz4.decompress(&damaged, MAX).is_err());
            }
        }
    }
}
