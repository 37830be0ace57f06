//! What can go wrong, and whether trying again can help.

use std::time::Duration;

use ottla_record::{BatchError, Offset};
use ottla_rpc::v1::{ErrorDetail, RefusedRecord};
use ottla_rpc::{KafkaError, status};
use tonic::{Code, ConnectError, Status};

use crate::size::ByteSize;

/// Why a call failed, a record was not published, or a stream stopped.
///
/// ```
/// use ottla_client::Error;
///
/// fn worth_another_try(error: &Error) -> bool {
///     match error.kafka_name() {
///         // The topic may be created while we wait.
///         Some("UNKNOWN_TOPIC_OR_PARTITION") => true,
///         _ => error.is_retriable(),
///     }
/// }
///
/// assert!(!worth_another_try(&Error::Closed));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A broker answered, and refused.
    #[error("{}", .0.describe())]
    Refused(Box<Refusal>),
    /// No broker answered: none could be reached, or a connection broke.
    #[error("no broker answered at {address}: {reason}")]
    Unavailable {
        /// Where we tried last.
        address: String,
        /// What the connection said.
        reason: String,
        /// False if the request surely never reached a broker.
        maybe_sent: bool,
    },
    /// Time ran out.
    #[error("{what} took longer than {after:?}{}", .last.as_ref().map(|e| format!("; the last attempt: {e}")).unwrap_or_default())]
    TimedOut {
        /// What took too long.
        what: &'static str,
        /// The limit.
        after: Duration,
        /// False if it surely had no effect.
        maybe_sent: bool,
        /// What the last attempt before that met.
        last: Option<Box<Error>>,
    },
    /// The producer's buffer has no room for the record now. Only [`try_send`](crate::Producer::try_send) says so;
    /// [`send`](crate::Producer::send) waits.
    #[error("the producer's buffer of {0} is full; wait for deliveries, or give it more room with buffer()")]
    BufferFull(ByteSize),
    /// The record is larger than the producer's whole buffer.
    #[error("a record of {size} never fits into the producer's buffer of {max}")]
    RecordTooLarge {
        /// The record's size.
        size: ByteSize,
        /// The buffer's.
        max: ByteSize,
    },
    /// The producer was closed.
    #[error("the producer is closed")]
    Closed,
    /// A setting is out of range, or contradicts another one.
    #[error("{setting} {reason}")]
    Config {
        /// The builder's method.
        setting: &'static str,
        /// What is wrong with the value, and what is allowed.
        reason: String,
    },
    /// The consumer is asked about a partition that it was not assigned.
    #[error("{topic}-{partition} is not assigned to this consumer")]
    NotAssigned {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Records that came from a broker, or were about to go there, cannot be packed or unpacked.
    #[error("{topic}-{partition} at offset {offset}: {reason}")]
    Batch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where the reader stood; 0 in a batch that was not sent yet.
        offset: Offset,
        /// What is wrong.
        reason: BatchError,
    },
    /// A broker answered something that the protocol does not allow.
    #[error("the broker's answer makes no sense: {0}")]
    Protocol(String),
}

/// A broker's refusal.
///
/// ```no_run
/// # fn show(error: ottla_client::Error) {
/// if let Some(refusal) = error.refusal() {
///     for (number, reason) in &refusal.refused_records {
///         eprintln!("record {number} of the batch: {reason}");
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refusal {
    /// Kafka's name of the error; empty where the refusal is gRPC's own (a proxy's, an unknown method's).
    pub kafka_name: String,
    /// Kafka's number of it.
    pub kafka_code: i32,
    /// True if the same request may succeed later.
    pub retriable: bool,
    /// The broker's text for humans.
    pub message: String,
    /// The topic it is about.
    pub topic: Option<String>,
    /// The partition it is about.
    pub partition: Option<i32>,
    /// With OFFSET_OUT_OF_RANGE: the first offset the log still holds.
    pub log_start: Option<Offset>,
    /// With OFFSET_OUT_OF_RANGE: the end of what consumers may read.
    pub high_watermark: Option<Offset>,
    /// The records that were refused, by number within their batch, each with the reason.
    pub refused_records: Vec<(usize, String)>,
}

impl Refusal {
    fn describe(&self) -> String {
        match self.kafka_name.as_str() {
            "" => self.message.clone(),
            name if self.message.is_empty() => name.to_owned(),
            name if self.message.contains(name) => self.message.clone(),
            name => format!("{} ({name})", self.message),
        }
    }
}

