//! What a member asks of the node's coordinators: from its calls to requests, and from answers to its replies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ottla_node::coordination::group::record::CommittedOffset;
use ottla_node::coordination::group::request::{
    ClientFacts, CommitOffsets, CommitPartition, CommitTopic, ConsumerHeartbeat, FetchOffsets,
    TopicPartitionRefs, TopicPartitions, TopicRef,
};
use ottla_node::coordination::group::response::{ConsumerBeat, FetchedTopic, TopicOutcome};
use ottla_node::coordination::group::{
    GroupError, GroupId, InstanceId, MemberEpoch, MemberId, Request, Response,
};
use ottla_node::record::{LeaderEpoch, Offset, PartitionIndex, TopicId, Uuid};
use ottla_node::{CoordinatorError, CoordinatorKey, Isolation};
use ottla_rpc::{KafkaError, v1};

use crate::errors::{self, Failure};
use crate::front::Front;
use crate::positions;
use crate::subscribe::member::{Call, Commit, Partition, Place, Reply};

/// The way to the coordinator of one member's group.
#[derive(Clone, Debug)]
pub(super) struct Coordinator {
    pub(super) front: Arc<Front>,
    pub(super) group: GroupId,
    pub(super) member: MemberId,
    /// Who had the static member's name over a stream that broke off.
    pub(super) predecessor: Option<MemberId>,
    pub(super) instance: Option<InstanceId>,
    pub(super) client: ClientFacts,
    pub(super) rack: Option<Arc<str>>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) topics: Vec<Arc<str>>,
    pub(super) regex: Option<Arc<str>>,
    pub(super) assignor: Option<Arc<str>>,
    /// Where to begin without a usable commit.
    pub(super) start: Option<v1::Position>,
    /// Where the member's id comes from.
    pub(super) fresh: Uuid,
}

impl Coordinator {
    /// Asks, and says what the answer means for the member.
    pub(super) async fn call(self, call: Call, isolation: Isolation) -> Reply {
        match call {
            Call::Heartbeat { epoch, owned } => self.heartbeat(epoch, owned).await,
            Call::Places { epoch, partitions } => self.places(epoch, partitions, isolation).await,
            Call::Commit { epoch, offsets } => self.commit(epoch, offsets).await,
            Call::Leave => self.leave().await,
        }
    }

    async fn heartbeat(&self, epoch: i32, owned: Option<Vec<Partition>>) -> Reply {
        if let Some(predecessor) =
            self.predecessor.clone().filter(|_| MemberEpoch::new(epoch) == MemberEpoch::JOIN)
        {
            // Its session may have half a minute to go. What it owns is kept for whoever has its name next.
            Self { member: predecessor, ..self.clone() }.leave().await;
        }
        // Who says everything is told everything: an answer may have been lost.
        let full = owned.is_some();
        let beat = ConsumerHeartbeat {
            rebalance_timeout_ms: full.then_some(self.rebalance_timeout_ms),
            topics: full.then(|| self.topics.clone()),
            regex: self.regex.clone().filter(|_| full),
            assignor: self.assignor.clone().filter(|_| full),
            rack: self.rack.clone().filter(|_| full),
            owned: owned.map(by_topic_id),
            ..self.blank(MemberEpoch::new(epoch))
        };
        match self.front.node.group(Request::ConsumerHeartbeat(beat)).await {
            Ok(Response::ConsumerHeartbeat(Ok(beat))) => self.beaten(beat),
            Ok(Response::ConsumerHeartbeat(Err(error))) => refusal(&error),
            Ok(_) => Reply::Refused(errors::mismatch()),
            Err(error) => self.unanswered(error).await,
        }
    }

    fn beaten(&self, beat: ConsumerBeat) -> Reply {
        let image = self.front.node.image();
        let assignment = beat.assignment.map(|topics| {
            let partitions = topics.into_iter().filter_map(|TopicPartitions { topic: id, partitions }| {
                // A topic that is gone, or not here yet, has no partitions to read: the coordinator will notice too.
                let topic: Arc<str> = image.topic_by_id(id)?.name().as_str().into();
                Some(partitions.into_iter().map(move |index| Partition {
                    topic: Arc::clone(&topic),
                    topic_id: id,
                    index: index.get(),
                }))
            });
            partitions.flatten().collect::<BTreeSet<_>>()
        });
        let interval = Duration::from_millis(u64::try_from(beat.heartbeat_interval_ms).unwrap_or_default());
        Reply::Beaten { epoch: beat.epoch.get(), interval, assignment }
    }

