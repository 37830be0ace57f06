//! Groups: which broker coordinates them, and what is asked of those that this broker coordinates.

use std::sync::{Arc, Weak};

use ottla_coordination::config::GroupConfig;
use ottla_coordination::group::request::{Delete, Describe, DescribeConsumer, List};
use ottla_coordination::group::{GroupId, Groups, Request, Response};
use ottla_coordination::metadata::{
    Command, CreateTopicError, CreateTopics, Layout, NewTopic, PlacementSeed,
};
use ottla_coordination::metadata::{Response as MetadataResponse, Topic};
use ottla_coordination::shard::{Event, ShardError};
use ottla_record::{BrokerId, PartitionIndex, TopicId};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use crate::coordinator::GroupMachine;
use crate::coordinator::internal_topics::CONSUMER_OFFSETS;
use crate::coordinator::session::Session;
use crate::coordinator::shard_host::ShardHost;
use crate::coordinator::shards::{Shards, Shared};
use crate::metrics::group_lag::GroupLags;
use crate::node::Node;

/// What a coordinator is looked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorKey<'a> {
    /// A group's id.
    Group(&'a str),
    /// A transactional id.
    Transaction(&'a str),
    /// A share group's partition.
    Share(&'a str),
}

/// Why no coordinator answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoordinatorError {
    /// There is none now; trying again helps.
    #[error("no coordinator is available now")]
    NotAvailable,
    /// It reads its partition; trying again helps.
    #[error("the coordinator is loading and cannot answer yet")]
    LoadInProgress,
    /// Another broker coordinates this, or nobody knows what became of the request: look for the coordinator again.
    #[error("this broker is not the coordinator")]
    NotCoordinator,
    /// It was not written in time (`offsets.commit.timeout.ms`). It may still be.
    #[error("the coordinator's records were not committed in time")]
    TimedOut,
    /// This version of Ottla has no such coordinator.
    #[error("this broker has no coordinator of that kind")]
    Unsupported,
}

impl From<ShardError> for CoordinatorError {
    fn from(error: ShardError) -> Self {
        match error {
            ShardError::LoadInProgress | ShardError::Busy => Self::LoadInProgress,
            _ => Self::NotCoordinator,
        }
    }
}

/// The group coordinator of this broker.
#[derive(Debug)]
pub(crate) struct GroupCoordinator {
    pub(crate) shards: Shards<GroupMachine>,
    pub(crate) lags: GroupLags,
    /// Held by who creates the topic.
    creating: tokio::sync::Mutex<()>,
}

impl GroupCoordinator {
    /// A coordinator without shards; call it inside the runtime that serves clients.
    pub(crate) fn new(
        own: BrokerId,
        config: &GroupConfig,
        images: tokio::sync::watch::Receiver<Arc<ottla_coordination::metadata::Image>>,
        clock: Arc<dyn crate::ports::Clock>,
    ) -> Self {
        let shared = Arc::new(Shared {
            clock,
            runtime: Handle::current(),
            timers: Default::default(),
            loads: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
            codec: config.topic.codec,
            load_buffer_bytes: config.load_buffer_bytes,
            metrics: Default::default(),
        });
        let settings = config.groups.clone();
        let make = move || Groups::new(settings.clone());
        Self {
            shards: Shards::new(CONSUMER_OFFSETS, own, images, shared, make),
            lags: GroupLags::default(),
            creating: Default::default(),
        }
    }

    /// Ticks shards when they are due, as long as the node serves.
    pub(crate) fn run_timer(&self, node: Weak<Node>) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shards.shared);
        async move {
            let hosts =
                || node.upgrade().filter(|node| !node.is_closing()).map(|node| node.groups.shards.all());
            shared.timers.run(Arc::clone(&shared.clock), hosts).await;
        }
    }
}

