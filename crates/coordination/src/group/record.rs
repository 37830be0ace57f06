//! What group coordinators write: typed records, in Kafka's schemas and at the versions Kafka 4.3 writes.
//!
//! A record names what it is about in its key; without a value it deletes that. Kafka's dump tool reads them
//! (`kafka-dump-log --offsets-decoder`), and these read what Kafka wrote, old versions too.

mod classic;
mod consumer;
mod offset;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use ottla_record::PartitionIndex;
use ottla_wire::records::{GroupRecord, RecordError as WireError};

pub use self::classic::{ClassicGroupValue, ClassicMemberValue};
pub use self::consumer::{
    AssignedPartitions, ClassicMemberMetadata, ConsumerGroupValue, ConsumerMemberValue,
    CurrentAssignmentValue, MemberState, PartitionMetadataTopic, RegularExpressionValue, TargetEpochValue,
};
pub use self::offset::CommittedOffset;
use super::ids::{GroupId, MemberId};
use super::request::TopicPartitions;

/// One record of `__consumer_offsets`. `None` as a value deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The committed offset of one partition.
    Offset {
        /// The group.
        group: GroupId,
        /// The topic's name.
        topic: Arc<str>,
        /// The partition.
        partition: PartitionIndex,
        /// The offset.
        value: Option<CommittedOffset>,
    },
    /// A classic group with its members and their assignment.
    Classic {
        /// The group.
        group: GroupId,
        /// Its state.
        value: Option<ClassicGroupValue>,
    },
    /// The epoch of a consumer-protocol group.
    ConsumerGroup {
        /// The group.
        group: GroupId,
        /// Its epoch.
        value: Option<ConsumerGroupValue>,
    },
    /// What an older Kafka remembered of the topics of a consumer-protocol group; only ever deleted.
    ConsumerPartitionMetadata {
        /// The group.
        group: GroupId,
        /// The topics.
        value: Option<Vec<PartitionMetadataTopic>>,
    },
    /// A member of a consumer-protocol group.
    ConsumerMember {
        /// The group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// What it said of itself.
        value: Option<ConsumerMemberValue>,
    },
    /// The epoch of a group's target assignment.
    TargetEpoch {
        /// The group.
        group: GroupId,
        /// The epoch.
        value: Option<TargetEpochValue>,
    },
    /// What a member shall hold.
    TargetAssignment {
        /// The group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// Its partitions.
        value: Option<Vec<TopicPartitions>>,
    },
    /// What a member holds.
    CurrentAssignment {
        /// The group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// Its partitions and epochs.
        value: Option<CurrentAssignmentValue>,
    },
    /// The topics that a pattern of a group matched.
    RegularExpression {
        /// The group.
        group: GroupId,
        /// The pattern.
        regex: Arc<str>,
        /// What it matched.
        value: Option<RegularExpressionValue>,
    },
}

/// A record of a known type that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes are not what their type says.
    #[error(transparent)]
    Wire(WireError),
    /// A number outside its range.
    #[error("{field} is {value}")]
    Range {
        /// Which number.
        field: &'static str,
        /// Its value.
        value: i64,
    },
}

/// A record that cannot be written: some text in it is longer than Kafka's format has room for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of group {group} cannot be written: {source}")]
pub struct EncodeError {
    /// The group.
    pub group: GroupId,
    /// What does not fit.
    pub source: ottla_wire::Error,
}

impl Record {
    /// The group it is about.
    pub fn group(&self) -> &GroupId {
        match self {
            Self::Offset { group, .. }
            | Self::Classic { group, .. }
            | Self::ConsumerGroup { group, .. }
            | Self::ConsumerPartitionMetadata { group, .. }
            | Self::ConsumerMember { group, .. }
            | Self::TargetEpoch { group, .. }
            | Self::TargetAssignment { group, .. }
            | Self::CurrentAssignment { group, .. }
            | Self::RegularExpression { group, .. } => group,
        }
    }

    /// True if it deletes what its key names.
    pub fn deletes(&self) -> bool {
        match self {
            Self::Offset { value, .. } => value.is_none(),
            Self::Classic { value, .. } => value.is_none(),
            Self::ConsumerGroup { value, .. } => value.is_none(),
            Self::ConsumerPartitionMetadata { value, .. } => value.is_none(),
            Self::ConsumerMember { value, .. } => value.is_none(),
            Self::TargetEpoch { value, .. } => value.is_none(),
            Self::TargetAssignment { value, .. } => value.is_none(),
            Self::CurrentAssignment { value, .. } => value.is_none(),
            Self::RegularExpression { value, .. } => value.is_none(),
        }
    }

