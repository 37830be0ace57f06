//! What a broker answers to the administrator, typed.

use std::collections::BTreeMap;

use ottla_record::{LeaderEpoch, Offset, Timestamp};
use ottla_rpc::v1;

use crate::error::Error;

/// A topic that was created.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let created: ottla_client::CreatedTopic = admin.create_topic(ottla_client::NewTopic::named("orders")).await?;
/// println!("{} has {} partitions", created.topic_id, created.partitions);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreatedTopic {
    /// Its id, in Kafka's base64 spelling. It is another one after the topic is deleted and created again.
    pub topic_id: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Number of replicas of each.
    pub replication_factor: i32,
}

impl From<v1::CreateTopicResponse> for CreatedTopic {
    fn from(answer: v1::CreateTopicResponse) -> Self {
        let v1::CreateTopicResponse { topic_id, partitions, replication_factor } = answer;
        Self { topic_id, partitions, replication_factor }
    }
}

/// One topic in a list.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let internal = |topic: &ottla_client::TopicListing| topic.internal;
/// println!("{} internal topics", admin.list_all_topics().await?.iter().filter(|t| internal(t)).count());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicListing {
    /// Its name.
    pub name: String,
    /// Its id, in Kafka's base64 spelling.
    pub topic_id: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Number of replicas of each.
    pub replication_factor: i32,
    /// True for a topic that the cluster keeps for itself.
    pub internal: bool,
}

impl From<v1::TopicListing> for TopicListing {
    fn from(listing: v1::TopicListing) -> Self {
        let v1::TopicListing { name, topic_id, partitions, replication_factor, internal } = listing;
        Self { name, topic_id, partitions, replication_factor, internal }
    }
}

/// One topic with its partitions.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let info: ottla_client::TopicInfo = admin.describe_topic("orders").await?;
/// println!("{} has {} partitions", info.topic.name, info.partitions.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Name, id, counts.
    pub topic: TopicListing,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionInfo>,
    /// Configs that were set on the topic itself.
    pub configs: BTreeMap<String, String>,
}

impl TryFrom<v1::DescribeTopicResponse> for TopicInfo {
    type Error = Error;

    fn try_from(answer: v1::DescribeTopicResponse) -> Result<Self, Error> {
        let topic = answer.topic.ok_or_else(|| Error::Protocol("a topic without a name".to_owned()))?;
        let partitions = answer.partitions.into_iter().map(PartitionInfo::from).collect();
        Ok(Self { topic: topic.into(), partitions, configs: answer.configs })
    }
}

/// One partition and its replicas.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let behind = |p: &ottla_client::PartitionInfo| p.in_sync_replicas.len() < p.replicas.len();
/// println!("{:?}", admin.describe_topic("orders").await?.partitions.into_iter().find(behind));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionInfo {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it, if there is one.
    pub leader: Option<i32>,
    /// The leader's term.
    pub leader_epoch: LeaderEpoch,
    /// Brokers with a replica, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Replicas that have everything that was acknowledged.
    pub in_sync_replicas: Vec<i32>,
    /// First offset the log still holds, if the answering broker knows.
    pub log_start: Option<Offset>,
    /// End of what consumers may read, if the answering broker knows.
    pub high_watermark: Option<Offset>,
    /// Size of the log in bytes, if the answering broker knows.
    pub size_bytes: Option<i64>,
}

impl From<v1::PartitionDescription> for PartitionInfo {
    fn from(partition: v1::PartitionDescription) -> Self {
        Self {
            partition: partition.partition,
            leader: partition.leader,
            leader_epoch: LeaderEpoch::new(partition.leader_epoch),
            replicas: partition.replicas,
            in_sync_replicas: partition.in_sync_replicas,
            log_start: partition.log_start_offset.map(Offset::new),
            high_watermark: partition.high_watermark.map(Offset::new),
            size_bytes: partition.size_bytes,
        }
    }
}

