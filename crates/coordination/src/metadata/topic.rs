//! A topic and its partitions.

use std::sync::Arc;

use ottla_record::{BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId};
use serde::{Deserialize, Serialize};

use super::name::TopicName;
use crate::config::Settings;

/// Config values that were set, by name; what is absent has its default.
pub type Configs = Settings;

/// One topic. Cheap to clone: partitions and configs are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub(super) name: TopicName,
    pub(super) id: TopicId,
    pub(super) partitions: imbl::Vector<Arc<Partition>>,
    pub(super) configs: Arc<Configs>,
}

impl Topic {
    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// Its identity: a topic deleted and created again under its name has another one (KIP-516).
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// Number of partitions, numbered from 0 without gaps. Never shrinks.
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// One partition.
    pub fn partition(&self, index: PartitionIndex) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index.get()).ok()?)
    }

    /// All partitions in order.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = (PartitionIndex, &Arc<Partition>)> {
        self.partitions.iter().enumerate().map(|(i, p)| (index(i), p))
    }

    /// Replicas per partition, as the first one has it; while it moves, as it will have.
    pub fn replication_factor(&self) -> usize {
        self.partitions.front().map_or(0, |p| p.target().len())
    }

    /// The configs set on it.
    pub fn configs(&self) -> &Arc<Configs> {
        &self.configs
    }
}

/// The number of the partition at a position. Their count is bounded far below `i32::MAX`.
pub(in crate::metadata) fn index(position: usize) -> PartitionIndex {
    PartitionIndex::new(i32::try_from(position).unwrap_or(i32::MAX))
}

/// One partition: who holds it, who leads it.
///
/// Invariants: `replicas` is not empty and names nobody twice; `isr ⊆ replicas`; the leader, if there is one, is in `isr`; while it moves,
/// `replicas` are the target's and behind them those that it gives up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The brokers that hold it, those that it moves to and those that it leaves among them; the first is the preferred leader.
    pub replicas: Vec<BrokerId>,
    /// Those known to hold everything that was acknowledged. Empty only when every one of them came back with its log
    /// directory lost: then nobody may lead until an operator accepts the loss.
    pub isr: Vec<BrokerId>,
    /// Who leads; `None` while no in-sync replica is alive.
    pub leader: Option<BrokerId>,
    /// Rises with every change of leader and every restart of one.
    pub leader_epoch: LeaderEpoch,
    /// Rises with every change of this struct (KIP-497).
    pub partition_epoch: PartitionEpoch,
    /// The move that is under way (KIP-455); `None` for nearly every partition at nearly every time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reassignment: Option<Box<Reassignment>>,
}

impl Partition {
    /// The replicas that it has when no move is under way any more.
    pub fn target(&self) -> &[BrokerId] {
        self.reassignment.as_ref().map_or(&self.replicas, |r| &r.target)
    }

    /// The replicas that it had before it began to move: what a cancelled move returns to.
    pub fn original(&self) -> &[BrokerId] {
        self.reassignment.as_ref().map_or(&self.replicas, |r| &r.original)
    }

    /// The brokers it moves to.
    pub fn adding(&self) -> impl Iterator<Item = BrokerId> {
        self.reassignment.iter().flat_map(|r| r.adding())
    }

    /// The brokers it leaves once all of its target are in sync.
    pub fn removing(&self) -> impl Iterator<Item = BrokerId> {
        self.reassignment.iter().flat_map(|r| r.removing())
    }
}

/// A move of a partition's replicas that is under way (KIP-455).
///
/// What is added and what is removed follow from both ends, so that a move that is changed on the way still knows what to
/// return to, in the order it was: that order says who is the preferred leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassignment {
    /// The replicas before it began.
    pub original: Vec<BrokerId>,
    /// The replicas when it is done; the first is the preferred leader.
    pub target: Vec<BrokerId>,
}

impl Reassignment {
    /// The brokers of the target that were none before.
    pub fn adding(&self) -> impl Iterator<Item = BrokerId> {
        self.target.iter().copied().filter(|b| !self.original.contains(b))
    }

    /// The brokers that are none in the target.
    pub fn removing(&self) -> impl Iterator<Item = BrokerId> {
        self.original.iter().copied().filter(|b| !self.target.contains(b))
    }

    /// The replicas meanwhile: those of the target, then those that it gives up.
    pub fn replicas(&self) -> Vec<BrokerId> {
        self.target.iter().copied().chain(self.removing()).collect()
    }
}
