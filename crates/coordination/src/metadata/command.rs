//! Everything that can be asked of the cluster's metadata.
//!
//! Commands are stored in the quorum's log, so they outlive the program that wrote them: a field is only ever added,
//! with a serde default, and a change of meaning is a new variant. They carry every random value and every epoch the
//! proposer relied on; [`Image::apply`](super::Image::apply) checks them again, because others may have come first.

use ottla_record::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, Incarnation, LeaderEpoch, PartitionEpoch, PartitionIndex,
    ProducerId, TopicId,
};
use serde::{Deserialize, Serialize};

use super::broker::Endpoint;
use super::placement::PlacementSeed;

/// A change of the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command {
    /// Gives the cluster its id, once.
    FormCluster(FormCluster),
    /// A broker's process has started.
    RegisterBroker(RegisterBroker),
    /// A broker is gone for good.
    UnregisterBroker(UnregisterBroker),
    /// A broker is lost.
    FenceBroker(FenceBroker),
    /// A registered broker is ready to lead.
    UnfenceBroker(UnfenceBroker),
    /// A broker is about to stop.
    BeginShutdown(BeginShutdown),
    /// A broker's disk is full, or has room again.
    ReportDisk(ReportDisk),
    /// New topics.
    CreateTopics(CreateTopics),
    /// Topics to forget.
    DeleteTopics(DeleteTopics),
    /// More partitions for existing topics.
    CreatePartitions(CreatePartitions),
    /// Changes of topic, broker or group configs.
    AlterConfigs(AlterConfigs),
    /// A block of producer ids for one broker.
    AllocateProducerIds(AllocateProducerIds),
    /// A leader's changes of its partitions' in-sync replicas.
    AlterPartition(AlterPartition),
    /// Elections that an operator asks for.
    ElectLeaders(ElectLeaders),
    /// Topics whose logs have been taken over from elsewhere.
    ImportTopics(ImportTopics),
    /// Replicas to move, and moves to cancel.
    AlterReassignments(AlterReassignments),
}

/// Gives the cluster its id. Asked again with the same id, it answers the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormCluster {
    /// The id, drawn at random by the first voter.
    pub cluster: ClusterId,
}

/// A broker's process has started (KIP-631).
///
/// It is registered fenced, whatever it led loses its leader, and it leads again after [`UnfenceBroker`]. Both raise the
/// leader epoch, so records of the old process and of the new one never share one. Asked again by the same
/// incarnation, the answer is the epoch it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterBroker {
    /// Its `node.id`.
    pub broker: BrokerId,
    /// The process, drawn at random at its start.
    pub incarnation: Incarnation,
    /// The cluster it was set up for.
    pub cluster: ClusterId,
    /// Its log directory. If that is another one than it had, its data is lost and it leaves every set of in-sync replicas.
    pub directory: DirectoryId,
    /// Where it is reached.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The registration of this id in the image the proposer looked at, which it knows to be dead; `None` if there was none.
    pub replaces: Option<BrokerEpoch>,
}

/// A fenced broker is gone for good: it leaves every set of in-sync replicas and may come back only as a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnregisterBroker {
    /// Its `node.id`.
    pub broker: BrokerId,
    /// The registration that is meant.
    pub epoch: BrokerEpoch,
}

/// A broker is lost: its leaderships move to in-sync replicas, and it leaves the in-sync replicas wherever it is not the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceBroker {
    /// Its `node.id`.
    pub broker: BrokerId,
    /// The registration that is meant.
    pub epoch: BrokerEpoch,
}

/// A registered broker has opened its logs and is ready to lead: partitions without a leader may get one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfenceBroker {
    /// Its `node.id`.
    pub broker: BrokerId,
    /// The registration that is meant.
    pub epoch: BrokerEpoch,
}

/// A broker is about to stop: leaderships move as when it is lost, except where it is the last in-sync replica, which it
/// goes on leading until it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginShutdown {
    /// Its `node.id`.
    pub broker: BrokerId,
    /// The registration that is meant.
    pub epoch: BrokerEpoch,
}

/// A broker's disk takes no more records, or takes them again. While it is full, leaderships move as when it stops, and it leaves the in-sync sets
/// that are large enough without it: they would wait for what it cannot write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportDisk {
    /// Its `node.id`.
    pub broker: BrokerId,
    /// The registration that is meant.
    pub epoch: BrokerEpoch,
    /// It takes no more records.
    pub full: bool,
}

/// New topics; each succeeds or fails alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopics {
    /// The topics.
    pub topics: Vec<NewTopic>,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTopic {
    /// Its name, as the user sent it.
    pub name: String,
    /// Its identity, drawn at random by the proposer.
    pub id: TopicId,
    /// How many partitions, and where.
    pub layout: Layout,
    /// Configs to set on it, as the user sent them.
    #[serde(default)]
    pub configs: Vec<(String, Option<String>)>,
}

/// How many partitions a new topic has, and where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// The cluster chooses the brokers. The proposer has replaced the request's -1 by the configured defaults.
    Placed {
        /// `num.partitions` or what the user asked for.
        partitions: i32,
        /// `default.replication.factor` or what the user asked for.
        replication_factor: i16,
        /// Where placement starts, drawn at random by the proposer.
        seed: PlacementSeed,
    },
    /// The user chose the brokers.
    Manual(Vec<ManualAssignment>),
}

