//! What can go wrong, one enum for each operation whose caller must tell the cases apart.

use std::io;
use std::path::PathBuf;

use ottla_record::error::BatchError;
use ottla_record::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TopicId};

/// Why a log or a log directory cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Bytes that had been flushed are not there, or not what was written. Nothing was cut: the partition is offline
    /// until it is fetched anew from a replica or restored.
    #[error("{} is damaged at byte {position} (offset {offset}), below the recovery point {recovery_point}: {reason}; \
             delete the directory to fetch it from a replica, or restore it from a backup", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where the damaged batch starts.
        position: u64,
        /// The offset expected there.
        offset: Offset,
        /// Everything below had been flushed.
        recovery_point: Offset,
        /// What is wrong.
        reason: String,
    },
    /// The directory belongs to another topic of the same name.
    #[error("{} belongs to topic id {found}, not {expected}: the topic was deleted and created again", path.display())]
    TopicId {
        /// The partition's directory.
        path: PathBuf,
        /// Id of the topic that is being opened.
        expected: TopicId,
        /// Id in `partition.metadata`.
        found: TopicId,
    },
    /// A file that says who the directory belongs to cannot be read.
    #[error("{}: {reason}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Why an append was refused. Unless it says otherwise, the log is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The batch does not continue its producer's sequence (`OUT_OF_ORDER_SEQUENCE_NUMBER`).
    #[error("producer {producer} sent sequence {got}, expected {expected}")]
    OutOfOrderSequence {
        /// The producer.
        producer: ProducerId,
        /// The next sequence of the producer in this partition.
        expected: Sequence,
        /// The first sequence of the batch.
        got: Sequence,
    },
    /// The producer has been fenced by one with a higher epoch (`INVALID_PRODUCER_EPOCH`).
    #[error("producer {producer} has epoch {got}, but epoch {current} was seen")]
    InvalidProducerEpoch {
        /// The producer.
        producer: ProducerId,
        /// The highest epoch seen.
        current: ProducerEpoch,
        /// The epoch of the batch.
        got: ProducerEpoch,
    },
    /// A record outside the producer's open transaction (`INVALID_TXN_STATE`).
    #[error(
        "producer {producer} has a transaction open in this partition and sent a batch that is not part of it"
    )]
    InvalidTransactionState {
        /// The producer.
        producer: ProducerId,
    },
    /// A marker from a coordinator that has been replaced (`TRANSACTION_COORDINATOR_FENCED`).
    #[error("a marker for producer {producer} has coordinator epoch {got}, but epoch {current} was seen")]
    CoordinatorFenced {
        /// The producer.
        producer: ProducerId,
        /// The highest coordinator epoch seen.
        current: i32,
        /// The marker's.
        got: i32,
    },
    /// The append is larger than a segment (`RECORD_LIST_TOO_LARGE`).
    #[error("an append of {bytes} bytes does not fit into a segment of {segment_bytes}")]
    TooLarge {
        /// Bytes of the append.
        bytes: u64,
        /// `segment.bytes`.
        segment_bytes: u64,
    },
    /// A follower was given batches that do not start where its log ends.
    #[error("a batch starts at offset {got}, but the log ends at {expected}")]
    NotDense {
        /// The log end.
        expected: Offset,
        /// The batch's base offset.
        got: Offset,
    },
    /// A batch of an older leader than the last one in the log.
    #[error("a batch has leader epoch {got:?}, but the log has reached epoch {current}")]
    OldLeaderEpoch {
        /// The latest epoch in the log.
        current: LeaderEpoch,
        /// The batch's.
        got: Option<LeaderEpoch>,
    },
    /// A follower was given bytes that are not whole, valid batches.
    #[error("the leader sent a bad batch: {0}")]
    Batch(#[from] BatchError),
    /// The partition has used all its offsets.
    #[error("there are no offsets left above {0}")]
    OffsetsExhausted(Offset),
    /// The disk is full, or nearly (`KAFKA_STORAGE_ERROR`). Appends resume when space returns.
    #[error(
        "the disk is nearly full: {free} bytes are free, {reserve} are kept in reserve (ottla.disk.reserve.bytes)"
    )]
    NoSpace {
        /// Free bytes at the last look.
        free: u64,
        /// Bytes that appends may not use.
        reserve: u64,
    },
    /// An earlier write or flush failed: what is on disk is not known, so nothing is added (`KAFKA_STORAGE_ERROR`).
    #[error("the log is offline since a write or flush failed")]
    Poisoned,
    /// The write failed and the log is now offline (`KAFKA_STORAGE_ERROR`).
    #[error("the append failed and the log is offline: {0}")]
    Io(#[source] io::Error),
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The offset is not in the log (`OFFSET_OUT_OF_RANGE`).
    #[error("offset {requested} is outside the log, which spans {log_start} to {log_end}")]
    OffsetOutOfRange {
        /// What was asked for.
        requested: Offset,
        /// First offset of the log.
        log_start: Offset,
        /// End of the log.
        log_end: Offset,
    },
    /// The view is too old: what it points at has been deleted or truncated. Take a new one.
    #[error("the log was cut or shortened since the view was taken")]
    Stale,
    /// The bytes on disk are not batches.
    #[error("{} is damaged at byte {position}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong.
        reason: String,
    },
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// A change of the log's files failed; the log is poisoned.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct StorageError {
    /// What was being changed.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

/// Adds the path to an I/O error.
pub(crate) trait AtPath<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, StorageError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, StorageError> {
        self.map_err(|source| StorageError { path: path.into(), source })
    }
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        Self::Io { path: error.path, source: error.source }
    }
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        Self::Io { path: error.path, source: error.source }
    }
}
