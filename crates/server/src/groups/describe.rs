//! One group as an operator sees it: members, offsets, lag.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_node::coordination::group::record::CommittedOffset;
use ottla_node::coordination::group::request::{Describe, DescribeConsumer, FetchOffsets};
use ottla_node::coordination::group::response::{
    ClassicDescription, ClassicMemberDescription, ConsumerDescription, ConsumerMemberDescription, GroupState,
    GroupType, NamedPartitions,
};
use ottla_node::coordination::group::{
    GroupError, GroupId, InstanceId, Request as Asked, Response as Answered,
};
use ottla_node::record::Offset;
use ottla_node::{Lag, Node, Precision};
use ottla_rpc::v1;

use crate::errors::{self, Failure};
use crate::front::Front;
use crate::groups::{ask, assignment, kind, lags, refusal};
use crate::peers;

/// A partition by the name of its topic.
pub(super) type Key = (Arc<str>, i32);

/// The group, its members, its offsets with the lag of each.
pub(super) async fn describe(
    front: &Arc<Front>,
    group: GroupId,
) -> Result<v1::DescribeGroupResponse, Failure> {
    let mut described = members(front, &group).await?;
    let committed = committed(front, &group).await?;
    let mut offsets: BTreeMap<Key, v1::GroupOffset> = BTreeMap::new();
    let blank = |(topic, partition): &Key| v1::GroupOffset {
        topic: topic.to_string(),
        partition: *partition,
        ..Default::default()
    };
    for (key, found) in &committed {
        let offset = offsets.entry(key.clone()).or_insert_with(|| blank(key));
        offset.committed = Some(found.offset.get());
        offset.metadata = found.metadata.to_string();
    }
    for member in &described.members {
        for owned in &member.assignment {
            let key: Key = (owned.topic.as_str().into(), owned.partition);
            let offset = offsets.entry(key.clone()).or_insert_with(|| blank(&key));
            offset.member_id = Some(member.member_id.clone());
        }
    }
    let node = Arc::clone(&front.node);
    // An age is read off the disk.
    let measured = tokio::task::spawn_blocking(move || {
        offsets.values_mut().for_each(|offset| measure(&node, offset));
        offsets.into_values().collect()
    });
    described.offsets = measured.await.map_err(|_| errors::mismatch())?;
    let elsewhere = described.offsets.iter_mut().filter(|offset| {
        offset.log_end_offset.is_none()
            && peers::leader_elsewhere(front, &offset.topic, offset.partition).is_some()
    });
    let elsewhere: Vec<_> = elsewhere.collect();
    if !elsewhere.is_empty() {
        lags::measure(front, elsewhere).await;
    }
    Ok(described)
}

