//! Gzip members (RFC 1952), one after the other.

use std::io::Write;

use flate2::Compression as Level;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{Failure, read_at_most};

pub(super) fn decompress(compressed: &[u8], max: usize) -> Result<Vec<u8>, Failure> {
    read_at_most(MultiGzDecoder::new(compressed), max)
}

pub(super) fn compress(records: &[u8], level: i32, out: &mut Vec<u8>) -> Result<(), String> {
    let level = match u32::try_from(level) {
        Ok(level) => Level::new(level.clamp(1, 9)),
        Err(_default) => Level::default(),
    };
    let mut encoder = GzEncoder::new(out, level);
    encoder.write_all(records).map_err(|e| e.to_string())?;
    encoder.finish().map(drop).map_err(|e| e.to_string())
}
