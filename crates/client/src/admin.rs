//! Administration: topics, configs, offsets, the cluster.

mod answers;
mod groups;
mod quorum;
mod rebalance;

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_record::Offset;
use ottla_rpc::v1;
use ottla_rpc::v1::cluster_client::ClusterClient;
use ottla_rpc::v1::configs_client::ConfigsClient;
use ottla_rpc::v1::log_client::LogClient;
use ottla_rpc::v1::topics_client::TopicsClient;

pub(crate) use answers::listed;
pub use answers::{
    BrokerInfo, Cluster, Config, ConfigSource, CreatedTopic, EndpointInfo, ListedOffset, LogDir, LogSize,
    PartitionInfo, TopicInfo, TopicListing,
};
pub use groups::{Group, GroupListing, GroupMember, GroupOffset, GroupProtocol, OffsetReset, ResetOutcome};
pub use quorum::{Quorum, QuorumMember};
pub use rebalance::{
    BrokerLoad, MovePlan, OngoingReassignment, PartitionOutcome, PlanKind, PlannedMove, Reassignment,
    StepLimit,
};

use crate::client::{Client, Repeat, with_deadline};
use crate::consumer::{Isolation, Start};
use crate::error::Error;

/// How much longer than the broker a caller waits, so that the broker's own word about its timeout arrives.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// Administration of a cluster, from [`Client::admin`]. Each call takes at most [`ClientBuilder::request_timeout`],
/// repetitions included; what changes something is repeated only if the attempt before surely did nothing.
///
/// [`ClientBuilder::request_timeout`]: crate::ClientBuilder::request_timeout
///
/// ```no_run
/// use ottla_client::NewTopic;
///
/// # async fn run(client: ottla_client::Client) -> Result<(), ottla_client::Error> {
/// let admin = client.admin();
/// admin.create_topic(NewTopic::named("orders").partitions(6).config("retention.ms", "3600000")).await?;
/// let topic = admin.describe_topic("orders").await?;
/// assert_eq!(topic.partitions.len(), 6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

/// A topic to create. What is not set is the broker's default.
///
/// ```
/// let topic = ottla_client::NewTopic::named("orders").partitions(6).replication_factor(1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    name: String,
    partitions: Option<i32>,
    replication_factor: Option<i32>,
    configs: BTreeMap<String, String>,
    validate_only: bool,
}

impl NewTopic {
    /// A topic with the broker's defaults.
    ///
    /// ```
    /// let topic = ottla_client::NewTopic::named("orders");
    /// ```
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            partitions: None,
            replication_factor: None,
            configs: BTreeMap::new(),
            validate_only: false,
        }
    }

    /// Number of partitions.
    ///
    /// ```
    /// let topic = ottla_client::NewTopic::named("orders").partitions(6);
    /// ```
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Number of replicas of each partition.
    ///
    /// ```
    /// let topic = ottla_client::NewTopic::named("orders").replication_factor(3);
    /// ```
    #[must_use]
    pub fn replication_factor(mut self, replicas: i32) -> Self {
        self.replication_factor = Some(replicas);
        self
    }

    /// Sets one config, by Kafka's name.
    ///
    /// ```
    /// let topic = ottla_client::NewTopic::named("customers").config("cleanup.policy", "compact");
    /// ```
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(name.into(), value.into());
        self
    }

    /// Checks everything and creates nothing.
    ///
    /// ```
    /// let trial = ottla_client::NewTopic::named("orders").partitions(6).validate_only();
    /// ```
    #[must_use]
    pub fn validate_only(mut self) -> Self {
        self.validate_only = true;
        self
    }
}

/// What has configs.
///
/// ```
/// use ottla_client::ConfigResource;
///
/// let resource = ConfigResource::Topic("orders".into());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// One broker.
    Broker(i32),
    /// All brokers: the cluster's defaults.
    AllBrokers,
    /// A consumer group.
    Group(String),
}

