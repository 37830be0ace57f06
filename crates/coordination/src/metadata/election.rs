//! Who leads a partition, and who counts as in sync, when a broker goes or returns: pure functions of one partition.
//!
//! Whoever stops leading ends a term: the leader epoch rises when a leader goes, and again when the next one is found.
//! A broker that restarts therefore never writes in the term of its former process.

use ottla_record::BrokerId;

use super::reassignment;
use super::topic::Partition;

/// How a broker goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It is lost, or has been restarted: its log is believed to be there.
    Fenced,
    /// It has announced that it will stop, and serves until then.
    ShuttingDown,
    /// Its log is gone.
    Lost,
}

/// The partition after `broker` went; `None` if that changes nothing.
///
/// `alive` tells who may lead and says no for `broker`. The last in-sync replica stays in the set, because it alone has
/// every acknowledged record, unless its log is gone; then the set is empty, and only an unclean election ends that.
pub fn depart(
    partition: &Partition,
    broker: BrokerId,
    how: Departure,
    unclean: bool,
    alive: impl Fn(BrokerId) -> bool,
) -> Option<Partition> {
    if !partition.replicas.contains(&broker) {
        return None;
    }
    let mut after = partition.clone();
    if partition.isr != [broker] || how == Departure::Lost {
        after.isr.retain(|member| *member != broker);
    }
    if partition.leader == Some(broker) {
        after.leader = None;
        lead(&mut after, unclean, &alive);
        if after.leader.is_none() && how == Departure::ShuttingDown {
            return None;
        }
    }
    settle(partition, after, alive)
}

/// The partition without `broker`, whose disk is full, in its in-sync set and as its leader; `None` if that changes nothing, or would leave
/// fewer than `needed` in sync: then nothing can be written until there is room, and no copy is to count less for that.
pub fn relieve(
    partition: &Partition,
    broker: BrokerId,
    needed: usize,
    alive: impl Fn(BrokerId) -> bool,
) -> Option<Partition> {
    let mut after = partition.clone();
    after.isr.retain(|member| *member != broker);
    if after.isr.len() < needed.max(1) {
        return None;
    }
    if partition.leader == Some(broker) {
        after.leader = Some(in_sync_leader(&after, &alive)?);
    }
    settle(partition, after, alive)
}

/// The partition after a broker became able to lead: it gets a leader if it has none and one can be found, and a move ends
/// that waited for somebody who could lead.
pub fn arrive(partition: &Partition, unclean: bool, alive: impl Fn(BrokerId) -> bool) -> Option<Partition> {
    if partition.leader.is_some() && partition.reassignment.is_none() {
        return None;
    }
    let mut after = partition.clone();
    lead(&mut after, unclean, &alive);
    settle(partition, after, alive)
}

/// The partition led by its first replica, if that is in sync and alive and does not lead yet.
pub fn prefer(partition: &Partition, alive: impl Fn(BrokerId) -> bool) -> Option<Partition> {
    let preferred = *partition.replicas.first()?;
    if !partition.isr.contains(&preferred) || !alive(preferred) {
        return None;
    }
    let mut after = partition.clone();
    after.leader = Some(preferred);
    settle(partition, after, alive)
}

/// The first living replica in sync, in the order of assignment.
pub fn in_sync_leader(partition: &Partition, alive: impl Fn(BrokerId) -> bool) -> Option<BrokerId> {
    partition.replicas.iter().copied().find(|replica| partition.isr.contains(replica) && alive(*replica))
}

/// Finds a leader for a partition without one.
pub(super) fn lead(partition: &mut Partition, unclean: bool, alive: impl Fn(BrokerId) -> bool) {
    if partition.leader.is_none() {
        partition.leader = in_sync_leader(partition, &alive);
    }
    if partition.leader.is_none() && unclean {
        elect_unclean(partition, &alive);
    }
}

/// Lets the first living replica lead, in sync or not. What it does not have is lost: it alone is in sync then. One that the
/// partition is only moving to may have next to nothing yet, so it comes last.
fn elect_unclean(partition: &mut Partition, alive: impl Fn(BrokerId) -> bool) {
    let added: Vec<BrokerId> = partition.adding().collect();
    let held = partition.replicas.iter().copied().filter(|replica| !added.contains(replica));
    if let Some(leader) = held.chain(added.iter().copied()).find(|replica| alive(*replica)) {
        partition.leader = Some(leader);
        partition.isr = vec![leader];
    }
}

/// Ends a move that the change completes, and raises the epochs that it calls for; `None` if nothing changed.
pub(super) fn settle(
    before: &Partition,
    mut after: Partition,
    alive: impl Fn(BrokerId) -> bool,
) -> Option<Partition> {
    reassignment::complete(&mut after, alive);
    if after == *before {
        return None;
    }
    // A replica that was taken away must not go on in this term, or its fetches would count (KIP-903).
    let left = before.replicas.iter().any(|replica| !after.replicas.contains(replica));
    if after.leader != before.leader || left {
        after.leader_epoch = before.leader_epoch.next();
    }
    after.partition_epoch = before.partition_epoch.next();
    Some(after)
}
