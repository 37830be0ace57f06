//! ConsumerGroupHeartbeat: the one request by which a member joins, changes its subscription, learns what to hold, reports what it holds,
//! and leaves.

use std::borrow::Cow;
use std::sync::Arc;

use ottla_record::Uuid;

use super::admission::sorted;
use super::draft::Draft;
use super::reconcile::{Goal, step};
use super::target::Target;
use super::{ConsumerGroup, Context, Decision, Member};
use crate::group::groups::check_size;
use crate::group::ids::{MemberEpoch, MemberId};
use crate::group::record::{ConsumerMemberValue, Record};
use crate::group::request::{ConsumerHeartbeat, TopicPartitions};
use crate::group::response::{ConsumerBeat, GroupError};

impl ConsumerGroup {
    /// Answers a heartbeat that is [valid](super::validate). A member that is new is one once the records are applied; one that there is has been heard now.
    ///
    /// # Errors
    /// Whatever [`GroupError`] Kafka has for it; nothing changes then.
    pub(in crate::group) fn heartbeat(
        &mut self,
        request: &ConsumerHeartbeat,
        context: &Context<'_>,
    ) -> Result<Decision<ConsumerBeat>, GroupError> {
        if request.epoch < MemberEpoch::JOIN {
            return self.leave(request, context);
        }
        self.check_room(request.member.as_ref(), context.settings.consumer.max_size)?;
        let id = request.member.clone().unwrap_or_else(|| fresh_id(request.fresh));

        let mut draft = Draft::new(self, context);
        let answer = draft.beat(&id, request)?;
        let Draft { records, looked, .. } = draft;
        // What does not fit is refused, and then nothing of it was seen: the next heartbeat must look again.
        check_size(&records)?;
        self.looked = looked;
        self.touch(&id, context.now.monotonic);
        if is_full(request) {
            self.told_again(&id, context.now.monotonic);
        }
        Ok(Decision { records, answer })
    }
}

impl Draft<'_> {
    fn beat(&mut self, id: &MemberId, request: &ConsumerHeartbeat) -> Result<ConsumerBeat, GroupError> {
        let member = self.admit(id, request)?;
        let updated = match said(&member, request) {
            None => Cow::Borrowed(&*member),
            Some(profile) => Cow::Owned(Member { profile, ..member.clone().into_owned() }),
        };
        let subscription_changed = self.introduce(id, &member, &updated)?;
        let target = self.target(id, &updated);
        let next = self.reconcile(id, &updated, &target, subscription_changed, request.owned.as_deref())?;
        let next = next.as_ref().unwrap_or(&updated);

        // A member that joins, or that repeats all of what it says since an answer was lost, is told what to hold in any case.
        let tell = request.epoch == MemberEpoch::JOIN || is_full(request) || next.assigned != member.assigned;
        Ok(ConsumerBeat {
            member: id.clone(),
            epoch: next.epoch,
            heartbeat_interval_ms: self.context.heartbeat_interval_ms(&self.group.id),
            assignment: tell.then(|| next.assigned.partitions()),
        })
    }

    /// Notes what is new about a member, and raises the group's epoch if its subscription is, or if topics changed. Tells if the subscription is.
    pub(super) fn introduce(
        &mut self,
        id: &MemberId,
        old: &Member,
        new: &Member,
    ) -> Result<bool, GroupError> {
        if new.profile != old.profile {
            let (group, value) = (self.group.id.clone(), Some(new.profile.clone()));
            self.records.push(Record::ConsumerMember { group, member: id.clone(), value });
        }
        let names_changed = new.profile.topics != old.profile.topics;
        let pattern_changed = new.pattern() != old.pattern();
        let matches_changed = self.match_patterns(old.pattern(), new.pattern())?;
        self.update_epoch(names_changed || matches_changed, &[old], Some(new));
        Ok(names_changed || pattern_changed)
    }

    /// Takes a member one step towards the target; `None` if it stays as it is.
    pub(super) fn reconcile(
        &mut self,
        id: &MemberId,
        member: &Member,
        target: &Target,
        subscription_changed: bool,
        owned: Option<&[TopicPartitions]>,
    ) -> Result<Option<Member>, GroupError> {
        if !subscription_changed && member.is_reconciled_to(target.epoch) {
            return Ok(None);
        }
        let subscribed = self.subscriptions().ids_of(member, self.context.image);
        let goal = Goal {
            epoch: target.epoch,
            target: &target.partitions,
            subscribed: &subscribed,
            subscription_changed,
            owned,
        };
        let next = step(member, &goal, |topic, partition| self.is_free(id, topic, partition))?;
        if next == *member {
            return Ok(None);
        }
        let group = self.group.id.clone();
        self.records.push(Record::CurrentAssignment {
            group,
            member: id.clone(),
            value: Some(next.current()),
        });
        Ok(Some(next))
    }
}

/// True if a member repeats all of what it says, as clients do when an answer was lost.
fn is_full(request: &ConsumerHeartbeat) -> bool {
    request.rebalance_timeout_ms.is_some()
        && (request.topics.is_some() || request.regex.is_some())
        && request.owned.is_some()
}

/// What a member says of itself where that differs from what it said before. What it leaves out is as before.
fn said(member: &Member, request: &ConsumerHeartbeat) -> Option<ConsumerMemberValue> {
    let known = &member.profile;
    let or_known = |new: &Option<Arc<str>>, known: &Option<Arc<str>>| new.clone().or_else(|| known.clone());
    let same = known.client_id == request.client.client_id
        && known.client_host == request.client.host
        && known.classic.is_none()
        && request.instance.as_ref().is_none_or(|new| known.instance.as_ref() == Some(new))
        && request.rack.as_ref().is_none_or(|new| known.rack.as_ref() == Some(new))
        && request.rebalance_timeout_ms.is_none_or(|new| known.rebalance_timeout_ms == new)
        && request.assignor.as_ref().is_none_or(|new| known.assignor.as_ref() == Some(new))
        && request.regex.as_ref().is_none_or(|new| known.regex.as_ref() == Some(new))
        && request.topics.as_ref().is_none_or(|new| are_same(new, &known.topics));
    if same {
        return None;
    }
    Some(ConsumerMemberValue {
        instance: request.instance.clone().or_else(|| known.instance.clone()),
        rack: or_known(&request.rack, &known.rack),
        client_id: Arc::clone(&request.client.client_id),
        client_host: Arc::clone(&request.client.host),
        topics: request.topics.as_deref().map_or_else(|| known.topics.clone(), sorted),
        regex: or_known(&request.regex, &known.regex),
        rebalance_timeout_ms: request.rebalance_timeout_ms.unwrap_or(known.rebalance_timeout_ms),
        assignor: or_known(&request.assignor, &known.assignor),
        classic: None,
    })
}

/// True if a request's topics are the known ones, in whatever order. The usual case, told without a copy.
fn are_same(topics: &[Arc<str>], known: &[Arc<str>]) -> bool {
    (topics.len() == known.len() && topics.is_sorted() && topics == known) || sorted(topics) == known
}

/// The id of a member that did not bring one, as Kafka makes them.
pub(super) fn fresh_id(fresh: Uuid) -> MemberId {
    MemberId::new(fresh.to_string())
}
