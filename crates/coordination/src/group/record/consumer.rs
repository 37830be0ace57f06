//! The seven records of consumer-protocol groups (KIP-848): each part of a group changes by itself.

use std::sync::Arc;

use bytes::Bytes;
use ottla_record::{PartitionIndex, Timestamp, TopicId};
use ottla_wire::messages::{
    ConsumerGroupCurrentMemberAssignmentKey as CurrentKey,
    ConsumerGroupCurrentMemberAssignmentValue as CurrentValue, ConsumerGroupMemberMetadataKey as MemberKey,
    ConsumerGroupMemberMetadataValue as MemberValue, ConsumerGroupMetadataKey as GroupKey,
    ConsumerGroupMetadataValue as GroupValue, ConsumerGroupPartitionMetadataKey as PartitionsKey,
    ConsumerGroupPartitionMetadataValue as PartitionsValue, ConsumerGroupRegularExpressionKey as RegexKey,
    ConsumerGroupRegularExpressionValue as RegexValue, ConsumerGroupTargetAssignmentMemberKey as TargetKey,
    ConsumerGroupTargetAssignmentMemberValue as TargetValue,
    ConsumerGroupTargetAssignmentMetadataKey as TargetEpochKey,
    ConsumerGroupTargetAssignmentMetadataValue as TargetEpochWire,
    consumer_group_current_member_assignment_value as current_value,
    consumer_group_member_metadata_value as member_value,
    consumer_group_partition_metadata_value as partitions_value,
    consumer_group_target_assignment_member_value as target_value,
};
use ottla_wire::records::GroupRecord;

use super::Record;
use crate::group::ids::{GroupEpoch, GroupId, InstanceId, MemberEpoch, MemberId};
use crate::group::request::{Protocol, TopicPartitions};

/// The epoch of a consumer-protocol group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupValue {
    /// The epoch.
    pub epoch: GroupEpoch,
    /// A digest of the topics the group reads: when it differs, the topics changed (KIP-1101).
    pub metadata_hash: i64,
}

/// A topic as an older Kafka remembered it for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadataTopic {
    /// The topic.
    pub topic: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// Number of partitions.
    pub partitions: i32,
    /// Racks of each partition's replicas.
    pub racks: Vec<(PartitionIndex, Vec<Arc<str>>)>,
}

/// What a member said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMemberValue {
    /// Its name, if it is a static member.
    pub instance: Option<InstanceId>,
    /// The rack it stands in.
    pub rack: Option<Arc<str>>,
    /// What its client calls itself.
    pub client_id: Arc<str>,
    /// Its address.
    pub client_host: Arc<str>,
    /// The topics it asked for by name.
    pub topics: Vec<Arc<str>>,
    /// The pattern it asked for.
    pub regex: Option<Arc<str>>,
    /// Milliseconds it may take to give up partitions.
    pub rebalance_timeout_ms: i32,
    /// The strategy it asked for.
    pub assignor: Option<Arc<str>>,
    /// For a member that speaks the classic protocol.
    pub classic: Option<ClassicMemberMetadata>,
}

/// What JoinGroup said of a member that speaks the classic protocol in a consumer-protocol group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberMetadata {
    /// Milliseconds of silence after which it is no longer a member.
    pub session_timeout_ms: i32,
    /// Its strategies.
    pub protocols: Vec<Protocol>,
}

/// The epoch of a target assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetEpochValue {
    /// The epoch.
    pub epoch: GroupEpoch,
    /// When it was computed, if known.
    pub assigned_at: Option<Timestamp>,
}

/// How far a member is on its way to its target assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberState {
    /// It holds what it shall.
    Stable,
    /// It must give up partitions first.
    UnrevokedPartitions,
    /// Others must give up partitions first.
    UnreleasedPartitions,
    /// A state of a newer Kafka.
    Unknown,
}

