//! The classic group protocol: members join, the coordinator elects a leader among them, the leader assigns.
//!
//! A faithful account of Kafka 4.3's `ClassicGroup`. A generation begins when everyone expected has joined (or their time is
//! over) and is written when the leader brings the assignment; what happens in between is volatile, and a coordinator that
//! takes over finds the last written generation, whose members rejoin.
//!
//! What every event does in every state: the answer to the client it comes from (`waits`: it comes later), whether a generation
//! is written, and the state it leads to if that is another. The group has the leader `a`, a follower and a static member; while
//! it prepares, a newcomer waits. A test goes through this table.
//!
//! | event | Empty | PreparingRebalance | CompletingRebalance | Stable |
//! |---|---|---|---|---|
//! | a new member asks for an id | MemberIdRequired | MemberIdRequired | MemberIdRequired | MemberIdRequired |
//! | a new member joins | waits → PreparingRebalance | waits | waits → PreparingRebalance | waits → PreparingRebalance |
//! | a member joins as before | UnknownMemberId | waits | joined | joined |
//! | a member joins with other topics | UnknownMemberId | waits | waits → PreparingRebalance | waits → PreparingRebalance |
//! | the leader joins as before | UnknownMemberId | waits | joined | waits → PreparingRebalance |
//! | a static member joins without its id | waits → PreparingRebalance | waits | waits → PreparingRebalance | joined, written |
//! | the static member's old id joins after that | FencedInstanceId → PreparingRebalance | FencedInstanceId | FencedInstanceId → PreparingRebalance | FencedInstanceId |
//! | every member joins | UnknownMemberId | joined → CompletingRebalance | joined | joined → CompletingRebalance |
//! | a follower syncs | UnknownMemberId | RebalanceInProgress | waits | has |
//! | the leader syncs | UnknownMemberId | RebalanceInProgress | has, written → Stable | has |
//! | a heartbeat | UnknownMemberId | RebalanceInProgress | ok | ok |
//! | a heartbeat of another generation | UnknownMemberId | IllegalGeneration | IllegalGeneration | IllegalGeneration |
//! | a member leaves | UnknownMemberId | left | left → PreparingRebalance | left → PreparingRebalance |
//! | every member leaves | UnknownMemberId | left → CompletingRebalance | left, written → Empty | left, written → Empty |
//! | one session runs out | UnknownMemberId | UnknownMemberId | UnknownMemberId → PreparingRebalance | UnknownMemberId → PreparingRebalance |
//! | every session runs out | UnknownMemberId | UnknownMemberId → CompletingRebalance | UnknownMemberId → Empty | UnknownMemberId → Empty |
//! | the rebalance timeout runs out | UnknownMemberId | UnknownMemberId → CompletingRebalance | UnknownMemberId → Empty | ok |
//! | a member commits | UnknownMemberId | ok | RebalanceInProgress | ok |
//! | a client in no group commits | ok | UnknownMemberId | UnknownMemberId | UnknownMemberId |
//! | offsets of a topic they read are deleted | ok | GroupSubscribedToTopic | GroupSubscribedToTopic | GroupSubscribedToTopic |
//! | the group is deleted | deleted → Dead | NonEmptyGroup | NonEmptyGroup | NonEmptyGroup |
//! | another coordinator takes over | UnknownMemberId | ok → Stable | UnknownMemberId → Dead | ok |
//!
//! Dead is the state of a group that is not there: it answers as an unknown member, or GROUP_ID_NOT_FOUND.
//!
//! | module | what it holds |
//! |---|---|
//! | [`member`] | one member |
//! | [`join`], [`sync`], [`leave`] | the requests |
//! | [`rebalance`] | from one generation to the next, and the timers |
//! | [`offsets`] | who may commit, and when offsets expire |

mod join;
mod leave;
mod member;
mod offsets;
mod rebalance;
mod sync;

#[cfg(test)]
pub(in crate::group) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_record::{Monotonic, Now, Timestamp};

pub(in crate::group) use self::member::Member;
pub(in crate::group) use self::offsets::Retention;
use super::groups::Groups;
use super::ids::{Generation, GroupId, InstanceId, MemberId};
use super::record::{ClassicGroupValue, Record};
use super::response::{ClassicDescription, GroupError, GroupState, Response};
use super::settings::ClassicSettings;
use crate::shard::Step;

/// The most bytes of metadata of one member, over all its strategies.
pub const MAX_MEMBER_METADATA: usize = 256 << 10;
/// The most strategies of one member.
pub const MAX_PROTOCOLS: usize = 64;
/// The most ids handed out and not yet joined with, in one group (KIP-394).
pub const MAX_PENDING_MEMBERS: usize = 10_000;
/// The most bytes of a group's record: it must fit into one batch of the offsets topic, whose `max.message.bytes` is 1,048,588.
pub const MAX_GROUP_RECORD: usize = 1_000_000;

