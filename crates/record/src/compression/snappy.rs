//! Snappy in the framing of snappy-java, which Kafka's clients write, and as one raw block, which librdkafka writes.
//!
//! ```text
//! 82 'S' 'N' 'A' 'P' 'P' 'Y' 00   magic
//! version i32, lowest compatible version i32
//! then blocks: length i32, raw snappy block (32 KiB of input each, from Kafka's clients)
//! ```
//! Where a block's length would stand, a whole new magic and versions may come: concatenated streams.

use bytes::Buf;
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{Failure, corrupt};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// snappy-java writes 1 in both fields.
const VERSION: i32 = 1;
const HEADER_LEN: usize = 16;
const BLOCK: usize = 32 * 1024;

/// No snappy block holds more than this many bytes per compressed byte: its densest element copies 64 bytes by 3.
const MAX_RATIO: usize = 22;

pub(super) fn decompress(compressed: &[u8], max: usize) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let Some(mut rest) = after_header(compressed) else {
        append_block(compressed, max, &mut out)?;
        return Ok(out);
    };
    while !rest.is_empty() {
        if let Some(next_stream) = after_header(rest) {
            rest = next_stream;
            continue;
        }
        let len = rest.try_get_i32().map_err(|_| corrupt("a block's length is cut short"))?;
        let len = usize::try_from(len).map_err(|_| corrupt("a block's length is negative"))?;
        let (block, behind) = rest.split_at_checked(len).ok_or_else(|| corrupt("a block is cut short"))?;
        append_block(block, max, &mut out)?;
        rest = behind;
    }
    Ok(out)
}

fn after_header(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.starts_with(&MAGIC) { bytes.get(HEADER_LEN..) } else { None }
}

fn append_block(block: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    let claimed = decompress_len(block).map_err(corrupt)?;
    if claimed > max.saturating_sub(out.len()) {
        return Err(Failure::TooLarge);
    }
    if claimed > block.len().saturating_mul(MAX_RATIO) {
        return Err(corrupt("a block claims more than it can hold"));
    }
    let start = out.len();
    out.resize(start + claimed, 0);
    let target = out.get_mut(start..).unwrap_or_default();
    Decoder::new().decompress(block, target).map_err(corrupt)?;
    Ok(())
}

pub(super) fn compress(records: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = Encoder::new();
    let mut block = vec![0; max_compress_len(records.len().min(BLOCK))];
    for chunk in records.chunks(BLOCK) {
        let len = encoder.compress(chunk, &mut block).map_err(|e| e.to_string())?;
        // A block of 32 KiB compresses to less than 64.
        out.extend_from_slice(&(len as i32).to_be_bytes());
        out.extend_from_slice(block.get(..len).unwrap_or_default());
    }
    Ok(())
}