/// What a member holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentAssignmentValue {
    /// Its epoch.
    pub epoch: MemberEpoch,
    /// The epoch before, should the member have missed the answer that raised it.
    pub previous_epoch: MemberEpoch,
    /// Its state.
    pub state: MemberState,
    /// What it holds.
    pub assigned: Vec<AssignedPartitions>,
    /// What it has been told to give up.
    pub pending_revocation: Vec<AssignedPartitions>,
}

/// Partitions of one topic that a member holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPartitions {
    /// The topic.
    pub topic: TopicId,
    /// Its partitions.
    pub partitions: Vec<PartitionIndex>,
    /// For each the epoch at which the member got it; `None` if not known.
    pub epochs: Option<Vec<i32>>,
}

/// The topics that a pattern matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegularExpressionValue {
    /// Their names.
    pub topics: Vec<Arc<str>>,
    /// Version of the cluster's metadata they were looked up in.
    pub version: i64,
    /// When.
    pub matched_at: Timestamp,
}

impl ConsumerMemberValue {
    /// About how many bytes it takes; more rather than fewer.
    pub(super) fn weight(&self) -> usize {
        let shared = [&self.rack, &self.regex, &self.assignor].into_iter().flatten();
        let texts = shared.chain(&self.topics).chain([&self.client_id, &self.client_host]);
        let protocols = self.classic.iter().flat_map(|classic| &classic.protocols);
        64 + texts.map(|text| 3 + text.len()).sum::<usize>()
            + self.instance.as_ref().map_or(0, |name| name.as_str().len())
            + protocols.map(|known| 10 + known.name.len() + known.metadata.len()).sum::<usize>()
    }
}

impl CurrentAssignmentValue {
    /// About how many bytes it takes; more rather than fewer.
    pub(super) fn weight(&self) -> usize {
        let topics = self.assigned.iter().chain(&self.pending_revocation);
        32 + topics.map(|topic| 40 + 8 * topic.partitions.len()).sum::<usize>()
    }
}

pub(super) fn group_to_wire(group: &GroupId, value: Option<&ConsumerGroupValue>) -> GroupRecord {
    GroupRecord::ConsumerGroupMetadata(
        GroupKey { group_id: text(group.text()) },
        value.map(|value| GroupValue { epoch: value.epoch.get(), metadata_hash: value.metadata_hash }),
    )
}

pub(super) fn group(key: GroupKey, value: Option<GroupValue>) -> Record {
    Record::ConsumerGroup {
        group: GroupId::new(key.group_id),
        value: value.map(|value| ConsumerGroupValue {
            epoch: GroupEpoch::new(value.epoch),
            metadata_hash: value.metadata_hash,
        }),
    }
}

pub(super) fn partitions_to_wire(group: &GroupId, value: Option<&[PartitionMetadataTopic]>) -> GroupRecord {
    let topic = |topic: &PartitionMetadataTopic| partitions_value::TopicMetadata {
        topic_id: topic.topic.0,
        topic_name: text(&topic.name),
        num_partitions: topic.partitions,
        partition_metadata: topic
            .racks
            .iter()
            .map(|(partition, racks)| partitions_value::PartitionMetadata {
                partition: partition.get(),
                racks: texts(racks),
            })
            .collect(),
    };
    GroupRecord::ConsumerGroupPartitionMetadata(
        PartitionsKey { group_id: text(group.text()) },
        value.map(|topics| PartitionsValue { topics: topics.iter().map(topic).collect() }),
    )
}

pub(super) fn partitions(key: PartitionsKey, value: Option<PartitionsValue>) -> Record {
    let topic = |topic: partitions_value::TopicMetadata| PartitionMetadataTopic {
        topic: TopicId(topic.topic_id),
        name: topic.topic_name.into(),
        partitions: topic.num_partitions,
        racks: topic
            .partition_metadata
            .into_iter()
            .map(|partition| (PartitionIndex::new(partition.partition), shared(partition.racks)))
            .collect(),
    };
    Record::ConsumerPartitionMetadata {
        group: GroupId::new(key.group_id),
        value: value.map(|value| value.topics.into_iter().map(topic).collect()),
    }
}

