//! The LZ4 frame format, as Kafka's `Lz4BlockOutputStream` writes it for batches of format 2: independent blocks of
//! 64 KiB, a header checksum over the descriptor alone, no content checksum.
//!
//! ```text
//! 04 22 4d 18                     magic
//! FLG                             version 1 (01......), independent blocks (..1.....), block checksums (...1....),
//!                                 content size (....1...), content checksum (.....1..), dictionary (.......1)
//! BD                              largest block: 4 = 64 KiB, 5 = 256 KiB, 6 = 1 MiB, 7 = 4 MiB, shifted left by 4
//! [content size u64]              byte 1 of the xxHash32 of FLG to here follows
//! checksum u8
//! then blocks: size u32 (top bit: stored, not compressed), bytes, [xxHash32 of them]
//! 00 00 00 00, [xxHash32 of the content]
//! ```
//! All numbers are little-endian. Like Kafka, we stop at the end mark and leave what follows.
//!
//! Frames are read here, not by lz4_flex's own reader: that one takes a frame that is cut short for a whole one, and
//! goes through a buffer of its own.

use std::io::Write;

use bytes::Buf;
use lz4_flex::block::decompress_into_with_dict;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::{Failure, corrupt};

const MAGIC: u32 = 0x184d_2204;
/// The bit of a block's size that says it is stored as it is.
const STORED: u32 = 1 << 31;
/// How far back a block may refer when blocks are linked.
const WINDOW: usize = 64 * 1024;
/// No block holds more than this many bytes per compressed byte: a run's length is written in units of 255.
const MAX_RATIO: usize = 255;

pub(super) fn decompress(compressed: &[u8], max: usize) -> Result<Vec<u8>, Failure> {
    let (frame, mut rest) = Frame::parse(compressed).ok_or_else(|| corrupt("not an LZ4 frame"))?;
    let mut out = Vec::new();
    loop {
        let (block, behind) = frame.block(rest).ok_or_else(|| corrupt("a block is cut short"))?;
        rest = behind;
        let Some(block) = block else { break };
        frame.append_block(block, &mut out)?;
        if out.len() > max {
            return Err(Failure::TooLarge);
        }
    }
    if frame.content_checksum {
        let stored = rest.try_get_u32_le().map_err(|_| corrupt("the checksum is cut short"))?;
        verify(stored, &out)?;
    }
    Ok(out)
}

/// What a frame's descriptor says.
struct Frame {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    max_block: usize,
}

struct Block<'a> {
    stored: bool,
    bytes: &'a [u8],
    checksum: Option<u32>,
}

impl Frame {
    /// The frame at the front of `bytes`, and what follows its descriptor.
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut rest = bytes;
        if rest.try_get_u32_le().ok()? != MAGIC {
            return None;
        }
        let descriptor = rest;
        let flags = rest.try_get_u8().ok()?;
        let block_size = rest.try_get_u8().ok()?;
        let version_1_without_dictionary = flags & 0b1100_0011 == 0b0100_0000;
        if !version_1_without_dictionary || block_size & 0b1000_1111 != 0 {
            return None;
        }
        let max_block = match block_size >> 4 {
            n @ 4..=7 => 1 << (8 + 2 * u32::from(n)),
            _ => return None,
        };
        if flags & 0b1000 != 0 {
            // The content size is a claim that nothing here needs.
            rest.try_get_u64_le().ok()?;
        }
        let covered = descriptor.get(..descriptor.len() - rest.len())?;
        let checksum = (XxHash32::oneshot(0, covered) >> 8) as u8;
        if rest.try_get_u8().ok()? != checksum {
            return None;
        }
        let frame = Self {
            linked: flags & 0b10_0000 == 0,
            block_checksums: flags & 0b1_0000 != 0,
            content_checksum: flags & 0b100 != 0,
            max_block,
        };
        Some((frame, rest))
    }

    /// The next block, `None` inside for the end mark, and what follows it.
    fn block<'a>(&self, mut rest: &'a [u8]) -> Option<(Option<Block<'a>>, &'a [u8])> {
        let size = rest.try_get_u32_le().ok()?;
        if size == 0 {
            return Some((None, rest));
        }
        let len = (size & !STORED) as usize;
        let (bytes, mut rest) = rest.split_at_checked(len)?;
        let checksum = if self.block_checksums { Some(rest.try_get_u32_le().ok()?) } else { None };
        Some((Some(Block { stored: size & STORED != 0, bytes, checksum }), rest))
    }

    fn append_block(&self, block: Block<'_>, out: &mut Vec<u8>) -> Result<(), Failure> {
        if block.bytes.len() > self.max_block {
            return Err(corrupt("a block is larger than the frame allows"));
        }
        if let Some(stored) = block.checksum {
            verify(stored, block.bytes)?;
        }
        if block.stored {
            out.extend_from_slice(block.bytes);
            return Ok(());
        }
        let start = out.len();
        let room = self.max_block.min(block.bytes.len().saturating_mul(MAX_RATIO));
        out.resize(start + room, 0);
        let (before, target) = out.split_at_mut(start);
        let window = if self.linked { start.min(WINDOW) } else { 0 };
        let dictionary = before.get(start - window..).unwrap_or_default();
        let len = decompress_into_with_dict(block.bytes, target, dictionary).map_err(corrupt)?;
        out.truncate(start + len);
        Ok(())
    }
}

fn verify(stored: u32, bytes: &[u8]) -> Result<(), Failure> {
    if XxHash32::oneshot(0, bytes) == stored { Ok(()) } else { Err(corrupt("a checksum is wrong")) }
}

pub(super) fn compress(records: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let frame = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(frame, out);
    encoder.write_all(records).map_err(|e| e.to_string())?;
    encoder.finish().map(drop).map_err(|e| e.to_string())
}
