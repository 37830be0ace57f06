//! JoinGroup.

use std::sync::Arc;

use ottla_record::Uuid;

use super::{
    ClassicGroup, MAX_MEMBER_METADATA, MAX_PENDING_MEMBERS, MAX_PROTOCOLS, Member, NEW_MEMBER_JOIN_TIMEOUT,
    Turn, member,
};
use crate::group::ids::{InstanceId, MemberId};
use crate::group::request::Join;
use crate::group::response::{GroupError, GroupState, Joined, Response};

impl<W> ClassicGroup<W> {
    /// A client wants to be, or to stay, a member. It is answered at once or when the next generation begins.
    pub(in crate::group) fn join(&mut self, join: Join, waiter: W, turn: &mut Turn<'_, W>) {
        match self.admit(&join, turn) {
            Err(error) => turn.reply(waiter, Response::Join(Err(error))),
            Ok(()) => match join.member.clone() {
                None => self.join_new(join, waiter, turn),
                Some(member) => self.join_known(member, join, waiter, turn),
            },
        }
    }

    /// The checks that come before it matters who joins.
    fn admit(&mut self, join: &Join, turn: &mut Turn<'_, W>) -> Result<(), GroupError> {
        let metadata: usize = join.protocols.iter().map(|p| p.name.len() + p.metadata.len()).sum();
        if metadata > MAX_MEMBER_METADATA || join.protocols.len() > MAX_PROTOCOLS {
            return Err(GroupError::GroupMetadataTooLarge);
        }
        let limit = turn.settings.max_size;
        if !self.has_room(join.member.as_ref(), limit) {
            // Of a group that became too large, the last to rejoin have to go.
            if let Some(member) = &join.member {
                self.dismiss(member, GroupError::GroupMaxSizeReached { limit }, turn);
                self.complete_if_all_joined(turn);
            }
            return Err(GroupError::GroupMaxSizeReached { limit });
        }
        self.check_protocols(join)
    }

    /// While members gather, those that came count, not those that might: of a group that is too large, the last to rejoin
    /// are left out.
    fn has_room(&self, member: Option<&MemberId>, limit: usize) -> bool {
        let known = member.and_then(|id| self.members.get(id));
        match self.state {
            GroupState::PreparingRebalance => {
                let gathered = self.members.values().filter(|member| member.joining.is_some()).count();
                known.is_some_and(|member| member.joining.is_some()) || gathered < limit
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                known.is_some() || self.members.len() < limit
            }
            _ => true,
        }
    }

    /// All members must be of one kind, and there must be a strategy that all know.
    fn check_protocols(&self, join: &Join) -> Result<(), GroupError> {
        let inconsistent = |why| Err(GroupError::InconsistentGroupProtocol { why });
        if join.protocol_type.is_empty() {
            return inconsistent("no protocol type");
        }
        if join.protocols.is_empty() {
            return inconsistent("no strategy");
        }
        if self.members.is_empty() {
            return Ok(());
        }
        if self.protocol_type.as_ref() != Some(&join.protocol_type) {
            return inconsistent("another protocol type");
        }
        if !join.protocols.iter().any(|protocol| self.all_know(&protocol.name)) {
            return inconsistent("no strategy that all members know");
        }
        Ok(())
    }

    pub(super) fn all_know(&self, name: &Arc<str>) -> bool {
        self.members.values().all(|member| member.protocols.iter().any(|known| known.name == *name))
    }

    fn join_new(&mut self, join: Join, waiter: W, turn: &mut Turn<'_, W>) {
        match &join.instance {
            Some(instance) => {
                let id = new_member_id(instance.as_str(), join.fresh);
                match self.instances.get(instance).cloned() {
                    Some(holder) => self.replace_static(&holder, id, join, waiter, turn),
                    None => self.add_member(id, join, waiter, turn),
                }
            }
            None => {
                let id = new_member_id(&join.client.client_id, join.fresh);
                if !join.require_known_member {
                    return self.add_member(id, join, waiter, turn);
                }
                // A client that never comes back with its id has cost no place in the group and no rebalance (KIP-394).
                let answer = if self.pending.len() >= MAX_PENDING_MEMBERS {
                    GroupError::Overloaded
                } else {
                    let session_ends = turn.now.monotonic + member::millis(join.session_timeout_ms);
                    self.pending.insert(id.clone(), session_ends);
                    self.arm(session_ends);
                    GroupError::MemberIdRequired { member: id }
                };
                turn.reply(waiter, Response::Join(Err(answer)));
            }
        }
    }

