//! Who a request is from: whether it is well formed, whether the member is one, and whether its epoch is right.

use std::borrow::Cow;
use std::sync::Arc;

use super::draft::Draft;
use super::member::to_topics;
use super::{ConsumerGroup, Context, Member};
use crate::group::assignor::Assignor;
use crate::group::ids::{InstanceId, MemberEpoch, MemberId};
use crate::group::record::Record;
use crate::group::request::{ConsumerHeartbeat, TopicPartitions};
use crate::group::response::GroupError;

/// Checks what can be checked without the group.
///
/// # Errors
/// [`GroupError::InvalidRequest`] and [`GroupError::UnsupportedAssignor`], in Kafka's order and words.
pub(in crate::group) fn validate(
    request: &ConsumerHeartbeat,
    context: &Context<'_>,
) -> Result<(), GroupError> {
    let invalid = |why: &str| Err(GroupError::InvalidRequest(why.to_owned()));
    let blank = |text: &str| text.trim().is_empty();
    let needs_id =
        request.brings_own_id || request.epoch > MemberEpoch::JOIN || request.epoch == MemberEpoch::LEAVE;
    if needs_id && request.member.as_ref().is_none_or(|id| blank(id.as_str())) {
        return invalid("MemberId can't be empty.");
    }
    if blank(request.group.as_str()) {
        return invalid("GroupId can't be empty.");
    }
    if request.instance.as_ref().is_some_and(|id| blank(id.as_str())) {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack.as_deref().is_some_and(blank) {
        return invalid("RackId can't be empty.");
    }
    if request.epoch == MemberEpoch::JOIN {
        if request.rebalance_timeout_ms.is_none() {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if request.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if request.topics.is_none() && request.regex.is_none() {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
    } else if request.epoch == MemberEpoch::LEAVE_STATIC && request.instance.is_none() {
        return invalid("InstanceId can't be null.");
    } else if request.epoch < MemberEpoch::LEAVE_STATIC {
        return invalid("MemberEpoch is invalid.");
    }
    let offered = &context.settings.consumer.assignors;
    match &request.assignor {
        Some(wanted) if !offered.contains(wanted) || Assignor::named(wanted).is_none() => {
            Err(GroupError::UnsupportedAssignor(format!(
                "ServerAssignor {wanted} is not supported. Supported assignors: {}.",
                offered.join(", ")
            )))
        }
        _ => Ok(()),
    }
}

impl<'a> Draft<'a> {
    /// The member that a request is from: one that there is, a new one, or one that takes the place of a static member, for which the
    /// records are noted.
    ///
    /// # Errors
    /// Whatever keeps it out.
    pub(super) fn admit(
        &mut self,
        id: &MemberId,
        request: &ConsumerHeartbeat,
    ) -> Result<Cow<'a, Member>, GroupError> {
        let joins = request.epoch == MemberEpoch::JOIN;
        let owned = request.owned.as_deref();
        let Some(instance) = &request.instance else {
            let member = self.group.admit_dynamic(id, joins)?;
            check_epoch(&member, request.epoch, owned)?;
            return Ok(member);
        };
        match self.group.static_member(instance) {
            None if joins => Ok(self.group.admit_dynamic(id, true)?),
            None => Err(GroupError::UnknownMemberId),
            Some((existing_id, existing)) if joins => {
                // Of two of the consumer protocol, the second gets the name once the first has let go of it.
                if !existing.is_classic() && existing.epoch != MemberEpoch::LEAVE_STATIC {
                    return Err(unreleased(id, instance, existing_id));
                }
                Ok(Cow::Owned(self.replace(existing_id, existing, id)))
            }
            Some((existing_id, _)) if existing_id != id => Err(GroupError::FencedInstanceId),
            Some((_, existing)) => {
                check_epoch(existing, request.epoch, owned)?;
                Ok(Cow::Borrowed(existing))
            }
        }
    }

    /// Lets a member take the place of a static one: it gets all that the other had, at epoch 0.
    pub(super) fn replace(&mut self, old_id: &MemberId, old: &Member, id: &MemberId) -> Member {
        let new = Member { epoch: MemberEpoch::JOIN, previous_epoch: MemberEpoch::JOIN, ..old.clone() };
        self.remove(old_id);
        let group = || self.group.id.clone();
        let target = to_topics(&self.group.target_of(old_id));
        self.records.extend([
            Record::ConsumerMember { group: group(), member: id.clone(), value: Some(new.profile.clone()) },
            Record::TargetAssignment { group: group(), member: id.clone(), value: Some(target) },
            Record::CurrentAssignment { group: group(), member: id.clone(), value: Some(new.current()) },
        ]);
        self.replaced = Some(old_id.clone());
        new
    }

    /// Notes the records that remove a member.
    pub(super) fn remove(&mut self, id: &MemberId) {
        let group = || self.group.id.clone();
        self.records.extend([
            Record::CurrentAssignment { group: group(), member: id.clone(), value: None },
            Record::TargetAssignment { group: group(), member: id.clone(), value: None },
            Record::ConsumerMember { group: group(), member: id.clone(), value: None },
        ]);
    }
}

impl ConsumerGroup {
    /// The member that bears a static name.
    pub(super) fn static_member(&self, instance: &InstanceId) -> Option<(&MemberId, &Member)> {
        let id = self.statics.get(instance)?;
        Some((id, self.member(id)?))
    }

    /// The member of this id, or a new one.
    ///
    /// # Errors
    /// [`GroupError::UnknownMemberId`] if there is none and it does not join.
    pub(super) fn admit_dynamic(&self, id: &MemberId, joins: bool) -> Result<Cow<'_, Member>, GroupError> {
        match self.member(id) {
            Some(member) => Ok(Cow::Borrowed(member)),
            None if joins => Ok(Cow::Owned(Member::unknown())),
            None => Err(GroupError::UnknownMemberId),
        }
    }

    /// # Errors
    /// [`GroupError::GroupMaxSizeReached`] for a member that would be one too many.
    pub(super) fn check_room(&self, id: Option<&MemberId>, limit: usize) -> Result<(), GroupError> {
        let known = id.is_some_and(|id| self.members.contains_key(id));
        if !known && self.members.len() >= limit {
            Err(GroupError::GroupMaxSizeReached { limit })
        } else {
            Ok(())
        }
    }
}

/// A member may come with its epoch; with 0, to begin anew; and with its previous epoch, if what it holds is part of what it was given: then the
/// answer that raised its epoch was lost.
fn check_epoch(
    member: &Member,
    epoch: MemberEpoch,
    owned: Option<&[TopicPartitions]>,
) -> Result<(), GroupError> {
    let fenced = |how: &str| {
        let known = member.epoch;
        Err(GroupError::FencedMemberEpoch(format!(
            "The consumer group member has a {how} member epoch ({epoch}) than the one known by the group coordinator ({known}). \
             The member must abandon all its partitions and rejoin."
        )))
    };
    if epoch == MemberEpoch::JOIN || epoch == member.epoch {
        return Ok(());
    }
    if epoch > member.epoch {
        return fenced("greater");
    }
    let lost_answer =
        epoch == member.previous_epoch && owned.is_some_and(|owned| member.assigned.contains_all(owned));
    if lost_answer { Ok(()) } else { fenced("smaller") }
}

fn unreleased(id: &MemberId, instance: &InstanceId, owner: &MemberId) -> GroupError {
    GroupError::UnreleasedInstanceId(format!(
        "Static member {id} with instance id {instance} cannot join the group because the instance id is owned by {owner} member."
    ))
}

/// The topics of a request as a member keeps them: ascending, none twice.
pub(super) fn sorted(topics: &[Arc<str>]) -> Vec<Arc<str>> {
    let mut topics = topics.to_vec();
    topics.sort_unstable();
    topics.dedup();
    topics
}
