//! The one map from our errors to Kafka's error codes.

use ottla_node::storage::AppendError;
use ottla_node::{FetchError, LookupError, ProduceError, replication};
use ottla_record::error::{BatchError, Refusal};
use ottla_wire::ErrorCode;

pub(crate) fn lookup(error: LookupError) -> ErrorCode {
    match error {
        LookupError::UnknownTopicOrPartition => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        LookupError::UnknownTopicId => ErrorCode::UNKNOWN_TOPIC_ID,
        LookupError::Offline => ErrorCode::KAFKA_STORAGE_ERROR,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn produce(error: &ProduceError) -> ErrorCode {
    match error {
        ProduceError::Lookup(error) => lookup(*error),
        ProduceError::Batch(error) => batch(error),
        ProduceError::Partition(error) => match error {
            replication::ProduceError::NotLeader => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            replication::ProduceError::NotEnoughReplicas { .. } => ErrorCode::NOT_ENOUGH_REPLICAS,
            replication::ProduceError::TimedOut => ErrorCode::REQUEST_TIMED_OUT,
            // Retriable, and nothing was written: the client comes back when the queue is shorter.
            replication::ProduceError::Overloaded => ErrorCode::REQUEST_TIMED_OUT,
            replication::ProduceError::Offline => ErrorCode::KAFKA_STORAGE_ERROR,
            replication::ProduceError::Append(error) => append(error),
            _ => ErrorCode::UNKNOWN_SERVER_ERROR,
        },
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

/// The refused records of a batch (Produce 8 and above).
pub(crate) fn record_errors(error: &ProduceError) -> impl Iterator<Item = (i32, String)> {
    let records = match error {
        ProduceError::Batch(error) => error.record_errors(),
        _ => &[],
    };
    records.iter().map(|record| (i32::try_from(record.index).unwrap_or(i32::MAX), record.reason.to_string()))
}

fn batch(error: &BatchError) -> ErrorCode {
    match error.refusal() {
        Refusal::CorruptMessage => ErrorCode::CORRUPT_MESSAGE,
        Refusal::MessageTooLarge => ErrorCode::MESSAGE_TOO_LARGE,
        Refusal::InvalidTimestamp => ErrorCode::INVALID_TIMESTAMP,
        Refusal::UnsupportedForMessageFormat => ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        Refusal::UnsupportedCompressionType => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
        Refusal::InvalidRecord => ErrorCode::INVALID_RECORD,
    }
}

fn append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::InvalidTransactionState { .. } => ErrorCode::INVALID_TXN_STATE,
        AppendError::CoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
        AppendError::TooLarge { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
        AppendError::Batch(error) => batch(error),
        AppendError::NoSpace { .. } | AppendError::Poisoned | AppendError::Io(_) => {
            ErrorCode::KAFKA_STORAGE_ERROR
        }
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn fetch(error: FetchError) -> ErrorCode {
    match error {
        FetchError::Lookup(error) => lookup(error),
        FetchError::NotLeader => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        FetchError::FencedLeaderEpoch { .. } => ErrorCode::FENCED_LEADER_EPOCH,
        FetchError::UnknownLeaderEpoch { .. } => ErrorCode::UNKNOWN_LEADER_EPOCH,
        FetchError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        FetchError::Storage => ErrorCode::KAFKA_STORAGE_ERROR,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}
