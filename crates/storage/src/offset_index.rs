//! The offset index: one entry of 8 bytes about every `index.interval.bytes`, the last offset of a batch (relative to
//! the segment's base) and the batch's position in the `.log` file, both big-endian `u32`.
//!
//! Which batches get an entry is Kafka's rule (`LogSegment.append`): the one before whose start more than the interval
//! was appended since the last entry. Its dump tool checks that every entry names the last offset of the batch there.

use ottla_record::Offset;

use crate::file_names::FileKind;
use crate::index_file::IndexEntry;

/// One entry of an offset index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetEntry {
    /// Last offset of the batch.
    pub last_offset: Offset,
    /// Where the batch starts in the `.log` file.
    pub position: u32,
}

impl IndexEntry for OffsetEntry {
    const KIND: FileKind = FileKind::OffsetIndex;
    const SIZE: usize = 8;

    fn encode(&self, base: Offset, out: &mut Vec<u8>) {
        out.extend_from_slice(&relative(self.last_offset, base).to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn precedes(&self, next: &Self) -> bool {
        self.last_offset < next.last_offset && self.position < next.position
    }

    fn decode(base: Offset, bytes: &[u8]) -> Option<Self> {
        let (relative, position) = bytes.split_first_chunk::<4>()?;
        let position = position.first_chunk::<4>()?;
        Some(Self {
            last_offset: base + i64::from(u32::from_be_bytes(*relative)),
            position: u32::from_be_bytes(*position),
        })
    }
}

/// An offset as it stands in an index. A segment rolls before an offset gets too far from its base for this.
pub(crate) fn relative(offset: Offset, base: Offset) -> u32 {
    u32::try_from(offset - base).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_relative_to_the_base() {
        let entry = OffsetEntry { last_offset: Offset::new(1_000_258), position: 4097 };
        let mut bytes = Vec::new();
        entry.encode(Offset::new(1_000_000), &mut bytes);
        assert_eq!(bytes, [0, 0, 1, 2, 0, 0, 16, 1]);
        assert_eq!(OffsetEntry::decode(Offset::new(1_000_000), &bytes), Some(entry));
        assert_eq!(OffsetEntry::decode(Offset::ZERO, &bytes[..7]), None);
    }
}
