//! Zstandard frames (RFC 8878, KIP-110).

use std::io::Write;

use zstd::stream::{read::Decoder, write::Encoder};

use super::{Failure, corrupt, read_at_most};

/// The largest window a frame may ask for: 128 MiB, what Kafka's decoder accepts too. It is address space until the
/// output fills it, and the output is bounded.
const WINDOW_LOG_MAX: u32 = 27;

pub(super) fn decompress(compressed: &[u8], max: usize) -> Result<Vec<u8>, Failure> {
    let mut decoder = Decoder::with_buffer(compressed).map_err(corrupt)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(corrupt)?;
    read_at_most(decoder, max)
}

pub(super) fn compress(records: &[u8], level: i32, out: &mut Vec<u8>) -> Result<(), String> {
    let mut encode = || {
        let mut encoder = Encoder::new(&mut *out, level)?;
        // The size up front lets the encoder take a window, and tables, no larger than the batch.
        encoder.set_pledged_src_size(Some(records.len() as u64))?;
        encoder.write_all(records)?;
        encoder.finish().map(drop)
    };
    encode().map_err(|e: std::io::Error| e.to_string())
}
