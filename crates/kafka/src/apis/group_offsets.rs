//! OffsetCommit, OffsetFetch, OffsetDelete: the positions that groups remember.

use std::sync::Arc;

use ottla_node::coordination::group::record::CommittedOffset;
use ottla_node::coordination::group::request::{
    CommitOffsets, CommitPartition, CommitTopic, DeleteOffsets, FetchOffsets, TopicPartitionRefs, TopicRef,
};
use ottla_node::coordination::group::response::{FetchedTopic, TopicOutcome};
use ottla_node::coordination::group::{
    GroupError, GroupId, InstanceId, MemberEpoch, MemberId, Request, Response,
};
use ottla_record::{LeaderEpoch, Offset, PartitionIndex, TopicId, Uuid};
use ottla_wire::ErrorCode;
use ottla_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_wire::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_wire::messages::offset_delete_request::OffsetDeleteRequest;
use ottla_wire::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ottla_wire::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use ottla_wire::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use crate::apis::group::{indexes, outcome, topic_fields, topic_ref};
use crate::dispatch::Call;
use crate::errors;

/// Topics are named by id (KIP-848).
const BY_ID_FROM: i16 = 10;
/// The client knows the errors of KIP-848.
const MEMBER_EPOCHS_FROM: i16 = 9;
/// One request asks for several groups (KIP-709).
const SEVERAL_GROUPS_FROM: i16 = 8;
/// The answer has room for an error of the whole group.
const GROUP_ERROR_FROM: i16 = 2;

pub(crate) async fn offset_commit(call: Arc<Call>, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let by_id = call.version >= BY_ID_FROM;
    let asked: Vec<(String, Uuid, Vec<i32>)> = request
        .topics
        .iter()
        .map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
            (topic.name.clone(), topic.topic_id, partitions.collect())
        })
        .collect();
    let commit = CommitOffsets {
        group: GroupId::new(request.group_id),
        member: MemberId::from_wire(&request.member_id),
        instance: request.group_instance_id.map(InstanceId::new),
        generation_or_epoch: Some(request.generation_id_or_member_epoch).filter(|epoch| *epoch >= 0),
        knows_member_epochs: call.version >= MEMBER_EPOCHS_FROM,
        retention_ms: Some(request.retention_time_ms).filter(|ms| *ms >= 0),
        topics: request.topics.into_iter().map(|topic| commit_topic(topic, by_id)).collect(),
    };
    let error_code = match call.front.node.group(Request::CommitOffsets(commit)).await {
        Ok(Response::CommitOffsets(Ok(outcomes))) => return committed(outcomes),
        Ok(Response::CommitOffsets(Err(error))) => errors::group(&error),
        Ok(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
        Err(error) => errors::coordinator(error),
    };
    let topics = asked.into_iter().map(|(name, topic_id, partitions)| OffsetCommitResponseTopic {
        name,
        topic_id,
        partitions: partitions
            .into_iter()
            .map(|partition_index| OffsetCommitResponsePartition { partition_index, error_code })
            .collect(),
    });
    OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

fn commit_topic(topic: OffsetCommitRequestTopic, by_id: bool) -> CommitTopic {
    CommitTopic {
        topic: topic_ref(topic.name, topic.topic_id, by_id),
        partitions: topic.partitions.into_iter().map(commit_partition).collect(),
    }
}

fn commit_partition(partition: OffsetCommitRequestPartition) -> CommitPartition {
    CommitPartition {
        partition: PartitionIndex::new(partition.partition_index),
        offset: Offset::new(partition.committed_offset),
        leader_epoch: LeaderEpoch::from_wire(partition.committed_leader_epoch),
        metadata: partition.committed_metadata.map(Into::into),
    }
}

fn committed(outcomes: Vec<TopicOutcome>) -> OffsetCommitResponse {
    let topics = outcomes.into_iter().map(|TopicOutcome { topic, partitions }| {
        let (name, topic_id) = topic_fields(topic);
        let partitions = partitions.into_iter().map(|(index, result)| OffsetCommitResponsePartition {
            partition_index: index.get(),
            error_code: outcome(result),
        });
        OffsetCommitResponseTopic { name, topic_id, partitions: partitions.collect() }
    });
    OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

pub(crate) async fn offset_fetch(call: Arc<Call>, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let require_stable = request.require_stable;
    if call.version >= SEVERAL_GROUPS_FROM {
        let by_id = call.version >= BY_ID_FROM;
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            groups.push(fetch_group(&call, group, by_id, require_stable).await);
        }
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let asked = request.topics.clone().unwrap_or_default();
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| TopicPartitionRefs {
            topic: TopicRef::Name(topic.name.into()),
            partitions: indexes(topic.partition_indexes),
        });
        topics.collect()
    });
    let group = GroupId::new(request.group_id);
    let fetch = FetchOffsets { group, member: None, epoch: None, topics, require_stable };
    match ask(&call, fetch).await {
        Ok(topics) => {
            let topics = topics.into_iter().filter_map(|topic| {
                let name = topic.name.as_deref()?.to_owned();
                let partitions = topic.partitions.into_iter().map(older_partition);
                Some(OffsetFetchResponseTopic { name, partitions: partitions.collect() })
            });
            OffsetFetchResponse { topics: topics.collect(), ..Default::default() }
        }
        Err(error_code) if call.version >= GROUP_ERROR_FROM => {
            OffsetFetchResponse { error_code, ..Default::default() }
        }
        Err(error_code) => {
            let topics = asked.into_iter().map(|topic| {
                let partitions = topic.partition_indexes.into_iter();
                OffsetFetchResponseTopic {
                    name: topic.name,
                    partitions: partitions
                        .map(|index| older(partition_fields(PartitionIndex::new(index), Err(error_code))))
                        .collect(),
                }
            });
            OffsetFetchResponse { topics: topics.collect(), ..Default::default() }
        }
    }
}

