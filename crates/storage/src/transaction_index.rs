//! The transaction index: one entry of 34 bytes for every transaction whose abort marker lies in the segment:
//! version (`i16`, 0), producer id, first offset, last offset (the marker's) and last stable offset (`i64` each).
//!
//! A reader at `read_committed` gets the entries that overlap with what it fetched. The last stable offset says how
//! far the search must go: no transaction that ended before it can reach beyond it (Kafka's `TransactionIndex`).

use ottla_record::{Offset, ProducerId};

use crate::file_names::FileKind;
use crate::index_file::IndexEntry;

const VERSION: i16 = 0;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbortedTransaction {
    /// Offset of the abort marker.
    pub last_offset: Offset,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Whose it was.
    pub producer: ProducerId,
    /// Everything below this was decided when the marker was appended.
    pub last_stable_offset: Offset,
}

impl IndexEntry for AbortedTransaction {
    const KIND: FileKind = FileKind::TransactionIndex;
    const SIZE: usize = 34;

    fn encode(&self, _base: Offset, out: &mut Vec<u8>) {
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.producer.get().to_be_bytes());
        for offset in [self.first_offset, self.last_offset, self.last_stable_offset] {
            out.extend_from_slice(&offset.get().to_be_bytes());
        }
    }

    fn precedes(&self, next: &Self) -> bool {
        self.last_offset < next.last_offset
    }

    fn decode(_base: Offset, bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<2>()?;
        if i16::from_be_bytes(*version) != VERSION || rest.len() != Self::SIZE - 2 {
            return None;
        }
        let mut numbers = rest.chunks_exact(8).filter_map(|chunk| chunk.first_chunk::<8>());
        let mut number = || numbers.next().map(|bytes| i64::from_be_bytes(*bytes)).filter(|n| *n >= 0);
        let producer = ProducerId::new(number()?);
        let first_offset = Offset::new(number()?);
        let last_offset = Offset::new(number()?);
        let last_stable_offset = Offset::new(number()?);
        Some(Self { last_offset, first_offset, producer, last_stable_offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_four_bytes_with_a_version() {
        let aborted = AbortedTransaction {
            producer: ProducerId::new(7),
            first_offset: Offset::new(10),
            last_offset: Offset::new(20),
            last_stable_offset: Offset::new(15),
        };
        let mut bytes = Vec::new();
        aborted.encode(Offset::new(5), &mut bytes);
        assert_eq!(bytes.len(), 34);
        assert_eq!(AbortedTransaction::decode(Offset::ZERO, &bytes), Some(aborted));
        bytes[1] = 1;
        assert_eq!(AbortedTransaction::decode(Offset::ZERO, &bytes), None, "an unknown version");
    }
}