pub(super) fn member_to_wire(
    group: &GroupId,
    member: &MemberId,
    value: Option<&ConsumerMemberValue>,
) -> GroupRecord {
    let classic = |classic: &ClassicMemberMetadata| member_value::ClassicMemberMetadata {
        session_timeout_ms: classic.session_timeout_ms,
        supported_protocols: classic
            .protocols
            .iter()
            .map(|protocol| member_value::ClassicProtocol {
                name: text(&protocol.name),
                metadata: protocol.metadata.clone(),
            })
            .collect(),
    };
    GroupRecord::ConsumerGroupMemberMetadata(
        MemberKey { group_id: text(group.text()), member_id: text(member.text()) },
        value.map(|value| MemberValue {
            instance_id: value.instance.as_ref().map(|instance| text(instance.text())),
            rack_id: value.rack.as_ref().map(text),
            client_id: text(&value.client_id),
            client_host: text(&value.client_host),
            subscribed_topic_names: texts(&value.topics),
            subscribed_topic_regex: value.regex.as_ref().map(text),
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            server_assignor: value.assignor.as_ref().map(text),
            classic_member_metadata: value.classic.as_ref().map(classic),
        }),
    )
}

pub(super) fn member(key: MemberKey, value: Option<MemberValue>) -> Record {
    let classic = |classic: member_value::ClassicMemberMetadata| ClassicMemberMetadata {
        session_timeout_ms: classic.session_timeout_ms,
        protocols: classic
            .supported_protocols
            .into_iter()
            .map(|protocol| Protocol {
                name: protocol.name.into(),
                // What was read is part of a whole fetch: a copy lets go of it.
                metadata: Bytes::copy_from_slice(&protocol.metadata),
            })
            .collect(),
    };
    Record::ConsumerMember {
        group: GroupId::new(key.group_id),
        member: MemberId::new(key.member_id),
        value: value.map(|value| ConsumerMemberValue {
            instance: value.instance_id.map(InstanceId::new),
            rack: value.rack_id.map(Into::into),
            client_id: value.client_id.into(),
            client_host: value.client_host.into(),
            topics: shared(value.subscribed_topic_names),
            regex: value.subscribed_topic_regex.map(Into::into),
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            assignor: value.server_assignor.map(Into::into),
            classic: value.classic_member_metadata.map(classic),
        }),
    }
}

pub(super) fn target_epoch_to_wire(group: &GroupId, value: Option<&TargetEpochValue>) -> GroupRecord {
    GroupRecord::ConsumerGroupTargetAssignmentMetadata(
        TargetEpochKey { group_id: text(group.text()) },
        value.map(|value| TargetEpochWire {
            assignment_epoch: value.epoch.get(),
            assignment_timestamp: value.assigned_at.map_or(0, Timestamp::millis),
        }),
    )
}

pub(super) fn target_epoch(key: TargetEpochKey, value: Option<TargetEpochWire>) -> Record {
    Record::TargetEpoch {
        group: GroupId::new(key.group_id),
        value: value.map(|value| TargetEpochValue {
            epoch: GroupEpoch::new(value.assignment_epoch),
            assigned_at: Some(value.assignment_timestamp)
                .filter(|millis| *millis > 0)
                .map(Timestamp::from_millis),
        }),
    }
}

pub(super) fn target_to_wire(
    group: &GroupId,
    member: &MemberId,
    value: Option<&[TopicPartitions]>,
) -> GroupRecord {
    let topic = |topic: &TopicPartitions| target_value::TopicPartition {
        topic_id: topic.topic.0,
        partitions: numbers(&topic.partitions),
    };
    GroupRecord::ConsumerGroupTargetAssignmentMember(
        TargetKey { group_id: text(group.text()), member_id: text(member.text()) },
        value.map(|topics| TargetValue { topic_partitions: topics.iter().map(topic).collect() }),
    )
}

