//! The committed offsets of one partition of `__consumer_offsets`, kept small: millions of them stay in memory.
//!
//! What most offsets share or lack is not stored with each: the topic's name and identity stand once per group and topic,
//! a note and an expiry stand apart. An offset then takes [`ENTRY_BYTES`] in a tree's leaf.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use ottla_record::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId};

use super::ids::GroupId;
use super::record::CommittedOffset;

/// Bytes of one offset without note and expiry; the tree that holds it adds half as much again.
pub const ENTRY_BYTES: usize = size_of::<(PartitionIndex, Entry)>();

const _: () = assert!(ENTRY_BYTES <= 40);

/// All committed offsets, by group.
#[derive(Clone, Debug, Default)]
pub(in crate::group) struct Offsets {
    groups: BTreeMap<GroupId, BTreeMap<Arc<str>, TopicOffsets>>,
}

/// The committed offsets of one group in one topic.
#[derive(Clone, Debug, Default)]
struct TopicOffsets {
    /// The identity the first of them was committed with; one committed with another says so itself.
    id: Option<TopicId>,
    partitions: BTreeMap<PartitionIndex, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    offset: Offset,
    committed_at: Timestamp,
    leader_epoch: Option<LeaderEpoch>,
    rare: Option<Box<Rare>>,
}

/// What few offsets have.
#[derive(Clone, Debug)]
struct Rare {
    metadata: Arc<str>,
    expires_at: Option<Timestamp>,
    /// `Some` if it is not the topic's.
    topic_id: Option<Option<TopicId>>,
}

impl Offsets {
    /// Remembers an offset.
    pub(in crate::group) fn put(
        &mut self,
        group: &GroupId,
        topic: &Arc<str>,
        partition: PartitionIndex,
        value: &CommittedOffset,
    ) {
        let topics = match self.groups.get_mut(group) {
            Some(topics) => topics,
            None => self.groups.entry(group.clone()).or_default(),
        };
        let topic = match topics.get_mut(topic) {
            Some(topic) => topic,
            None => topics
                .entry(Arc::clone(topic))
                .or_insert(TopicOffsets { id: value.topic_id, partitions: BTreeMap::new() }),
        };
        topic.partitions.insert(partition, Entry::new(topic.id, value));
    }

    /// Forgets an offset.
    pub(in crate::group) fn remove(&mut self, group: &GroupId, topic: &str, partition: PartitionIndex) {
        let Some(topics) = self.groups.get_mut(group) else { return };
        if let Some(offsets) = topics.get_mut(topic) {
            offsets.partitions.remove(&partition);
            if offsets.partitions.is_empty() {
                topics.remove(topic);
            }
        }
        if topics.is_empty() {
            self.groups.remove(group);
        }
    }

    /// One offset.
    pub(in crate::group) fn get(
        &self,
        group: &GroupId,
        topic: &str,
        partition: PartitionIndex,
    ) -> Option<CommittedOffset> {
        let topic = self.groups.get(group)?.get(topic)?;
        Some(topic.partitions.get(&partition)?.committed(topic.id))
    }

    /// Every offset of a group, by topic and partition.
    pub(in crate::group) fn of_group(
        &self,
        group: &GroupId,
    ) -> impl Iterator<Item = (&Arc<str>, impl Iterator<Item = (PartitionIndex, CommittedOffset)>)> {
        self.groups.get(group).into_iter().flatten().map(|(name, topic)| {
            (name, topic.partitions.iter().map(|(partition, entry)| (*partition, entry.committed(topic.id))))
        })
    }

    /// The partitions of one topic that a group has offsets for.
    pub(in crate::group) fn of_topic(
        &self,
        group: &GroupId,
        topic: &str,
    ) -> impl Iterator<Item = (PartitionIndex, CommittedOffset)> {
        let topic = self.groups.get(group).and_then(|topics| topics.get(topic));
        topic.into_iter().flat_map(|topic| {
            topic.partitions.iter().map(|(partition, entry)| (*partition, entry.committed(topic.id)))
        })
    }

    /// True if the group has none.
    pub(in crate::group) fn is_empty(&self, group: &GroupId) -> bool {
        !self.groups.contains_key(group)
    }

    /// The groups with offsets, in order, after one of them.
    pub(in crate::group) fn groups_after(&self, after: Option<&GroupId>) -> impl Iterator<Item = &GroupId> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.groups.range::<GroupId, _>((start, Bound::Unbounded)).map(|(group, _)| group)
    }

    /// Number of offsets.
    pub(in crate::group) fn len(&self) -> usize {
        self.groups.values().flat_map(BTreeMap::values).map(|topic| topic.partitions.len()).sum()
    }
}

impl Entry {
    fn new(topic: Option<TopicId>, value: &CommittedOffset) -> Self {
        let other_topic = (value.topic_id != topic).then_some(value.topic_id);
        let plain = value.metadata.is_empty() && value.expires_at.is_none() && other_topic.is_none();
        let rare = (!plain).then(|| {
            Box::new(Rare {
                metadata: Arc::clone(&value.metadata),
                expires_at: value.expires_at,
                topic_id: other_topic,
            })
        });
        Self {
            offset: value.offset,
            committed_at: value.committed_at,
            leader_epoch: value.leader_epoch,
            rare,
        }
    }

    fn committed(&self, topic: Option<TopicId>) -> CommittedOffset {
        let rare = self.rare.as_deref();
        CommittedOffset {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: rare.map_or_else(|| Arc::from(""), |rare| Arc::clone(&rare.metadata)),
            committed_at: self.committed_at,
            expires_at: rare.and_then(|rare| rare.expires_at),
            topic_id: rare.and_then(|rare| rare.topic_id).unwrap_or(topic),
        }
    }
}
