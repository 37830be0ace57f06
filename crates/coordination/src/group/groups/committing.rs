//! Offsets: committed, read and deleted.

use std::sync::Arc;

use ottla_record::{Now, PartitionIndex, TopicId};

use super::administration::not_found;
use super::{Group, Groups, MAX_STEP_BYTES, MAX_TEXT};
use crate::group::record::{CommittedOffset, Record};
use crate::group::request::{
    CommitOffsets, CommitPartition, CommitTopic, DeleteOffsets, FetchOffsets, TopicRef,
};
use crate::group::response::{FetchedTopic, GroupError, TopicOutcome};
use crate::metadata::Image;

impl<W> Groups<W> {
    pub(super) fn commit_offsets(
        &mut self,
        commit: CommitOffsets,
        image: &Image,
        now: Now,
        records: &mut Vec<Record>,
    ) -> Result<Vec<TopicOutcome>, GroupError> {
        self.check_commit(&commit, image)?;
        if let Some(Group::Classic(classic)) = self.groups.get_mut(&commit.group) {
            classic.heard_by_commit(commit.member.as_ref(), now);
            self.timers.arm(&commit.group, classic.due());
        }
        let expires_at = commit
            .retention_ms
            .map(|ms| ottla_record::Timestamp::from_millis(now.wall.millis().saturating_add(ms)));
        let mut decided = Vec::new();
        let mut outcomes = Vec::with_capacity(commit.topics.len());
        for CommitTopic { topic, partitions } in commit.topics {
            let known = resolve(&topic, image);
            let outcome = |partition: CommitPartition| {
                let result = self.check_partition(&partition, known.as_ref()).map(|(name, id)| {
                    decided.push(Record::Offset {
                        group: commit.group.clone(),
                        topic: name,
                        partition: partition.partition,
                        value: Some(CommittedOffset {
                            offset: partition.offset,
                            leader_epoch: partition.leader_epoch,
                            metadata: partition.metadata.unwrap_or_else(|| Arc::from("")),
                            committed_at: now.wall,
                            expires_at,
                            topic_id: Some(id),
                        }),
                    });
                });
                (partition.partition, result)
            };
            let partitions = partitions.into_iter().map(outcome).collect();
            outcomes.push(TopicOutcome { topic, partitions });
        }
        if decided.iter().map(Record::weight).sum::<usize>() > MAX_STEP_BYTES {
            return Err(GroupError::InvalidCommitOffsetSize);
        }
        records.append(&mut decided);
        Ok(outcomes)
    }

    fn check_commit(&self, commit: &CommitOffsets, image: &Image) -> Result<(), GroupError> {
        match self.groups.get(&commit.group) {
            Some(Group::Classic(classic)) => classic.check_commit(
                commit.member.as_ref(),
                commit.instance.as_ref(),
                commit.generation_or_epoch,
            ),
            Some(Group::Consumer(group)) => group.check_commit(commit, image),
            // From an administrator, or from a client that assigns itself its partitions: the group is made by its offsets.
            None if commit.generation_or_epoch.is_none() => Ok(()),
            None if commit.knows_member_epochs => Err(not_found(&commit.group)),
            None => Err(GroupError::IllegalGeneration),
        }
    }

    fn check_partition(
        &self,
        partition: &CommitPartition,
        topic: Result<&(Arc<str>, TopicId), &GroupError>,
    ) -> Result<(Arc<str>, TopicId), GroupError> {
        let (name, id) = topic.map_err(Clone::clone)?;
        if partition.partition < PartitionIndex::ZERO {
            return Err(GroupError::UnknownTopicOrPartition);
        }
        let limit = self.settings.offsets.metadata_max_bytes;
        // Kafka counts as Java does.
        let length = partition.metadata.as_ref().map_or(0, |note| note.encode_utf16().count());
        let bytes = partition.metadata.as_ref().map_or(0, |note| note.len());
        if length > limit || bytes > MAX_TEXT {
            return Err(GroupError::OffsetMetadataTooLarge { limit });
        }
        Ok((Arc::clone(name), *id))
    }

