//! Why a batch was refused: one enum, and the class of Kafka error each case belongs to.

use crate::compression::Compression;
use crate::header::MIN_LENGTH;

/// What is wrong with a batch, or with what a producer sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// There is no batch at all.
    #[error("there is no record batch")]
    Empty,
    /// The buffer ends inside a batch.
    #[error("the batch is torn: {have} of {need} bytes are there")]
    Torn {
        /// Bytes that the batch, or its header, takes.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// The length field is below what an empty batch takes. A zero here is what the unwritten end of a file looks like.
    #[error("the batch length {length} is below {MIN_LENGTH}, that of an empty batch")]
    Length {
        /// The length field as it stands, which leaves out the first [`LENGTH_PREFIX`](crate::header::LENGTH_PREFIX) bytes.
        length: i32,
    },
    /// A message format that Kafka 4 no longer takes (0 or 1), or an unknown one.
    #[error("message format {magic} is not supported, only 2 is (KIP-724)")]
    UnsupportedMagic {
        /// The magic byte as it stands.
        magic: i8,
    },
    /// A codec number that does not exist.
    #[error("compression codec {id} is unknown")]
    UnsupportedCompression {
        /// The three codec bits.
        id: u8,
    },
    /// A codec that the version of the request does not know (KIP-110: zstd from Produce version 7).
    #[error("zstd is allowed from Produce version 7")]
    ZstdNotAllowed,
    /// The checksum does not match the bytes.
    #[error("the batch is corrupt: its CRC is {stored:#010x}, its bytes have {computed:#010x}")]
    CorruptCrc {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A negative base offset or last offset delta.
    #[error("the batch has an invalid offset range: base {base_offset}, last delta {last_offset_delta}")]
    OffsetRange {
        /// The base offset as it stands.
        base_offset: i64,
        /// The last offset delta as it stands.
        last_offset_delta: i32,
    },
    /// A producer's batch does not start at offset 0, which is the broker's to assign.
    #[error("the base offset of a produced batch should be 0, but it is {base_offset}")]
    BaseOffset {
        /// The base offset as it stands.
        base_offset: i64,
    },
    /// The record count is negative, more than the offsets span, or (from a producer) not equal to that span.
    #[error("the batch counts {count} records but its last offset delta is {last_offset_delta}")]
    Count {
        /// The record count as it stands.
        count: i32,
        /// The last offset delta as it stands.
        last_offset_delta: i32,
    },
    /// The batch is larger than `max.message.bytes`.
    #[error("the batch takes {size} bytes, max.message.bytes is {max}")]
    TooLarge {
        /// Size of the batch, after recompression if the topic asks for it.
        size: usize,
        /// The topic's `max.message.bytes`.
        max: usize,
    },
    /// More than one batch for one partition in one produce request.
    #[error("a produce request may hold exactly one record batch per partition")]
    MoreThanOneBatch,
    /// A control batch from a client: only coordinators write those.
    #[error("clients are not allowed to write control records")]
    ControlBatch,
    /// A producer id without a valid epoch or sequence.
    #[error("producer id {producer_id} comes with epoch {producer_epoch} and sequence {base_sequence}")]
    ProducerStamp {
        /// The producer id as it stands.
        producer_id: i64,
        /// The producer epoch as it stands.
        producer_epoch: i16,
        /// The base sequence as it stands.
        base_sequence: i32,
    },
    /// The transactional flag without a producer id.
    #[error("a transactional batch needs a producer id")]
    TransactionalWithoutProducer,
    /// A producer marked its batch as stamped by the broker.
    #[error("a producer should not set the timestamp type to LogAppendTime")]
    TimestampType,
    /// Some records are refused, and with them the batch (KIP-467).
    #[error("rejected records: {}; {}", .0.errors.len(), .0.first())]
    Records(Box<RefusedRecords>),
    /// A record does not parse.
    #[error("record {index} of the batch is malformed: {what}")]
    Structure {
        /// Which record, from 0.
        index: u32,
        /// Which part of it.
        what: &'static str,
    },
    /// Compressed records do not decompress.
    #[error("{compression} data cannot be decompressed: {reason}")]
    Decompression {
        /// The codec.
        compression: Compression,
        /// What the codec says.
        reason: String,
    },
    /// Compressed records grow past the limit: a decompression bomb.
    #[error("{compression} data is larger than {max} bytes when decompressed")]
    DecompressedTooLarge {
        /// The codec.
        compression: Compression,
        /// The limit.
        max: usize,
    },
    /// A codec failed to compress.
    #[error("{compression} compression failed: {reason}")]
    Compression {
        /// The codec.
        compression: Compression,
        /// What the codec says.
        reason: String,
    },
    /// The records do not fit into one batch: its length is a 32-bit number.
    #[error("the records do not fit into one batch")]
    Overflow,
}

/// The Kafka error that a [`BatchError`] becomes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `CORRUPT_MESSAGE` (2)
    CorruptMessage,
    /// `MESSAGE_TOO_LARGE` (10)
    MessageTooLarge,
    /// `INVALID_TIMESTAMP` (32)
    InvalidTimestamp,
    /// `UNSUPPORTED_FOR_MESSAGE_FORMAT` (43)
    UnsupportedForMessageFormat,
    /// `UNSUPPORTED_COMPRESSION_TYPE` (76)
    UnsupportedCompressionType,
    /// `INVALID_RECORD` (87)
    InvalidRecord,
}