/// The brokers a user chose for one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualAssignment {
    /// The partition. All together must be 0, 1, 2, …
    pub partition: PartitionIndex,
    /// Its replicas; the first is the preferred leader.
    pub replicas: Vec<BrokerId>,
}

/// Topics to forget, with their configs. The brokers delete the logs when they see the image without them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTopics {
    /// Which.
    pub topics: Vec<TopicSelector>,
}

/// A topic by name or by identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicSelector {
    /// The topic that has this name now.
    Name(String),
    /// This very topic.
    Id(TopicId),
}

/// More partitions for existing topics; each succeeds or fails alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePartitions {
    /// The topics.
    pub topics: Vec<NewPartitions>,
}

/// More partitions for one topic. A number below today's is refused: partitions only grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPartitions {
    /// The topic.
    pub topic: String,
    /// How many it shall have in all.
    pub count: i32,
    /// The replicas of each new partition, or `None` to let the cluster choose.
    #[serde(default)]
    pub assignments: Option<Vec<Vec<BrokerId>>>,
    /// Where placement starts, drawn at random by the proposer.
    pub seed: PlacementSeed,
}

/// Changes of configs; each resource succeeds or fails alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterConfigs {
    /// The resources, none of them twice.
    pub changes: Vec<ConfigChange>,
}

/// A change of one resource's configs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// Whose.
    pub resource: ConfigResource,
    /// Which.
    pub edit: ConfigEdit,
}

/// What has configs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// A broker, or with `None` the default of all brokers.
    Broker(Option<BrokerId>),
    /// A consumer group (KIP-848), which need not exist.
    Group(String),
}

/// How configs change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigEdit {
    /// AlterConfigs: these and no others are set afterwards.
    Replace(Vec<(String, Option<String>)>),
    /// IncrementalAlterConfigs (KIP-339): these change, the others stay.
    Incremental(Vec<(String, ConfigOp)>),
}

/// One step of an incremental change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigOp {
    /// Set to this value.
    Set(String),
    /// Back to the default.
    Delete,
    /// Add these elements (comma-separated) to a list, where they are missing.
    Append(String),
    /// Remove these elements (comma-separated) from a list.
    Subtract(String),
}

/// A block of producer ids for one broker (KIP-730). Blocks are handed out once and never return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocateProducerIds {
    /// Who asks.
    pub broker: BrokerId,
    /// In which registration.
    pub epoch: BrokerEpoch,
}

/// A leader's changes of its partitions' in-sync replicas (KIP-497, KIP-903).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterPartition {
    /// Who asks.
    pub broker: BrokerId,
    /// In which registration.
    pub epoch: BrokerEpoch,
    /// One per partition.
    pub changes: Vec<IsrChange>,
}

/// A change of one partition's in-sync replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsrChange {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The term in which the asker leads.
    pub leader_epoch: LeaderEpoch,
    /// The newest change it has seen.
    pub partition_epoch: PartitionEpoch,
    /// The new in-sync replicas.
    pub isr: Vec<IsrMember>,
}

/// A broker that a leader counts as in sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsrMember {
    /// Who.
    pub broker: BrokerId,
    /// The registration that caught up: a broker that has restarted since must catch up anew (KIP-903).
    pub epoch: BrokerEpoch,
}

/// Elections that an operator asks for (KIP-460).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectLeaders {
    /// Who may win.
    pub election: Election,
    /// The partitions by topic name, or `None` for all.
    pub partitions: Option<Vec<(String, PartitionIndex)>>,
}

/// Who may win an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Election {
    /// The first replica, if it is in sync.
    Preferred,
    /// Any replica, for partitions without a leader: acknowledged records may be lost by it.
    Unclean,
}

/// Replicas to move, and moves to cancel (KIP-455); each partition succeeds or fails alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterReassignments {
    /// The partitions.
    pub partitions: Vec<Reassign>,
    /// Whether a partition may have another number of replicas afterwards (KIP-860).
    pub may_change_replication_factor: bool,
}

/// A partition to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassign {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// Its replicas when it is done, the preferred leader first; `None` to cancel the move that is under way.
    pub target: Option<Vec<BrokerId>>,
}

/// Topics whose logs lie in a broker's directory already, taken over from another cluster with their identity: all of them,
/// or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportTopics {
    /// Where the logs are: the only replica of every partition.
    pub broker: BrokerId,
    /// In which registration.
    pub epoch: BrokerEpoch,
    /// The topics.
    pub topics: Vec<ImportedTopic>,
    /// Above every producer id that the logs know, so that no new producer is taken for an old one.
    pub next_producer_id: ProducerId,
}

/// A topic to take over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedTopic {
    /// Its name.
    pub name: String,
    /// The id it had.
    pub id: TopicId,
    /// The leader epoch in which each partition starts here, above all epochs in its log.
    pub leader_epochs: Vec<LeaderEpoch>,
    /// The configs it had.
    pub configs: Vec<(String, Option<String>)>,
}
