//! Members of the classic protocol in a group of the consumer protocol: while an application moves from one to the other, both are in it.
//!
//! The coordinator assigns to them as to the others. What a consumer-protocol member does in one heartbeat takes a classic one a Heartbeat, which
//! tells it to rejoin, a JoinGroup, which reports what it holds and takes it one step on, and a SyncGroup, which brings its part. None of these
//! waits for anyone.

use std::borrow::Cow;
use std::sync::Arc;

use super::draft::Draft;
use super::embedded::{self, CONSUMER};
use super::heartbeat::fresh_id;
use super::{ConsumerGroup, Context, Decision, Member, millis};
use crate::group::groups::check_size;
use crate::group::ids::{Generation, InstanceId, MemberId};
use crate::group::record::{ClassicMemberMetadata, ConsumerMemberValue, MemberState};
use crate::group::request::{Heartbeat, Join, Leave, Sync};
use crate::group::response::{GroupError, Joined, Left, Synced};

impl ConsumerGroup {
    /// JoinGroup.
    ///
    /// # Errors
    /// Whatever [`GroupError`] Kafka has for it; nothing changes then.
    pub(in crate::group) fn classic_join(
        &mut self,
        join: &Join,
        context: &Context<'_>,
    ) -> Result<Decision<Joined>, GroupError> {
        let id = join.member.clone().unwrap_or_else(|| fresh_id(join.fresh));
        self.check_room(Some(&id), context.settings.consumer.max_size)?;
        self.check_protocols(join)?;
        if join.require_known_member && join.member.is_none() && join.instance.is_none() {
            return Err(GroupError::MemberIdRequired { member: id });
        }
        let mut draft = Draft::new(self, context);
        let answer = draft.join(&id, join)?;
        let Draft { records, looked, .. } = draft;
        check_size(&records)?;
        self.looked = looked;
        if let Some(seat) = self.members.get_mut(&id) {
            let rejoined_by = context.now.monotonic + millis(seat.member.profile.rebalance_timeout_ms);
            seat.timers.heard_at = context.now.monotonic;
            seat.timers.join_by = None;
            seat.timers.sync_by = Some(rejoined_by);
            self.wake_by(rejoined_by);
        }
        Ok(Decision { records, answer })
    }

    /// SyncGroup.
    ///
    /// # Errors
    /// As [`classic_join`](Self::classic_join).
    pub(in crate::group) fn classic_sync(
        &mut self,
        sync: &Sync,
        context: &Context<'_>,
    ) -> Result<Synced, GroupError> {
        let member = self.classic_member(&sync.member, sync.instance.as_ref())?;
        check_generation(member, sync.generation)?;
        let protocols = member.profile.classic.as_ref().map_or(&[][..], |classic| &classic.protocols);
        if sync.protocol_type.as_deref().is_some_and(|kind| kind != CONSUMER) {
            return Err(inconsistent("the kind of group is another"));
        }
        let chosen = protocols.first().map(|protocol| &protocol.name);
        if sync.protocol_name.as_ref().is_some_and(|name| Some(name) != chosen) {
            return Err(inconsistent("the strategy is not the one of the join"));
        }
        // One that is giving up partitions has joined already, and learns of what comes next once it did.
        if self.target_epoch().get() > member.epoch.get() && member.state != MemberState::UnrevokedPartitions
        {
            self.ask_to_join(&sync.member, context);
            return Err(GroupError::RebalanceInProgress);
        }
        let held = member.assigned.iter().map(|(topic, partition, _)| (topic, partition));
        let assignment = embedded::assignment(held, protocols, context.image);
        if let Some(seat) = self.members.get_mut(&sync.member) {
            seat.timers.heard_at = context.now.monotonic;
            seat.timers.sync_by = None;
        }
        Ok(Synced {
            protocol_type: sync.protocol_type.clone(),
            protocol_name: sync.protocol_name.clone(),
            assignment,
        })
    }