impl ConfigResource {
    fn to_v1(&self) -> v1::ConfigResource {
        use v1::config_resource::Of;
        let of = match self {
            Self::Topic(name) => Of::Topic(name.clone()),
            Self::Broker(id) => Of::Broker(*id),
            Self::AllBrokers => Of::AllBrokers(v1::AllBrokers {}),
            Self::Group(name) => Of::Group(name.clone()),
        };
        v1::ConfigResource { of: Some(of) }
    }
}

/// Changes to the configs of one resource: all of them happen, or none.
///
/// ```
/// let changes = ottla_client::ConfigChanges::new().set("retention.ms", "60000").remove("segment.bytes");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigChanges {
    set: BTreeMap<String, String>,
    remove: Vec<String>,
    validate_only: bool,
}

impl ConfigChanges {
    /// No changes yet.
    ///
    /// ```
    /// let changes = ottla_client::ConfigChanges::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a config.
    ///
    /// ```
    /// let changes = ottla_client::ConfigChanges::new().set("retention.ms", "60000");
    /// ```
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set.insert(name.into(), value.into());
        self
    }

    /// Removes a config, so that the next source of its value counts again.
    ///
    /// ```
    /// let changes = ottla_client::ConfigChanges::new().remove("retention.ms");
    /// ```
    #[must_use]
    pub fn remove(mut self, name: impl Into<String>) -> Self {
        self.remove.push(name.into());
        self
    }

    /// Checks everything and changes nothing.
    ///
    /// ```
    /// let trial = ottla_client::ConfigChanges::new().set("retention.ms", "60000").validate_only();
    /// ```
    #[must_use]
    pub fn validate_only(mut self) -> Self {
        self.validate_only = true;
        self
    }
}

