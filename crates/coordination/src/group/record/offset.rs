//! `OffsetCommit`: one record a partition.

use std::sync::Arc;

use ottla_record::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId, Uuid};
use ottla_wire::messages::{OffsetCommitKey, OffsetCommitValue};
use ottla_wire::records::GroupRecord;

use super::{Record, RecordError};
use crate::group::ids::GroupId;

/// Where a group stands in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset to resume at.
    pub offset: Offset,
    /// The leader epoch of the last record read, if known.
    pub leader_epoch: Option<LeaderEpoch>,
    /// A note of the client's.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// When it expires, if the client said so (OffsetCommit before version 5).
    pub expires_at: Option<Timestamp>,
    /// The topic it was committed for, if known: after the topic is made anew it means nothing.
    pub topic_id: Option<TopicId>,
}

/// Of a value for which the client named an expiry: the only version that has it.
const WITH_EXPIRY: i16 = 1;
/// Of all others.
const VERSION: i16 = 4;

pub(super) fn to_wire(
    group: &GroupId,
    topic: &str,
    partition: PartitionIndex,
    value: Option<&CommittedOffset>,
) -> (GroupRecord, i16) {
    let version = match value {
        Some(value) if value.expires_at.is_some() => WITH_EXPIRY,
        _ => VERSION,
    };
    let key = OffsetCommitKey {
        group: group.as_str().to_owned(),
        topic: topic.to_owned(),
        partition: partition.get(),
    };
    let value = value.map(|value| OffsetCommitValue {
        offset: value.offset.get(),
        leader_epoch: LeaderEpoch::to_wire(value.leader_epoch),
        metadata: value.metadata.to_string(),
        commit_timestamp: value.committed_at.millis(),
        expire_timestamp: Timestamp::to_wire(value.expires_at),
        topic_id: value.topic_id.map_or(Uuid::ZERO, |id| id.0),
    });
    (GroupRecord::OffsetCommit(key, value), version)
}

pub(super) fn from_wire(
    key: OffsetCommitKey,
    value: Option<OffsetCommitValue>,
) -> Result<Record, RecordError> {
    let partition = PartitionIndex::from_wire(key.partition)
        .ok_or(RecordError::Range { field: "OffsetCommitKey.partition", value: key.partition.into() })?;
    let value = value.map(|value| CommittedOffset {
        offset: Offset::new(value.offset),
        leader_epoch: LeaderEpoch::from_wire(value.leader_epoch),
        metadata: value.metadata.into(),
        committed_at: Timestamp::from_millis(value.commit_timestamp),
        expires_at: Timestamp::from_wire(value.expire_timestamp),
        topic_id: (!value.topic_id.is_zero()).then_some(TopicId(value.topic_id)),
    });
    Ok(Record::Offset { group: GroupId::new(key.group), topic: key.topic.into(), partition, value })
}
