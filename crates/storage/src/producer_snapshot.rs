//! The `.snapshot` file: the state of all producers at an offset, so that recovery reads batches only from there.
//!
//! ```text
//!  0  version        i16   1
//!  2  crc            u32   CRC-32C of everything from byte 6 on
//!  6  entries        i32   count, then 46 bytes each:
//!       producer id i64 · epoch i16 · last sequence i32 · last offset i64 · offset delta i32 · timestamp i64 ·
//!       coordinator epoch i32 · first offset of the open transaction i64      (-1 for none)
//! ```
//!
//! Kafka's snapshot keeps the last batch of a producer only: after a restart it refuses the retry of an older one,
//! although it accepted it before. Behind Kafka's entries, where its reader does not look, ours go on (inside the CRC):
//!
//! ```text
//!     magic          4     "OTRB"
//!     batches        i32   count, then 32 bytes each:
//!       producer id i64 · last sequence i32 · last offset i64 · offset delta i32 · timestamp i64
//! ```
//!
//! the batches before the last one, oldest first. A file without them (Kafka's) is read as it is.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut};
use ottla_record::header::crc32c;
use ottla_record::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::producer_state::{Producer, ProducerStates, RECENT_BATCHES, RecentBatch};

const VERSION: i16 = 1;
/// Where the bytes that the CRC covers begin.
const CRC_FROM: usize = 6;
const ENTRY_SIZE: usize = 46;
const RECENT_MAGIC: &[u8; 4] = b"OTRB";
const RECENT_SIZE: usize = 32;

/// What is wrong with a snapshot. The state is then rebuilt from an older one, or from the batches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file ends too early.
    #[error("it is too short")]
    Short,
    /// A version we do not know.
    #[error("its version is {0}, not {VERSION}")]
    Version(i16),
    /// The bytes are not what was written.
    #[error("its CRC is {stored:#010x}, its bytes have {computed:#010x}")]
    Crc {
        /// The CRC in the file.
        stored: u32,
        /// That of its bytes.
        computed: u32,
    },
    /// A number that cannot be: the file was written wrong.
    #[error("an entry cannot be right")]
    Entry,
}

/// Writes a snapshot.
pub fn encode(states: &ProducerStates) -> Vec<u8> {
    let mut out = Vec::with_capacity(CRC_FROM + 4 + states.iter().len() * ENTRY_SIZE);
    out.put_i16(VERSION);
    out.put_u32(0);
    out.put_i32(count(states.iter().len()));
    for (id, producer) in states.iter() {
        let last = producer.recent.last();
        out.put_i64(id.get());
        out.put_i16(producer.epoch.get());
        out.put_i32(Sequence::to_wire(last.map(|batch| batch.last_sequence)));
        out.put_i64(Offset::to_wire(last.map(|batch| batch.last_offset)));
        out.put_i32(last.map_or(0, |batch| batch.offset_delta));
        out.put_i64(Timestamp::to_wire(producer.last_timestamp));
        out.put_i32(producer.coordinator_epoch.unwrap_or(-1));
        out.put_i64(Offset::to_wire(producer.transaction_start));
    }
    let older = states.iter().flat_map(|(id, producer)| {
        let count = producer.recent.len().saturating_sub(1);
        producer.recent.iter().take(count).map(move |batch| (id, batch))
    });
    let older: Vec<_> = older.collect();
    if !older.is_empty() {
        out.put_slice(RECENT_MAGIC);
        out.put_i32(count(older.len()));
        for (id, batch) in older {
            out.put_i64(id.get());
            out.put_i32(batch.last_sequence.get());
            out.put_i64(batch.last_offset.get());
            out.put_i32(batch.offset_delta);
            out.put_i64(Timestamp::to_wire(batch.timestamp));
        }
    }
    let crc = crc32c(out.get(CRC_FROM..).unwrap_or_default());
    if let Some(place) = out.get_mut(2..CRC_FROM) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
    out
}

/// Reads a snapshot.
pub fn decode(bytes: &[u8]) -> Result<ProducerStates, SnapshotError> {
    let mut at = bytes;
    let version = at.try_get_i16().map_err(|_| SnapshotError::Short)?;
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let stored = at.try_get_u32().map_err(|_| SnapshotError::Short)?;
    let computed = crc32c(at);
    if stored != computed {
        return Err(SnapshotError::Crc { stored, computed });
    }
    let mut producers = BTreeMap::new();
    for _ in 0..entries(&mut at, ENTRY_SIZE)? {
        let (id, producer) = entry(&mut at).ok_or(SnapshotError::Entry)?;
        producers.insert(id, producer);
    }
    if let Some(mut rest) = at.strip_prefix(RECENT_MAGIC) {
        for _ in 0..entries(&mut rest, RECENT_SIZE)? {
            recent(&mut rest, &mut producers).ok_or(SnapshotError::Entry)?;
        }
    }
    let mut states = ProducerStates::default();
    for (id, producer) in producers {
        states.restore(id, producer);
    }
    Ok(states)
}

fn count(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

/// Reads a count, which must fit the bytes that follow.
fn entries(at: &mut &[u8], size: usize) -> Result<usize, SnapshotError> {
    let count = at.try_get_i32().map_err(|_| SnapshotError::Short)?;
    let count = usize::try_from(count).map_err(|_| SnapshotError::Entry)?;
    if count > at.len() / size { Err(SnapshotError::Short) } else { Ok(count) }
}

fn entry(at: &mut &[u8]) -> Option<(ProducerId, Producer)> {
    let id = ProducerId::from_wire(at.try_get_i64().ok()?)?;
    let epoch = ProducerEpoch::new(at.try_get_i16().ok()?);
    let last_sequence = Sequence::from_wire(at.try_get_i32().ok()?);
    let last_offset = Offset::from_wire(at.try_get_i64().ok()?);
    let offset_delta = at.try_get_i32().ok()?;
    let last_timestamp = Timestamp::from_wire(at.try_get_i64().ok()?);
    let coordinator_epoch = Some(at.try_get_i32().ok()?).filter(|epoch| *epoch >= 0);
    let transaction_start = Offset::from_wire(at.try_get_i64().ok()?);
    let last = last_sequence.zip(last_offset).map(|(last_sequence, last_offset)| RecentBatch {
        last_sequence,
        last_offset,
        offset_delta,
        timestamp: last_timestamp,
    });
    let recent = last.into_iter().collect();
    Some((id, Producer { epoch, coordinator_epoch, last_timestamp, transaction_start, recent }))
}

/// Puts one older batch in front of its producer's last one.
fn recent(at: &mut &[u8], producers: &mut BTreeMap<ProducerId, Producer>) -> Option<()> {
    let id = ProducerId::from_wire(at.try_get_i64().ok()?)?;
    let last_sequence = Sequence::from_wire(at.try_get_i32().ok()?)?;
    let last_offset = Offset::from_wire(at.try_get_i64().ok()?)?;
    let offset_delta = at.try_get_i32().ok()?;
    let timestamp = Timestamp::from_wire(at.try_get_i64().ok()?);
    let recent = &mut producers.get_mut(&id)?.recent;
    let before_last = recent.len().checked_sub(1).filter(|len| *len < RECENT_BATCHES - 1)?;
    recent.insert(before_last, RecentBatch { last_sequence, last_offset, offset_delta, timestamp });
    Some(())
}

#[cfg(test)]
mod tests;
