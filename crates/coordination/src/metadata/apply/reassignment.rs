//! Moves of replicas that an operator asks for.

use ottla_record::BrokerId;

use crate::metadata::command::{AlterReassignments, Reassign};
use crate::metadata::image::{Image, MAX_PARTITIONS_PER_REQUEST};
use crate::metadata::reassignment;
use crate::metadata::response::ReassignError;
use crate::metadata::topic::Partition;

impl Image {
    pub(super) fn alter_reassignments(
        &mut self,
        command: &AlterReassignments,
    ) -> Vec<Result<(), ReassignError>> {
        if command.partitions.len() > MAX_PARTITIONS_PER_REQUEST {
            return command.partitions.iter().map(|_| Err(ReassignError::TooMany)).collect();
        }
        let fixed_factor = !command.may_change_replication_factor;
        command.partitions.iter().map(|reassign| self.reassign(reassign, fixed_factor)).collect()
    }

    fn reassign(&mut self, reassign: &Reassign, fixed_factor: bool) -> Result<(), ReassignError> {
        let Reassign { topic: name, partition: index, target } = reassign;
        let topic = self.topic(name).ok_or_else(|| ReassignError::UnknownTopic(name.clone()))?;
        let partition = topic.partition(*index).ok_or_else(|| ReassignError::UnknownPartition {
            topic: topic.name.clone(),
            partition: *index,
        })?;
        let target: &[BrokerId] = match target {
            None if partition.reassignment.is_none() => return Err(ReassignError::NotInProgress),
            None => partition.original(),
            Some(target) => {
                self.check_replicas(target, None).map_err(ReassignError::Assignment)?;
                check_factor(partition, target, fixed_factor)?;
                target
            }
        };
        let unclean = self.unclean_election(topic);
        let decided = reassignment::assign(partition, target, unclean, |b| self.is_active(b));
        let decided = decided
            .map_err(|_| ReassignError::NobodyInSync { topic: topic.name.clone(), partition: *index })?;
        if let Some(after) = decided {
            let id = topic.id;
            self.replace_partition(id, *index, after);
        }
        Ok(())
    }
}

/// Refuses another number of replicas where the asker wants the same one (KIP-860). A move that is under way counts as done.
fn check_factor(partition: &Partition, target: &[BrokerId], fixed: bool) -> Result<(), ReassignError> {
    let current = partition.target().len();
    if fixed && current != target.len() {
        return Err(ReassignError::ReplicationFactor { from: current, to: target.len() });
    }
    Ok(())
}
