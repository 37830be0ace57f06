//! Ottla's gRPC services: stubs generated from `proto/`, and what both ends need to speak them.
//!
//! | module | what it holds |
//! |---|---|
//! | [`v1`] | the generated messages, clients and servers of `proto/ottla/v1`, for clients |
//! | [`control`] | those of `proto/ottla/control/v1`, for nodes among each other, and their ids |
//! | [`kafka_error`] | [`KafkaError`]: Kafka's errors by name and number, and the gRPC code beside each |
//! | [`status`] | [`ErrorDetail`](v1::ErrorDetail) in a `tonic::Status`, and out again |
//! | [`records`] | between protobuf's records and Kafka's batches |
//!
//! An error and what a client sees of it:
//!
//! ```
//! use ottla_rpc::{KafkaError, status, v1};
//!
//! let detail = v1::ErrorDetail { topic: "orders".into(), partition: Some(3), ..status::detail(KafkaError::NOT_LEADER_OR_FOLLOWER) };
//! let answer = status::to_status("another broker leads orders-3", detail);
//! assert_eq!(answer.code(), tonic::Code::Unavailable);
//!
//! let seen = status::from_status(&answer).expect("a detail");
//! assert_eq!((seen.kafka_error.as_str(), seen.partition, seen.retriable), ("NOT_LEADER_OR_FOLLOWER", Some(3), true));
//! ```
//!
//! Invariant: nothing here does I/O. Connections are `server`'s and `client`'s.

pub mod control;
pub mod kafka_error;
pub mod records;
pub mod status;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::indexing_slicing,
    reason = "generated; the comments are in the .proto files"
)]
pub mod v1 {
    //! Generated from `proto/ottla/v1`.
    tonic::include_proto!("ottla.v1");
}

pub use kafka_error::KafkaError;

/// The bytes of a message on the wire, as credits count them.
pub fn size(message: &impl prost::Message) -> usize {
    message.encoded_len()
}

/// The services' descriptors, encoded: what server reflection answers from.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
