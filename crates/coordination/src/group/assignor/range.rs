//! The `range` assignor: of every topic one contiguous range per subscriber, in the order of the members.
#![allow(
    clippy::indexing_slicing,
    reason = "positions come from the lengths of the lists they index, all made here"
)]

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ottla_record::{PartitionIndex, TopicId};

use super::racks::{Unit, common, exchange};
use super::uniform::{NOBODY, collect};
use super::{Member, Topic};
use crate::group::partitions::Partitions;

pub(super) fn assign(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Partitions> {
    let mut ranges: Vec<Ranges> = topics.iter().map(Ranges::new).collect();
    for topic in members.iter().flat_map(|member| member.topics) {
        if let Some(ranges) = ranges.get_mut(*topic as usize) {
            ranges.subscribers += 1;
        }
    }

    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|a, b| match (members.get(*a), members.get(*b)) {
        (Some(a), Some(b)) => rank(a, b),
        _ => Ordering::Equal,
    });

    let mut assigned = vec![Partitions::none(); members.len()];
    for at in order {
        let (Some(member), Some(slot)) = (members.get(at), assigned.get_mut(at)) else { continue };
        let mut owned = Vec::with_capacity(member.topics.len());
        for topic in member.topics {
            let next = ranges.get_mut(*topic as usize).and_then(Ranges::next);
            owned.extend(next);
        }
        *slot = Partitions::from_sorted(owned);
    }
    match members.iter().any(|member| member.rack.is_some()) {
        true => bring_near(topics, members, &assigned),
        false => assigned,
    }
}

/// Exchanges partitions of the same number in all topics that line up: with as many partitions and the same subscribers.
fn bring_near(topics: &[Topic<'_>], members: &[Member<'_>], assigned: &[Partitions]) -> Vec<Partitions> {
    let mut owners: Vec<Vec<u32>> =
        topics.iter().map(|topic| vec![NOBODY; topic.partitions as usize]).collect();
    let mut subscribers: Vec<Vec<usize>> = vec![Vec::new(); topics.len()];
    for (at, (member, owned)) in members.iter().zip(assigned).enumerate() {
        for topic in member.topics {
            subscribers[*topic as usize].push(at);
        }
        for (id, partition) in owned.iter() {
            let topic = topics.binary_search_by_key(&id, |topic| topic.id).ok();
            let owner = topic.zip(usize::try_from(partition.get()).ok());
            if let Some(owner) = owner.and_then(|(topic, at)| owners.get_mut(topic)?.get_mut(at)) {
                *owner = at as u32;
            }
        }
    }
    let mut aligned: BTreeMap<(u32, &[usize]), Vec<usize>> = BTreeMap::new();
    for (at, topic) in topics.iter().enumerate().filter(|(at, _)| !subscribers[*at].is_empty()) {
        aligned.entry((topic.partitions, &subscribers[at])).or_default().push(at);
    }
    let racks: Vec<_> = members.iter().map(|member| member.rack).collect();
    for together in aligned.into_values() {
        let Some(first) = together.first() else { continue };
        let known = |partition| common(together.iter().map(|at| topics[*at].racks), partition);
        let unit = |(partition, owner): (usize, &u32)| Unit { owner: *owner, racks: known(partition) };
        let mut units: Vec<Unit> = owners[*first].iter().enumerate().map(unit).collect();
        exchange(&mut units, &racks);
        let new: Vec<u32> = units.into_iter().map(|unit| unit.owner).collect();
        for at in together {
            owners[at].clone_from(&new);
        }
    }
    collect(topics, members, &owners)
}

/// Static members come first, by instance id: they keep their place through a restart, which gives them another member id. The others follow
/// by member id.
fn rank(a: &Member<'_>, b: &Member<'_>) -> Ordering {
    match (a.instance, b.instance) {
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.id.cmp(b.id),
    }
}

/// One topic as it is dealt out: everyone gets `partitions / subscribers`, the first `partitions % subscribers` one more.
struct Ranges {
    topic: TopicId,
    partitions: u32,
    subscribers: u32,
    dealt: u32,
    start: u32,
}

impl Ranges {
    fn new(topic: &Topic<'_>) -> Self {
        Self { topic: topic.id, partitions: topic.partitions, subscribers: 0, dealt: 0, start: 0 }
    }

    /// The range of the next subscriber; `None` if there are more subscribers than partitions and it gets nothing.
    fn next(&mut self) -> Option<(TopicId, Vec<PartitionIndex>)> {
        let extra = u32::from(self.dealt < self.partitions.checked_rem(self.subscribers)?);
        let end = self.start + self.partitions.checked_div(self.subscribers)? + extra;
        let range = self.start..end;
        self.dealt += 1;
        self.start = end;
        let range: Vec<_> = range.filter_map(|p| i32::try_from(p).ok()).map(PartitionIndex::new).collect();
        (!range.is_empty()).then_some((self.topic, range))
    }
}
