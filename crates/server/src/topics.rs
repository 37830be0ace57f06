//! The service `Topics`: create, see, grow, delete.

mod deletions;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ottla_node::admin::records::Deletion;
use ottla_node::admin::topics::{WantedLayout, WantedPartitions, WantedTopic};
use ottla_node::admin::{ChangeMode, ChangeOptions};
use ottla_node::coordination::metadata::{Image, Topic, TopicName, TopicSelector};
use ottla_node::record::{BrokerId, Offset, PartitionIndex};
use ottla_node::replication::Availability;
use ottla_node::{LookupError, TopicKey};
use ottla_rpc::v1;
use ottla_rpc::v1::topics_client::TopicsClient;
use ottla_rpc::v1::topics_server::Topics;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status};

use crate::calls::Method;
use crate::deadline::Deadline;
use crate::errors::{self, Failure};
use crate::front::Front;
use crate::peers;

/// How long the deletion of records waits where the client does not say.
const DEFAULT_TIMEOUT_MS: i32 = 30_000;

#[derive(Clone)]
pub(crate) struct TopicsService {
    front: Arc<Front>,
}

impl TopicsService {
    pub(crate) fn new(front: &Arc<Front>) -> Self {
        Self { front: Arc::clone(front) }
    }

    fn options(&self, deadline: Deadline, validate_only: bool) -> ChangeOptions {
        change_options(&self.front, deadline, validate_only)
    }
}

/// How a change is asked for that has no timeout of its own.
pub(crate) fn change_options(front: &Front, deadline: Deadline, validate_only: bool) -> ChangeOptions {
    ChangeOptions {
        mode: if validate_only { ChangeMode::Validate } else { ChangeMode::Commit },
        timeout: deadline.cap(front.node.settings().config.request_timeout),
    }
}

#[tonic::async_trait]
impl Topics for TopicsService {
    async fn create_topic(
        &self,
        request: Request<v1::CreateTopicRequest>,
    ) -> Result<Response<v1::CreateTopicResponse>, Status> {
        let options = self.options(Deadline::of(&request), request.get_ref().validate_only);
        let request = request.into_inner();
        // One that does not fit is no number of brokers either.
        let fitting = |factor| i16::try_from(factor).unwrap_or(if factor < 0 { i16::MIN } else { i16::MAX });
        let replication_factor = request.replication_factor.map(fitting);
        let wanted = WantedTopic {
            name: request.name.clone(),
            layout: WantedLayout::Placed { partitions: request.partitions, replication_factor },
            configs: request.configs.into_iter().map(|(name, value)| (name, Some(value))).collect(),
        };
        let outcomes = self.front.node.create_topics(vec![wanted], options).await;
        let outcome = outcomes.map_err(|error| errors::admin(&error).about(&request.name, None))?.pop();
        let created = outcome
            .ok_or_else(errors::mismatch)?
            .map_err(|error| errors::create_topic(&error).about(&request.name, None))?;
        Ok(Response::new(v1::CreateTopicResponse {
            topic_id: created.id.to_string(),
            partitions: count(created.partitions),
            replication_factor: count(created.replication_factor),
        }))
    }

    async fn delete_topic(
        &self,
        request: Request<v1::DeleteTopicRequest>,
    ) -> Result<Response<v1::DeleteTopicResponse>, Status> {
        let options = self.options(Deadline::of(&request), false);
        let name = request.into_inner().name;
        let outcomes = self.front.node.delete_topics(vec![TopicSelector::Name(name.clone())], options).await;
        let outcome = outcomes.map_err(|error| errors::admin(&error).about(&name, None))?.pop();
        let deleted = outcome
            .ok_or_else(errors::mismatch)?
            .map_err(|error| errors::delete_topic(&error).about(&name, None))?;
        Ok(Response::new(v1::DeleteTopicResponse { topic_id: deleted.id.to_string() }))
    }

    async fn list_topics(
        &self,
        request: Request<v1::ListTopicsRequest>,
    ) -> Result<Response<v1::ListTopicsResponse>, Status> {
        let include_internal = request.into_inner().include_internal;
        let image = self.front.node.image();
        let listed = image.topics().map(|topic| listing(topic));
        let topics = listed.filter(|topic| include_internal || !topic.internal).collect();
        Ok(Response::new(v1::ListTopicsResponse { topics }))
    }

    async fn describe_topic(
        &self,
        request: Request<v1::DescribeTopicRequest>,
    ) -> Result<Response<v1::DescribeTopicResponse>, Status> {
        let (handed_on, deadline) = (peers::is_handed_on(request.metadata()), Deadline::of(&request));
        let v1::DescribeTopicRequest { name, auto_create } = request.into_inner();
        let node = &self.front.node;
        let missing = node.image().topic(&name).is_none();
        if auto_create
            && missing
            && node.settings().config.topics.auto_create
            && TopicName::parse(&name).is_ok()
        {
            node.auto_create(&[&name]).await;
        }
        let image = node.image();
        let unknown = || errors::lookup(LookupError::UnknownTopicOrPartition).about(&name, None);
        let topic = image.topic(&name).ok_or_else(unknown)?;
        let mut partitions = partitions(&self.front, topic);
        if !handed_on {
            ask_leaders(&self.front, &name, &mut partitions, deadline).await;
        }
        Ok(Response::new(v1::DescribeTopicResponse {
            topic: Some(listing(topic)),
            partitions,
            configs: topic.configs().iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }))
    }