    /// The member it is about.
    fn member(&self) -> Option<&MemberId> {
        match self {
            Self::ConsumerMember { member, .. }
            | Self::TargetAssignment { member, .. }
            | Self::CurrentAssignment { member, .. } => Some(member),
            Self::Offset { .. }
            | Self::Classic { .. }
            | Self::ConsumerGroup { .. }
            | Self::ConsumerPartitionMetadata { .. }
            | Self::TargetEpoch { .. }
            | Self::RegularExpression { .. } => None,
        }
    }

    /// About how many bytes it takes in a batch; more rather than fewer. Ids count: a client makes them up, as long as it likes.
    pub fn weight(&self) -> usize {
        const FIXED: usize = 64;
        let group = self.group().as_str().len();
        let member = self.member().map_or(0, |member| member.as_str().len());
        FIXED
            + group
            + member
            + match self {
                Self::Offset { topic, value, .. } => {
                    topic.len() + value.as_ref().map_or(0, |value| value.metadata.len())
                }
                Self::Classic { value, .. } => value.as_ref().map_or(0, ClassicGroupValue::weight),
                Self::ConsumerMember { value: Some(value), .. } => value.weight(),
                Self::TargetAssignment { value: Some(topics), .. } => {
                    topics.iter().map(|topic| 32 + 4 * topic.partitions.len()).sum()
                }
                Self::CurrentAssignment { value: Some(value), .. } => value.weight(),
                Self::RegularExpression { regex, value, .. } => {
                    let topics = value.iter().flat_map(|value| &value.topics);
                    regex.len() + topics.map(|topic| 3 + topic.len()).sum::<usize>()
                }
                _ => 0,
            }
    }

    /// Key and value as they stand in the log.
    ///
    /// # Errors
    /// A text of more than 32,767 bytes. What came in a request of Kafka's has none.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        let (record, version) = self.to_wire();
        let encoded = record.encode_key().and_then(|key| Ok((key, record.encode_value(version)?)));
        encoded.map_err(|source| EncodeError { group: self.group().clone(), source })
    }

    /// Reads a record. `None`: a type this broker does not keep (of a newer Kafka, or of share and streams groups), to be
    /// passed over; to stop there would make a downgrade impossible.
    ///
    /// # Errors
    /// Bytes that are not what their type says.
    pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Self>, RecordError> {
        let record = match GroupRecord::decode(key.clone(), value.cloned()) {
            Ok(record) => record,
            Err(WireError::UnknownType(_)) => return Ok(None),
            Err(broken) => return Err(RecordError::Wire(broken)),
        };
        Ok(Some(match record {
            GroupRecord::OffsetCommit(key, value) => offset::from_wire(key, value)?,
            GroupRecord::GroupMetadata(key, value) => Self::Classic {
                group: GroupId::new(key.group),
                value: value.map(ClassicGroupValue::from_wire),
            },
            GroupRecord::ConsumerGroupMetadata(key, value) => consumer::group(key, value),
            GroupRecord::ConsumerGroupPartitionMetadata(key, value) => consumer::partitions(key, value),
            GroupRecord::ConsumerGroupMemberMetadata(key, value) => consumer::member(key, value),
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, value) => {
                consumer::target_epoch(key, value)
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => consumer::target(key, value),
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => consumer::current(key, value),
            GroupRecord::ConsumerGroupRegularExpression(key, value) => consumer::regex(key, value),
            _share_or_streams => return Ok(None),
        }))
    }

    /// The wire's form, and the version of the value that Kafka 4.3 would write.
    fn to_wire(&self) -> (GroupRecord, i16) {
        match self {
            Self::Offset { group, topic, partition, value } => {
                offset::to_wire(group, topic, *partition, value.as_ref())
            }
            Self::Classic { group, value } => classic::to_wire(group, value.as_ref()),
            Self::ConsumerGroup { group, value } => (consumer::group_to_wire(group, value.as_ref()), 0),
            Self::ConsumerPartitionMetadata { group, value } => {
                (consumer::partitions_to_wire(group, value.as_deref()), 0)
            }
            Self::ConsumerMember { group, member, value } => {
                (consumer::member_to_wire(group, member, value.as_ref()), 0)
            }
            Self::TargetEpoch { group, value } => (consumer::target_epoch_to_wire(group, value.as_ref()), 0),
            Self::TargetAssignment { group, member, value } => {
                (consumer::target_to_wire(group, member, value.as_deref()), 0)
            }
            Self::CurrentAssignment { group, member, value } => {
                (consumer::current_to_wire(group, member, value.as_ref()), 0)
            }
            Self::RegularExpression { group, regex, value } => {
                (consumer::regex_to_wire(group, regex, value.as_ref()), 0)
            }
        }
    }
}