impl Node {
    /// The broker that coordinates something. Creates the topic of groups when it is asked for the first time.
    ///
    /// # Errors
    /// There is none now, or this version has none of that kind.
    pub async fn coordinator(&self, key: CoordinatorKey<'_>) -> Result<BrokerId, CoordinatorError> {
        let CoordinatorKey::Group(group) = key else { return Err(CoordinatorError::Unsupported) };
        let hung_up = self.hung_up().await;
        let topic = self.offsets_topic().await?;
        let partition =
            PartitionIndex::new(i32::try_from(partition_of(group, topic.partition_count())).unwrap_or(0));
        let leader = topic.partition(partition).and_then(|partition| partition.leader);
        let answers = |leader: &BrokerId| match *leader == self.id() {
            true => self.session().is_open(),
            false => !hung_up.contains(leader),
        };
        leader.filter(answers).ok_or(CoordinatorError::NotAvailable)
    }

    /// Asks the coordinator of a group. What names several groups asks each group's, and fails as a whole if one of them
    /// does; what names none asks all of this broker's.
    ///
    /// # Errors
    /// This broker does not coordinate the group now.
    pub async fn group(&self, request: Request) -> Result<Response, CoordinatorError> {
        match request {
            Request::List(request) => self.list_groups(request).await,
            Request::Describe(Describe { groups }) => {
                let mut described = Vec::with_capacity(groups.len());
                for group in groups {
                    let request = Request::Describe(Describe { groups: vec![group.clone()] });
                    if let Response::Describe(one) = self.ask(&group, request).await? {
                        described.extend(one);
                    }
                }
                Ok(Response::Describe(described))
            }
            Request::Delete(Delete { groups }) => {
                let mut deleted = Vec::with_capacity(groups.len());
                for group in groups {
                    let request = Request::Delete(Delete { groups: vec![group.clone()] });
                    if let Response::Delete(one) = self.ask(&group, request).await? {
                        deleted.extend(one);
                    }
                }
                Ok(Response::Delete(deleted))
            }
            Request::DescribeConsumer(DescribeConsumer { groups }) => {
                let mut described = Vec::with_capacity(groups.len());
                for group in groups {
                    let request = Request::DescribeConsumer(DescribeConsumer { groups: vec![group.clone()] });
                    if let Response::DescribeConsumer(one) = self.ask(&group, request).await? {
                        described.extend(one);
                    }
                }
                Ok(Response::DescribeConsumer(described))
            }
            request => match request.group().cloned() {
                Some(group) => self.ask(&group, request).await,
                None => Err(CoordinatorError::Unsupported),
            },
        }
    }

    async fn ask(&self, group: &GroupId, request: Request) -> Result<Response, CoordinatorError> {
        let shards = &self.groups.shards;
        let mut count = shards.partition_count();
        if count == 0 {
            self.offsets_topic().await?;
            count = shards.partition_count();
        }
        let at = partition_of(group.as_str(), count);
        let host = shards.of(at).ok_or(CoordinatorError::NotCoordinator)?;
        let session = self.session();
        if !session.is_open() {
            return Err(CoordinatorError::NotCoordinator);
        }
        let metrics = &shards.shared.metrics;
        metrics.asked(&request);
        let written =
            matches!(request, Request::CommitOffsets(_) | Request::DeleteOffsets(_) | Request::Delete(_));
        let answer = in_session(session, submit(&host, request));
        let response = if written {
            let timeout = self.settings.config.groups.commit_timeout;
            tokio::time::timeout(timeout, answer).await.map_err(|_| CoordinatorError::TimedOut)??
        } else {
            answer.await?
        };
        metrics.answered(&response);
        Ok(response)
    }

    async fn list_groups(&self, request: List) -> Result<Response, CoordinatorError> {
        let session = self.session();
        if !session.is_open() {
            return Err(CoordinatorError::NotAvailable);
        }
        let mut listed = Vec::new();
        for host in self.groups.shards.all() {
            match in_session(session, submit(&host, Request::List(request.clone()))).await {
                Ok(Response::List(groups)) => listed.extend(groups),
                // Its groups are another broker's to list.
                Ok(_) | Err(CoordinatorError::NotCoordinator) => {}
                Err(error) => return Err(error),
            }
        }
        // Half a list is none.
        session.is_open().then_some(Response::List(listed)).ok_or(CoordinatorError::NotAvailable)
    }

