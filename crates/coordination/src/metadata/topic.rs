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

    /// Replicas per partition, as the first one has it.
    pub fn replication_factor(&self) -> usize {
        self.partitions.front().map_or(0, |p| p.replicas.len())
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
/// Invariants: `replicas` is not empty and names nobody twice; `isr ⊆ replicas`; the leader, if there is one, is in `isr`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The brokers that hold it; the first is the preferred leader.
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
}