    /// Where partitions begin: behind what was committed, else at the start that the member named.
    async fn places(&self, epoch: i32, partitions: Vec<Partition>, isolation: Isolation) -> Reply {
        let request = FetchOffsets {
            group: self.group.clone(),
            member: Some(self.member.clone()),
            epoch: Some(MemberEpoch::new(epoch)),
            topics: Some(refs(&partitions)),
            // A commit of a transaction under way would be read twice (KIP-447).
            require_stable: true,
        };
        let fetched = match self.front.node.group(Request::FetchOffsets(request)).await {
            Ok(Response::FetchOffsets(Ok(fetched))) => fetched,
            Ok(Response::FetchOffsets(Err(error))) => return refusal(&error),
            Ok(_) => return Reply::Refused(errors::mismatch()),
            Err(error) => return self.unanswered(error).await,
        };
        let mut committed = match committed(fetched) {
            Ok(committed) => committed,
            Err(error) => return refusal(&error),
        };
        let (mut places, mut unset) = (Vec::new(), Vec::new());
        for partition in partitions {
            match committed.remove(&(Arc::clone(&partition.topic), partition.index)) {
                Some(found) => places.push(Place {
                    partition,
                    position: found.offset,
                    committed: Some(found.offset),
                    metadata: found.metadata.to_string(),
                }),
                None => unset.push(partition),
            }
        }
        if let (Some(partition), None) = (unset.first(), &self.start) {
            let why = "the group has committed nothing of it, and the member names no `start`";
            let failure = Failure::new(KafkaError::RESOURCE_NOT_FOUND, why);
            return Reply::Refused(failure.about(&partition.topic, Some(partition.index)));
        }
        let asked: Vec<_> = unset.iter().map(|partition| asked(partition, self.start)).collect();
        let found = positions::look_up(&self.front, &asked, isolation).await;
        for (partition, found) in unset.into_iter().zip(found) {
            match found {
                Ok(found) => {
                    let (position, metadata) = (found.offset, String::new());
                    places.push(Place { partition, position, committed: None, metadata });
                }
                // A partition that is still being made; it is asked for again.
                Err(failure) if failure.detail.retriable => {
                    tracing::debug!(reason = failure.message, "no place to begin yet");
                }
                Err(failure) => return Reply::Refused(failure),
            }
        }
        Reply::Placed(places)
    }

    async fn commit(&self, epoch: i32, offsets: Vec<Commit>) -> Reply {
        let mut topics: BTreeMap<TopicId, Vec<CommitPartition>> = BTreeMap::new();
        for Commit { partition, offset, leader_epoch, metadata } in &offsets {
            topics.entry(partition.topic_id).or_default().push(CommitPartition {
                partition: PartitionIndex::new(partition.index),
                offset: Offset::from_wire(*offset).unwrap_or(Offset::ZERO),
                leader_epoch: leader_epoch.map(LeaderEpoch::new),
                metadata: (!metadata.is_empty()).then(|| metadata.as_str().into()),
            });
        }
        let topics = topics
            .into_iter()
            .map(|(topic, partitions)| CommitTopic { topic: TopicRef::Id(topic), partitions })
            .collect();
        let request = CommitOffsets {
            group: self.group.clone(),
            member: Some(self.member.clone()),
            instance: self.instance.clone(),
            generation_or_epoch: Some(epoch),
            knows_member_epochs: true,
            retention_ms: None,
            topics,
        };
        let outcomes = match self.front.node.group(Request::CommitOffsets(request)).await {
            Ok(Response::CommitOffsets(Ok(outcomes))) => outcomes,
            Ok(Response::CommitOffsets(Err(error))) => return refusal(&error),
            Ok(_) => return Reply::Refused(errors::mismatch()),
            Err(error) => return self.unanswered(error).await,
        };
        let mut results: BTreeMap<(TopicRef, PartitionIndex), Result<(), GroupError>> = BTreeMap::new();
        for TopicOutcome { topic, partitions } in outcomes {
            results.extend(partitions.into_iter().map(|(index, result)| ((topic.clone(), index), result)));
        }
        let result = |commit: &Commit| {
            let Partition { topic, topic_id, index } = &commit.partition;
            match results.remove(&(TopicRef::Id(*topic_id), PartitionIndex::new(*index))) {
                Some(Ok(())) => Ok(()),
                Some(Err(error)) => Err(errors::group(&error).about(topic, Some(*index))),
                None => Err(errors::mismatch().about(topic, Some(*index))),
            }
        };
        Reply::Committed(offsets.iter().map(result).collect())
    }

