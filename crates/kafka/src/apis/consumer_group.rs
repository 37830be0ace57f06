//! ConsumerGroupHeartbeat and ConsumerGroupDescribe: groups whose coordinator assigns (KIP-848).

use std::sync::Arc;

use ottla_node::coordination::group::request::{ConsumerHeartbeat, DescribeConsumer, TopicPartitions};
use ottla_node::coordination::group::response::{
    ConsumerBeat, ConsumerDescription, ConsumerMemberDescription, NamedPartitions,
};
use ottla_node::coordination::group::{GroupId, InstanceId, MemberEpoch, MemberId, Request, Response};
use ottla_record::{PartitionIndex, TopicId, Uuid};
use ottla_wire::ErrorCode;
use ottla_wire::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use ottla_wire::messages::consumer_group_describe_response::{
    Assignment as DescribedAssignment, ConsumerGroupDescribeResponse, DescribedGroup, Member,
    TopicPartitions as DescribedPartitions,
};
use ottla_wire::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use ottla_wire::messages::consumer_group_heartbeat_response::{
    Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions as AssignedPartitions,
};

use crate::apis::group::{client_facts, indexes};
use crate::authorized_operations;
use crate::dispatch::Call;
use crate::errors;

/// A member must bring its own id (KIP-1082).
const OWN_ID_FROM: i16 = 1;

/// How an answer spells whose protocol a member speaks.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

pub(crate) async fn consumer_group_heartbeat(
    call: Arc<Call>,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let member = MemberId::from_wire(&request.member_id);
    let heartbeat = ConsumerHeartbeat {
        group: GroupId::new(request.group_id),
        fresh: if member.is_none() { call.front.node.random_uuid() } else { Uuid::ZERO },
        member,
        epoch: MemberEpoch::new(request.member_epoch),
        brings_own_id: call.version >= OWN_ID_FROM,
        instance: request.instance_id.map(InstanceId::new),
        client: client_facts(&call),
        rack: request.rack_id.map(Into::into),
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|ms| *ms != -1),
        topics: request.subscribed_topic_names.map(|topics| topics.into_iter().map(Into::into).collect()),
        regex: request.subscribed_topic_regex.map(Into::into),
        assignor: request.server_assignor.map(Into::into),
        owned: request.topic_partitions.map(|topics| {
            let topics = topics.into_iter().map(|topic| TopicPartitions {
                topic: TopicId(topic.topic_id),
                partitions: indexes(topic.partitions),
            });
            topics.collect()
        }),
    };
    let (error_code, message) = match call.front.node.group(Request::ConsumerHeartbeat(heartbeat)).await {
        Ok(Response::ConsumerHeartbeat(Ok(beat))) => return answer(beat),
        Ok(Response::ConsumerHeartbeat(Err(error))) => (errors::group(&error), error.to_string()),
        Ok(_) => (ErrorCode::UNKNOWN_SERVER_ERROR, "the answer does not fit the question".to_owned()),
        Err(error) => (errors::coordinator(error), error.to_string()),
    };
    ConsumerGroupHeartbeatResponse { error_code, error_message: Some(message), ..Default::default() }
}

fn answer(beat: ConsumerBeat) -> ConsumerGroupHeartbeatResponse {
    let assignment = beat.assignment.map(|topics| {
        let topics = topics
            .into_iter()
            .map(|topic| AssignedPartitions { topic_id: topic.topic.0, partitions: raw(&topic.partitions) });
        Assignment { topic_partitions: topics.collect() }
    });
    ConsumerGroupHeartbeatResponse {
        member_id: Some(beat.member.to_string()),
        member_epoch: beat.epoch.get(),
        heartbeat_interval_ms: beat.heartbeat_interval_ms,
        assignment,
        ..Default::default()
    }
}

pub(crate) async fn consumer_group_describe(
    call: Arc<Call>,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for group_id in request.group_ids {
        let mut group = describe(&call, group_id).await;
        if request.include_authorized_operations && !group.error_code.is_error() {
            group.authorized_operations = authorized_operations::GROUP;
        }
        groups.push(group);
    }
    ConsumerGroupDescribeResponse { groups, ..Default::default() }
}

async fn describe(call: &Call, group_id: String) -> DescribedGroup {
    let request = DescribeConsumer { groups: vec![GroupId::new(group_id.as_str())] };
    let (error_code, message) = match call.front.node.group(Request::DescribeConsumer(request)).await {
        Ok(Response::DescribeConsumer(described)) => match described.into_iter().next() {
            Some((_, Ok(description))) => return described_group(group_id, description),
            Some((_, Err(error))) => (errors::group(&error), error.to_string()),
            None => (ErrorCode::UNKNOWN_SERVER_ERROR, "no answer".to_owned()),
        },
        Ok(_) => (ErrorCode::UNKNOWN_SERVER_ERROR, "the answer does not fit the question".to_owned()),
        Err(error) => (errors::coordinator(error), error.to_string()),
    };
    DescribedGroup { error_code, error_message: Some(message), group_id, ..Default::default() }
}

fn described_group(group_id: String, description: ConsumerDescription) -> DescribedGroup {
    DescribedGroup {
        group_id,
        group_state: description.state.as_str().to_owned(),
        group_epoch: description.epoch.get(),
        assignment_epoch: description.assignment_epoch.get(),
        assignor_name: description.assignor.as_ref().to_owned(),
        members: description.members.into_iter().map(described_member).collect(),
        ..Default::default()
    }
}

fn described_member(member: ConsumerMemberDescription) -> Member {
    Member {
        member_id: member.member.to_string(),
        instance_id: member.instance.map(|name| name.to_string()),
        rack_id: member.rack.as_deref().map(str::to_owned),
        member_epoch: member.epoch.get(),
        client_id: member.client_id.as_ref().to_owned(),
        client_host: member.client_host.as_ref().to_owned(),
        subscribed_topic_names: member.topics.iter().map(|topic| topic.as_ref().to_owned()).collect(),
        subscribed_topic_regex: member.regex.as_deref().map(str::to_owned),
        assignment: described_assignment(member.assignment),
        target_assignment: described_assignment(member.target),
        member_type: if member.classic { CLASSIC_MEMBER } else { CONSUMER_MEMBER },
    }
}

fn described_assignment(topics: Vec<NamedPartitions>) -> DescribedAssignment {
    let topics = topics.into_iter().map(|topic| DescribedPartitions {
        topic_id: topic.topic.0,
        topic_name: topic.name.as_ref().to_owned(),
        partitions: raw(&topic.partitions),
    });
    DescribedAssignment { topic_partitions: topics.collect() }
}

fn raw(partitions: &[PartitionIndex]) -> Vec<i32> {
    partitions.iter().map(|partition| partition.get()).collect()
}
