//! From the classic protocol to the consumer protocol and back, while members are live (`group.consumer.migration.policy`).
//!
//! A classic group becomes a consumer group when a member of the consumer protocol joins it: its generation becomes its epoch, what each member
//! was assigned becomes what it holds and shall hold, and the newcomer makes the epoch rise. A consumer group becomes classic when only members of
//! the classic protocol remain: its epoch becomes its generation, what each shall hold its assignment, and a rebalance begins.

use std::sync::Arc;

use super::draft::Draft;
use super::embedded::{self, Assigned, CONSUMER};
use super::member::to_partitions;
use super::target::Target;
use super::{ConsumerGroup, Context, Decision, Member};
use crate::group::classic::ClassicGroup;
use crate::group::ids::{Generation, GroupEpoch, GroupId, MemberEpoch, MemberId};
use crate::group::record::{
    ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue, ConsumerGroupValue, ConsumerMemberValue,
    CurrentAssignmentValue, MemberState, Record, TargetEpochValue,
};
use crate::group::request::{ConsumerHeartbeat, Protocol};
use crate::group::response::{ConsumerBeat, GroupError};

impl ConsumerGroup {
    /// A member of the consumer protocol joins a classic group that has members: the group is converted, then joined.
    ///
    /// # Errors
    /// [`GroupError::GroupIdNotFound`] with the reason why the group cannot be converted, and whatever the join meets.
    pub(in crate::group) fn upgrade<W>(
        classic: &ClassicGroup<W>,
        request: &ConsumerHeartbeat,
        context: &Context<'_>,
    ) -> Result<Decision<ConsumerBeat>, GroupError> {
        let mut records = convert(&request.group, classic, context)?;
        let mut group = Self::new(request.group.clone());
        for record in &records {
            group.apply(record, context.now);
        }
        let joined = group.heartbeat(request, context)?;
        records.insert(0, Record::Classic { group: request.group.clone(), value: None });
        records.extend(joined.records);
        Ok(Decision { records, answer: joined.answer })
    }

    /// True if the group is to become classic once these members are gone and `come` have come that are classic.
    pub(super) fn downgrades_without(&self, gone: &[&MemberId], come: usize, context: &Context<'_>) -> bool {
        let classic_gone = gone.iter().filter(|id| self.member(id).is_some_and(Member::is_classic)).count();
        let left = self.members.len() - gone.len();
        let size = left + come;
        self.classic_members - classic_gone == left
            && size > 0
            && context.settings.consumer.migration.downgrades()
            && size <= context.settings.classic.max_size
    }

    /// The records that make it a classic group of those members that are not gone.
    pub(super) fn to_classic(&self, gone: &[&MemberId], context: &Context<'_>) -> Vec<Record> {
        let members: Vec<(&MemberId, &Member)> = self
            .members
            .iter()
            .filter(|(id, _)| !gone.contains(id))
            .map(|(id, seat)| (id, &seat.member))
            .collect();
        let protocols =
            |member: &Member| member.profile.classic.as_ref().map_or(Vec::new(), |c| c.protocols.clone());
        let all: Vec<Vec<Protocol>> = members.iter().map(|(_, member)| protocols(member)).collect();
        let chosen = choose(&all);
        let written = members.iter().zip(&all).map(|((id, member), protocols)| {
            let classic = member.profile.classic.as_ref();
            let known = protocols.iter().find(|known| Some(&known.name) == chosen.as_ref());
            ClassicMemberValue {
                member: (*id).clone(),
                instance: member.profile.instance.clone(),
                client_id: Arc::clone(&member.profile.client_id),
                client_host: Arc::clone(&member.profile.client_host),
                rebalance_timeout_ms: member.profile.rebalance_timeout_ms,
                session_timeout_ms: classic.map_or(0, |classic| classic.session_timeout_ms),
                subscription: known.map(|known| known.metadata.clone()).unwrap_or_default(),
                assignment: embedded::assignment(self.target_of(id).iter(), protocols, context.image),
            }
        });
        let value = ClassicGroupValue {
            protocol_type: Arc::from(CONSUMER),
            generation: Generation::new(self.epoch.get()),
            protocol: chosen.clone(),
            leader: members.first().map(|(id, _)| (*id).clone()),
            state_since: Some(context.now.wall),
            members: written.collect(),
        };
        let mut records = self.tombstones();
        records.push(Record::Classic { group: self.id.clone(), value: Some(value) });
        records
    }
}