/// How long a member that was never answered may wait (Kafka's `classicGroupNewMemberJoinTimeoutMs`): it cannot send
/// heartbeats, and its connection is not read while its JoinGroup waits, so nothing else tells that it has gone.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

/// One classic group.
///
/// Invariants (`check_invariants`): the leader and every static member's id are members; without members there is no leader
/// and the state is Empty or PreparingRebalance; only PreparingRebalance has joins waiting, only CompletingRebalance has syncs.
#[derive(Clone, Debug)]
pub(in crate::group) struct ClassicGroup<W> {
    state: GroupState,
    state_since: Option<Timestamp>,
    generation: Generation,
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member<W>>,
    instances: BTreeMap<InstanceId, MemberId>,
    /// Ids handed out and not yet joined with, each with the end of its session.
    pending: BTreeMap<MemberId, Monotonic>,
    /// When the wait for joins is over.
    join_ends: Option<Monotonic>,
    /// The first rebalance of an empty group waits for members even if all there are have joined.
    initial: Option<InitialDelay>,
    /// When the wait for everyone's SyncGroup is over.
    sync_ends: Option<Monotonic>,
    /// No timer of the group runs out before this. It may be early, when a session was extended, never late.
    due: Monotonic,
}

/// The wait of a first rebalance (KIP-134): extended by each wave of joins, up to the members' rebalance timeout.
#[derive(Clone, Copy, Debug)]
struct InitialDelay {
    delay: Duration,
    remaining: Duration,
    member_added: bool,
}

/// What one decision about a group has at hand, and what it decides.
pub(in crate::group) struct Turn<'a, W> {
    pub(in crate::group) group: &'a GroupId,
    pub(in crate::group) settings: &'a ClassicSettings,
    pub(in crate::group) now: Now,
    pub(in crate::group) step: &'a mut Step<Groups<W>>,
}

impl<W> Turn<'_, W> {
    fn reply(&mut self, waiter: W, response: Response) {
        self.step.replies.push((waiter, response));
    }
}

impl<W> ClassicGroup<W> {
    /// A group that was just heard of.
    pub(in crate::group) fn new(now: Now) -> Self {
        Self {
            state: GroupState::Empty,
            state_since: Some(now.wall),
            generation: Generation::new(0),
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            join_ends: None,
            initial: None,
            sync_ends: None,
            due: Monotonic::NEVER,
        }
    }

    /// Its state.
    pub(in crate::group) fn state(&self) -> GroupState {
        self.state
    }

    /// Its kind; empty if it never had members.
    pub(in crate::group) fn protocol_type(&self) -> Arc<str> {
        self.protocol_type.clone().unwrap_or_else(|| Arc::from(""))
    }

    /// Its generation.
    pub(in crate::group) fn generation(&self) -> Generation {
        self.generation
    }

    /// Its members by id.
    pub(in crate::group) fn members(&self) -> &BTreeMap<MemberId, Member<W>> {
        &self.members
    }

    /// True if nobody is in it, promised a place or not.
    pub(in crate::group) fn is_empty(&self) -> bool {
        self.state == GroupState::Empty
    }

    /// True if nobody is in it and nobody was promised a place.
    pub(in crate::group) fn is_forgettable(&self) -> bool {
        self.state == GroupState::Empty && self.pending.is_empty()
    }

    /// No timer of the group runs out before this.
    pub(in crate::group) fn due(&self) -> Monotonic {
        self.due
    }

    /// What an administrator sees.
    pub(in crate::group) fn describe(&self) -> ClassicDescription {
        let protocol = self.protocol.as_ref().filter(|_| self.state == GroupState::Stable);
        ClassicDescription {
            state: self.state,
            protocol_type: self.protocol_type(),
            protocol: protocol.cloned(),
            members: self.members.iter().map(|(id, member)| member.describe(id, protocol)).collect(),
        }
    }

    /// Makes a written generation true: in a group that has just decided it, and in one that is loaded.
    pub(in crate::group) fn adopt(&mut self, value: &ClassicGroupValue) {
        self.generation = value.generation;
        self.protocol_type = Some(&value.protocol_type).filter(|kind| !kind.is_empty()).map(Arc::clone);
        self.protocol = value.protocol.clone();
        self.leader = value.leader.clone();
        self.state_since = value.state_since;
        self.state = if value.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        let unnamed = Arc::from("");
        let protocol = value.protocol.as_ref().unwrap_or(&unnamed);
        let mut before = std::mem::take(&mut self.members);
        self.instances.clear();
        for written in &value.members {
            let member = match before.remove(&written.member) {
                Some(member) => Member { assignment: written.assignment.clone(), ..member },
                None => Member::loaded(written, protocol),
            };
            if let Some(instance) = &written.instance {
                self.instances.insert(instance.clone(), written.member.clone());
            }
            self.members.insert(written.member.clone(), member);
        }
        debug_assert!(before.values().all(|member| member.joining.is_none() && member.syncing.is_none()));
    }