    async fn add_partitions(
        &self,
        request: Request<v1::AddPartitionsRequest>,
    ) -> Result<Response<v1::AddPartitionsResponse>, Status> {
        let options = self.options(Deadline::of(&request), request.get_ref().validate_only);
        let request = request.into_inner();
        let wanted =
            WantedPartitions { topic: request.topic.clone(), count: request.partitions, assignments: None };
        let outcomes = self.front.node.create_partitions(vec![wanted], options).await;
        let outcome = outcomes.map_err(|error| errors::admin(&error).about(&request.topic, None))?.pop();
        let partitions = outcome
            .ok_or_else(errors::mismatch)?
            .map_err(|error| errors::create_partitions(&error).about(&request.topic, None))?;
        Ok(Response::new(v1::AddPartitionsResponse { partitions: count(partitions) }))
    }

    async fn delete_records(
        &self,
        request: Request<v1::DeleteRecordsRequest>,
    ) -> Result<Response<v1::DeleteRecordsResponse>, Status> {
        let (deadline, method) = (Deadline::of(&request), Method::of(&request));
        let handed_on = peers::is_handed_on(request.metadata());
        let request = request.into_inner();
        let timeout_ms = request.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
        let timeout = u64::try_from(timeout_ms)
            .map_err(|_| errors::invalid(format!("timeout_ms {timeout_ms} is negative")))?;
        for deletion in &request.deletions {
            deletion_of(&request.topic, deletion)?;
        }
        let timeout = deadline.cap(Duration::from_millis(timeout));
        let deleted =
            deletions::delete(&self.front, handed_on, &request.topic, request.deletions, timeout).await;
        deleted.iter().filter_map(|deleted| deleted.error.as_ref()).for_each(|detail| method.error(detail));
        Ok(Response::new(v1::DeleteRecordsResponse { partitions: deleted }))
    }
}

fn deletion_of(topic: &str, deletion: &v1::RecordDeletion) -> Result<Deletion, Failure> {
    let partition = deletion.partition;
    let before = match deletion.before_offset {
        None => None,
        Some(offset) => Some(Offset::from_wire(offset).ok_or_else(|| {
            errors::invalid(format!("before_offset {offset} is negative")).about(topic, Some(partition))
        })?),
    };
    Ok(Deletion { topic: topic.to_owned(), partition, before })
}

fn listing(topic: &Topic) -> v1::TopicListing {
    v1::TopicListing {
        name: topic.name().as_str().to_owned(),
        topic_id: topic.id().to_string(),
        partitions: count(topic.partition_count()),
        replication_factor: count(topic.replication_factor()),
        internal: is_internal(topic.name().as_str()),
    }
}

fn partitions(front: &Front, topic: &Topic) -> Vec<v1::PartitionDescription> {
    let hosted = front.node.topics().topic(TopicKey::Id(topic.id())).ok().cloned();
    let describe =
        |(index, partition): (PartitionIndex, &Arc<ottla_node::coordination::metadata::Partition>)| {
            let host = hosted.as_ref().and_then(|hosted| hosted.partition(index.get()).ok());
            // Only the leader knows what consumers may read.
            let view = host.map(|host| host.view());
            let view = view.filter(|view| matches!(view.availability, Availability::Leading { .. }));
            v1::PartitionDescription {
                partition: index.get(),
                leader: partition.leader.map(BrokerId::get),
                leader_epoch: partition.leader_epoch.get(),
                replicas: partition.replicas.iter().map(|id| id.get()).collect(),
                in_sync_replicas: partition.isr.iter().map(|id| id.get()).collect(),
                log_start_offset: view.as_ref().map(|view| view.log_start.get()),
                high_watermark: view.as_ref().map(|view| view.high_watermark.get()),
                size_bytes: view.as_ref().map(|view| i64::try_from(view.size_bytes).unwrap_or(i64::MAX)),
            }
        };
    topic.partitions().map(describe).collect()
}

/// Fills in what only the leaders know, as far as they answer.
async fn ask_leaders(
    front: &Arc<Front>,
    topic: &str,
    partitions: &mut [v1::PartitionDescription],
    deadline: Deadline,
) {
    let own = front.node.id().get();
    let leaders: BTreeSet<i32> =
        partitions.iter().filter_map(|partition| partition.leader).filter(|leader| *leader != own).collect();
    let patience = Deadline::within(deadline.cap(front.node.settings().config.request_timeout));
    let mut asking = JoinSet::new();
    for leader in leaders {
        let Ok(way) = front.peers.way(&front.node.image(), BrokerId::new(leader)) else { continue };
        let request = v1::DescribeTopicRequest { name: topic.to_owned(), auto_create: false };
        let mut stub = TopicsClient::new(way.channel.clone()).max_decoding_message_size(usize::MAX);
        asking.spawn(async move {
            let described = stub.describe_topic(peers::hand_on(request, None, patience)).await;
            described.map(|described| described.into_inner().partitions).map_err(|status| (leader, status))
        });
    }
    for described in asking.join_all().await {
        match described {
            Ok(theirs) => {
                for told in theirs.into_iter().filter(|told| told.high_watermark.is_some()) {
                    if let Some(slot) = partitions.iter_mut().find(|slot| slot.partition == told.partition) {
                        (slot.log_start_offset, slot.high_watermark) =
                            (told.log_start_offset, told.high_watermark);
                        slot.size_bytes = told.size_bytes;
                    }
                }
            }
            // What they know is left out, as where there is no leader.
            Err((leader, status)) => {
                tracing::debug!(leader, %status, topic, "a leader did not describe its partitions")
            }
        }
    }
}

/// Topics that the cluster keeps for itself.
pub(crate) fn is_internal(topic: &str) -> bool {
    matches!(topic, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}

/// Topics that users made.
pub(crate) fn user_topics(image: &Image) -> impl Iterator<Item = &Arc<Topic>> {
    image.topics().filter(|topic| !is_internal(topic.name().as_str()))
}

pub(crate) fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
