//! LeaveGroup, and members that are taken for gone.

use super::{ClassicGroup, Member, Turn};
use crate::group::ids::MemberId;
use crate::group::request::{Leave, Leaver};
use crate::group::response::{GroupError, GroupState, Left, Response};

impl<W> ClassicGroup<W> {
    /// Members leave, or an administrator removes them. The others rebalance once, however many they are.
    pub(in crate::group) fn leave(&mut self, leave: Leave, waiter: W, turn: &mut Turn<'_, W>) {
        let mut any = false;
        let mut left = Vec::with_capacity(leave.members.len());
        for leaver in leave.members {
            let result = self.leaver(&leaver).map(|id| {
                self.dismiss(&id, GroupError::UnknownMemberId, turn);
                any = true;
            });
            left.push(Left { member: leaver.member, instance: leaver.instance, result });
        }
        if any {
            self.after_removal(turn);
        }
        turn.reply(waiter, Response::Leave(Ok(left)));
    }

    /// Which member it is that leaves.
    fn leaver(&self, leaver: &Leaver) -> Result<MemberId, GroupError> {
        match (&leaver.member, &leaver.instance) {
            // An administrator knows a static member by its name alone.
            (None, Some(instance)) => self.holder(instance).cloned().ok_or(GroupError::UnknownMemberId),
            (None, None) => Err(GroupError::UnknownMemberId),
            (Some(id), _) if self.pending.contains_key(id) => Ok(id.clone()),
            (Some(id), instance) => self.check_member(id, instance.as_ref()).map(|()| id.clone()),
        }
    }

    /// A member has been silent for too long.
    pub(super) fn expire(&mut self, id: &MemberId, turn: &mut Turn<'_, W>) {
        self.dismiss(id, GroupError::UnknownMemberId, turn);
        self.after_removal(turn);
    }

    /// Removes a member, and tells whoever waits in its name: a client that is still there joins anew.
    pub(super) fn dismiss(&mut self, id: &MemberId, why: GroupError, turn: &mut Turn<'_, W>) {
        let Some(member) = self.remove_member(id) else { return };
        if let Some(waiter) = member.joining {
            turn.reply(waiter, Response::Join(Err(why.clone())));
        }
        if let Some(waiter) = member.syncing {
            turn.reply(waiter, Response::Sync(Err(why)));
        }
    }

    pub(super) fn remove_member(&mut self, id: &MemberId) -> Option<Member<W>> {
        self.pending.remove(id);
        let member = self.members.remove(id)?;
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    fn after_removal(&mut self, turn: &mut Turn<'_, W>) {
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.rebalance_or_complete(turn),
            GroupState::PreparingRebalance => self.complete_if_all_joined(turn),
            _ => {}
        }
    }
}
