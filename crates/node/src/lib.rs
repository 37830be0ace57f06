//! One broker's operations, free of any wire protocol: the API that the Kafka and gRPC front doors call.
//!
//! | module | what it holds |
//! |---|---|
//! | [`node`] | [`Node`]: start, close, and what all operations share |
//! | [`ports`] | what a node needs from outside: [`ports::MetadataPlane`], [`ports::PeerTransport`], [`ports::Clock`] |
//! | [`connections`] | what the connections of all front doors may take together |
//! | [`produce`], [`fetch`] | the data path |
//! | [`replica_fetch`] | what followers are given of what this broker leads |
//! | `follow` | this broker's copies of what others lead |
//! | `departed` | brokers that are dead since a moment ago, and still listed to clients |
//! | `replication_quota` | how fast throttled replicas are copied |
//! | `in_sync` | changes of in-sync sets, on their way to the cluster |
//! | [`admin`] | topics, configs, offsets, log directories |
//! | [`coordinator`] | the coordinators of groups: shards on internal topics |
//! | [`producer_ids`] | ids for idempotent producers |
//! | [`topics`] | which partitions are hosted: an immutable table |
//! | [`settings`] | from the cluster's configs to what a partition is run with |
//! | [`lag`] | how far groups are behind |
//! | [`host`] | a partition and its driver |
//! | [`metrics`] | what a monitoring system sees |
//! | `completion`, `fetch_wait` | answers and long polls |
//! | `flush`, `keeper`, `cleaner`, `directory` | the threads of the log directory: group flush, all that is due by time, compaction |
//! | `disk_report` | tells the cluster that the disk is full, so that others lead |
//! | `hosting` | from an image to open logs |
//!
//! Invariant: no operation here holds a partition's lock across an `await`, and none knows a protocol's error codes.

pub mod admin;
mod background;
mod cleaner;
pub mod clock;
mod completion;
pub mod connections;
pub mod coordinator;
mod departed;
mod directory;
mod disk_report;
pub mod fetch;
mod fetch_wait;
mod flush;
mod follow;
pub mod host;
mod hosting;
mod in_sync;
mod keeper;
pub mod lag;
pub mod metrics;
pub mod node;
pub mod ports;
pub mod produce;
pub mod producer_ids;
pub mod replica_fetch;
mod replication_quota;
pub mod settings;
pub mod topics;

pub use clock::SystemClock;
pub use completion::Ticket;
pub use coordinator::{CoordinatorError, CoordinatorKey};
pub use fetch::{FetchError, FetchItem, FetchOptions, FetchOutcomes, Fetched, Isolation, is_enough};
pub use fetch_wait::GrowthWait;
pub use host::PartitionHost;
pub use lag::{Lag, Precision};
pub use metrics::Metrics;
pub use node::{Node, Parts, StartError};
pub use ottla_coordination as coordination;
pub use ottla_record as record;
pub use ottla_replication as replication;
pub use ottla_replication::Acks;
pub use ottla_storage as storage;
pub use produce::{ConnectionId, ProduceError, ProduceItem, ProduceOptions, ProduceOutcome};
pub use replica_fetch::{ForReplica, ReplicaFetchItem, ReplicaFetchOptions, ReplicaFetchOutcomes};
pub use settings::BrokerSettings;
pub use topics::{HostedTopic, LookupError, PartitionSlot, TopicKey, TopicTable};