pub(super) fn target(key: TargetKey, value: Option<TargetValue>) -> Record {
    let topic = |topic: target_value::TopicPartition| TopicPartitions {
        topic: TopicId(topic.topic_id),
        partitions: indexes(topic.partitions),
    };
    Record::TargetAssignment {
        group: GroupId::new(key.group_id),
        member: MemberId::new(key.member_id),
        value: value.map(|value| value.topic_partitions.into_iter().map(topic).collect()),
    }
}

pub(super) fn current_to_wire(
    group: &GroupId,
    member: &MemberId,
    value: Option<&CurrentAssignmentValue>,
) -> GroupRecord {
    let topic = |topic: &AssignedPartitions| current_value::TopicPartitions {
        topic_id: topic.topic.0,
        partitions: numbers(&topic.partitions),
        assignment_epochs: topic.epochs.clone(),
    };
    GroupRecord::ConsumerGroupCurrentMemberAssignment(
        CurrentKey { group_id: text(group.text()), member_id: text(member.text()) },
        value.map(|value| CurrentValue {
            member_epoch: value.epoch.get(),
            previous_member_epoch: value.previous_epoch.get(),
            state: value.state.to_wire(),
            assigned_partitions: value.assigned.iter().map(topic).collect(),
            partitions_pending_revocation: value.pending_revocation.iter().map(topic).collect(),
        }),
    )
}

pub(super) fn current(key: CurrentKey, value: Option<CurrentValue>) -> Record {
    let topic = |topic: current_value::TopicPartitions| AssignedPartitions {
        topic: TopicId(topic.topic_id),
        partitions: indexes(topic.partitions),
        epochs: topic.assignment_epochs,
    };
    Record::CurrentAssignment {
        group: GroupId::new(key.group_id),
        member: MemberId::new(key.member_id),
        value: value.map(|value| CurrentAssignmentValue {
            epoch: MemberEpoch::new(value.member_epoch),
            previous_epoch: MemberEpoch::new(value.previous_member_epoch),
            state: MemberState::from_wire(value.state),
            assigned: value.assigned_partitions.into_iter().map(topic).collect(),
            pending_revocation: value.partitions_pending_revocation.into_iter().map(topic).collect(),
        }),
    }
}

pub(super) fn regex_to_wire(
    group: &GroupId,
    regex: &Arc<str>,
    value: Option<&RegularExpressionValue>,
) -> GroupRecord {
    GroupRecord::ConsumerGroupRegularExpression(
        RegexKey { group_id: text(group.text()), regular_expression: text(regex) },
        value.map(|value| RegexValue {
            topics: texts(&value.topics),
            version: value.version,
            timestamp: value.matched_at.millis(),
        }),
    )
}

pub(super) fn regex(key: RegexKey, value: Option<RegexValue>) -> Record {
    Record::RegularExpression {
        group: GroupId::new(key.group_id),
        regex: key.regular_expression.into(),
        value: value.map(|value| RegularExpressionValue {
            topics: shared(value.topics),
            version: value.version,
            matched_at: Timestamp::from_millis(value.timestamp),
        }),
    }
}

impl MemberState {
    const fn to_wire(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }

    const fn from_wire(number: i8) -> Self {
        match number {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }
}

fn text(shared: &Arc<str>) -> String {
    shared.as_ref().to_owned()
}

fn texts(shared: &[Arc<str>]) -> Vec<String> {
    shared.iter().map(text).collect()
}

fn shared(texts: Vec<String>) -> Vec<Arc<str>> {
    texts.into_iter().map(Into::into).collect()
}

fn numbers(partitions: &[PartitionIndex]) -> Vec<i32> {
    partitions.iter().map(|partition| partition.get()).collect()
}

fn indexes(numbers: Vec<i32>) -> Vec<PartitionIndex> {
    numbers.into_iter().map(PartitionIndex::new).collect()
}