impl BatchError {
    /// The Kafka error that this is answered with.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Torn { .. }
            | Self::Length { .. }
            | Self::CorruptCrc { .. }
            | Self::Compression { .. }
            | Self::Decompression { .. }
            | Self::DecompressedTooLarge { .. } => Refusal::CorruptMessage,
            Self::TooLarge { .. } | Self::Overflow => Refusal::MessageTooLarge,
            // Kafka 4.3 answers INVALID_RECORD here; the older name says what is wrong, and no client retries either.
            Self::UnsupportedMagic { .. } => Refusal::UnsupportedForMessageFormat,
            Self::UnsupportedCompression { .. } | Self::ZstdNotAllowed => Refusal::UnsupportedCompressionType,
            Self::TimestampType => Refusal::InvalidTimestamp,
            Self::Records(refused) => refused.refusal(),
            Self::Empty
            | Self::OffsetRange { .. }
            | Self::BaseOffset { .. }
            | Self::Count { .. }
            | Self::MoreThanOneBatch
            | Self::ControlBatch
            | Self::ProducerStamp { .. }
            | Self::TransactionalWithoutProducer
            | Self::Structure { .. } => Refusal::InvalidRecord,
        }
    }

    /// The refused records, for the `record_errors` of Produce version 8 and above; empty if the whole batch is at fault.
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            Self::Records(refused) => &refused.errors,
            _ => &[],
        }
    }
}

/// The records for which a batch was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecords {
    /// In the order of the batch, at most [`MAX_RECORD_ERRORS`].
    pub errors: Vec<RecordError>,
}

/// Refused records are listed up to this number: a batch may hold 100,000 of them, and an answer should stay small.
pub const MAX_RECORD_ERRORS: usize = 1_000;

impl RefusedRecords {
    /// One bad timestamp makes the whole answer `INVALID_TIMESTAMP`, as in Kafka's `LogValidator`.
    fn refusal(&self) -> Refusal {
        let timestamp = |e: &RecordError| matches!(e.reason, RecordRefusal::Timestamp { .. });
        if self.errors.iter().any(timestamp) { Refusal::InvalidTimestamp } else { Refusal::InvalidRecord }
    }

    fn first(&self) -> String {
        self.errors.first().map_or_else(String::new, ToString::to_string)
    }
}

/// One refused record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {index}: {reason}")]
pub struct RecordError {
    /// Which record of the batch, from 0 (`batch_index` on the wire).
    pub index: u32,
    /// Why.
    pub reason: RecordRefusal,
}

/// Why a single record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordRefusal {
    /// The topic is compacted and the record has no key.
    #[error("Compacted topic cannot accept message without key")]
    MissingKey,
    /// The timestamp is further from the broker's clock than the topic allows (`message.timestamp.{before,after}.max.ms`).
    #[error("Timestamp {timestamp} is out of range. The timestamp should be within [{min}, {max}]")]
    Timestamp {
        /// The record's timestamp in milliseconds.
        timestamp: i64,
        /// The lowest that is allowed.
        min: i64,
        /// The highest that is allowed.
        max: i64,
    },
    /// The offset deltas of a batch must count 0, 1, 2…
    #[error("Offset delta {delta} is not the record's position in the batch")]
    OffsetDelta {
        /// The delta as it stands.
        delta: i32,
    },
}
