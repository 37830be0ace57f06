//! Moves of replicas (KIP-455), and plans of what should move.

use std::collections::BTreeMap;

use ottla_coordination::metadata::plan::{self, DrainError, Plan, Sizes};
use ottla_coordination::metadata::{
    AlterReassignments, Command, Image, Partition, Reassign, ReassignError, Response,
};
use ottla_record::{BrokerId, PartitionIndex};

use crate::admin::{AdminError, ChangeOptions};
use crate::node::Node;

/// A move that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OngoingReassignment {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// Its replicas now: those of the target, then those that it gives up.
    pub replicas: Vec<BrokerId>,
    /// Those that it moves to.
    pub adding: Vec<BrokerId>,
    /// Those that it leaves.
    pub removing: Vec<BrokerId>,
}

/// What to plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanKind {
    /// As much on each broker as on the next.
    Balance,
    /// Everything off one broker.
    Drain(BrokerId),
    /// As many replicas as this for each partition of these topics that has fewer.
    Raise {
        /// The topics.
        topics: Vec<String>,
        /// Replicas; one on each broker that lives, if those are fewer.
        factor: usize,
    },
}

impl Node {
    /// Moves replicas, and cancels moves; each partition succeeds or fails alone. The results stand in the order of the
    /// request. A success means that the move has begun; [`ongoing`] tells what is not done yet.
    ///
    /// # Errors
    /// Nothing was done, or it is not known.
    pub async fn alter_reassignments(
        &self,
        partitions: Vec<Reassign>,
        may_change_replication_factor: bool,
        options: ChangeOptions,
    ) -> Result<Vec<Result<(), ReassignError>>, AdminError> {
        let command = AlterReassignments { partitions, may_change_replication_factor };
        match self.change(Command::AlterReassignments(command), options).await? {
            Response::AlterReassignments(results) => Ok(results),
            _ => Err(AdminError::Mismatch),
        }
    }

    /// What should move. Nothing does yet. Sizes of partitions that this broker has are its own; of the others, those that
    /// the caller knows.
    ///
    /// # Errors
    /// The broker cannot be drained.
    pub fn plan(&self, kind: &PlanKind, known: &BTreeMap<(String, i32), u64>) -> Result<Plan, DrainError> {
        let image = self.image();
        let sizes = self.sizes(&image, known);
        match kind {
            PlanKind::Balance => Ok(plan::balance(&image, &sizes)),
            PlanKind::Drain(broker) => plan::drain(&image, &sizes, *broker),
            PlanKind::Raise { topics, factor } => Ok(plan::raise(&image, &sizes, *factor, |topic| {
                topics.iter().any(|name| name == topic.name().as_str())
            })),
        }
    }

    fn sizes(&self, image: &Image, known: &BTreeMap<(String, i32), u64>) -> Sizes {
        let mut sizes = Sizes::new();
        for ((topic, partition), size) in known {
            if let Some(topic) = image.topic(topic) {
                sizes.insert((topic.id(), PartitionIndex::new(*partition)), *size);
            }
        }
        for topic in image.topics() {
            for (index, _) in topic.partitions() {
                if let Ok(host) = self.hosted(topic.name().as_str(), index.get()) {
                    sizes.insert((topic.id(), index), host.view().size_bytes);
                }
            }
        }
        sizes
    }
}

/// The moves that are under way, by topic and partition.
pub fn ongoing(image: &Image) -> impl Iterator<Item = OngoingReassignment> {
    image.reassignments().map(|(topic, index, partition)| describe(topic.name().as_str(), index, partition))
}

/// The move of one partition, if it is moving.
pub fn ongoing_of(image: &Image, topic: &str, partition: i32) -> Option<OngoingReassignment> {
    let index = PartitionIndex::new(partition);
    let found = image.topic(topic)?.partition(index)?;
    found.reassignment.is_some().then(|| describe(topic, index, found))
}

fn describe(topic: &str, index: PartitionIndex, partition: &Partition) -> OngoingReassignment {
    OngoingReassignment {
        topic: topic.to_owned(),
        partition: index,
        replicas: partition.replicas.clone(),
        adding: partition.adding().collect(),
        removing: partition.removing().collect(),
    }
}
