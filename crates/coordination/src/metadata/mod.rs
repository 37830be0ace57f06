//! The cluster's metadata: what every broker knows about brokers, topics, partitions and configs, and how it changes.
//!
//! [`Image`] is the state, [`Command`] the only way to change it, [`Image::apply`] the only function that does. The
//! quorum orders commands and applies each one on every broker, so `apply` must be a function of the image and the
//! command alone: random values (topic ids, placement seeds) and the epochs the caller expects travel in the
//! command, validation happens inside, and the [`Response`] tells what became of it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`image`] | [`Image`]: queries, differences, clones that share structure |
//! | [`topic`], [`broker`], [`name`] | what the image is made of |
//! | [`command`], [`response`] | what can be asked, and every answer with Kafka's message |
//! | [`placement`] | which brokers a new partition's replicas go to |
//! | [`reassignment`] | how a partition moves to other brokers |
//! | [`plan`] | which replicas and leaderships should stand elsewhere: balance, drain |
//! | [`imbalance`] | which leaderships return to the preferred leaders by themselves, and when the controller looks |
//! | [`election`] | who leads a partition, and what happens to its in-sync replicas when a broker goes or returns |
//! | [`liveness`] | which brokers live, and so whom the controller fences and unfences |
//! | [`snapshot`] | the image as bytes, and back |
//! | [`voters`] | who votes in the quorum that orders the commands, and who may be given a vote |
//!
//! A request with Kafka's `validate_only` is no command: [`Image::preview`] answers it without the quorum.

pub mod broker;
pub mod command;
pub mod election;
pub mod image;
pub mod imbalance;
pub mod liveness;
pub mod name;
pub mod placement;
pub mod plan;
pub mod reassignment;
pub mod response;
pub mod snapshot;
pub mod topic;
pub mod voters;

mod apply;

pub use broker::{Broker, Endpoint, SecurityProtocol};
pub use command::{
    AllocateProducerIds, AlterConfigs, AlterPartition, AlterReassignments, BeginShutdown, Command,
    ConfigChange, ConfigEdit, ConfigOp, ConfigResource, CreatePartitions, CreateTopics, DeleteTopics,
    ElectLeaders, Election, FenceBroker, FormCluster, ImportTopics, ImportedTopic, IsrChange, IsrMember,
    Layout, ManualAssignment, NewPartitions, NewTopic, Reassign, RegisterBroker, ReportDisk, TopicSelector,
    UnfenceBroker, UnregisterBroker,
};
pub use image::{Image, TopicChange};
pub use imbalance::imbalance;
pub use name::TopicName;
pub use placement::PlacementSeed;
pub use response::{
    AlterConfigError, AlterPartitionError, BrokerError, CreatePartitionsError, CreateTopicError,
    CreatedTopic, DeleteTopicError, DeletedTopic, ElectLeaderError, ImportTopicsError, PartitionState,
    ProducerIdBlock, ReassignError, RegisterBrokerError, Response,
};
pub use snapshot::{ImageHash, SnapshotError};
pub use topic::{Configs, Partition, Reassignment, Topic};

#[cfg(test)]
mod tests;
