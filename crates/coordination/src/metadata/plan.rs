//! Plans: which replicas and leaderships should stand elsewhere, worked out on paper before anything moves.
//!
//! A planner is a pure function of an image and of how large partitions are. Its [`Plan`] can be shown, and is carried out
//! in [steps](Plan::steps): as many partitions at once, with as many bytes to copy, as the operator allows; after each step
//! the preferred leaders of its partitions are elected.
//!
//! | planner | what it does |
//! |---|---|
//! | [`balance`] | as many replicas, bytes and leaderships on each broker as on the next, in as many racks as there are |
//! | [`drain`] | everything off one broker, its leaderships first |
//! | [`raise`] | more replicas for partitions that have too few, such as those of internal topics of a cluster that grew |
//!
//! Partitions that are moving already stay as they are. No plan takes a partition below the replicas it has, or into fewer racks.

mod balance;
mod drain;
mod layout;
mod leaders;
mod raise;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ottla_record::{BrokerId, PartitionIndex, TopicId};

use super::name::TopicName;
pub use balance::balance;
pub use drain::{DrainError, drain};
pub use raise::raise;

/// Bytes of each partition, of one replica. What is absent counts as empty.
pub type Sizes = BTreeMap<(TopicId, PartitionIndex), u64>;

/// What should move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Partitions and their replicas, in the order in which they should move. One that first hands over its leadership
    /// and then moves stands there twice.
    pub moves: Vec<Move>,
    /// Partitions whose replicas stay, and whose preferred leader should lead.
    pub elections: Vec<(TopicName, PartitionIndex)>,
    /// What each broker has now, and when the plan is carried out, by id.
    pub loads: Vec<(Load, Load)>,
}

/// A partition that should have other replicas, or the same in another order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// Its replicas before.
    pub from: Vec<BrokerId>,
    /// Its replicas afterwards; the first should lead.
    pub to: Vec<BrokerId>,
    /// Bytes to copy for that.
    pub bytes: u64,
}

impl Move {
    /// True if no replica goes anywhere: only the order changes, and with it who should lead.
    pub fn is_leadership_only(&self) -> bool {
        self.to.iter().all(|broker| self.from.contains(broker))
    }
}

/// What a broker has to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Which.
    pub broker: BrokerId,
    /// Replicas on it.
    pub replicas: usize,
    /// Partitions whose preferred leader it is.
    pub leaders: usize,
    /// Bytes on it.
    pub bytes: u64,
    /// Bytes of the partitions whose preferred leader it is.
    pub leader_bytes: u64,
}

/// How much may move at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLimit {
    /// Partitions; at least one moves in each step.
    pub partitions: usize,
    /// Bytes to copy. A partition that is larger moves alone.
    pub bytes: u64,
}

impl Plan {
    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.elections.is_empty()
    }

    /// Bytes to copy.
    pub fn bytes(&self) -> u64 {
        self.moves.iter().map(|m| m.bytes).fold(0, u64::saturating_add)
    }

    /// The moves in groups that may be under way together. No partition stands twice in one.
    pub fn steps(&self, limit: StepLimit) -> impl Iterator<Item = &[Move]> {
        let mut rest = self.moves.as_slice();
        std::iter::from_fn(move || {
            let mut bytes = 0u64;
            let mut len = 0;
            for (at, next) in rest.iter().enumerate() {
                bytes = bytes.saturating_add(next.bytes);
                let again =
                    rest.iter().take(at).any(|m| (&m.topic, m.partition) == (&next.topic, next.partition));
                if at > 0 && (at >= limit.partitions || bytes > limit.bytes || again) {
                    break;
                }
                len = at + 1;
            }
            let (step, later) = rest.split_at_checked(len)?;
            rest = later;
            (!step.is_empty()).then_some(step)
        })
    }
}