    pub(super) fn fetch_offsets(
        &self,
        fetch: &FetchOffsets,
        image: &Image,
    ) -> Result<Vec<FetchedTopic>, GroupError> {
        if let Some(Group::Consumer(group)) = self.groups.get(&fetch.group) {
            group.validate_fetch(fetch.member.as_ref(), fetch.epoch)?;
        }
        let Some(topics) = &fetch.topics else { return Ok(self.fetch_all(fetch, image)) };
        Ok(topics
            .iter()
            .map(|asked| {
                let known = resolve(&asked.topic, image);
                let (name, id) = match (&asked.topic, &known) {
                    (_, Ok((name, id))) => (Some(Arc::clone(name)), Some(*id)),
                    (TopicRef::Name(name), Err(_)) => (Some(Arc::clone(name)), None),
                    (TopicRef::Id(id), Err(_)) => (None, Some(*id)),
                };
                let fetched = |partition: &PartitionIndex| {
                    let offset = match (&name, &known) {
                        (Some(name), _) => Ok(self.fetch_one(fetch, name, id, *partition)),
                        (None, Err(error)) => Err(error.clone()),
                        (None, Ok(_)) => Ok(None),
                    };
                    (*partition, offset)
                };
                let partitions = asked.partitions.iter().map(fetched).collect();
                FetchedTopic { name: name.clone(), id, partitions }
            })
            .collect())
    }

    /// An offset of a topic that was deleted since, and made anew, is none.
    fn fetch_one(
        &self,
        fetch: &FetchOffsets,
        topic: &str,
        id: Option<TopicId>,
        partition: PartitionIndex,
    ) -> Option<CommittedOffset> {
        let found = self.offsets.get(&fetch.group, topic, partition)?;
        (!is_of_another_topic(&found, id)).then_some(found)
    }

    fn fetch_all(&self, fetch: &FetchOffsets, image: &Image) -> Vec<FetchedTopic> {
        let all = self.offsets.of_group(&fetch.group).map(|(name, partitions)| {
            let id = image.topic(name).map(|topic| topic.id());
            let known = partitions.filter(|(_, offset)| !is_of_another_topic(offset, id));
            let partitions = known.map(|(partition, offset)| (partition, Ok(Some(offset)))).collect();
            FetchedTopic { name: Some(Arc::clone(name)), id, partitions }
        });
        all.filter(|topic| !topic.partitions.is_empty()).collect()
    }

    pub(super) fn delete_offsets(
        &self,
        delete: DeleteOffsets,
        image: &Image,
        records: &mut Vec<Record>,
    ) -> Result<Vec<TopicOutcome>, GroupError> {
        let group = self.groups.get(&delete.group).ok_or_else(|| not_found(&delete.group))?;
        group.check_delete_offsets()?;
        let subscribed = group.subscribed_topics();
        let outcomes = delete.topics.into_iter().map(|asked| {
            let known = resolve(&asked.topic, image);
            let name = match (&asked.topic, &known) {
                (TopicRef::Name(name), _) | (_, Ok((name, _))) => Some(Arc::clone(name)),
                (TopicRef::Id(_), Err(_)) => None,
            };
            let outcome = |partition: PartitionIndex| {
                let result = match &name {
                    Some(name) if group.reads(&subscribed, name) => Err(GroupError::GroupSubscribedToTopic),
                    Some(name) if self.offsets.get(&delete.group, name, partition).is_some() => {
                        records.push(Record::Offset {
                            group: delete.group.clone(),
                            topic: Arc::clone(name),
                            partition,
                            value: None,
                        });
                        Ok(())
                    }
                    _ => known.as_ref().map(|_| ()).map_err(Clone::clone),
                };
                (partition, result)
            };
            let partitions = asked.partitions.into_iter().map(outcome).collect();
            TopicOutcome { topic: asked.topic, partitions }
        });
        Ok(outcomes.collect())
    }
}

/// True if the offset was committed for a topic of the same name that is no more.
pub(super) fn is_of_another_topic(offset: &CommittedOffset, now: Option<TopicId>) -> bool {
    matches!((offset.topic_id, now), (Some(committed), Some(now)) if committed != now)
}

fn resolve(topic: &TopicRef, image: &Image) -> Result<(Arc<str>, TopicId), GroupError> {
    match topic {
        TopicRef::Name(name) => match image.topic(name) {
            Some(topic) => Ok((Arc::clone(name), topic.id())),
            None => Err(GroupError::UnknownTopicOrPartition),
        },
        TopicRef::Id(id) => match image.topic_by_id(*id) {
            Some(topic) => Ok((Arc::from(topic.name().as_str()), *id)),
            None => Err(GroupError::UnknownTopicId),
        },
    }
}