    /// What is written of the group: with these assignments, or those it has.
    fn record(&self, group: &GroupId, assignments: Option<&BTreeMap<MemberId, bytes::Bytes>>) -> Record {
        let protocol = self.protocol.as_ref();
        let members = self.members.iter().map(|(id, member)| {
            let assignment = match assignments {
                Some(assignments) => assignments.get(id).cloned().unwrap_or_default(),
                None => member.assignment.clone(),
            };
            member.as_value(id, protocol, assignment)
        });
        Record::Classic {
            group: group.clone(),
            value: Some(ClassicGroupValue {
                protocol_type: self.protocol_type(),
                generation: self.generation,
                protocol: self.protocol.clone(),
                leader: self.leader.clone(),
                state_since: self.state_since,
                members: members.collect(),
            }),
        }
    }

    /// Everyone it keeps waiting.
    pub(in crate::group) fn dissolve(self) -> impl Iterator<Item = W> {
        self.members.into_values().flat_map(|member| member.joining.into_iter().chain(member.syncing))
    }

    /// The group is being converted: everyone it keeps waiting is told to come again.
    pub(in crate::group) fn send_everyone_away(&mut self, turn: &mut Turn<'_, W>) {
        for member in self.members.values_mut() {
            if let Some(waiter) = member.joining.take() {
                turn.step.replies.push((waiter, Response::Join(Err(GroupError::RebalanceInProgress))));
            }
            if let Some(waiter) = member.syncing.take() {
                turn.step.replies.push((waiter, Response::Sync(Err(GroupError::RebalanceInProgress))));
            }
        }
    }

    /// The group was of the consumer protocol until now: sessions start, and everyone is called to join.
    pub(in crate::group) fn start_over(&mut self, turn: &mut Turn<'_, W>) {
        self.loaded(turn);
        if self.state == GroupState::Stable {
            self.prepare_rebalance(turn);
        }
    }

    fn transition(&mut self, to: GroupState, now: Now) {
        self.state = to;
        self.state_since = Some(now.wall);
    }

    /// Kafka's `validateMember`: the id is a member's, and if it has a name, the name's.
    fn check_member(&self, member: &MemberId, instance: Option<&InstanceId>) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(GroupError::UnknownMemberId),
                Some(holder) if holder != member => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(GroupError::UnknownMemberId) }
    }

    fn is_leader(&self, member: &MemberId) -> bool {
        self.leader.as_ref() == Some(member)
    }

    /// The longest any member may take to rejoin.
    fn rebalance_timeout(&self) -> Duration {
        member::millis(self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0))
    }

    /// A member was heard.
    fn extend_session(&mut self, id: &MemberId, now: Now) {
        if let Some(member) = self.members.get_mut(id) {
            member.session_ends = now.monotonic + member.session();
            self.due = self.due.min(member.session_ends);
        }
    }

    /// Adds or takes back nothing by itself: a new timer.
    fn arm(&mut self, at: Monotonic) {
        self.due = self.due.min(at);
    }

    /// The first broken invariant, in words.
    pub(in crate::group) fn check_invariants(&self) -> Result<(), String> {
        let is_member = |id: &MemberId| self.members.contains_key(id);
        if !self.leader.iter().all(is_member) {
            return Err(format!("leader {:?} is no member", self.leader));
        }
        if !self.instances.values().all(is_member) {
            return Err("a static member's id is no member".to_owned());
        }
        if self.members.values().filter(|member| member.instance.is_some()).count() != self.instances.len() {
            return Err("two members with one name".to_owned());
        }
        if self.members.is_empty()
            && !matches!(self.state, GroupState::Empty | GroupState::PreparingRebalance)
        {
            return Err(format!("{} without members", self.state));
        }
        if !self.members.is_empty() && self.state == GroupState::Empty {
            return Err("Empty with members".to_owned());
        }
        if self.members.is_empty() == self.leader.is_some() {
            return Err(format!("leader {:?} of {} members", self.leader, self.members.len()));
        }
        let joins = self.members.values().any(|member| member.joining.is_some());
        if joins && self.state != GroupState::PreparingRebalance {
            return Err(format!("joins wait in {}", self.state));
        }
        let syncs = self.members.values().any(|member| member.syncing.is_some());
        if syncs && self.state != GroupState::CompletingRebalance {
            return Err(format!("syncs wait in {}", self.state));
        }
        if self.state == GroupState::PreparingRebalance && self.join_ends.is_none() {
            return Err("PreparingRebalance without an end".to_owned());
        }
        if self.timers().any(|timer| timer < self.due) {
            return Err("a timer runs out before the group is due".to_owned());
        }
        Ok(())
    }
}