    async fn leave(&self) -> Reply {
        let epoch = if self.instance.is_some() { MemberEpoch::LEAVE_STATIC } else { MemberEpoch::LEAVE };
        match self.front.node.group(Request::ConsumerHeartbeat(self.blank(epoch))).await {
            Ok(Response::ConsumerHeartbeat(Ok(_))) => {}
            // Its session will end it.
            Ok(other) => {
                tracing::debug!(group = %self.group, member = %self.member, ?other, "left without being known")
            }
            Err(error) => {
                tracing::debug!(group = %self.group, member = %self.member, %error, "left without a word")
            }
        }
        Reply::Left
    }

    /// Why there is no answer: the group may have become another broker's.
    async fn unanswered(&self, error: CoordinatorError) -> Reply {
        let failure = errors::coordinator(&error);
        if !matches!(error, CoordinatorError::NotCoordinator | CoordinatorError::NotAvailable) {
            return Reply::Busy(failure);
        }
        let node = &self.front.node;
        match node.coordinator(CoordinatorKey::Group(self.group.as_str())).await {
            Ok(broker) if broker != node.id() => Reply::Moved(failure),
            _ => Reply::Absent(failure),
        }
    }

    /// A heartbeat that changes nothing.
    fn blank(&self, epoch: MemberEpoch) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            group: self.group.clone(),
            member: Some(self.member.clone()),
            epoch,
            brings_own_id: true,
            instance: self.instance.clone(),
            client: self.client.clone(),
            rack: None,
            rebalance_timeout_ms: None,
            topics: None,
            regex: None,
            assignor: None,
            owned: None,
            fresh: self.fresh,
        }
    }
}

/// A place of a partition, as a reader asks for it.
pub(super) fn asked(partition: &Partition, from: Option<v1::Position>) -> v1::FetchPartition {
    v1::FetchPartition { topic: partition.topic.to_string(), partition: partition.index, from }
}

fn refusal(error: &GroupError) -> Reply {
    let failure = errors::group(error);
    match error {
        GroupError::UnknownMemberId | GroupError::FencedMemberEpoch(_) | GroupError::StaleMemberEpoch => {
            Reply::Fenced(failure)
        }
        GroupError::Overloaded | GroupError::UnstableOffsetCommit => Reply::Busy(failure),
        _ => Reply::Refused(failure),
    }
}

type Offsets = BTreeMap<(Arc<str>, i32), CommittedOffset>;

fn committed(fetched: Vec<FetchedTopic>) -> Result<Offsets, GroupError> {
    let mut offsets = Offsets::new();
    for FetchedTopic { name, partitions, .. } in fetched {
        let Some(name) = name else { continue };
        for (index, found) in partitions {
            if let Some(found) = found? {
                offsets.insert((Arc::clone(&name), index.get()), found);
            }
        }
    }
    Ok(offsets)
}

fn by_topic_id(partitions: Vec<Partition>) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<TopicId, Vec<PartitionIndex>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(partition.topic_id).or_default().push(PartitionIndex::new(partition.index));
    }
    topics.into_iter().map(|(topic, partitions)| TopicPartitions { topic, partitions }).collect()
}

fn refs(partitions: &[Partition]) -> Vec<TopicPartitionRefs> {
    by_topic_id(partitions.to_vec())
        .into_iter()
        .map(|TopicPartitions { topic, partitions }| TopicPartitionRefs {
            topic: TopicRef::Id(topic),
            partitions,
        })
        .collect()
}
