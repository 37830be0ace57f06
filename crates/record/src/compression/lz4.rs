//! The LZ4 frame format, as Kafka's `Lz4BlockOutputStream` writes it for batches of format 2: independent blocks of
//! 64 KiB, a header checksum over the descriptor alone, no content checksum.
//!
//! Kafka decompresses each block by itself, so a frame of ours must not link its blocks.

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{Failure, read_at_most};

pub(super) fn decompress(compressed: &[u8], max: usize) -> Result<Vec<u8>, Failure> {
    read_at_most(FrameDecoder::new(compressed), max)
}

pub(super) fn compress(records: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let frame = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(frame, out);
    encoder.write_all(records).map_err(|e| e.to_string())?;
    encoder.finish().map(drop).map_err(|e| e.to_string())
}
