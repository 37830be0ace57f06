//! A set of partitions, by topic: what a member owns, is to own, or says it owns.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ottla_record::{PartitionIndex, TopicId};

/// Partitions of topics. Cheap to clone: a target assignment, its record and an answer share one.
///
/// Invariant: topics ascend and each has a partition; the partitions of a topic ascend. No value stands twice.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partitions(Arc<[(TopicId, Box<[PartitionIndex]>)]>);

impl Partitions {
    /// No partition.
    pub fn none() -> Self {
        Self(Arc::from([]))
    }

    /// Topics with their partitions, in any order; what stands twice counts once.
    pub fn new(topics: impl IntoIterator<Item = (TopicId, Vec<PartitionIndex>)>) -> Self {
        let mut sorted: BTreeMap<TopicId, Vec<PartitionIndex>> = BTreeMap::new();
        for (topic, partitions) in topics {
            sorted.entry(topic).or_default().extend(partitions);
        }
        let sorted = sorted.into_iter().filter(|(_, partitions)| !partitions.is_empty());
        Self(
            sorted
                .map(|(topic, mut partitions)| {
                    partitions.sort_unstable();
                    partitions.dedup();
                    (topic, partitions.into_boxed_slice())
                })
                .collect(),
        )
    }

    /// Topics with their partitions, both already ascending.
    pub(in crate::group) fn from_sorted(topics: Vec<(TopicId, Vec<PartitionIndex>)>) -> Self {
        debug_assert!(topics.is_sorted_by(|a, b| a.0 < b.0), "topics ascend");
        debug_assert!(
            topics.iter().all(|(_, p)| !p.is_empty() && p.is_sorted_by(|a, b| a < b)),
            "partitions ascend"
        );
        Self(topics.into_iter().map(|(topic, partitions)| (topic, partitions.into_boxed_slice())).collect())
    }

    /// The topics, ascending by id, each with its partitions, ascending.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = (TopicId, &[PartitionIndex])> {
        self.0.iter().map(|(topic, partitions)| (*topic, &**partitions))
    }

    /// Every partition, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> + '_ {
        self.topics().flat_map(|(topic, partitions)| partitions.iter().map(move |p| (topic, *p)))
    }

    /// The partitions of one topic.
    pub fn of(&self, topic: TopicId) -> &[PartitionIndex] {
        let found = self.0.binary_search_by_key(&topic, |(id, _)| *id).ok();
        found.and_then(|at| self.0.get(at)).map_or(&[], |(_, partitions)| partitions)
    }

    /// True if the partition is among them.
    pub fn contains(&self, topic: TopicId, partition: PartitionIndex) -> bool {
        self.of(topic).binary_search(&partition).is_ok()
    }

    /// How many partitions.
    pub fn len(&self) -> usize {
        self.0.iter().map(|(_, partitions)| partitions.len()).sum()
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for Partitions {
    fn default() -> Self {
        Self::none()
    }
}

impl FromIterator<(TopicId, PartitionIndex)> for Partitions {
    fn from_iter<I: IntoIterator<Item = (TopicId, PartitionIndex)>>(pairs: I) -> Self {
        Self::new(pairs.into_iter().map(|(topic, partition)| (topic, vec![partition])))
    }
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.topics()).finish()
    }
}
