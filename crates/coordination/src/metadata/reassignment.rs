//! Moves of one partition's replicas (KIP-455): pure functions of that partition.
//!
//! While it moves, a partition has the replicas of both ends: those of its target, and those that it gives up. It is done when
//! everyone of the target is in sync; until then nothing that was acknowledged is on fewer brokers than before, and the move
//! can be cancelled.

use ottla_record::BrokerId;

use super::election;
use super::topic::{Partition, Reassignment};

/// A change that would leave nobody in sync: the only ones that are, are those that it drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NobodyInSync;

/// The partition on its way to `target`, or there already if everyone of the target is in sync; `None` if that changes nothing.
///
/// It returns to the same replicas as before if it is cancelled, however often the target changes. Brokers that only an
/// earlier target named go at once. Asked to go where it came from, it is no longer moving.
pub fn assign(
    partition: &Partition,
    target: &[BrokerId],
    unclean: bool,
    alive: impl Fn(BrokerId) -> bool,
) -> Result<Option<Partition>, NobodyInSync> {
    let reassignment = Reassignment { original: partition.original().to_vec(), target: target.to_vec() };
    let mut after = partition.clone();
    after.replicas = reassignment.replicas();
    let moves = reassignment.adding().next().is_some() || reassignment.removing().next().is_some();
    after.reassignment = moves.then(|| Box::new(reassignment));
    let Partition { replicas, isr, .. } = &mut after;
    isr.retain(|member| replicas.contains(member));
    if isr.is_empty() && !partition.isr.is_empty() && !unclean {
        return Err(NobodyInSync);
    }
    if after.leader.is_some_and(|leader| !after.isr.contains(&leader)) {
        after.leader = None;
        election::lead(&mut after, unclean, &alive);
    }
    Ok(election::settle(partition, after, alive))
}

/// Ends the move if everyone of its target is in sync: the others go, and with them their leadership.
///
/// It waits where it would leave nobody to lead. That ends when a broker of the target returns.
pub(super) fn complete(partition: &mut Partition, alive: impl Fn(BrokerId) -> bool) {
    let Some(reassignment) = &partition.reassignment else { return };
    let target = &reassignment.target;
    if !target.iter().all(|member| partition.isr.contains(member)) {
        return;
    }
    let leader = match partition.leader {
        Some(leader) if target.contains(&leader) => Some(leader),
        _ => target.iter().copied().find(|member| alive(*member)),
    };
    if partition.leader.is_some() && leader.is_none() {
        return;
    }
    partition.leader = leader;
    partition.isr.retain(|member| target.contains(member));
    partition.replicas.clone_from(target);
    partition.reassignment = None;
}
