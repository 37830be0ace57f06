//! The Rust client of Ottla: publish, read and administer over gRPC.
//!
#![doc = concat!("```no_run\n", include_str!("../examples/quick_start.rs"), "```")]
//!
//! | module | what it holds |
//! |---|---|
//! | `client` | [`Client`] and its settings; calls with deadline, repetition and back-off |
//! | `producer` | [`Producer`]: batches, compression, idempotence, retries, back-pressure |
//! | `consumer` | [`Consumer`]: assigned partitions as a stream; seek, pause, reconnection |
//! | `group` | [`GroupConsumer`]: a member of a group; commits, partitions that come and go |
//! | `admin` | [`Admin`]: topics, configs, offsets, the cluster |
//! | `record` | [`ProducerRecord`], [`ConsumerRecord`] and their [`Header`]s |
//! | `error` | [`Error`]: what failed, and whether trying again can help |
//! | `connection` | the cluster's addresses and the channels to them |
//! | `backoff` | waits with jitter |
//! | `trouble` | how long a reader's failures may last |
//! | `size` | [`ByteSize`] |
//!
//! Every call ends: calls by [`ClientBuilder::request_timeout`], records by [`ProducerBuilder::delivery_timeout`]. Nothing
//! is buffered without a bound: the producer by [`ProducerBuilder::buffer`], the consumer by
//! [`ConsumerBuilder::prefetch`] and
//! [`GroupConsumerBuilder::prefetch`]. Futures may be dropped at any point: a record that was not handed over was not sent, one
//! that was goes its way, and a consumer gives the next record to whoever asks next.
//!
//! Spans and events come through [`tracing`] under the target `ottla_client`.

mod admin;
mod backoff;
mod client;
mod connection;
mod consumer;
mod error;
mod group;
mod producer;
mod record;
mod size;
mod trouble;

pub use admin::{
    Admin, BrokerInfo, BrokerLoad, Cluster, Config, ConfigChanges, ConfigResource, ConfigSource,
    CreatedTopic, EndpointInfo, Group, GroupListing, GroupMember, GroupOffset, GroupProtocol, ListedOffset,
    LogDir, LogSize, MovePlan, NewTopic, OffsetReset, OngoingReassignment, PartitionInfo, PartitionOutcome,
    PlanKind, PlannedMove, Quorum, QuorumMember, Reassignment, ResetOutcome, StepLimit, TopicInfo,
    TopicListing,
};
pub use client::{Client, ClientBuilder};
pub use consumer::{Consumer, ConsumerBuilder, Event, Isolation, OutOfRange, Start};
pub use error::{Error, Refusal};
pub use group::{GroupConsumer, GroupConsumerBuilder, GroupEvent, TopicPartition};
pub use producer::{Acks, Delivery, Producer, ProducerBuilder, Sent, TrySendError};
pub use record::{ConsumerRecord, Header, ProducerRecord};
pub use size::ByteSize;

// What the API speaks of, so that a user needs no other crate of ours.
pub use ottla_record::{BatchError, Codec, LeaderEpoch, Offset, Timestamp};
