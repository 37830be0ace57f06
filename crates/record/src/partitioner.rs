//! Which partition a key belongs to: Kafka's murmur2, so that every client puts the same key into the same partition.
//!
//! Source: `org.apache.kafka.common.utils.Utils.murmur2` and `BuiltInPartitioner.partitionForKey` of Kafka 4.3.

use crate::ids::PartitionIndex;

/// The partition of a key among `partitions` of them; `None` if there are none.
///
/// ```
/// use ottla_record::partitioner::partition_for_key;
///
/// assert_eq!(partition_for_key(b"foobar", 6).map(|p| p.get()), Some(0));
/// assert_eq!(partition_for_key(b"foobar", 0), None);
/// ```
pub fn partition_for_key(key: &[u8], partitions: u32) -> Option<PartitionIndex> {
    // Kafka's `toPositive`: the sign bit is cleared, not negated.
    let hash = murmur2(key) & 0x7fff_ffff;
    let partition = hash.checked_rem(partitions)?;
    i32::try_from(partition).ok().map(PartitionIndex::new)
}

/// MurmurHash2 with Kafka's seed.
pub fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    // Kafka's lengths are 32 bits, and so is the seed they are mixed into.
    let mut hash = SEED ^ u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let word = tail.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ word).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests;