    /// This broker's session with the controller.
    pub(crate) fn session(&self) -> Session<'_> {
        Session::new(&*self.metadata, self.settings.config.sessions.session)
    }

    /// The topic that groups live in. The first who needs it creates it; the others wait.
    async fn offsets_topic(&self) -> Result<Arc<Topic>, CoordinatorError> {
        if let Some(topic) = self.image().topic(CONSUMER_OFFSETS) {
            return Ok(Arc::clone(topic));
        }
        let _turn = self.groups.creating.lock().await;
        if self.image().topic(CONSUMER_OFFSETS).is_none() {
            self.create_offsets_topic().await?;
        }
        self.image().topic(CONSUMER_OFFSETS).cloned().ok_or(CoordinatorError::NotAvailable)
    }

    async fn create_offsets_topic(&self) -> Result<(), CoordinatorError> {
        // The number of brokers may be another one than at the start.
        let config = self.settings.with_layers(&self.image(), GroupConfig::resolve);
        let topic = config.map_or_else(|_| self.settings.config.groups.topic.clone(), |config| config.topic);
        let configs = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", topic.segment_bytes.to_string()),
        ];
        let new = NewTopic {
            name: CONSUMER_OFFSETS.to_owned(),
            id: TopicId(self.random_uuid()),
            layout: Layout::Placed {
                partitions: topic.partitions,
                replication_factor: topic.replicas,
                seed: PlacementSeed(self.random_u64()),
            },
            configs: configs.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect(),
        };
        let created = self.propose(Command::CreateTopics(CreateTopics { topics: vec![new] })).await;
        let why = match created {
            Ok(MetadataResponse::CreateTopics(results)) => match results.into_iter().next() {
                Some(Ok(created)) => {
                    tracing::info!(
                        topic = CONSUMER_OFFSETS,
                        partitions = created.partitions,
                        "created on first use"
                    );
                    return Ok(());
                }
                // Another broker was faster.
                Some(Err(CreateTopicError::Exists(_))) => return Ok(()),
                Some(Err(error)) => error.to_string(),
                None => "no answer".to_owned(),
            },
            Ok(_) => "the answer does not fit the question".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            topic = CONSUMER_OFFSETS,
            why,
            "groups cannot be served, because their topic cannot be created; clients ask again, and if this goes on look at offsets.topic.replication.factor and the metadata quorum"
        );
        Err(CoordinatorError::NotAvailable)
    }
}

/// An answer, unless the session is over before it is there.
async fn in_session<T>(
    session: Session<'_>,
    answer: impl Future<Output = Result<T, CoordinatorError>>,
) -> Result<T, CoordinatorError> {
    tokio::select! {
        // Most answers are there at once, and then no timer is made.
        biased;
        answer = answer => if session.is_open() { answer } else { Err(CoordinatorError::NotCoordinator) },
        () = session.over() => Err(CoordinatorError::NotCoordinator),
    }
}

async fn submit(host: &Arc<ShardHost<GroupMachine>>, request: Request) -> Result<Response, CoordinatorError> {
    let (waiter, answer) = oneshot::channel();
    host.submit(Event::Request { waiter, request });
    // Dropped without an answer: the shard is gone.
    Ok(answer.await.map_err(|_| CoordinatorError::NotCoordinator)??)
}

/// The partition of a group: Kafka's, so that a directory of Kafka's stays valid. Java's `String.hashCode`, made positive.
fn partition_of(group: &str, partitions: usize) -> usize {
    let hash =
        group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // The absolute value of the smallest number is not a number; Kafka takes 0.
    let positive = hash.checked_abs().unwrap_or(0);
    usize::try_from(positive).unwrap_or(0).checked_rem(partitions).unwrap_or(0)
}

#[cfg(test)]
mod tests;