impl Error {
    /// True if the same call may succeed later without anybody changing anything. The client has then already tried
    /// again itself, for as long as it was allowed to.
    ///
    /// ```
    /// use ottla_client::{ByteSize, Error};
    ///
    /// assert!(Error::BufferFull(ByteSize::mib(32)).is_retriable());
    /// assert!(!Error::Closed.is_retriable());
    /// ```
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.retriable,
            Self::Unavailable { .. } | Self::TimedOut { .. } | Self::BufferFull(_) => true,
            Self::RecordTooLarge { .. }
            | Self::Closed
            | Self::Config { .. }
            | Self::NotAssigned { .. }
            | Self::Batch { .. }
            | Self::Protocol(_) => false,
        }
    }

    /// True if the call may have had its effect although it failed: a record of a [`TimedOut`](Self::TimedOut) delivery
    /// that was sent and never answered may be in the log, once.
    ///
    /// ```
    /// use ottla_client::Error;
    ///
    /// let reset = |maybe_sent| Error::Unavailable { address: "broker:9094".into(), reason: "reset".into(), maybe_sent };
    /// assert!(reset(true).is_outcome_unknown());
    /// assert!(!reset(false).is_outcome_unknown());
    /// ```
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Unavailable { maybe_sent, .. } | Self::TimedOut { maybe_sent, .. } => *maybe_sent,
            Self::Refused(refusal) => ["REQUEST_TIMED_OUT", "NOT_ENOUGH_REPLICAS_AFTER_APPEND"]
                .contains(&refusal.kafka_name.as_str()),
            _ => false,
        }
    }

    /// Kafka's name of the error, for example `UNKNOWN_TOPIC_OR_PARTITION`, where it has one.
    ///
    /// ```
    /// use ottla_client::{Error, Refusal};
    ///
    /// let refusal = Refusal {
    ///     kafka_name: "TOPIC_AUTHORIZATION_FAILED".into(),
    ///     topic: Some("orders".into()),
    ///     partition: Some(3),
    ///     ..Refusal::default()
    /// };
    /// let error = Error::Refused(Box::new(refusal));
    /// assert_eq!(error.kafka_name(), Some("TOPIC_AUTHORIZATION_FAILED"));
    /// ```
    pub fn kafka_name(&self) -> Option<&str> {
        self.refusal().map(|refusal| refusal.kafka_name.as_str()).filter(|name| !name.is_empty())
    }

    /// The topic it is about, if it is about one.
    ///
    /// ```
    /// use ottla_client::Error;
    ///
    /// let error = Error::NotAssigned { topic: "orders".into(), partition: 3 };
    /// assert_eq!(error.topic(), Some("orders"));
    /// ```
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::Batch { topic, .. } | Self::NotAssigned { topic, .. } => Some(topic),
            _ => self.refusal()?.topic.as_deref(),
        }
    }

    /// The partition it is about, if it is about one.
    ///
    /// ```
    /// use ottla_client::Error;
    ///
    /// let error = Error::NotAssigned { topic: "orders".into(), partition: 3 };
    /// assert_eq!(error.partition(), Some(3));
    /// ```
    pub fn partition(&self) -> Option<i32> {
        match self {
            Self::Batch { partition, .. } | Self::NotAssigned { partition, .. } => Some(*partition),
            _ => self.refusal()?.partition,
        }
    }

    /// A broker's refusal: this error's own, or, of a timeout, that of its last attempt.
    ///
    /// ```
    /// use ottla_client::{Error, Refusal};
    ///
    /// let full = Refusal { kafka_name: "KAFKA_STORAGE_ERROR".into(), retriable: true, ..Refusal::default() };
    /// let error = Error::Refused(Box::new(full));
    /// assert!(error.refusal().is_some_and(|refusal| refusal.retriable));
    /// ```
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::TimedOut { last: Some(last), .. } => last.refusal(),
            _ => None,
        }
    }

    pub(crate) fn is(&self, error: KafkaError) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.kafka_name == error.name())
    }

    pub(crate) fn from_detail(message: String, detail: ErrorDetail) -> Self {
        let refused = |record: RefusedRecord| (usize::try_from(record.index).unwrap_or(0), record.reason);
        Self::Refused(Box::new(Refusal {
            kafka_name: detail.kafka_error,
            kafka_code: detail.kafka_code,
            retriable: detail.retriable,
            message,
            topic: Some(detail.topic).filter(|topic| !topic.is_empty()),
            partition: detail.partition,
            log_start: detail.log_start_offset.map(Offset::new),
            high_watermark: detail.high_watermark.map(Offset::new),
            refused_records: detail.refused_records.into_iter().map(refused).collect(),
        }))
    }

    /// What a status that ended a call or a stream says.
    pub(crate) fn from_status(address: &str, answer: &Status) -> Self {
        if let Some(detail) = status::from_status(answer) {
            return Self::from_detail(answer.message().to_owned(), detail);
        }
        let broken = transport_failure(answer);
        match (answer.code(), broken) {
            (Code::DeadlineExceeded, _) => {
                Self::unavailable(address, "the call's deadline passed on the way".to_owned(), true)
            }
            (Code::Unavailable | Code::Cancelled, _) | (_, true) => {
                Self::unavailable(address, describe(answer), !never_sent(answer))
            }
            (code, false) => Self::Refused(Box::new(Refusal {
                message: format!("{} ({code:?})", answer.message()),
                retriable: code == Code::ResourceExhausted,
                ..Refusal::default()
            })),
        }
    }

    pub(crate) fn unavailable(address: &str, reason: String, maybe_sent: bool) -> Self {
        Self::Unavailable { address: address.to_owned(), reason, maybe_sent }
    }
}

/// True for a status that our own side made of a broken connection. hyper and h2 report those as `Unknown` or
/// `Internal`, but a broker's own status has no source.
fn transport_failure(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// True if the connection could not even be made.
fn never_sent(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<ConnectError>())
}

/// The deepest cause says what happened; those above it say "transport error".
fn describe(status: &Status) -> String {
    causes(status).last().map_or_else(|| status.message().to_owned(), ToString::to_string)
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(status), |cause| cause.source())
}

#[cfg(test)]
mod tests;
