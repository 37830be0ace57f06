//! The `uniform` assignor: balance first, then as few moves as possible.
//!
//! While all members subscribe to the same topics it is one pass with quotas, below. Otherwise [`varied`] works topic by topic.
#![allow(
    clippy::indexing_slicing,
    reason = "positions come from the lengths of the lists they index, all made here"
)]

mod varied;

use ottla_record::{PartitionIndex, TopicId};

use super::racks::{Unit, exchange};
use super::{Member, Rack, Topic};
use crate::group::partitions::Partitions;

/// The owner of a partition that has none yet.
pub(super) const NOBODY: u32 = u32::MAX;

pub(super) fn assign(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Partitions> {
    let Some(first) = members.first() else { return Vec::new() };
    let owners = match members.iter().all(|member| member.topics == first.topics) {
        true => share(topics, members, first.topics),
        false => varied::share(topics, members),
    };
    collect(topics, members, &owners)
}

/// The owners of every topic's partitions while all subscribe to `subscribed`.
///
/// Everyone gets `partitions / members`, and `partitions % members` of them one more. A member keeps what it has up to its quota; what is
/// left over or new goes to those with room. The right to one more is passed on by a member that does not use it, unless all members from it
/// on are needed for it: so whoever has one more keeps it while the number of such members allows.
fn share(topics: &[Topic<'_>], members: &[Member<'_>], subscribed: &[u32]) -> Vec<Vec<u32>> {
    let mut owners = unowned(topics);
    let partitions: usize = subscribed.iter().map(|topic| topics[*topic as usize].partitions as usize).sum();
    let (floor, mut extras) = (partitions / members.len(), partitions % members.len());

    let mut room = Vec::new();
    for (at, member) in members.iter().enumerate() {
        let mut extra = extras > 0;
        let mut quota = floor + usize::from(extra);
        for (topic, partition) in owned(topics, member) {
            let owner = &mut owners[topic][partition];
            if quota > 0 && *owner == NOBODY {
                *owner = at as u32;
                quota -= 1;
            }
        }
        if quota > 0 && extra && members.len() - at > extras {
            quota -= 1;
            extra = false;
        }
        room.extend(std::iter::repeat_n(at as u32, quota));
        extras -= usize::from(extra);
    }

    let free = subscribed.iter().flat_map(|topic| topic_slots(*topic as usize, &owners)).collect::<Vec<_>>();
    assert_eq!(free.len(), room.len(), "the quotas add up to all partitions");
    let unit = |((topic, partition), owner): (&(usize, usize), u32)| {
        let racks = Topic::racks_of(&topics[*topic], *partition);
        Unit { owner, racks }
    };
    let mut units: Vec<Unit> = free.iter().zip(room).map(unit).collect();
    exchange(&mut units, &racks(members));
    for ((topic, partition), unit) in free.into_iter().zip(units) {
        owners[topic][partition] = unit.owner;
    }
    owners
}

/// The partitions of one topic that nobody owns.
fn topic_slots(topic: usize, owners: &[Vec<u32>]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let free = owners[topic].iter().enumerate().filter(|(_, owner)| **owner == NOBODY);
    free.map(move |(partition, _)| (topic, partition))
}

fn racks(members: &[Member<'_>]) -> Vec<Option<Rack>> {
    members.iter().map(|member| member.rack).collect()
}

fn unowned(topics: &[Topic<'_>]) -> Vec<Vec<u32>> {
    topics.iter().map(|topic| vec![NOBODY; topic.partitions as usize]).collect()
}

/// What a member has today of what it still subscribes to, as positions of topic and partition. Partitions that the topic does not have are
/// left out.
fn owned<'a>(topics: &'a [Topic<'_>], member: &'a Member<'_>) -> impl Iterator<Item = (usize, usize)> + 'a {
    member.assigned.topics().flat_map(move |(id, partitions)| {
        let topic = topics.binary_search_by_key(&id, |topic| topic.id).ok();
        let topic = topic.filter(|at| member.topics.binary_search(&(*at as u32)).is_ok());
        topic.into_iter().flat_map(move |at| {
            let within = partitions.iter().filter_map(|p| usize::try_from(p.get()).ok());
            within.filter(move |p| *p < topics[at].partitions as usize).map(move |p| (at, p))
        })
    })
}

/// What each member owns. A member whose share did not change gets the very value it had.
pub(super) fn collect(topics: &[Topic<'_>], members: &[Member<'_>], owners: &[Vec<u32>]) -> Vec<Partitions> {
    let mut shares: Vec<Vec<(TopicId, Vec<PartitionIndex>)>> = vec![Vec::new(); members.len()];
    for (topic, owners) in topics.iter().zip(owners) {
        for (partition, owner) in owners.iter().enumerate().filter(|(_, owner)| **owner != NOBODY) {
            let share = &mut shares[*owner as usize];
            let partition = PartitionIndex::new(partition as i32);
            match share.last_mut() {
                Some((last, partitions)) if *last == topic.id => partitions.push(partition),
                _ => share.push((topic.id, vec![partition])),
            }
        }
    }
    let shares = shares.into_iter().map(Partitions::from_sorted);
    shares
        .zip(members)
        .map(|(new, member)| if new == *member.assigned { member.assigned.clone() } else { new })
        .collect()
}