async fn fetch_group(
    call: &Call,
    group: OffsetFetchRequestGroup,
    by_id: bool,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let topics = group.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| TopicPartitionRefs {
            topic: topic_ref(topic.name, topic.topic_id, by_id),
            partitions: indexes(topic.partition_indexes),
        });
        topics.collect()
    });
    let checked = group.member_epoch >= 0;
    let fetch = FetchOffsets {
        group: GroupId::new(group.group_id.as_str()),
        member: group.member_id.filter(|_| checked).as_deref().and_then(MemberId::from_wire),
        epoch: Some(group.member_epoch).filter(|_| checked).map(MemberEpoch::new),
        topics,
        require_stable,
    };
    let group_id = group.group_id;
    match ask(call, fetch).await {
        Ok(topics) => {
            let topics = topics.into_iter().filter_map(|topic| fetched_topic(topic, by_id)).collect();
            OffsetFetchResponseGroup { group_id, topics, error_code: ErrorCode::NONE }
        }
        Err(error_code) => OffsetFetchResponseGroup { group_id, topics: Vec::new(), error_code },
    }
}

async fn ask(call: &Call, fetch: FetchOffsets) -> Result<Vec<FetchedTopic>, ErrorCode> {
    match call.front.node.group(Request::FetchOffsets(fetch)).await {
        Ok(Response::FetchOffsets(Ok(topics))) => Ok(topics),
        Ok(Response::FetchOffsets(Err(error))) => Err(errors::group(&error)),
        Ok(_) => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
        Err(error) => Err(errors::coordinator(error)),
    }
}

/// An answer by id leaves out a topic that has none now, and one by name a topic that nobody can name.
fn fetched_topic(topic: FetchedTopic, by_id: bool) -> Option<OffsetFetchResponseTopics> {
    let (name, topic_id) = if by_id {
        (String::new(), topic.id.map(|TopicId(id)| id)?)
    } else {
        (topic.name.as_deref()?.to_owned(), Uuid::ZERO)
    };
    let partitions = topic.partitions.into_iter().map(fetched_partition);
    Some(OffsetFetchResponseTopics { name, topic_id, partitions: partitions.collect() })
}

type FetchedPartition = (PartitionIndex, Result<Option<CommittedOffset>, GroupError>);

fn fetched_partition((index, outcome): FetchedPartition) -> OffsetFetchResponsePartitions {
    partition_fields(index, outcome.map_err(|error| errors::group(&error)))
}

fn older_partition((index, outcome): FetchedPartition) -> OffsetFetchResponsePartition {
    older(partition_fields(index, outcome.map_err(|error| errors::group(&error))))
}

/// The same fields in the struct of the versions that ask for one group.
fn older(partition: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    }
}

/// Nothing committed is the offset -1 with an empty note; clients take a note for granted.
fn partition_fields(
    index: PartitionIndex,
    outcome: Result<Option<CommittedOffset>, ErrorCode>,
) -> OffsetFetchResponsePartitions {
    let (committed, error_code) = match outcome {
        Ok(committed) => (committed, ErrorCode::NONE),
        Err(error_code) => (None, error_code),
    };
    OffsetFetchResponsePartitions {
        partition_index: index.get(),
        committed_offset: Offset::to_wire(committed.as_ref().map(|committed| committed.offset)),
        committed_leader_epoch: LeaderEpoch::to_wire(
            committed.as_ref().and_then(|committed| committed.leader_epoch),
        ),
        metadata: Some(committed.map(|committed| committed.metadata.to_string()).unwrap_or_default()),
        error_code,
    }
}

pub(crate) async fn offset_delete(call: Arc<Call>, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let topics = request.topics.into_iter().map(|topic| TopicPartitionRefs {
        topic: TopicRef::Name(topic.name.into()),
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| PartitionIndex::new(partition.partition_index))
            .collect(),
    });
    let delete = DeleteOffsets { group: GroupId::new(request.group_id), topics: topics.collect() };
    let error_code = match call.front.node.group(Request::DeleteOffsets(delete)).await {
        Ok(Response::DeleteOffsets(Ok(outcomes))) => return deleted(outcomes),
        Ok(Response::DeleteOffsets(Err(error))) => errors::group(&error),
        Ok(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
        Err(error) => errors::coordinator(error),
    };
    OffsetDeleteResponse { error_code, ..Default::default() }
}

fn deleted(outcomes: Vec<TopicOutcome>) -> OffsetDeleteResponse {
    let topics = outcomes.into_iter().map(|TopicOutcome { topic, partitions }| {
        let partitions = partitions.into_iter().map(|(index, result)| OffsetDeleteResponsePartition {
            partition_index: index.get(),
            error_code: outcome(result),
        });
        OffsetDeleteResponseTopic { name: topic_fields(topic).0, partitions: partitions.collect() }
    });
    OffsetDeleteResponse { topics: topics.collect(), ..Default::default() }
}
