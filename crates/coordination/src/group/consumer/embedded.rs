//! What consumers of the classic protocol put into JoinGroup and find in SyncGroup: their subscription and their assignment, by topic names.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ottla_record::{PartitionIndex, TopicId};
use ottla_wire::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, consumer_protocol_assignment as assignment_wire,
};
use ottla_wire::records::{decode_consumer_protocol, encode_versioned};

use super::admission::sorted;
use crate::group::request::{Protocol, TopicPartitions};
use crate::metadata::Image;

/// Kafka's name of the kind of group whose members' metadata the coordinator can read.
pub(super) const CONSUMER: &str = "consumer";

/// The newest version of an assignment.
const NEWEST: i16 = 3;

/// What a classic member subscribes to.
pub(super) struct Subscription {
    /// The topics, ascending.
    pub(super) topics: Vec<Arc<str>>,
    /// What it holds, of topics that exist.
    pub(super) owned: Vec<TopicPartitions>,
    /// The rack it stands in.
    pub(super) rack: Option<Arc<str>>,
}

/// Reads the subscription of the strategy that a member likes best. All its strategies have the same topics. `None` if it cannot be read.
pub(super) fn subscription(protocols: &[Protocol], image: &Image) -> Option<Subscription> {
    let metadata = protocols.first()?.metadata.clone();
    let read: ConsumerProtocolSubscription = decode_consumer_protocol(metadata).ok()?;
    let owned = read.owned_partitions.into_iter().map(|topic| (topic.topic, topic.partitions));
    Some(Subscription {
        topics: sorted(&read.topics.into_iter().map(Arc::from).collect::<Vec<_>>()),
        owned: by_id(owned, image),
        rack: read.rack_id.filter(|rack| !rack.is_empty()).map(Arc::from),
    })
}

/// What a classic member was assigned.
pub(super) enum Assigned {
    /// These partitions, of topics that exist.
    Partitions(Vec<TopicPartitions>),
    /// With data of the assignor's own, which would be lost.
    Custom,
    /// It cannot be read.
    Malformed,
}

/// Reads an assignment of the classic protocol; the empty one is of a member that never asked for it.
pub(super) fn assigned(assignment: &Bytes, image: &Image) -> Assigned {
    if assignment.is_empty() {
        return Assigned::Partitions(Vec::new());
    }
    match decode_consumer_protocol::<ConsumerProtocolAssignment>(assignment.clone()) {
        Err(_) => Assigned::Malformed,
        Ok(read) if read.user_data.as_ref().is_some_and(|data| !data.is_empty()) => Assigned::Custom,
        Ok(read) => {
            let topics = read.assigned_partitions.into_iter().map(|topic| (topic.topic, topic.partitions));
            Assigned::Partitions(by_id(topics, image))
        }
    }
}

/// Writes an assignment in the version in which the member wrote its subscription. Topics that are gone are left out.
pub(super) fn assignment(
    partitions: impl Iterator<Item = (TopicId, PartitionIndex)>,
    protocols: &[Protocol],
    image: &Image,
) -> Bytes {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        if let Some(topic) = image.topic_by_id(topic) {
            topics.entry(topic.name().as_str()).or_default().push(partition.get());
        }
    }
    let topic = |(topic, partitions): (&str, Vec<i32>)| assignment_wire::TopicPartition {
        topic: topic.to_owned(),
        partitions,
    };
    let assigned_partitions = topics.into_iter().map(topic).collect();
    let message = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
    let version = match protocols.first().map(|protocol| &*protocol.metadata) {
        Some([high, low, ..]) => i16::from_be_bytes([*high, *low]).clamp(0, NEWEST),
        _ => 0,
    };
    // Topic names have at most 249 bytes: nothing in it can be too long.
    encode_versioned(&message, version).unwrap_or_default()
}

fn by_id(topics: impl Iterator<Item = (String, Vec<i32>)>, image: &Image) -> Vec<TopicPartitions> {
    let known = topics.filter_map(|(name, partitions)| {
        let topic = image.topic(&name)?.id();
        Some(TopicPartitions { topic, partitions: partitions.into_iter().map(PartitionIndex::new).collect() })
    });
    known.collect()
}