fn measure(node: &Node, offset: &mut v1::GroupOffset) {
    let committed = offset.committed.and_then(Offset::from_wire);
    let from = committed.unwrap_or(Offset::new(i64::MAX));
    // What this broker does not know is left out: a partition that another one leads, or a topic that is gone.
    let Ok(Lag { log_start, log_end, records, age }) =
        node.lag(&offset.topic, offset.partition, from, Precision::Record)
    else {
        return;
    };
    offset.log_start_offset = Some(log_start.get());
    offset.log_end_offset = Some(log_end.get());
    if committed.is_some() {
        offset.lag_records = Some(i64::try_from(records).unwrap_or(i64::MAX));
        offset.lag_ms = Some(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    }
}

/// The group with its members, and no offsets.
pub(super) async fn members(front: &Front, group: &GroupId) -> Result<v1::DescribeGroupResponse, Failure> {
    let groups = vec![group.clone()];
    let Answered::DescribeConsumer(described) =
        ask(front, Asked::DescribeConsumer(DescribeConsumer { groups: groups.clone() })).await?
    else {
        return Err(errors::mismatch());
    };
    match described.into_iter().next() {
        Some((_, Ok(description))) => return Ok(of_consumer(group, description)),
        // A classic group, or none.
        Some((_, Err(GroupError::GroupIdNotFound(_)))) => {}
        Some((_, Err(error))) => return Err(refusal(group, &error)),
        None => return Err(errors::mismatch()),
    }
    let Answered::Describe(described) = ask(front, Asked::Describe(Describe { groups })).await? else {
        return Err(errors::mismatch());
    };
    match described.into_iter().next() {
        Some((_, Ok(description))) if description.state != GroupState::Dead => {
            Ok(of_classic(group, description))
        }
        Some((_, Ok(_))) => {
            Err(refusal(group, &GroupError::GroupIdNotFound("there is no such group".to_owned())))
        }
        Some((_, Err(error))) => Err(refusal(group, &error)),
        None => Err(errors::mismatch()),
    }
}

/// Everything the group has committed.
pub(super) async fn committed(
    front: &Front,
    group: &GroupId,
) -> Result<BTreeMap<Key, CommittedOffset>, Failure> {
    let request =
        FetchOffsets { group: group.clone(), member: None, epoch: None, topics: None, require_stable: false };
    let Answered::FetchOffsets(fetched) = ask(front, Asked::FetchOffsets(request)).await? else {
        return Err(errors::mismatch());
    };
    let mut offsets = BTreeMap::new();
    for topic in fetched.map_err(|error| refusal(group, &error))? {
        let Some(name) = topic.name else { continue };
        for (index, found) in topic.partitions {
            if let Some(found) = found.map_err(|error| refusal(group, &error))? {
                offsets.insert((Arc::clone(&name), index.get()), found);
            }
        }
    }
    Ok(offsets)
}

fn of_consumer(group: &GroupId, description: ConsumerDescription) -> v1::DescribeGroupResponse {
    let ConsumerDescription { state, epoch, assignor, members, .. } = description;
    v1::DescribeGroupResponse {
        group: Some(listing(group, GroupType::Consumer, state, "consumer")),
        assignor: assignor.to_string(),
        group_epoch: Some(epoch.get()),
        members: members.into_iter().map(consumer_member).collect(),
        offsets: Vec::new(),
    }
}

fn consumer_member(member: ConsumerMemberDescription) -> v1::GroupMember {
    v1::GroupMember {
        member_id: member.member.as_str().to_owned(),
        instance_id: member.instance.as_ref().map(InstanceId::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment: flat(&member.assignment),
        target: flat(&member.target),
        member_epoch: Some(member.epoch.get()),
        topics: member.topics.iter().map(ToString::to_string).collect(),
        topic_regex: member.regex.as_ref().map(ToString::to_string),
    }
}

fn flat(topics: &[NamedPartitions]) -> Vec<v1::TopicPartition> {
    let mut partitions: Vec<_> = topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| v1::TopicPartition {
                topic: topic.name.to_string(),
                partition: partition.get(),
            })
        })
        .collect();
    sort(&mut partitions);
    partitions
}

fn sort(partitions: &mut [v1::TopicPartition]) {
    partitions.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
}

fn of_classic(group: &GroupId, description: ClassicDescription) -> v1::DescribeGroupResponse {
    let ClassicDescription { state, protocol_type, protocol, members } = description;
    let is_consumers = &*protocol_type == "consumer";
    v1::DescribeGroupResponse {
        group: Some(listing(group, GroupType::Classic, state, &protocol_type)),
        assignor: protocol.map(|protocol| protocol.to_string()).unwrap_or_default(),
        group_epoch: None,
        members: members.into_iter().map(|member| classic_member(member, is_consumers)).collect(),
        offsets: Vec::new(),
    }
}

fn classic_member(member: ClassicMemberDescription, is_consumer: bool) -> v1::GroupMember {
    // Other kinds of groups, Kafka Connect's among them, write bytes of their own.
    let assigned = is_consumer.then(|| assignment::partitions(&member.assignment)).flatten();
    let mut assignment = assigned.unwrap_or_default();
    sort(&mut assignment);
    v1::GroupMember {
        member_id: member.member.as_str().to_owned(),
        instance_id: member.instance.as_ref().map(InstanceId::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment,
        ..Default::default()
    }
}

fn listing(
    group: &GroupId,
    group_type: GroupType,
    state: GroupState,
    protocol_type: &str,
) -> v1::GroupListing {
    v1::GroupListing {
        group: group.as_str().to_owned(),
        r#type: kind(group_type).into(),
        state: state.as_str().to_owned(),
        protocol_type: protocol_type.to_owned(),
    }
}