/// One config.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let resource = ottla_client::ConfigResource::AllBrokers;
/// for ottla_client::Config { name, value, .. } in admin.describe_configs(&resource, &[]).await? {
///     println!("{name} = {}", value.unwrap_or_default());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Its name.
    pub name: String,
    /// Its value; `None` if it is sensitive, or has none.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// True if it can be set only in the broker's file.
    pub read_only: bool,
    /// True if its value is never shown.
    pub sensitive: bool,
    /// What it does.
    pub documentation: String,
}

impl From<v1::Config> for Config {
    fn from(config: v1::Config) -> Self {
        let source = config.source().into();
        let v1::Config { name, value, read_only, sensitive, documentation, .. } = config;
        Self { name, value, source, read_only, sensitive, documentation }
    }
}

/// Where a config's value comes from.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let resource = ottla_client::ConfigResource::Topic("orders".into());
/// let all = admin.describe_configs(&resource, &[]).await?;
/// let own = all.iter().filter(|config| config.source == ottla_client::ConfigSource::Topic);
/// println!("{} configs were set on the topic", own.count());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// A source that this client does not know.
    Unknown,
    /// Set on the topic.
    Topic,
    /// Set on this broker while it ran.
    DynamicBroker,
    /// Set on all brokers while they ran.
    DynamicCluster,
    /// From the broker's file or command line.
    StaticBroker,
    /// Nobody set it.
    Default,
    /// Set on the group.
    Group,
}

impl From<v1::ConfigSource> for ConfigSource {
    fn from(source: v1::ConfigSource) -> Self {
        match source {
            v1::ConfigSource::Unspecified => Self::Unknown,
            v1::ConfigSource::Topic => Self::Topic,
            v1::ConfigSource::DynamicBroker => Self::DynamicBroker,
            v1::ConfigSource::DynamicCluster => Self::DynamicCluster,
            v1::ConfigSource::StaticBroker => Self::StaticBroker,
            v1::ConfigSource::Default => Self::Default,
            v1::ConfigSource::Group => Self::Group,
        }
    }
}

/// The cluster.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let cluster: ottla_client::Cluster = admin.describe_cluster().await?;
/// println!("{} without a leader", cluster.leaderless_partitions);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cluster {
    /// Its id, in Kafka's base64 spelling.
    pub cluster_id: String,
    /// The broker whose commands are committed now, if there is one.
    pub controller: Option<i32>,
    /// The broker that answered.
    pub answered_by: i32,
    /// All registered brokers, by id.
    pub brokers: Vec<BrokerInfo>,
    /// Number of topics, without the cluster's own.
    pub topics: i32,
    /// Number of partitions of all topics.
    pub partitions: i32,
    /// Partitions that have no leader.
    pub leaderless_partitions: i32,
    /// Partitions with fewer in-sync replicas than replicas.
    pub under_replicated_partitions: i32,
    /// Version of the metadata that the answer comes from.
    pub metadata_version: u64,
}

impl From<v1::DescribeClusterResponse> for Cluster {
    fn from(answer: v1::DescribeClusterResponse) -> Self {
        Self {
            cluster_id: answer.cluster_id,
            controller: answer.controller,
            answered_by: answer.answered_by,
            brokers: answer.brokers.into_iter().map(BrokerInfo::from).collect(),
            topics: answer.topics,
            partitions: answer.partitions,
            leaderless_partitions: answer.leaderless_partitions,
            under_replicated_partitions: answer.under_replicated_partitions,
            metadata_version: answer.metadata_version,
        }
    }
}

/// One broker.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let up = |broker: &&ottla_client::BrokerInfo| !broker.fenced;
/// println!("{} brokers are up", admin.describe_cluster().await?.brokers.iter().filter(up).count());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerInfo {
    /// Its id.
    pub id: i32,
    /// Where it listens.
    pub endpoints: Vec<EndpointInfo>,
    /// Its rack or zone, if it has one.
    pub rack: Option<String>,
    /// True while it takes no part, because it has not been heard of or is shutting down.
    pub fenced: bool,
    /// Number of partitions it leads.
    pub leaders: i32,
    /// Number of replicas it has.
    pub replicas: i32,
    /// True while its disk takes no more records: what can be led by others is.
    pub disk_full: bool,
}

