//! Offsets of groups that nobody is a member of: set by place, and forgotten.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ottla_node::Isolation;
use ottla_node::coordination::group::request::{
    CommitOffsets, CommitPartition, CommitTopic, DeleteOffsets, TopicPartitionRefs, TopicRef,
};
use ottla_node::coordination::group::response::TopicOutcome;
use ottla_node::coordination::group::{GroupError, GroupId, Request as Asked, Response as Answered};
use ottla_node::record::{Offset, PartitionIndex};
use ottla_rpc::v1::Landmark;
use ottla_rpc::v1::position::At;
use ottla_rpc::{KafkaError, v1};

use crate::calls::Method;
use crate::errors::{self, Failure, invalid};
use crate::front::Front;
use crate::groups::describe::{Key, committed, members};
use crate::groups::{ask, group_id, refusal};
use crate::positions::{self, Place};

/// Partitions of one request.
const MAX_PARTITIONS: usize = 100_000;

type Results = BTreeMap<Key, Result<(), GroupError>>;

/// Commits places for a group without members.
pub(super) async fn reset(
    front: &Arc<Front>,
    method: &Method,
    request: v1::ResetOffsetsRequest,
) -> Result<v1::ResetOffsetsResponse, Failure> {
    let group = group_id(&request.group)?;
    check(request.resets.iter().map(|reset| (reset.topic.as_str(), reset.partition)))?;
    must_be_empty(front, &group).await?;
    let before = committed(front, &group).await?;
    let asked: Vec<_> = request
        .resets
        .iter()
        .map(|reset| v1::FetchPartition {
            topic: reset.topic.clone(),
            partition: reset.partition,
            from: reset.to,
        })
        .collect();
    let found = positions::look_up(front, &asked, Isolation::ReadUncommitted).await;
    let (starts, ends) =
        (edge(front, &asked, Landmark::Earliest).await, edge(front, &asked, Landmark::Latest).await);
    let mut places: Vec<(Key, Result<Offset, Failure>)> = asked
        .iter()
        .zip(found)
        .zip(starts.into_iter().zip(ends))
        .map(|((asked, found), (start, end))| {
            // The offset, or the nearer end of the log, as Kafka's tool has it.
            let place = found.and_then(|place| {
                let start = start?.offset;
                Ok(place.offset.clamp(start, end?.offset.max(start)))
            });
            ((Arc::from(asked.topic.as_str()), asked.partition), place)
        })
        .collect();
    if !request.validate_only {
        let offsets = places.iter().filter_map(|(key, place)| Some((key, *place.as_ref().ok()?)));
        let mut results = commit(front, &group, offsets).await?;
        for (key, place) in &mut places {
            if let Some(Err(error)) = results.remove(key) {
                *place = Err(errors::group(&error).about(&key.0, Some(key.1)));
            }
        }
    }
    let results = places.into_iter().map(|(key, place)| {
        let previous = before.get(&key).map(|before| before.offset.get());
        let blank = v1::OffsetResetResult {
            topic: key.0.to_string(),
            partition: key.1,
            previous,
            ..Default::default()
        };
        match place {
            Ok(offset) => v1::OffsetResetResult { offset: offset.get(), ..blank },
            Err(failure) => {
                method.error(&failure.detail);
                let Failure { message, detail } = failure;
                v1::OffsetResetResult { error: Some(*detail), message, ..blank }
            }
        }
    });
    Ok(v1::ResetOffsetsResponse { results: results.collect() })
}

/// Forgets offsets of partitions that no member subscribes to.
pub(super) async fn delete(
    front: &Front,
    method: &Method,
    request: v1::DeleteOffsetsRequest,
) -> Result<v1::DeleteOffsetsResponse, Failure> {
    let group = group_id(&request.group)?;
    check(request.partitions.iter().map(|asked| (asked.topic.as_str(), asked.partition)))?;
    let mut topics: BTreeMap<&str, Vec<PartitionIndex>> = BTreeMap::new();
    for asked in &request.partitions {
        topics.entry(&asked.topic).or_default().push(PartitionIndex::new(asked.partition));
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| TopicPartitionRefs { topic: TopicRef::Name(topic.into()), partitions })
        .collect();
    let request = DeleteOffsets { group: group.clone(), topics };
    let Answered::DeleteOffsets(outcomes) = ask(front, Asked::DeleteOffsets(request)).await? else {
        return Err(errors::mismatch());
    };
    let results = results(outcomes.map_err(|error| refusal(&group, &error))?);
    let failures = results.into_iter().filter_map(|((topic, partition), result)| {
        let failure = errors::group(&result.err()?).about(&topic, Some(partition));
        method.error(&failure.detail);
        let Failure { message, detail } = failure;
        Some(v1::CommitFailure { detail: Some(*detail), message })
    });
    Ok(v1::DeleteOffsetsResponse { failures: failures.collect() })
}

