//! Metadata: brokers, topics, leaders, and creation of topics on first use.

use std::sync::Arc;

use ottla_node::coordination::metadata::{Broker, Image, Partition, Topic, TopicName};
use ottla_node::coordinator::internal_topics::is_internal;
use ottla_record::{BrokerId, LeaderEpoch, PartitionIndex, TopicId, Uuid};
use ottla_wire::ErrorCode;
use ottla_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_wire::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use crate::authorized_operations;
use crate::dispatch::Call;

pub(crate) async fn metadata(call: Arc<Call>, request: MetadataRequest) -> MetadataResponse {
    let node = &call.front.node;
    let wanted = wanted(&call, &request);
    if let Some(wanted) = &wanted
        && request.allow_auto_topic_creation
    {
        create_missing(&call, wanted).await;
    }
    let hung_up = node.hung_up().await;
    let image = node.image();
    let seen =
        Seen { image: &image, hung_up: &hung_up, listener: &call.front.listener, version: call.version };
    let mut topics: Vec<_> = match wanted {
        None => image.topics().map(|topic| seen.topic(topic)).collect(),
        Some(wanted) => wanted.iter().map(|topic| seen.wanted(topic)).collect(),
    };
    if request.include_topic_authorized_operations {
        topics.iter_mut().for_each(|topic| topic.topic_authorized_operations = authorized_operations::TOPIC);
    }
    let mut response = MetadataResponse {
        brokers: brokers(node.listed_brokers(&image), &call.front.listener),
        cluster_id: image.cluster_id().map(|id| id.to_string()),
        controller_id: node.id().get(),
        topics,
        ..Default::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = authorized_operations::CLUSTER;
    }
    response
}

/// The topics asked for; `None` for all: null, or in version 0 an empty list.
fn wanted(call: &Call, request: &MetadataRequest) -> Option<Vec<MetadataRequestTopic>> {
    request.topics.clone().filter(|topics| call.version > 0 || !topics.is_empty())
}

/// Creates topics that do not exist yet (`auto.create.topics.enable`). Failures show as unknown topics; the client asks again.
async fn create_missing(call: &Call, wanted: &[MetadataRequestTopic]) {
    let node = &call.front.node;
    if !node.settings().config.topics.auto_create {
        return;
    }
    let image = node.image();
    let missing: Vec<&str> = wanted
        .iter()
        .filter_map(|topic| topic.name.as_deref())
        .filter(|name| image.topic(name).is_none() && TopicName::parse(name).is_ok())
        .collect();
    if !missing.is_empty() {
        node.auto_create(&missing).await;
    }
}

fn brokers<'a>(listed: impl Iterator<Item = &'a Arc<Broker>>, listener: &str) -> Vec<MetadataResponseBroker> {
    listed
        .filter_map(|broker| {
            let endpoint = broker.endpoint(listener)?;
            Some(MetadataResponseBroker {
                node_id: broker.id.get(),
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
            })
        })
        .collect()
}

/// The cluster as it is seen through a listener, by a client of some version.
struct Seen<'a> {
    image: &'a Image,
    /// Leaders to whom nobody should be sent.
    hung_up: &'a [BrokerId],
    listener: &'a str,
    version: i16,
}

/// Older clients are not told of replicas they cannot reach.
const UNREACHABLE_REPLICAS_FROM: i16 = 1;
/// Older clients do not know LISTENER_NOT_FOUND (KIP-302).
const LISTENER_NOT_FOUND_FROM: i16 = 6;

impl Seen<'_> {
    fn wanted(&self, wanted: &MetadataRequestTopic) -> MetadataResponseTopic {
        let found = match &wanted.name {
            Some(name) => self.image.topic(name),
            None => self.image.topic_by_id(TopicId(wanted.topic_id)),
        };
        if let Some(topic) = found {
            return self.topic(topic);
        }
        let error = match &wanted.name {
            None => ErrorCode::UNKNOWN_TOPIC_ID,
            Some(name) if TopicName::parse(name).is_err() => ErrorCode::INVALID_TOPIC_EXCEPTION,
            Some(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        let topic_id = if wanted.name.is_none() { wanted.topic_id } else { Uuid::ZERO };
        MetadataResponseTopic { error_code: error, name: wanted.name.clone(), topic_id, ..Default::default() }
    }

    fn topic(&self, topic: &Topic) -> MetadataResponseTopic {
        let name = topic.name().as_str();
        MetadataResponseTopic {
            name: Some(name.to_owned()),
            topic_id: topic.id().0,
            is_internal: is_internal(name),
            partitions: topic
                .partitions()
                .map(|(index, partition)| self.partition(index, partition))
                .collect(),
            ..Default::default()
        }
    }

    fn partition(&self, index: PartitionIndex, partition: &Partition) -> MetadataResponsePartition {
        let offline = offline(self.image, self.listener, &partition.replicas);
        let shown = |brokers: &[BrokerId]| -> Vec<i32> {
            let hides = self.version < UNREACHABLE_REPLICAS_FROM;
            let shown = brokers.iter().filter(|broker| !hides || !offline.contains(broker));
            shown.map(|broker| broker.get()).collect()
        };
        let (replica_nodes, isr_nodes) = (shown(&partition.replicas), shown(&partition.isr));
        let reached = partition.leader.filter(|leader| !offline.contains(leader));
        let leader = reached.filter(|leader| !self.hung_up.contains(leader));
        let error_code = match (leader, partition.leader) {
            (None, Some(_)) if reached.is_none() && self.version >= LISTENER_NOT_FOUND_FROM => {
                ErrorCode::LISTENER_NOT_FOUND
            }
            (None, _) => ErrorCode::LEADER_NOT_AVAILABLE,
            _ if replica_nodes.len() < partition.replicas.len() || isr_nodes.len() < partition.isr.len() => {
                ErrorCode::REPLICA_NOT_AVAILABLE
            }
            _ => ErrorCode::NONE,
        };
        MetadataResponsePartition {
            error_code,
            partition_index: index.get(),
            leader_id: BrokerId::to_wire(leader),
            leader_epoch: LeaderEpoch::to_wire(Some(partition.leader_epoch)),
            replica_nodes,
            isr_nodes,
            offline_replicas: raw(&offline),
        }
    }
}

/// The replicas that clients of a listener cannot reach now.
pub(crate) fn offline(image: &Image, listener: &str, replicas: &[BrokerId]) -> Vec<BrokerId> {
    let is_reached = |id: &BrokerId| {
        image.broker(*id).is_some_and(|broker| !broker.fenced && broker.endpoint(listener).is_some())
    };
    replicas.iter().copied().filter(|id| !is_reached(id)).collect()
}

pub(crate) fn raw(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|id| id.get()).collect()
}
