//! SyncGroup and Heartbeat.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ottla_record::Now;

use super::{ClassicGroup, MAX_GROUP_RECORD, Turn};
use crate::group::ids::MemberId;
use crate::group::request::{Heartbeat, Sync};
use crate::group::response::{GroupError, GroupState, Response, Synced};

impl<W> ClassicGroup<W> {
    /// A member asks for its part of the generation; the leader brings everyone's.
    pub(in crate::group) fn sync(&mut self, sync: Sync, waiter: W, turn: &mut Turn<'_, W>) {
        if let Err(error) = self.check_sync(&sync) {
            return turn.reply(waiter, Response::Sync(Err(error)));
        }
        self.extend_session(&sync.member, turn.now);
        let leads = self.is_leader(&sync.member);
        let Some(member) = self.members.get_mut(&sync.member) else { return };
        member.owes_sync = false;
        if self.state == GroupState::Stable {
            let synced = Synced {
                protocol_type: self.protocol_type.clone(),
                protocol_name: self.protocol.clone(),
                assignment: member.assignment.clone(),
            };
            turn.reply(waiter, Response::Sync(Ok(synced)));
        } else {
            if let Some(lost) = member.syncing.replace(waiter) {
                turn.reply(lost, Response::Sync(Err(GroupError::RebalanceInProgress)));
            }
            if leads {
                self.assign(sync.assignments, turn);
            }
        }
        if self.members.values().all(|member| !member.owes_sync) {
            self.sync_ends = None;
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        self.check_member(&sync.member, sync.instance.as_ref())?;
        if sync.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |said: &Option<Arc<str>>, is: &Option<Arc<str>>| matches!((said, is), (Some(said), Some(is)) if said != is);
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol_name, &self.protocol) {
            return Err(GroupError::InconsistentGroupProtocol { why: "not what the group chose" });
        }
        match self.state {
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            _ => Err(GroupError::UnknownMemberId),
        }
    }

    /// The generation is complete: it is written, and who waits is answered once it is. Members the leader left out get
    /// nothing; what it says of others is dropped.
    fn assign(&mut self, assignments: Vec<(MemberId, Bytes)>, turn: &mut Turn<'_, W>) {
        let assignments: BTreeMap<MemberId, Bytes> = assignments.into_iter().collect();
        if self.record_bytes(&assignments) > MAX_GROUP_RECORD {
            self.fail_syncs(&GroupError::GroupMetadataTooLarge, turn);
            return self.prepare_rebalance(turn);
        }
        // Its state, its time and its assignments change when the record is applied.
        let since = self.state_since.replace(turn.now.wall);
        let record = self.record(turn.group, Some(&assignments));
        self.state_since = since;
        turn.step.records.push(record);
        let waiting: Vec<(MemberId, W)> = self
            .members
            .iter_mut()
            .filter_map(|(id, member)| member.syncing.take().map(|waiter| (id.clone(), waiter)))
            .collect();
        for (id, waiter) in waiting {
            self.extend_session(&id, turn.now);
            let synced = Synced {
                protocol_type: self.protocol_type.clone(),
                protocol_name: self.protocol.clone(),
                assignment: assignments.get(&id).cloned().unwrap_or_default(),
            };
            turn.reply(waiter, Response::Sync(Ok(synced)));
        }
    }

    /// An upper bound of the bytes of the group's record.
    fn record_bytes(&self, assignments: &BTreeMap<MemberId, Bytes>) -> usize {
        const FIXED: usize = 64;
        let member = |(id, member): (&MemberId, &super::Member<W>)| {
            let texts = id.as_str().len() + member.client_id.len() + member.client_host.len();
            let instance = member.instance.as_ref().map_or(0, |name| name.as_str().len());
            let metadata = member.metadata(self.protocol.as_ref()).len();
            FIXED + texts + instance + metadata + assignments.get(id).map_or(0, Bytes::len)
        };
        FIXED + self.members.iter().map(member).sum::<usize>()
    }

    /// Whoever waits for an assignment of this generation will not get it.
    pub(super) fn fail_syncs(&mut self, error: &GroupError, turn: &mut Turn<'_, W>) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.assignment = Bytes::new();
            member.owes_sync = false;
            if let Some(waiter) = member.syncing.take() {
                turn.reply(waiter, Response::Sync(Err(error.clone())));
                self.extend_session(&id, turn.now);
            }
        }
    }

    /// A member says that it lives.
    pub(in crate::group) fn heartbeat(&mut self, beat: &Heartbeat, now: Now) -> Result<(), GroupError> {
        self.check_member(&beat.member, beat.instance.as_ref())?;
        if beat.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.extend_session(&beat.member, now);
        match self.state {
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            // Consumers send heartbeats from their JoinGroup's answer on, before the assignment is there.
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
            _ => Err(GroupError::UnknownMemberId),
        }
    }
}
