//! The 61 bytes in front of every batch: parsing, writing, and stamping what the broker assigns.
//!
//! ```text
//!  0 base offset        i64 │ not covered by the CRC, so that the leader can stamp
//!  8 length             i32 │ them without computing it anew; `length` counts the
//! 12 leader epoch       i32 │ bytes behind itself
//! 16 magic              i8  │ 2
//! 17 crc                u32 │ CRC-32C of everything from byte 21 on
//! 21 attributes         i16 │ see [`Attributes`]
//! 23 last offset delta  i32 │ kept by compaction, as is the base offset
//! 27 base timestamp     i64 │ of the first record; with the delete horizon flag, that horizon
//! 35 max timestamp      i64 │ largest of the records, or the broker's clock (LogAppendTime)
//! 43 producer id        i64 │ -1 for none, as are epoch and sequence
//! 51 producer epoch     i16 │
//! 53 base sequence      i32 │
//! 57 record count       i32 │
//! 61 records                │ compressed as a whole, if at all
//! ```
//!
//! KIP-98 defines the format, KIP-534 the delete horizon; Kafka's `DefaultRecordBatch` is the reference.

use bytes::{Buf, BufMut};

use crate::compression::Compression;
use crate::error::BatchError;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use crate::time::Timestamp;

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;

/// Bytes that the length field leaves out: the base offset and itself.
pub const LENGTH_PREFIX: usize = 12;

/// The smallest value of the length field: a header without records.
pub const MIN_LENGTH: i32 = (HEADER_LEN - LENGTH_PREFIX) as i32;

/// Where the bytes that the CRC covers begin.
pub(crate) const CRC_FROM: usize = 21;

/// The one message format there is (KIP-98; formats 0 and 1 went with KIP-724).
pub const MAGIC: i8 = 2;

