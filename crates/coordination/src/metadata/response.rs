//! What became of a command: one variant a command, one result an item, in the order they were asked for.
//!
//! Texts are Kafka's own where it has one, because its tools show them. The map to its error codes is elsewhere.

use ottla_record::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, LeaderEpoch, PartitionEpoch, PartitionIndex, ProducerId,
    TopicId,
};
use serde::{Deserialize, Serialize};

use super::name::{TopicName, TopicNameError};

/// The answer to a [`Command`](super::Command).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Response {
    /// The cluster's id: the one it was formed with first.
    FormCluster(Result<ClusterId, ClusterId>),
    /// The term of the registration.
    RegisterBroker(Result<BrokerEpoch, RegisterBrokerError>),
    /// Done or why not.
    UnregisterBroker(Result<(), BrokerError>),
    /// Done or why not.
    FenceBroker(Result<(), BrokerError>),
    /// Done or why not.
    UnfenceBroker(Result<(), BrokerError>),
    /// Done or why not.
    BeginShutdown(Result<(), BrokerError>),
    /// Done or why not.
    ReportDisk(Result<(), BrokerError>),
    /// One per topic asked for.
    CreateTopics(Vec<Result<CreatedTopic, CreateTopicError>>),
    /// One per topic asked for.
    DeleteTopics(Vec<Result<DeletedTopic, DeleteTopicError>>),
    /// One per topic asked for: its new number of partitions.
    CreatePartitions(Vec<Result<usize, CreatePartitionsError>>),
    /// One per resource asked for.
    AlterConfigs(Vec<Result<(), AlterConfigError>>),
    /// Ids that belong to the asking broker alone.
    AllocateProducerIds(Result<ProducerIdBlock, BrokerError>),
    /// Refused as a whole, or one per partition asked for.
    AlterPartition(Result<Vec<Result<PartitionState, AlterPartitionError>>, BrokerError>),
    /// One per partition asked for, or examined if none was named.
    ElectLeaders(Vec<(String, PartitionIndex, Result<(), ElectLeaderError>)>),
    /// Done as a whole, or refused as a whole.
    ImportTopics(Result<(), ImportTopicsError>),
    /// One per partition asked for: it moves (or is there already), or why not.
    AlterReassignments(Vec<Result<(), ReassignError>>),
}

/// Why a broker may not register.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RegisterBrokerError {
    /// The command was decided on another registration than the one that stands now (or on none).
    #[error("Another broker is registered with that broker id.")]
    Duplicate {
        /// Term of the registration that stands.
        registered: Option<BrokerEpoch>,
    },
    /// It belongs to another cluster (`INCONSISTENT_CLUSTER_ID`).
    #[error("Expected cluster ID {expected}, but got cluster ID {got}")]
    InconsistentCluster {
        /// This cluster.
        expected: ClusterId,
        /// The one it belongs to.
        got: ClusterId,
    },
    /// The cluster has no id yet.
    #[error("The cluster has not been formed yet.")]
    NoCluster,
    /// Its log directory is registered by another broker (`INVALID_REGISTRATION`).
    #[error("Broker {by} is already registered with log directory {directory}.")]
    DirectoryInUse {
        /// The directory.
        directory: DirectoryId,
        /// Who has it.
        by: BrokerId,
    },
    /// More brokers than an image holds (`INVALID_REGISTRATION`).
    #[error("The cluster holds no more than {limit} brokers.")]
    TooMany {
        /// The bound.
        limit: usize,
    },
}

/// Why a command of or about a broker is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BrokerError {
    /// `BROKER_ID_NOT_REGISTERED`.
    #[error("Broker ID {0} is not currently registered")]
    NotRegistered(BrokerId),
    /// From or about a process that has been replaced (`STALE_BROKER_EPOCH`).
    #[error("Expected broker epoch {expected}, but got broker epoch {got}")]
    StaleEpoch {
        /// The registration that stands.
        expected: BrokerEpoch,
        /// The one named.
        got: BrokerEpoch,
    },
    /// The broker is still alive: only a fenced one may be unregistered (`INVALID_REQUEST`).
    #[error("Broker {0} is still running: stop it first")]
    StillRunning(BrokerId),
    /// The 63 bits of producer ids are used up (`UNKNOWN_SERVER_ERROR`).
    #[error("Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit")]
    ProducerIdsExhausted,
}