impl Draft<'_> {
    /// The target of a member as it was last computed.
    pub(super) fn last_target(&self, id: &MemberId, member: &Member) -> Target {
        // A static member that takes the place of another takes over its part.
        let of = member.profile.instance.as_ref().and_then(|instance| self.group.statics.get(instance));
        Target { epoch: self.group.target_epoch(), partitions: self.group.target_of(of.unwrap_or(id)) }
    }

    /// Notes the records that make the group, as it is after those noted so far, a classic one.
    pub(super) fn downgrade(&mut self) {
        let mut after = self.group.clone();
        for record in &self.records {
            after.apply(record, self.context.now);
        }
        self.records.extend(after.to_classic(&[], self.context));
    }
}

/// The records of a consumer group that has what a classic one has.
fn convert<W>(
    id: &GroupId,
    classic: &ClassicGroup<W>,
    context: &Context<'_>,
) -> Result<Vec<Record>, GroupError> {
    let refuse = |why: &str| {
        GroupError::GroupIdNotFound(format!(
            "Cannot upgrade classic group {id} to consumer group because {why}"
        ))
    };
    if !context.settings.consumer.migration.upgrades() {
        return Err(refuse("online upgrade is disabled."));
    }
    if &*classic.protocol_type() != CONSUMER {
        return Err(refuse("the group does not use the consumer embedded protocol."));
    }
    if classic.members().len() > context.settings.consumer.max_size {
        return Err(refuse("the group size exceeds the consumer group maximum size."));
    }
    let epoch = MemberEpoch::new(classic.generation().get());
    let group = || id.clone();
    let (mut said, mut targets, mut held) = (Vec::new(), Vec::new(), Vec::new());
    let mut names = std::collections::BTreeSet::new();
    for (member, known) in classic.members() {
        let malformed = || refuse("the embedded consumer protocol is malformed.");
        let subscription = embedded::subscription(&known.protocols, context.image).ok_or_else(malformed)?;
        let assigned = match embedded::assigned(&known.assignment, context.image) {
            Assigned::Partitions(partitions) => partitions,
            Assigned::Malformed => return Err(malformed()),
            Assigned::Custom => {
                return Err(refuse(
                    "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor \
                     before re-attempting the upgrade.",
                ));
            }
        };
        names.extend(subscription.topics.iter().cloned());
        let profile = ConsumerMemberValue {
            instance: known.instance.clone(),
            rack: subscription.rack,
            client_id: Arc::clone(&known.client_id),
            client_host: Arc::clone(&known.client_host),
            topics: subscription.topics,
            regex: Some(Arc::from("")),
            rebalance_timeout_ms: known.rebalance_timeout_ms,
            assignor: None,
            classic: Some(ClassicMemberMetadata {
                session_timeout_ms: known.session_timeout_ms,
                protocols: known.protocols.clone(),
            }),
        };
        let partitions = to_partitions(&assigned);
        let current = CurrentAssignmentValue {
            epoch,
            previous_epoch: epoch,
            state: MemberState::Stable,
            assigned: partitions
                .iter()
                .map(|(topic, p)| (topic, p, epoch))
                .collect::<super::member::Held>()
                .to_record(),
            pending_revocation: Vec::new(),
        };
        let member = || member.clone();
        said.push(Record::ConsumerMember { group: group(), member: member(), value: Some(profile) });
        targets.push(Record::TargetAssignment { group: group(), member: member(), value: Some(assigned) });
        held.push(Record::CurrentAssignment { group: group(), member: member(), value: Some(current) });
    }
    let epoch = GroupEpoch::new(epoch.get());
    let metadata_hash = context.topics.digest(context.image, names.iter());
    let mut records = said;
    records.push(Record::ConsumerGroup {
        group: group(),
        value: Some(ConsumerGroupValue { epoch, metadata_hash }),
    });
    records.append(&mut targets);
    records.push(Record::TargetEpoch {
        group: group(),
        value: Some(TargetEpochValue { epoch, assigned_at: None }),
    });
    records.append(&mut held);
    Ok(records)
}

/// Of the strategies that all members know, the one that most like best; of several, the first in the first member's order.
fn choose(members: &[Vec<Protocol>]) -> Option<Arc<str>> {
    let all_know = |name: &Arc<str>| members.iter().all(|known| known.iter().any(|p| p.name == *name));
    let candidates: Vec<&Arc<str>> =
        members.first()?.iter().map(|p| &p.name).filter(|name| all_know(name)).collect();
    let votes = |name: &Arc<str>| {
        let first = |known: &&Vec<Protocol>| {
            known.iter().find(|p| candidates.contains(&&p.name)).is_some_and(|p| p.name == *name)
        };
        members.iter().filter(first).count()
    };
    candidates.iter().rev().max_by_key(|name| votes(name)).map(|name| Arc::clone(name))
}