/// A group with members says itself where it goes on.
async fn must_be_empty(front: &Front, group: &GroupId) -> Result<(), Failure> {
    let described = match members(front, group).await {
        Err(failure) if failure.detail.kafka_error == KafkaError::GROUP_ID_NOT_FOUND.name() => return Ok(()),
        described => described?,
    };
    let state = described.group.map(|group| group.state).unwrap_or_default();
    match described.members.len() {
        0 => Ok(()),
        members => Err(Failure::new(
            KafkaError::NON_EMPTY_GROUP,
            format!(
                "{group} is {state} with {members} member(s), which would overwrite new offsets: stop them first"
            ),
        )),
    }
}

/// Where the partitions begin, or end.
async fn edge(
    front: &Arc<Front>,
    asked: &[v1::FetchPartition],
    landmark: Landmark,
) -> Vec<Result<Place, Failure>> {
    let from = Some(v1::Position { at: Some(At::Landmark(landmark.into())) });
    let asked: Vec<_> = asked.iter().map(|asked| v1::FetchPartition { from, ..asked.clone() }).collect();
    positions::look_up(front, &asked, Isolation::ReadUncommitted).await
}

async fn commit(
    front: &Front,
    group: &GroupId,
    offsets: impl Iterator<Item = (&Key, Offset)>,
) -> Result<Results, Failure> {
    let mut topics: BTreeMap<Arc<str>, Vec<CommitPartition>> = BTreeMap::new();
    for ((topic, partition), offset) in offsets {
        topics.entry(Arc::clone(topic)).or_default().push(CommitPartition {
            partition: PartitionIndex::new(*partition),
            offset,
            leader_epoch: None,
            metadata: None,
        });
    }
    if topics.is_empty() {
        return Ok(Results::new());
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| CommitTopic { topic: TopicRef::Name(topic), partitions })
        .collect();
    let request = CommitOffsets {
        group: group.clone(),
        member: None,
        instance: None,
        generation_or_epoch: None,
        knows_member_epochs: true,
        retention_ms: None,
        topics,
    };
    let Answered::CommitOffsets(outcomes) = ask(front, Asked::CommitOffsets(request)).await? else {
        return Err(errors::mismatch());
    };
    match outcomes {
        Ok(outcomes) => Ok(results(outcomes)),
        // Somebody joined since it was looked at.
        Err(GroupError::UnknownMemberId | GroupError::StaleMemberEpoch | GroupError::IllegalGeneration) => {
            Err(refusal(group, &GroupError::NonEmptyGroup))
        }
        Err(error) => Err(refusal(group, &error)),
    }
}

fn results(outcomes: Vec<TopicOutcome>) -> Results {
    let mut results = Results::new();
    for TopicOutcome { topic, partitions } in outcomes {
        let TopicRef::Name(topic) = topic else { continue };
        results.extend(
            partitions.into_iter().map(|(index, result)| ((Arc::clone(&topic), index.get()), result)),
        );
    }
    results
}

fn check<'a>(partitions: impl Iterator<Item = (&'a str, i32)> + Clone) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for (topic, partition) in partitions {
        if !seen.insert((topic, partition)) {
            return Err(invalid("the partition is named twice").about(topic, Some(partition)));
        }
    }
    match seen.len() {
        0 => Err(invalid("no partition is named")),
        1..=MAX_PARTITIONS => Ok(()),
        _ => Err(invalid(format!("one request is about {MAX_PARTITIONS} partitions at most"))),
    }
}