/// The header of one batch, checked to be plausible in itself; whether the bytes behind it are what it says is for
/// [`BatchView`](crate::batch::BatchView) to find out.
///
/// Invariants: `base_offset ≥ 0`, `last_offset_delta ≥ 0`, `length ≥` [`MIN_LENGTH`], magic 2, a known codec,
/// `0 ≤ record_count ≤ last_offset_delta + 1` (fewer after compaction).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub(crate) base_offset: i64,
    pub(crate) length: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) crc: u32,
    pub(crate) attributes: Attributes,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`, which may go on behind it or end there.
    ///
    /// # Errors
    /// [`BatchError::Torn`] for fewer than [`HEADER_LEN`] bytes, [`BatchError::Length`] for an impossible length (0 in
    /// the unwritten end of a file; this is looked at first), and one error for each invariant of the struct.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let torn = BatchError::Torn { need: HEADER_LEN, have: bytes.len() };
        let mut at: &[u8] = bytes.first_chunk::<HEADER_LEN>().ok_or(torn)?;
        let base_offset = at.get_i64();
        let length = at.get_i32();
        let leader_epoch = at.get_i32();
        let magic = at.get_i8();
        let header = Self {
            base_offset,
            length,
            leader_epoch,
            crc: at.get_u32(),
            attributes: Attributes(at.get_i16()),
            last_offset_delta: at.get_i32(),
            base_timestamp: at.get_i64(),
            max_timestamp: at.get_i64(),
            producer_id: at.get_i64(),
            producer_epoch: at.get_i16(),
            base_sequence: at.get_i32(),
            record_count: at.get_i32(),
        };
        header.check(magic)?;
        Ok(header)
    }

    #[inline]
    fn check(&self, magic: i8) -> Result<(), BatchError> {
        let Self { base_offset, length, last_offset_delta, record_count: count, .. } = *self;
        if length < MIN_LENGTH {
            return Err(BatchError::Length { length });
        }
        if magic != MAGIC {
            return Err(BatchError::UnsupportedMagic { magic });
        }
        if self.attributes.codec().is_none() {
            return Err(BatchError::UnsupportedCompression { id: self.attributes.codec_bits() });
        }
        if base_offset < 0 || last_offset_delta < 0 {
            return Err(BatchError::OffsetRange { base_offset, last_offset_delta });
        }
        if count < 0 || i64::from(count) > i64::from(last_offset_delta) + 1 {
            return Err(BatchError::Count { count, last_offset_delta });
        }
        Ok(())
    }

    /// The header as bytes: what [`parse`](Self::parse) read.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let mut at = &mut out[..];
        at.put_i64(self.base_offset);
        at.put_i32(self.length);
        at.put_i32(self.leader_epoch);
        at.put_i8(MAGIC);
        at.put_u32(self.crc);
        at.put_i16(self.attributes.0);
        at.put_i32(self.last_offset_delta);
        at.put_i64(self.base_timestamp);
        at.put_i64(self.max_timestamp);
        at.put_i64(self.producer_id);
        at.put_i16(self.producer_epoch);
        at.put_i32(self.base_sequence);
        at.put_i32(self.record_count);
        out
    }

    /// The header with the two fields that the leader assigns. The CRC covers neither.
    #[must_use]
    pub fn stamped(mut self, base_offset: Offset, epoch: LeaderEpoch) -> Self {
        self.base_offset = base_offset.get();
        self.leader_epoch = epoch.get();
        self
    }

    /// Offset of the first record; compaction keeps it even if that record goes.
    pub fn base_offset(&self) -> Offset {
        Offset::new(self.base_offset)
    }

    /// Offset of the last record; compaction keeps it too.
    pub fn last_offset(&self) -> Offset {
        self.base_offset() + i64::from(self.last_offset_delta)
    }

    /// Last offset minus base offset, at least 0.
    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta
    }

    /// Size of the whole batch in bytes, header included.
    #[expect(clippy::len_without_is_empty, reason = "a batch has a header, so it is never empty")]
    pub fn len(&self) -> usize {
        LENGTH_PREFIX + usize::try_from(self.length).unwrap_or(0)
    }

    /// Term of the leader that appended the batch; `None` before one did.
    pub fn partition_leader_epoch(&self) -> Option<LeaderEpoch> {
        LeaderEpoch::from_wire(self.leader_epoch)
    }

    /// CRC-32C of the bytes from the attributes to the end of the batch, as the header claims.
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// Codec, timestamp type and flags.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// How the records are compressed.
    pub fn compression(&self) -> Compression {
        self.attributes.compression()
    }

    /// What the records' timestamp deltas count from: the first record's, or the delete horizon if that flag is set.
    pub fn base_timestamp(&self) -> Option<Timestamp> {
        Timestamp::from_wire(self.base_timestamp)
    }

    /// The largest timestamp in the batch; with LogAppendTime, that of all its records.
    pub fn max_timestamp(&self) -> Option<Timestamp> {
        Timestamp::from_wire(self.max_timestamp)
    }

    /// When the tombstones and markers in the batch may go (KIP-534), if compaction has set it.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.attributes.has_delete_horizon().then_some(Timestamp::from_millis(self.base_timestamp))
    }

    /// The idempotent producer's stamp. `None` without a producer id; what stands in epoch and sequence then means
    /// nothing (some clients leave 0 there).
    pub fn producer(&self) -> Option<ProducerStamp> {
        Some(ProducerStamp {
            id: ProducerId::from_wire(self.producer_id)?,
            epoch: ProducerEpoch::new(self.producer_epoch),
            base_sequence: Sequence::from_wire(self.base_sequence),
        })
    }

    /// Sequence of the last record, for a batch with sequences.
    pub fn last_sequence(&self) -> Option<Sequence> {
        Some(self.producer()?.base_sequence?.advance(self.last_offset_delta))
    }

    /// Number of records in the batch; 0 if compaction took them all.
    pub fn record_count(&self) -> u32 {
        self.record_count.cast_unsigned()
    }
}

/// Writes base offset and leader epoch into the header of a batch. The CRC covers neither, so it stays as it is.
pub fn stamp(header: &mut [u8; HEADER_LEN], base_offset: Offset, epoch: LeaderEpoch) {
    let (offset, rest) = header.split_at_mut(8);
    offset.copy_from_slice(&base_offset.get().to_be_bytes());
    if let Some(field) = rest.get_mut(4..8) {
        field.copy_from_slice(&epoch.get().to_be_bytes());
    }
}

/// CRC-32C (Castagnoli), as batches use it.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    // The algorithm is 32 bits wide; crc-fast answers all widths as u64.
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The same over several pieces, as if they stood one behind the other.
pub(crate) fn crc32c_of_parts(parts: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    digest.finalize() as u32
}

/// Who wrote a batch (KIP-98): the producer's identity and the sequence of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    /// The producer.
    pub id: ProducerId,
    /// Its term.
    pub epoch: ProducerEpoch,
    /// Sequence of the first record; `None` in the markers that a transaction coordinator writes.
    pub base_sequence: Option<Sequence>,
}

/// Where the timestamps of a batch come from (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer set them.
    CreateTime,
    /// The broker stamped the batch when appending it; the records' own timestamps no longer count.
    LogAppendTime,
}

/// The 16 attribute bits: codec (0–2), timestamp type (3), transactional (4), control (5), delete horizon (6). Kafka
/// does not look at the rest; they are kept as they came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Attributes(pub(crate) i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    pub(crate) const NONE: Self = Self(0);

    /// How the records are compressed.
    pub fn compression(self) -> Compression {
        // `BatchHeader::parse` refuses a number that no codec has.
        self.codec().unwrap_or(Compression::None)
    }

    /// Where the timestamps come from.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// The batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// The batch holds control records: markers that clients do not see.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// The base timestamp is a delete horizon (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    pub(crate) fn with_compression(self, compression: Compression) -> Self {
        Self(self.0 & !Self::CODEC | i16::from(compression.id()))
    }

    pub(crate) fn with_log_append_time(self) -> Self {
        Self(self.0 | Self::LOG_APPEND_TIME)
    }

    pub(crate) fn with_transactional(self) -> Self {
        Self(self.0 | Self::TRANSACTIONAL)
    }

    pub(crate) fn with_control(self) -> Self {
        Self(self.0 | Self::CONTROL)
    }

    pub(crate) fn with_delete_horizon(self) -> Self {
        Self(self.0 | Self::DELETE_HORIZON)
    }

    pub(crate) fn emptied(self) -> Self {
        Self(self.0 & !(Self::CODEC | Self::DELETE_HORIZON))
    }

    fn codec_bits(self) -> u8 {
        (self.0 & Self::CODEC) as u8
    }

    fn codec(self) -> Option<Compression> {
        Compression::from_id(self.codec_bits())
    }
}

impl std::fmt::Debug for Attributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{:?}", self.compression(), self.timestamp_type())?;
        for (set, name) in [
            (self.is_transactional(), "transactional"),
            (self.is_control(), "control"),
            (self.has_delete_horizon(), "delete horizon"),
        ] {
            if set {
                write!(f, "/{name}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