impl Admin {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_CONFIG.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let created = admin.create_topic(ottla_client::NewTopic::named("orders").partitions(6)).await?;
    /// println!("created {} with {} partitions", created.topic_id, created.partitions);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_topic(&self, topic: NewTopic) -> Result<CreatedTopic, Error> {
        let NewTopic { name, partitions, replication_factor, configs, validate_only } = topic;
        let request = v1::CreateTopicRequest { name, partitions, replication_factor, configs, validate_only };
        let answer = self.client.call("creating a topic", Repeat::UnlessDone, |channel| {
            let request = self.with_deadline(request.clone());
            async { TopicsClient::new(channel).create_topic(request).await }
        });
        answer.await.map(CreatedTopic::from)
    }

    /// Deletes a topic and all its records. Returns its id.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, TOPIC_DELETION_DISABLED.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// admin.delete_topic("orders").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_topic(&self, name: &str) -> Result<String, Error> {
        let request = v1::DeleteTopicRequest { name: name.to_owned() };
        let answer = self.client.call("deleting a topic", Repeat::UnlessDone, |channel| {
            let request = self.with_deadline(request.clone());
            async { TopicsClient::new(channel).delete_topic(request).await }
        });
        answer.await.map(|answer| answer.topic_id)
    }

    /// All topics, by name, but for those that the cluster keeps for itself.
    ///
    /// # Errors
    /// None of its own.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let names: Vec<String> = admin.list_topics().await?.into_iter().map(|topic| topic.name).collect();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_topics(&self) -> Result<Vec<TopicListing>, Error> {
        self.topics(false).await
    }

    /// All topics, also those that the cluster keeps for itself, such as `__consumer_offsets`.
    ///
    /// # Errors
    /// None of its own.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let internal = admin.list_all_topics().await?.into_iter().filter(|topic| topic.internal).count();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_all_topics(&self) -> Result<Vec<TopicListing>, Error> {
        self.topics(true).await
    }

    async fn topics(&self, include_internal: bool) -> Result<Vec<TopicListing>, Error> {
        let answer = self.client.call("listing topics", Repeat::Harmless, |channel| {
            let request = self.with_deadline(v1::ListTopicsRequest { include_internal });
            async { TopicsClient::new(channel).list_topics(request).await }
        });
        Ok(answer.await?.topics.into_iter().map(TopicListing::from).collect())
    }

    /// One topic with its partitions and its own configs.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// for partition in admin.describe_topic("orders").await?.partitions {
    ///     println!("{}: led by {:?}, ends at {:?}", partition.partition, partition.leader, partition.high_watermark);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn describe_topic(&self, name: &str) -> Result<TopicInfo, Error> {
        let answer = self.client.call("describing a topic", Repeat::Harmless, |channel| {
            let request = v1::DescribeTopicRequest { name: name.to_owned(), auto_create: false };
            let request = self.with_deadline(request);
            async { TopicsClient::new(channel).describe_topic(request).await }
        });
        TopicInfo::try_from(answer.await?)
    }

    /// Adds partitions, so that the topic has so many in all. Keys then belong to other partitions than before.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION; INVALID_PARTITIONS if the topic has as many already: partitions only grow.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// admin.add_partitions("orders", 12).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn add_partitions(&self, topic: &str, in_all: i32) -> Result<i32, Error> {
        self.partitions(topic, in_all, false).await
    }

    /// Checks whether [`add_partitions`](Self::add_partitions) would succeed, and adds none.
    ///
    /// # Errors
    /// Those of [`add_partitions`](Self::add_partitions).
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// admin.check_add_partitions("orders", 12).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check_add_partitions(&self, topic: &str, in_all: i32) -> Result<(), Error> {
        self.partitions(topic, in_all, true).await.map(|_| ())
    }

    async fn partitions(&self, topic: &str, in_all: i32, validate_only: bool) -> Result<i32, Error> {
        let answer = self.client.call("adding partitions", Repeat::UnlessDone, |channel| {
            let request =
                v1::AddPartitionsRequest { topic: topic.to_owned(), partitions: in_all, validate_only };
            let request = self.with_deadline(request);
            async { TopicsClient::new(channel).add_partitions(request).await }
        });
        answer.await.map(|answer| answer.partitions)
    }

    /// Deletes the records of partitions below an offset each; `None` deletes all that consumers may read. Answers, in
    /// the order of the request, with the first offset each log still holds, when they are gone for good.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION, POLICY_VIOLATION, of each partition alone.
    ///
    /// ```no_run
    /// use ottla_client::Offset;
    ///
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let starts = admin.delete_records("orders", &[(0, Some(Offset::new(1_000))), (1, None)]).await?;
    /// for start in starts {
    ///     println!("the log now begins at {}", start?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_records(
        &self,
        topic: &str,
        before: &[(i32, Option<Offset>)],
    ) -> Result<Vec<Result<Offset, Error>>, Error> {
        let deletions = before.iter().map(|(partition, before)| v1::RecordDeletion {
            partition: *partition,
            before_offset: before.map(Offset::get),
        });
        let waits = self.client.request_timeout().saturating_sub(ANSWER_MARGIN).max(Duration::from_millis(1));
        let request = v1::DeleteRecordsRequest {
            topic: topic.to_owned(),
            deletions: deletions.collect(),
            timeout_ms: Some(i32::try_from(waits.as_millis()).unwrap_or(i32::MAX)),
        };
        let answer = self.client.call("deleting records", Repeat::Harmless, |channel| {
            let request = self.with_deadline(request.clone());
            async { TopicsClient::new(channel).delete_records(request).await }
        });
        Ok(answer.await?.partitions.into_iter().map(answers::deleted).collect())
    }

    /// The configs of a resource with their values and where those come from, by name. With `names`, only those.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION and the like, if there is no such resource.
    ///
    /// ```no_run
    /// use ottla_client::ConfigResource;
    ///
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let topic = ConfigResource::Topic("orders".into());
    /// for config in admin.describe_configs(&topic, &["retention.ms"]).await? {
    ///     println!("{} = {:?} ({:?})", config.name, config.value, config.source);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn describe_configs(&self, of: &ConfigResource, names: &[&str]) -> Result<Vec<Config>, Error> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let answer = self.client.call("describing configs", Repeat::Harmless, |channel| {
            let request = v1::DescribeConfigsRequest { resource: Some(of.to_v1()), names: names.clone() };
            let request = self.with_deadline(request);
            async { ConfigsClient::new(channel).describe_configs(request).await }
        });
        Ok(answer.await?.configs.into_iter().map(Config::from).collect())
    }

    /// Changes configs of a resource; all of it or nothing.
    ///
    /// # Errors
    /// INVALID_CONFIG names the config, its value, and what is allowed.
    ///
    /// ```no_run
    /// use ottla_client::{ConfigChanges, ConfigResource};
    ///
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let topic = ConfigResource::Topic("orders".into());
    /// admin.alter_configs(&topic, ConfigChanges::new().set("retention.ms", "60000")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn alter_configs(&self, of: &ConfigResource, changes: ConfigChanges) -> Result<(), Error> {
        let ConfigChanges { set, remove, validate_only } = changes;
        let request = v1::AlterConfigsRequest { resource: Some(of.to_v1()), set, remove, validate_only };
        // Setting a value twice is setting it once.
        let answer = self.client.call("altering configs", Repeat::Harmless, |channel| {
            let request = self.with_deadline(request.clone());
            async { ConfigsClient::new(channel).alter_configs(request).await }
        });
        answer.await.map(|_| ())
    }

    /// The brokers, the controller, and how many partitions something is wrong with.
    ///
    /// # Errors
    /// None of its own.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let cluster = admin.describe_cluster().await?;
    /// println!("{} brokers, {} topics", cluster.brokers.len(), cluster.topics);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn describe_cluster(&self) -> Result<Cluster, Error> {
        let answer = self.client.call("describing the cluster", Repeat::Harmless, |channel| {
            let request = self.with_deadline(v1::DescribeClusterRequest {});
            async { ClusterClient::new(channel).describe_cluster(request).await }
        });
        answer.await.map(Cluster::from)
    }

    /// The space of the answering broker's data directory, and what takes it. Without topics, those of all.
    ///
    /// # Errors
    /// None of its own.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let dir = admin.describe_log_dir(&["orders"]).await?;
    /// println!("{}: {} of {} bytes are free", dir.path, dir.free_bytes, dir.total_bytes);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn describe_log_dir(&self, topics: &[&str]) -> Result<LogDir, Error> {
        let topics: Vec<String> = topics.iter().map(|&topic| topic.to_owned()).collect();
        let answer = self.client.call("describing the log directory", Repeat::Harmless, |channel| {
            let request = self.with_deadline(v1::DescribeLogDirsRequest { topics: topics.clone() });
            async { ClusterClient::new(channel).describe_log_dirs(request).await }
        });
        answer.await.map(LogDir::from)
    }

    /// Turns timestamps and landmarks into offsets: for each place, in the order of the request, its offset. The
    /// isolation decides what [`Start::Latest`] means.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, OFFSET_NOT_AVAILABLE, of each partition alone.
    ///
    /// ```no_run
    /// use ottla_client::{Isolation, Start, Timestamp};
    ///
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let noon = Start::At(Timestamp::from_millis(1_700_000_000_000));
    /// let places = [("orders", 0, noon), ("orders", 0, Start::Latest)];
    /// for offset in admin.list_offsets(&places, Isolation::ReadUncommitted).await? {
    ///     println!("{}", offset?.offset);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_offsets(
        &self,
        places: &[(&str, i32, Start)],
        isolation: Isolation,
    ) -> Result<Vec<Result<ListedOffset, Error>>, Error> {
        let partitions: Vec<_> =
            places.iter().map(|(topic, partition, start)| start.to_v1(topic, *partition)).collect();
        let request = v1::ListOffsetsRequest { partitions, isolation: isolation.to_v1().into() };
        let answer = self.client.call("listing offsets", Repeat::Harmless, |channel| {
            let request = self.with_deadline(request.clone());
            async { LogClient::new(channel).list_offsets(request).await }
        });
        let offsets = answer.await?.offsets;
        if offsets.len() != places.len() {
            return Err(Error::Protocol(format!("{} offsets for {} places", offsets.len(), places.len())));
        }
        Ok(offsets.into_iter().map(answers::listed).collect())
    }

    fn with_deadline<T>(&self, message: T) -> tonic::Request<T> {
        with_deadline(message, self.client.request_timeout())
    }
}
