//! The target assignment: what each member shall hold, computed for an epoch of the group by the assignor that most members ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_record::{BrokerId, TopicId};

use super::draft::Draft;
use super::member::to_topics;
use super::{ConsumerGroup, Member};
use crate::group::assignor::{self, Assignor, Rack, RackSet};
use crate::group::ids::{GroupEpoch, MemberId};
use crate::group::partitions::Partitions;
use crate::group::record::{Record, TargetEpochValue};
use crate::metadata::{Image, Partition, Topic};

/// A member's part of a target assignment.
pub(super) struct Target {
    /// The epoch it was computed for.
    pub(super) epoch: GroupEpoch,
    /// What the member shall hold.
    pub(super) partitions: Partitions,
}

impl Draft<'_> {
    /// The target of a member, computed anew if the group's epoch is ahead and the last computation is not too recent. In that case the member
    /// goes on with the last one, and a later heartbeat computes.
    pub(super) fn target(&mut self, id: &MemberId, member: &Member) -> Target {
        if self.group.target_epoch() >= self.epoch || !self.may_assign() {
            return self.last_target(id, member);
        }
        let partitions = self.assign(id, member);
        Target { epoch: self.epoch, partitions }
    }

    /// Two computations are `group.consumer.assignment.interval.ms` apart, by the wall clock, as the last one may have been another broker's. A
    /// clock that was set back does not hold anybody up: a time to come says nothing.
    fn may_assign(&self) -> bool {
        let interval = i64::from(self.context.assignment_interval_ms(&self.group.id));
        let last = self.group.target.and_then(|target| target.assigned_at);
        last.is_none_or(|last| !(0..interval).contains(&self.context.now.wall.millis_since(last)))
    }

    /// Computes the target of all members, `member` as it is now among them, notes what changed, and gives back the part of that member.
    fn assign(&mut self, id: &MemberId, member: &Member) -> Partitions {
        let replaced = self.replaced.as_ref();
        let mut members: BTreeMap<&MemberId, (&Member, Option<&Partitions>)> = BTreeMap::new();
        for (other, seat) in self.group.members.iter().filter(|(other, _)| Some(*other) != replaced) {
            members.insert(other, (&seat.member, self.group.targets.get(other)));
        }
        members.insert(id, (member, self.group.targets.get(replaced.unwrap_or(id))));

        let racks = number_racks(members.values().map(|(member, _)| *member));
        let topics = TopicTable::new(self, members.values().map(|(member, _)| *member), &racks);
        let none = Partitions::none();
        let mut wanted = BTreeMap::new();
        let subscriptions = self.subscriptions();
        let positions: Vec<Arc<[u32]>> = members
            .values()
            .map(|(member, _)| {
                // Most members of a group say the same: each different subscription is looked up once.
                let key = (&member.profile.topics, member.pattern());
                Arc::clone(wanted.entry(key).or_insert_with(|| topics.positions(subscriptions.of(member))))
            })
            .collect();
        let specs: Vec<assignor::Member<'_>> = members
            .iter()
            .zip(&positions)
            .map(|((id, (member, assigned)), topics)| assignor::Member {
                id: id.as_str(),
                instance: member.profile.instance.as_ref().map(|instance| instance.as_str()),
                topics,
                assigned: assigned.unwrap_or(&none),
                rack: member.profile.rack.as_ref().and_then(|rack| racks.get(&**rack)).copied(),
            })
            .collect();
        let topics: Vec<assignor::Topic<'_>> = topics.topics.iter().map(KnownTopic::spec).collect();
        let assigned = self.assignor(members.values().map(|(member, _)| *member)).assign(&topics, &specs);

        let mut part = Partitions::none();
        for (other, new) in members.keys().zip(assigned) {
            if self.group.targets.get(*other) != Some(&new) {
                let (group, value) = (self.group.id.clone(), Some(to_topics(&new)));
                self.records.push(Record::TargetAssignment { group, member: (*other).clone(), value });
            }
            if *other == id {
                part = new;
            }
        }
        let value = Some(TargetEpochValue { epoch: self.epoch, assigned_at: Some(self.context.now.wall) });
        self.records.push(Record::TargetEpoch { group: self.group.id.clone(), value });
        part
    }

    /// The assignor that most members ask for; the broker's first if none does.
    fn assignor<'m>(&self, members: impl Iterator<Item = &'m Member>) -> Assignor {
        let asked = self.group.preferred_assignor(members);
        asked
            .as_deref()
            .and_then(Assignor::named)
            .unwrap_or_else(|| default_assignor(&self.context.settings.consumer.assignors))
    }
}