    fn join_known(&mut self, id: MemberId, join: Join, waiter: W, turn: &mut Turn<'_, W>) {
        if join.instance.is_none() && self.pending.contains_key(&id) {
            return self.add_member(id, join, waiter, turn);
        }
        if let Err(error) = self.check_member(&id, join.instance.as_ref()) {
            return turn.reply(waiter, Response::Join(Err(error)));
        }
        let changed = self.members.get(&id).is_none_or(|member| !member.says_the_same(&join));
        match self.state {
            GroupState::PreparingRebalance => self.update_member(&id, join, waiter, turn),
            // The same metadata: the answer to its JoinGroup got lost, so it hears again what the generation is.
            GroupState::CompletingRebalance if !changed => {
                let members = self.is_leader(&id);
                turn.reply(waiter, Response::Join(Ok(self.joined(&id, members))));
            }
            // A leader joins because it knows of a reason to assign anew, such as new partitions.
            GroupState::Stable if !changed && !self.is_leader(&id) => {
                turn.reply(waiter, Response::Join(Ok(self.joined(&id, false))));
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.update_member(&id, join, waiter, turn);
            }
            _ => turn.reply(waiter, Response::Join(Err(GroupError::UnknownMemberId))),
        }
    }

    fn add_member(&mut self, id: MemberId, join: Join, waiter: W, turn: &mut Turn<'_, W>) {
        self.pending.remove(&id);
        if self.members.is_empty() {
            self.protocol_type = Some(Arc::clone(&join.protocol_type));
        }
        let session_ends = turn.now.monotonic + NEW_MEMBER_JOIN_TIMEOUT;
        if let Some(instance) = &join.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.members.insert(id, Member::new(&join, waiter, session_ends));
        self.arm(session_ends);
        if let Some(initial) = &mut self.initial {
            initial.member_added = true;
        }
        self.rebalance_or_complete(turn);
    }

    /// A known member joins again: it may have changed its mind, and waits for the next generation.
    fn update_member(&mut self, id: &MemberId, join: Join, waiter: W, turn: &mut Turn<'_, W>) {
        if let Some(member) = self.members.get_mut(id) {
            member.update(&join);
            if let Some(lost) = member.joining.replace(waiter) {
                turn.reply(lost, Response::Join(Err(GroupError::RebalanceInProgress)));
            }
        }
        self.rebalance_or_complete(turn);
    }

    /// A static member came back without its id: it takes the place of its old self, and whoever still uses the old id is
    /// fenced (KIP-345). If the group would choose the same strategy again, nobody else notices.
    fn replace_static(
        &mut self,
        holder: &MemberId,
        id: MemberId,
        join: Join,
        waiter: W,
        turn: &mut Turn<'_, W>,
    ) {
        let Some(mut member) = self.members.remove(holder) else { return };
        if let Some(fenced) = member.joining.take() {
            turn.reply(fenced, Response::Join(Err(GroupError::FencedInstanceId)));
        }
        if let Some(fenced) = member.syncing.take() {
            turn.reply(fenced, Response::Sync(Err(GroupError::FencedInstanceId)));
        }
        member.update(&join);
        member.session_ends = turn.now.monotonic + member.session();
        member.owes_sync = false;
        member.new = false;
        self.arm(member.session_ends);
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        let leader_before = self.leader.clone();
        if self.is_leader(holder) {
            self.leader = Some(id.clone());
        }
        if self.state != GroupState::Stable {
            member.joining = Some(waiter);
            self.members.insert(id, member);
            return match self.state {
                // The leader may already have been told of the old id, and would assign to that.
                GroupState::CompletingRebalance => self.prepare_rebalance(turn),
                _ => self.complete_if_all_joined(turn),
            };
        }
        self.members.insert(id.clone(), member);
        if self.select_protocol() != self.protocol {
            if let Some(member) = self.members.get_mut(&id) {
                member.joining = Some(waiter);
            }
            return self.rebalance_or_complete(turn);
        }
        let leads = self.is_leader(&id);
        let joined = if join.can_skip_assignment {
            Joined { skip_assignment: leads, ..self.joined(&id, leads) }
        } else {
            // A leader that cannot be told to skip must not know that it leads, or it would assign (KIP-814).
            Joined { leader: leader_before.unwrap_or_else(|| id.clone()), ..self.joined(&id, false) }
        };
        turn.step.records.push(self.record(turn.group, None));
        turn.reply(waiter, Response::Join(Ok(joined)));
    }

    /// What a member of the current generation is told.
    pub(super) fn joined(&self, id: &MemberId, with_members: bool) -> Joined {
        let protocol = self.protocol.as_ref();
        let members = self.members.iter().filter(|_| with_members);
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_else(|| id.clone()),
            skip_assignment: false,
            member: id.clone(),
            members: members.map(|(id, member)| member.as_joined(id, protocol)).collect(),
        }
    }

    /// True if the name is held by a member.
    pub(super) fn holder(&self, instance: &InstanceId) -> Option<&MemberId> {
        self.instances.get(instance)
    }
}

impl<W> Member<W> {
    fn update(&mut self, join: &Join) {
        self.protocols = join.protocols.clone();
        self.rebalance_timeout_ms = join.rebalance_timeout_ms.unwrap_or(join.session_timeout_ms);
        self.session_timeout_ms = join.session_timeout_ms;
    }
}

/// Kafka's form: what the client or the static member calls itself, and a UUID in Java's spelling.
fn new_member_id(prefix: &str, fresh: Uuid) -> MemberId {
    let hex: String = fresh.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    MemberId::new(format!(
        "{prefix}-{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    ))
}
