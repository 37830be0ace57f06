//! The codecs of a batch's records, and the bound on what decompression may produce.
//!
//! The records of a batch are compressed together, without the header. The containers are Kafka's: gzip members,
//! snappy blocks framed as snappy-java does, an LZ4 frame, a zstd frame.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::fmt;
use std::io::Read;

use crate::error::BatchError;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// They are not.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks, framed as snappy-java does or one raw block.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878 (KIP-110).
    Zstd,
}

impl Compression {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in the attributes of a batch.
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec of a number; `None` for 5 to 7, which no codec has.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// False for [`Compression::None`] alone.
    pub const fn compresses(self) -> bool {
        !matches!(self, Self::None)
    }

    /// What `compressed` holds, as long as that is at most `max` bytes. Memory grows with what is really there, not
    /// with what the data claims.
    ///
    /// # Errors
    /// [`BatchError::DecompressedTooLarge`], [`BatchError::Decompression`]
    pub fn decompress(self, compressed: &[u8], max: usize) -> Result<Vec<u8>, BatchError> {
        let decompressed = match self {
            Self::None => Ok(compressed.to_vec()),
            Self::Gzip => gzip::decompress(compressed, max),
            Self::Snappy => snappy::decompress(compressed, max),
            Self::Lz4 => lz4::decompress(compressed, max),
            Self::Zstd => zstd::decompress(compressed, max),
        };
        decompressed.map_err(|failure| match failure {
            Failure::TooLarge => BatchError::DecompressedTooLarge { compression: self, max },
            Failure::Corrupt(reason) => BatchError::Decompression { compression: self, reason },
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// A codec with its level, as a producer or a topic (`compression.type`, `compression.*.level`) configures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// No compression (`uncompressed`).
    None,
    /// `gzip`
    Gzip {
        /// 1 (fast) to 9 (small), or -1 for the codec's own default, 6. Anything else counts as the nearest.
        level: i32,
    },
    /// `snappy`, which has no levels.
    Snappy,
    /// `lz4`. Kafka's levels 1 to 17 trade time for size in a compressor we do not have; the format is the same.
    Lz4,
    /// `zstd`
    Zstd {
        /// -131,072 (fast) to 22 (small); Kafka's default is 3.
        level: i32,
    },
}

impl Codec {
    /// The codec without its level.
    pub const fn compression(self) -> Compression {
        match self {
            Self::None => Compression::None,
            Self::Gzip { .. } => Compression::Gzip,
            Self::Snappy => Compression::Snappy,
            Self::Lz4 => Compression::Lz4,
            Self::Zstd { .. } => Compression::Zstd,
        }
    }

    /// Appends `records`, compressed, to `out`.
    ///
    /// # Errors
    /// [`BatchError::Compression`] if the codec refuses; none is known to, for less than 4 GiB.
    pub fn compress(self, records: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
        let compressed = match self {
            Self::None => {
                out.extend_from_slice(records);
                Ok(())
            }
            Self::Gzip { level } => gzip::compress(records, level, out),
            Self::Snappy => snappy::compress(records, out),
            Self::Lz4 => lz4::compress(records, out),
            Self::Zstd { level } => zstd::compress(records, level, out),
        };
        compressed.map_err(|reason| BatchError::Compression { compression: self.compression(), reason })
    }
}

/// Why decompression stopped.
enum Failure {
    TooLarge,
    Corrupt(String),
}

fn corrupt(reason: impl ToString) -> Failure {
    Failure::Corrupt(reason.to_string())
}

/// Reads a decompressing stream to its end, or to one byte past the limit.
fn read_at_most(stream: impl Read, max: usize) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    stream.take(limit).read_to_end(&mut out).map_err(corrupt)?;
    if out.len() > max { Err(Failure::TooLarge) } else { Ok(out) }
}

#[cfg(test)]
mod tests;