    /// Heartbeat: whether to rejoin.
    ///
    /// # Errors
    /// As [`classic_join`](Self::classic_join); [`GroupError::RebalanceInProgress`] if the member can take a step.
    pub(in crate::group) fn classic_heartbeat(
        &mut self,
        beat: &Heartbeat,
        context: &Context<'_>,
    ) -> Result<(), GroupError> {
        let member = self.classic_member(&beat.member, beat.instance.as_ref())?;
        check_generation(member, beat.generation)?;
        let rejoin = match member.state {
            _ if member.epoch.get() < self.target_epoch().get() => true,
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !self.waits_for_others(&beat.member, member),
            _ => false,
        };
        self.touch(&beat.member, context.now.monotonic);
        if rejoin {
            self.ask_to_join(&beat.member, context);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// LeaveGroup, of members of either protocol: an administrator may remove any.
    pub(in crate::group) fn classic_leave(
        &self,
        leave: &Leave,
        context: &Context<'_>,
    ) -> Decision<Vec<Left>> {
        let mut gone = Vec::new();
        let mut left = Vec::with_capacity(leave.members.len());
        for leaver in &leave.members {
            let found = match (&leaver.instance, &leaver.member) {
                (None, Some(id)) => {
                    self.members.get_key_value(id).map(|(id, _)| id).ok_or(GroupError::UnknownMemberId)
                }
                (None, None) => Err(GroupError::UnknownMemberId),
                (Some(instance), given) => match (self.static_member(instance), given) {
                    (None, _) => Err(GroupError::UnknownMemberId),
                    (Some((id, _)), Some(given)) if id != given => Err(GroupError::FencedInstanceId),
                    (Some((id, _)), _) => Ok(id),
                },
            };
            let result = found.map(|id| {
                if !gone.contains(&id) {
                    gone.push(id);
                }
            });
            left.push(Left { member: leaver.member.clone(), instance: leaver.instance.clone(), result });
        }
        Decision { records: self.fence(&gone, context), answer: left }
    }

    /// Strategies go with the group's if all its classic members know one of them. What they do is not used: the coordinator assigns.
    fn check_protocols(&self, join: &Join) -> Result<(), GroupError> {
        if &*join.protocol_type != CONSUMER {
            return Err(inconsistent("the kind of group is another"));
        }
        let all_know = |name: &Arc<str>| {
            let members = self.members.values().filter_map(|seat| seat.member.profile.classic.as_ref());
            members.filter(|classic| classic.protocols.iter().any(|known| known.name == *name)).count()
                == self.classic_members
        };
        match join.protocols.iter().any(|protocol| all_know(&protocol.name)) {
            true => Ok(()),
            false => Err(inconsistent("no strategy is known to all members")),
        }
    }

    fn classic_member(&self, id: &MemberId, instance: Option<&InstanceId>) -> Result<&Member, GroupError> {
        let member = match instance {
            None => self.member(id),
            Some(instance) => match self.static_member(instance) {
                Some((holder, _)) if holder != id => return Err(GroupError::FencedInstanceId),
                found => found.map(|(_, member)| member),
            },
        };
        member.filter(|member| member.is_classic()).ok_or(GroupError::UnknownMemberId)
    }

    /// True if something the member shall have is held by another still.
    fn waits_for_others(&self, id: &MemberId, member: &Member) -> bool {
        let missing = self.targets.get(id).into_iter().flat_map(|target| target.iter());
        missing
            .filter(|(topic, p)| !member.assigned.contains(*topic, *p))
            .any(|held| self.holders.contains_key(&held))
    }

    /// The member was told to join again; it has its rebalance timeout for that, from the first time it was told.
    fn ask_to_join(&mut self, id: &MemberId, context: &Context<'_>) {
        if let Some(seat) = self.members.get_mut(id) {
            let timeout = millis(seat.member.profile.rebalance_timeout_ms);
            let join_by = *seat.timers.join_by.get_or_insert(context.now.monotonic + timeout);
            self.wake_by(join_by);
        }
    }
}

impl<'a> Draft<'a> {
    fn join(&mut self, id: &MemberId, join: &Join) -> Result<Joined, GroupError> {
        let subscription = embedded::subscription(&join.protocols, self.context.image)
            .ok_or_else(|| inconsistent("the subscription cannot be read"))?;
        let existing = join.instance.as_ref().and_then(|instance| self.group.static_member(instance));
        let downgrades = existing.is_some_and(|(id, existing)| {
            !existing.is_classic() && self.group.downgrades_without(&[id], 1, self.context)
        });
        let member = self.admit_classic(id, join, existing)?;

        let known = &member.profile;
        let profile = ConsumerMemberValue {
            instance: join.instance.clone().or_else(|| known.instance.clone()),
            rack: subscription.rack.or_else(|| known.rack.clone()),
            client_id: Arc::clone(&join.client.client_id),
            client_host: Arc::clone(&join.client.host),
            topics: subscription.topics,
            // Classic members match patterns themselves.
            regex: Some(Arc::from("")),
            rebalance_timeout_ms: join.rebalance_timeout_ms.unwrap_or(join.session_timeout_ms),
            assignor: known.assignor.clone(),
            classic: Some(ClassicMemberMetadata {
                session_timeout_ms: join.session_timeout_ms,
                protocols: join.protocols.clone(),
            }),
        };
        let updated = Member { profile, ..member.clone().into_owned() };
        let changed = self.introduce(id, &member, &updated)?;
        let target = match downgrades {
            true => self.last_target(id, &updated),
            false => self.target(id, &updated),
        };
        // A group that is about to be classic and has no assignment for its epoch rebalances anyway.
        let next = match downgrades && target.epoch < self.epoch {
            true => None,
            false => self.reconcile(id, &updated, &target, changed, Some(&subscription.owned))?,
        };
        let next = next.as_ref().unwrap_or(&updated);
        if downgrades {
            self.downgrade();
        }
        Ok(Joined {
            generation: Generation::new(next.epoch.get()),
            protocol_type: Some(Arc::from(CONSUMER)),
            protocol_name: join.protocols.first().map(|protocol| Arc::clone(&protocol.name)),
            leader: MemberId::from(""),
            skip_assignment: false,
            member: id.clone(),
            members: Vec::new(),
        })
    }

    /// As [`admit`](Self::admit), for JoinGroup, which has no epoch. A static member that comes without an id takes the place of the one with
    /// its name, of whatever protocol.
    fn admit_classic(
        &mut self,
        id: &MemberId,
        join: &Join,
        existing: Option<(&'a MemberId, &'a Member)>,
    ) -> Result<Cow<'a, Member>, GroupError> {
        match (&join.instance, existing, &join.member) {
            (None, ..) | (Some(_), None, None) => self.group.admit_dynamic(id, true),
            (Some(_), Some((existing_id, existing)), None) => {
                Ok(Cow::Owned(self.replace(existing_id, existing, id)))
            }
            (Some(_), None, Some(_)) => Err(GroupError::UnknownMemberId),
            (Some(_), Some((existing_id, _)), Some(_)) if existing_id != id => {
                Err(GroupError::FencedInstanceId)
            }
            (Some(_), Some((_, existing)), Some(_)) => Ok(Cow::Borrowed(existing)),
        }
    }
}

fn check_generation(member: &Member, generation: Generation) -> Result<(), GroupError> {
    if member.epoch.get() == generation.get() { Ok(()) } else { Err(GroupError::IllegalGeneration) }
}

fn inconsistent(why: &'static str) -> GroupError {
    GroupError::InconsistentGroupProtocol { why }
}
