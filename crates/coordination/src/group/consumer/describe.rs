//! A group as an administrator sees it (ConsumerGroupDescribe).

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_record::{PartitionIndex, TopicId};

use super::target::default_assignor;
use super::{ConsumerGroup, Context, Member};
use crate::group::ids::MemberId;
use crate::group::response::{ConsumerDescription, ConsumerMemberDescription, NamedPartitions};
use crate::metadata::Image;

impl ConsumerGroup {
    /// The group, its members by id. Topics that are gone are left out.
    pub(in crate::group) fn describe(&self, context: &Context<'_>) -> ConsumerDescription {
        let members = || self.members.values().map(|seat| &seat.member);
        let assignor = self.preferred_assignor(members());
        ConsumerDescription {
            state: self.state(),
            epoch: self.epoch,
            assignment_epoch: self.target_epoch(),
            assignor: assignor
                .unwrap_or_else(|| default_assignor(&context.settings.consumer.assignors).name().into()),
            members: self
                .members
                .iter()
                .map(|(id, seat)| self.describe_member(id, &seat.member, context.image))
                .collect(),
        }
    }

    fn describe_member(&self, id: &MemberId, member: &Member, image: &Image) -> ConsumerMemberDescription {
        let profile = &member.profile;
        // What it was told to give up is still its own until it reports that it did.
        let held = member
            .assigned
            .iter()
            .chain(member.revoking.iter())
            .map(|(topic, partition, _)| (topic, partition));
        ConsumerMemberDescription {
            member: id.clone(),
            instance: profile.instance.clone(),
            rack: profile.rack.clone(),
            epoch: member.epoch,
            client_id: Arc::clone(&profile.client_id),
            client_host: Arc::clone(&profile.client_host),
            topics: profile.topics.clone(),
            regex: profile.regex.clone(),
            assignment: named(held, image),
            target: named(self.target_of(id).iter(), image),
            classic: member.is_classic(),
        }
    }
}

fn named(partitions: impl Iterator<Item = (TopicId, PartitionIndex)>, image: &Image) -> Vec<NamedPartitions> {
    let mut topics: BTreeMap<TopicId, Vec<PartitionIndex>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(partition);
    }
    let named = topics.into_iter().filter_map(|(topic, mut partitions)| {
        partitions.sort_unstable();
        let name = image.topic_by_id(topic)?.name().as_str().into();
        Some(NamedPartitions { topic, name, partitions })
    });
    named.collect()
}
