//! The time index: one entry of 12 bytes, a timestamp (`i64`) and an offset relative to the base (`u32`), big-endian:
//! up to that offset no record of the segment is later than that timestamp.
//!
//! An entry goes with one of the offset index, and only if the timestamp has grown since the last entry. The offset is
//! the *last* offset of the batch that holds the timestamp (Kafka 4 checks exactly this). When a segment is sealed,
//! its largest timestamp becomes the last entry: retention and lookups by time read it from there.

use ottla_record::{Offset, Timestamp};

use crate::file_names::FileKind;
use crate::index_file::IndexEntry;
use crate::offset_index::relative;

/// One entry of a time index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeEntry {
    /// The largest timestamp so far.
    pub timestamp: Timestamp,
    /// Last offset of the batch that holds it.
    pub last_offset: Offset,
}

impl IndexEntry for TimeEntry {
    const KIND: FileKind = FileKind::TimeIndex;
    const SIZE: usize = 12;

    fn encode(&self, base: Offset, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.millis().to_be_bytes());
        out.extend_from_slice(&relative(self.last_offset, base).to_be_bytes());
    }

    fn precedes(&self, next: &Self) -> bool {
        self.timestamp < next.timestamp && self.last_offset < next.last_offset
    }

    fn decode(base: Offset, bytes: &[u8]) -> Option<Self> {
        let (timestamp, relative) = bytes.split_first_chunk::<8>()?;
        let relative = relative.first_chunk::<4>()?;
        Some(Self {
            timestamp: Timestamp::from_millis(i64::from_be_bytes(*timestamp)),
            last_offset: base + i64::from(u32::from_be_bytes(*relative)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_bytes_timestamp_first() {
        let entry = TimeEntry { timestamp: Timestamp::from_millis(0x0102), last_offset: Offset::new(107) };
        let mut bytes = Vec::new();
        entry.encode(Offset::new(100), &mut bytes);
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 7]);
        assert_eq!(TimeEntry::decode(Offset::new(100), &bytes), Some(entry));
    }
}