/// A topic that was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its identity.
    pub id: TopicId,
    /// Its number of partitions.
    pub partitions: usize,
    /// Replicas per partition.
    pub replication_factor: usize,
}

/// Why a topic was not created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CreateTopicError {
    /// `INVALID_TOPIC_EXCEPTION`.
    #[error(transparent)]
    Name(#[from] TopicNameError),
    /// `INVALID_TOPIC_EXCEPTION`.
    #[error("Topic '{name}' collides with existing topic: {existing}")]
    Collides {
        /// The name asked for.
        name: TopicName,
        /// The topic it cannot be told from in metric names.
        existing: TopicName,
    },
    /// `TOPIC_ALREADY_EXISTS`.
    #[error("Topic '{0}' already exists.")]
    Exists(TopicName),
    /// Named twice in one request (`INVALID_REQUEST`).
    #[error("Duplicate topic name.")]
    Duplicate,
    /// `INVALID_PARTITIONS`.
    #[error("Number of partitions was set to an invalid non-positive value.")]
    PartitionsNotPositive,
    /// `POLICY_VIOLATION`.
    #[error("Excessively large number of partitions per request.")]
    TooManyPartitionsInRequest,
    /// `POLICY_VIOLATION`.
    #[error("The cluster would have {would_have} partitions, more than the {limit} it holds.")]
    TooManyPartitions {
        /// With this topic.
        would_have: usize,
        /// The bound.
        limit: usize,
    },
    /// `INVALID_REPLICATION_FACTOR`.
    #[error("{0}")]
    ReplicationFactor(String),
    /// `INVALID_REPLICA_ASSIGNMENT`.
    #[error("{0}")]
    Assignment(String),
    /// `INVALID_CONFIG`.
    #[error("{0}")]
    Config(String),
    /// The random id in the command is taken, or was that of a topic deleted since, which this command had created the first time it
    /// came: nothing the user did (`UNKNOWN_SERVER_ERROR`; ask again with another one).
    #[error("Topic id {0} is already in use, or was that of a topic deleted lately.")]
    IdInUse(TopicId),
}

/// Why no topic was taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ImportTopicsError {
    /// The broker that has the logs is not registered, or in another registration.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// These topics cannot be created.
    #[error("{}", .0.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; "))]
    Topics(Vec<(String, CreateTopicError)>),
    /// A leader epoch so high that it was not reached by counting.
    #[error("partition {partition} of {topic} cannot start in leader epoch {epoch}")]
    LeaderEpoch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
        /// The epoch asked for.
        epoch: LeaderEpoch,
    },
}

/// A topic that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its identity.
    pub id: TopicId,
}

/// Why a topic was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DeleteTopicError {
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("This server does not host this topic-partition.")]
    UnknownTopic,
    /// `UNKNOWN_TOPIC_ID`.
    #[error("This server does not host this topic ID.")]
    UnknownTopicId,
}

/// Why a topic did not get more partitions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CreatePartitionsError {
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("This server does not host this topic-partition.")]
    UnknownTopic,
    /// Named twice in one request (`INVALID_REQUEST`).
    #[error("Duplicate topic name.")]
    Duplicate,
    /// `INVALID_PARTITIONS`.
    #[error("Topic already has {0} partition(s).")]
    Same(usize),
    /// `INVALID_PARTITIONS`: partitions only grow.
    #[error("The topic {topic} currently has {current} partition(s); {requested} would not be an increase.")]
    Fewer {
        /// The topic.
        topic: TopicName,
        /// What it has.
        current: usize,
        /// What was asked for.
        requested: i32,
    },
    /// `POLICY_VIOLATION`.
    #[error("Excessively large number of partitions per request.")]
    TooManyPartitionsInRequest,
    /// `POLICY_VIOLATION`.
    #[error("The cluster would have {would_have} partitions, more than the {limit} it holds.")]
    TooManyPartitions {
        /// With this change.
        would_have: usize,
        /// The bound.
        limit: usize,
    },
    /// `INVALID_REPLICATION_FACTOR`.
    #[error("{0}")]
    ReplicationFactor(String),
    /// `INVALID_REPLICA_ASSIGNMENT`.
    #[error("{0}")]
    Assignment(String),
}