impl From<v1::Broker> for BrokerInfo {
    fn from(broker: v1::Broker) -> Self {
        let v1::Broker { id, endpoints, rack, fenced, leaders, replicas, disk_full } = broker;
        let endpoints = endpoints.into_iter().map(EndpointInfo::from).collect();
        Self { id, endpoints, rack, fenced, leaders, replicas, disk_full }
    }
}

/// An address of a broker.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// for ottla_client::EndpointInfo { listener, host, port, .. } in &admin.describe_cluster().await?.brokers[0].endpoints {
///     println!("{listener}://{host}:{port}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointInfo {
    /// Name of the listener, for example `PLAINTEXT` or `API`.
    pub listener: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: i32,
}

impl From<v1::Endpoint> for EndpointInfo {
    fn from(endpoint: v1::Endpoint) -> Self {
        let v1::Endpoint { listener, host, port } = endpoint;
        Self { listener, host, port }
    }
}

/// The data directory of one broker.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let dir: ottla_client::LogDir = admin.describe_log_dir(&[]).await?;
/// println!("{} bytes are free", dir.free_bytes);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogDir {
    /// The directory.
    pub path: String,
    /// Bytes of its file system.
    pub total_bytes: i64,
    /// Bytes of it that are free.
    pub free_bytes: i64,
    /// The logs in it, by topic and partition.
    pub logs: Vec<LogSize>,
}

impl From<v1::DescribeLogDirsResponse> for LogDir {
    fn from(answer: v1::DescribeLogDirsResponse) -> Self {
        let v1::DescribeLogDirsResponse { path, total_bytes, free_bytes, logs } = answer;
        Self { path, total_bytes, free_bytes, logs: logs.into_iter().map(LogSize::from).collect() }
    }
}

/// The size of one log.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let size = |log: &ottla_client::LogSize| log.size_bytes;
/// println!("{} bytes", admin.describe_log_dir(&["orders"]).await?.logs.iter().map(size).sum::<i64>());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSize {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Bytes.
    pub size_bytes: i64,
}

impl From<v1::LogSize> for LogSize {
    fn from(log: v1::LogSize) -> Self {
        let v1::LogSize { topic, partition, size_bytes } = log;
        Self { topic, partition, size_bytes }
    }
}

/// A place in a partition.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// use ottla_client::{Isolation, ListedOffset, Start};
///
/// let end = admin.list_offsets(&[("orders", 0, Start::Latest)], Isolation::ReadUncommitted).await?;
/// let ends: Vec<ListedOffset> = end.into_iter().collect::<Result<_, _>>()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset; for a timestamp later than every record, the end of what consumers may read.
    pub offset: Offset,
    /// The timestamp of the record there, where the place was given by time and there is one.
    pub timestamp: Option<Timestamp>,
    /// The leader's term in which the record was written, if there is one.
    pub leader_epoch: Option<LeaderEpoch>,
}

pub(crate) fn listed(place: v1::ListedOffset) -> Result<ListedOffset, Error> {
    let v1::ListedOffset { topic, partition, offset, timestamp_ms, leader_epoch, error } = place;
    match error {
        Some(detail) => Err(Error::from_detail(format!("{topic}-{partition}"), detail)),
        None => Ok(ListedOffset {
            topic,
            partition,
            offset: Offset::new(offset),
            timestamp: timestamp_ms.map(Timestamp::from_millis),
            leader_epoch: leader_epoch.map(LeaderEpoch::new),
        }),
    }
}

pub(super) fn deleted(partition: v1::DeletedRecords) -> Result<Offset, Error> {
    let v1::DeletedRecords { partition, log_start_offset, error } = partition;
    match error {
        Some(detail) => Err(Error::from_detail(format!("partition {partition}"), detail)),
        None => Ok(Offset::new(log_start_offset)),
    }
}