impl ConsumerGroup {
    /// The name that most of these members ask for; of names asked for equally often, the first in the alphabet.
    pub(super) fn preferred_assignor<'m>(
        &self,
        members: impl Iterator<Item = &'m Member>,
    ) -> Option<Arc<str>> {
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for name in members.filter_map(|member| member.profile.assignor.as_ref()) {
            *votes.entry(name).or_default() += 1;
        }
        votes.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| Arc::clone(name))
    }
}

/// The first assignor of the configuration that there is.
pub(super) fn default_assignor(offered: &[Arc<str>]) -> Assignor {
    offered.iter().find_map(|name| Assignor::named(name)).unwrap_or(Assignor::Uniform)
}

/// The racks that members stand in, by name.
fn number_racks<'m>(members: impl Iterator<Item = &'m Member>) -> BTreeMap<&'m str, Rack> {
    let names: BTreeSet<&str> = members.filter_map(|member| member.profile.rack.as_deref()).collect();
    names.into_iter().enumerate().filter_map(|(number, name)| Some((name, Rack::new(number)?))).collect()
}

/// What the assignors are told of a topic.
struct KnownTopic {
    id: TopicId,
    partitions: u32,
    racks: Vec<RackSet>,
}

impl KnownTopic {
    fn new(topic: &Topic, image: &Image, racks: &BTreeMap<&str, Rack>) -> Self {
        let rack_of = |broker: &BrokerId| racks.get(image.broker(*broker)?.rack.as_deref()?).copied();
        let near = |partition: &Partition| partition.replicas.iter().filter_map(rack_of).collect();
        let racks = match racks.is_empty() {
            true => Vec::new(),
            false => topic.partitions().map(|(_, partition)| near(partition)).collect(),
        };
        let partitions = u32::try_from(topic.partition_count()).unwrap_or(u32::MAX);
        Self { id: topic.id(), partitions, racks }
    }

    fn spec(&self) -> assignor::Topic<'_> {
        assignor::Topic { id: self.id, partitions: self.partitions, racks: &self.racks }
    }
}

/// The topics that members subscribe to and that exist, ascending by id, and where each name stands.
struct TopicTable<'a> {
    topics: Vec<KnownTopic>,
    positions: BTreeMap<&'a str, u32>,
}

impl<'a> TopicTable<'a> {
    fn new(
        draft: &'a Draft<'_>,
        members: impl Iterator<Item = &'a Member>,
        racks: &BTreeMap<&str, Rack>,
    ) -> Self {
        let subscriptions = draft.subscriptions();
        let mut names: BTreeMap<&'a str, Option<TopicId>> = BTreeMap::new();
        let mut topics = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for member in members {
            if !seen.insert((&member.profile.topics, member.pattern())) {
                continue;
            }
            for name in subscriptions.of(member) {
                names.entry(name).or_insert_with(|| {
                    let topic = draft.context.image.topic(name)?;
                    topics.insert(topic.id(), KnownTopic::new(topic, draft.context.image, racks));
                    Some(topic.id())
                });
            }
        }
        let topics: Vec<_> = topics.into_values().collect();
        let position = |id: TopicId| topics.binary_search_by_key(&id, |topic| topic.id).ok();
        let positions = names
            .into_iter()
            .filter_map(|(name, id)| Some((name, u32::try_from(position(id?)?).ok()?)))
            .collect();
        Self { topics, positions }
    }

    fn positions<'n>(&self, names: impl Iterator<Item = &'n Arc<str>>) -> Arc<[u32]> {
        let mut positions: Vec<u32> = names.filter_map(|name| self.positions.get(&**name)).copied().collect();
        positions.sort_unstable();
        positions.dedup();
        positions.into()
    }
}