/// Why a resource's configs were not changed. None of its changes was made then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AlterConfigError {
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("The topic '{0}' does not exist.")]
    UnknownTopic(String),
    /// `BROKER_ID_NOT_REGISTERED`.
    #[error("Broker ID {0} is not currently registered")]
    UnknownBroker(BrokerId),
    /// `INVALID_CONFIG`.
    #[error("{0}")]
    Invalid(String),
    /// Named twice in one request (`INVALID_REQUEST`).
    #[error("Error due to duplicate config keys")]
    Duplicate,
}

/// Producer ids that were handed to one broker: `first`, and `len - 1` after it (KIP-730).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdBlock {
    /// The first id.
    pub first: ProducerId,
    /// How many.
    pub len: i32,
}

/// A partition after a change of its in-sync replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Who leads.
    pub leader: Option<BrokerId>,
    /// In which term.
    pub leader_epoch: LeaderEpoch,
    /// The in-sync replicas.
    pub isr: Vec<BrokerId>,
    /// The version to expect at the next change.
    pub partition_epoch: PartitionEpoch,
}

/// Why a leader's change of its in-sync replicas was refused (KIP-497, KIP-903).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AlterPartitionError {
    /// `UNKNOWN_TOPIC_ID`.
    #[error("This server does not host this topic ID.")]
    UnknownTopicId,
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("This server does not host this topic-partition.")]
    UnknownPartition,
    /// The asker led in an older term, or not at all (`FENCED_LEADER_EPOCH`).
    #[error("The leader epoch in the request is older than the epoch on the broker.")]
    FencedLeaderEpoch,
    /// The asker has not seen the newest change (`INVALID_UPDATE_VERSION`).
    #[error("The given update version was invalid.")]
    InvalidUpdateVersion,
    /// The new in-sync replicas are no subset of the replicas, or lack the leader (`INVALID_REQUEST`).
    #[error("The in-sync replicas must be replicas of the partition and include its leader.")]
    InvalidIsr,
    /// A member is fenced, going, or registered anew since the leader counted it (`INELIGIBLE_REPLICA`).
    #[error("The new ISR contains at least one ineligible replica.")]
    IneligibleReplica,
    /// The change was made, and it ended a move of the partition to other brokers: one of them leads now, or the asker in a newer
    /// term. It waits for the image; until then whoever it asked for still counts (`NEW_LEADER_ELECTED`).
    #[error(
        "The AlterPartition request successfully updated the partition state but the leader has changed."
    )]
    NewLeaderElected,
}

/// Why no leader was elected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ElectLeaderError {
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("No such topic as {0}")]
    UnknownTopic(String),
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("No such partition as {0}-{1}")]
    UnknownPartition(TopicName, PartitionIndex),
    /// `ELECTION_NOT_NEEDED`.
    #[error("Leader election not needed for topic partition.")]
    NotNeeded,
    /// `PREFERRED_LEADER_NOT_AVAILABLE`.
    #[error("The preferred leader was not available.")]
    PreferredNotAvailable,
    /// `ELIGIBLE_LEADERS_NOT_AVAILABLE`.
    #[error("Eligible topic partition leaders are not available.")]
    EligibleNotAvailable,
}

/// Why a partition does not move. The texts are Kafka's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ReassignError {
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("Unable to find a topic named {0}.")]
    UnknownTopic(String),
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("Unable to find partition {topic}:{partition}.")]
    UnknownPartition {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
    },
    /// The target names no broker, one twice, or one that is not registered (`INVALID_REPLICA_ASSIGNMENT`).
    #[error("{0}")]
    Assignment(String),
    /// The asker wants as many replicas as there are (`INVALID_REPLICATION_FACTOR`).
    #[error("The replication factor is changed from {from} to {to}")]
    ReplicationFactor {
        /// Replicas there are, once all moves are done.
        from: usize,
        /// Replicas of the target.
        to: usize,
    },
    /// There is nothing to cancel (`NO_REASSIGNMENT_IN_PROGRESS`).
    #[error("No partition reassignment is in progress.")]
    NotInProgress,
    /// The only replicas in sync are those that would go (`INVALID_REPLICA_ASSIGNMENT`).
    #[error(
        "Unable to revert partition assignment for {topic}:{partition} because it would require an unclean leader election."
    )]
    NobodyInSync {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
    },
    /// `POLICY_VIOLATION`.
    #[error("Unable to perform excessively large batch operation.")]
    TooMany,
}
