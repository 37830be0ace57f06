//! From one generation to the next, and everything that time does to a group.

use std::sync::Arc;
use std::time::Duration;

use ottla_record::{Monotonic, Now};

use super::{ClassicGroup, InitialDelay, Turn};
use crate::group::ids::MemberId;
use crate::group::record::Record;
use crate::group::response::{GroupError, GroupState, Response};

impl<W> ClassicGroup<W> {
    /// Members or what they say have changed.
    pub(super) fn rebalance_or_complete(&mut self, turn: &mut Turn<'_, W>) {
        match self.state {
            GroupState::PreparingRebalance => self.complete_if_all_joined(turn),
            _ => self.prepare_rebalance(turn),
        }
    }

    /// Calls everyone to join again, and waits for them.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_, W>) {
        if self.state == GroupState::CompletingRebalance {
            self.fail_syncs(&GroupError::RebalanceInProgress, turn);
        }
        self.sync_ends = None;
        let was_empty = self.state == GroupState::Empty;
        self.transition(GroupState::PreparingRebalance, turn.now);
        if was_empty {
            // The first member of a group that starts is seldom the last: without the wait each of them would be a rebalance.
            let delay = turn.settings.initial_rebalance_delay;
            let remaining = self.rebalance_timeout().saturating_sub(delay);
            self.initial = Some(InitialDelay { delay, remaining, member_added: false });
            self.wait_for_joins(delay, turn.now);
        } else if self.all_joined() {
            self.complete_join(turn);
        } else {
            self.wait_for_joins(self.rebalance_timeout(), turn.now);
        }
    }

    /// The first rebalance of a group takes its time even then.
    pub(super) fn complete_if_all_joined(&mut self, turn: &mut Turn<'_, W>) {
        if self.state == GroupState::PreparingRebalance && self.initial.is_none() && self.all_joined() {
            self.complete_join(turn);
        }
    }

    fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    fn wait_for_joins(&mut self, wait: Duration, now: Now) {
        let ends = now.monotonic + wait;
        self.join_ends = Some(ends);
        self.arm(ends);
    }

    /// The wait for joins is over: whoever has not come is out, but for static members, who are expected back until their
    /// session ends. Everyone who came is told of the new generation.
    fn complete_join(&mut self, turn: &mut Turn<'_, W>) {
        self.members.retain(|_, member| member.joining.is_some() || member.instance.is_some());
        if !self.elect_leader() {
            // Only static members are left, and none of them came: wait on, until they do or their sessions end.
            return self.wait_for_joins(self.rebalance_timeout(), turn.now);
        }
        self.join_ends = None;
        self.initial = None;
        self.generation = self.generation.next();
        if self.members.is_empty() {
            self.protocol = None;
            self.transition(GroupState::Empty, turn.now);
            return turn.step.records.push(self.record(turn.group, None));
        }
        self.protocol = self.select_protocol();
        self.transition(GroupState::CompletingRebalance, turn.now);
        self.answer_joins(turn);
        let sync_ends = turn.now.monotonic + self.rebalance_timeout();
        self.sync_ends = Some(sync_ends);
        self.arm(sync_ends);
    }

    fn answer_joins(&mut self, turn: &mut Turn<'_, W>) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id, self.is_leader(&id));
            self.extend_session(&id, turn.now);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.new = false;
            member.owes_sync = true;
            if let Some(waiter) = member.joining.take() {
                turn.reply(waiter, Response::Join(Ok(joined)));
            }
        }
    }

    /// The leader stays if it came; else the first who did. False if there are members and none came.
    fn elect_leader(&mut self) -> bool {
        let came = |id: &MemberId| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(came) {
            let first = self.members.iter().find(|(_, member)| member.joining.is_some());
            self.leader = match first {
                Some((id, _)) => Some(id.clone()),
                None if self.members.is_empty() => None,
                None => return self.keep_some_leader(),
            };
        }
        true
    }

    fn keep_some_leader(&mut self) -> bool {
        if !self.leader.as_ref().is_some_and(|leader| self.members.contains_key(leader)) {
            self.leader = self.members.keys().next().cloned();
        }
        false
    }

    /// Of the strategies that all members know, each member votes for the one it likes best; most votes win. A tie goes to the
    /// leader's order, so that the choice does not hang on chance.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id))?;
        let candidates = leader.protocols.iter().map(|p| &p.name).filter(|name| self.all_know(name));
        let candidates: Vec<&Arc<str>> = candidates.collect();
        let choice = |protocols: &[crate::group::request::Protocol]| {
            protocols.iter().find_map(|p| candidates.iter().position(|name| **name == p.name))
        };
        let mut votes = vec![0_usize; candidates.len()];
        for member in self.members.values() {
            if let Some(count) = choice(&member.protocols).and_then(|chosen| votes.get_mut(chosen)) {
                *count += 1;
            }
        }
        let most = votes.iter().max()?;
        let winner = votes.iter().position(|count| count == most)?;
        candidates.get(winner).map(|name| Arc::clone(name))
    }

    /// What time did to the group. It stops at a record: that has to be applied before anything else is decided.
    pub(in crate::group) fn tick(&mut self, turn: &mut Turn<'_, W>) {
        let now = turn.now.monotonic;
        let wrote = |turn: &Turn<'_, W>| {
            turn.step
                .records
                .iter()
                .any(|record| matches!(record, Record::Classic { group, .. } if group == turn.group))
        };
        let silent: Vec<MemberId> = self
            .members
            .iter()
            .filter(|(_, member)| member.is_silent() && member.session_ends <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in silent {
            if wrote(turn) {
                break;
            }
            // An expiry before it may have begun a rebalance, or even ended one.
            if self.members.get(&id).is_some_and(|member| member.is_silent() && member.session_ends <= now) {
                self.expire(&id, turn);
            }
        }
        if self.pending.values().any(|ends| *ends <= now) && !wrote(turn) {
            self.pending.retain(|_, ends| *ends > now);
            self.complete_if_all_joined(turn);
        }
        if self.join_ends.is_some_and(|ends| ends <= now) && !wrote(turn) {
            self.end_wait_for_joins(turn);
        }
        if self.sync_ends.is_some_and(|ends| ends <= now) && !wrote(turn) {
            self.end_wait_for_syncs(turn);
        }
        self.due = self.timers().min().unwrap_or(Monotonic::NEVER);
    }

    fn end_wait_for_joins(&mut self, turn: &mut Turn<'_, W>) {
        match &mut self.initial {
            Some(initial) if initial.member_added && !initial.remaining.is_zero() => {
                let delay = turn.settings.initial_rebalance_delay.min(initial.remaining);
                let remaining = initial.remaining.saturating_sub(initial.delay);
                *initial = InitialDelay { delay, remaining, member_added: false };
                self.wait_for_joins(delay, turn.now);
            }
            _ => {
                self.initial = None;
                self.complete_join(turn);
            }
        }
    }

    /// Members that joined and never asked for their assignment are out: partitions of theirs would be read by nobody.
    fn end_wait_for_syncs(&mut self, turn: &mut Turn<'_, W>) {
        self.sync_ends = None;
        let owing: Vec<MemberId> =
            self.members.iter().filter(|(_, member)| member.owes_sync).map(|(id, _)| id.clone()).collect();
        if owing.is_empty() {
            return;
        }
        for id in &owing {
            self.remove_member(id);
        }
        self.prepare_rebalance(turn);
    }

    /// Every timer there is.
    pub(super) fn timers(&self) -> impl Iterator<Item = Monotonic> {
        let sessions =
            self.members.values().filter(|member| member.is_silent()).map(|member| member.session_ends);
        sessions.chain(self.pending.values().copied()).chain(self.join_ends).chain(self.sync_ends)
    }

    /// The log has been replayed: sessions start now. A group that is larger than the limit rebalances, and the last to rejoin
    /// are left out.
    pub(in crate::group) fn loaded(&mut self, turn: &mut Turn<'_, W>) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in &ids {
            self.extend_session(id, turn.now);
        }
        if ids.len() > turn.settings.max_size {
            self.prepare_rebalance(turn);
        }
    }
}
