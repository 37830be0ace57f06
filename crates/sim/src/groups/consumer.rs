//! A member of a consumer-protocol group (KIP-848): it heartbeats, is told what to hold, and gives up what it shall not.

use std::collections::BTreeSet;

use ottla_coordination::group::request::{ConsumerHeartbeat, Request, TopicPartitions};
use ottla_coordination::group::response::{ConsumerBeat, GroupError, Response, TopicOutcome};
use ottla_coordination::group::{MemberEpoch, MemberId};
use ottla_record::{PartitionIndex, Timestamp};

use super::classic::{client, commit, fresh};
use super::process::Asked;
use super::promises::{CONSUMER, Promises, Timing, group_id};
use crate::cluster::{Cluster, TOPIC};
use crate::invariants::{Invariant, Violation, broken};
use crate::rng::Rng;

/// A member's process.
#[derive(Clone, Debug)]
pub struct ConsumerMember {
    id: MemberId,
    number: usize,
    lives: u32,
    epoch: MemberEpoch,
    owned: BTreeSet<PartitionIndex>,
    /// What it was told to hold, if it does not know that it does.
    target: BTreeSet<PartitionIndex>,
    /// What it holds is not what it last said.
    tell: bool,
    waits: bool,
    /// It has committed since it last sent a heartbeat.
    committed: bool,
}

impl ConsumerMember {
    /// A process without a memory.
    pub fn new(number: usize) -> Self {
        Self::with_life(number, 0)
    }

    /// The process after this one.
    pub fn reborn(&self) -> Self {
        Self::with_life(self.number, self.lives + 1)
    }

    fn with_life(number: usize, lives: u32) -> Self {
        Self {
            id: MemberId::new(format!("member-{number}-{lives}")),
            number,
            lives,
            epoch: MemberEpoch::JOIN,
            owned: BTreeSet::new(),
            target: BTreeSet::new(),
            tell: true,
            waits: false,
            committed: false,
        }
    }

    /// What it asks next.
    pub fn act(
        &mut self,
        number: usize,
        may_leave: bool,
        promises: &mut Promises,
        rng: &mut Rng,
    ) -> Option<Asked> {
        if self.waits {
            return None;
        }
        self.waits = true;
        let joins = self.epoch == MemberEpoch::JOIN;
        // A client's heartbeats have a timer of their own. Where all comes to rest, none is silent for a session by committing only.
        let may_commit = may_leave || !self.committed;
        self.committed = false;
        Some(match rng.below(20) {
            0 if !joins && may_leave => {
                // It stops reading before it says so, and does not come back under this id whatever it hears.
                promises.forget(number);
                let leave = self.heartbeat(MemberEpoch::LEAVE, promises.timing(), rng);
                *self = Self { waits: true, ..self.reborn() };
                leave
            }
            1..9 if !joins && !self.owned.is_empty() && may_commit => {
                self.committed = true;
                commit(CONSUMER, &self.id, self.epoch.get(), self.owned.iter().copied(), promises)
            }
            _ => self.heartbeat(self.epoch, promises.timing(), rng),
        })
    }

    fn heartbeat(&self, epoch: MemberEpoch, timing: Timing, rng: &mut Rng) -> Asked {
        let all = epoch == MemberEpoch::JOIN || self.tell;
        let owned =
            TopicPartitions { topic: Cluster::topic_id(), partitions: self.owned.iter().copied().collect() };
        let owned = if self.owned.is_empty() { Vec::new() } else { vec![owned] };
        Asked::of(Request::ConsumerHeartbeat(ConsumerHeartbeat {
            group: group_id(CONSUMER),
            member: Some(self.id.clone()),
            epoch,
            brings_own_id: true,
            instance: None,
            client: client(),
            rack: None,
            rebalance_timeout_ms: all.then_some(timing.rebalance_ms),
            topics: all.then(|| vec![TOPIC.into()]),
            regex: None,
            assignor: None,
            owned: all.then_some(owned),
            fresh: fresh(rng),
        }))
    }

    /// Takes an answer; `None` if the coordinator was not there.
    ///
    /// # Errors
    /// A broken promise.
    pub fn answered(
        &mut self,
        number: usize,
        asked: &Asked,
        answer: Option<Response>,
        promises: &mut Promises,
    ) -> Result<(), Violation> {
        self.waits = false;
        match answer {
            Some(Response::ConsumerHeartbeat(_)) if asked.is_leaving() => Ok(()),
            Some(Response::ConsumerHeartbeat(Ok(beat))) => self.beat(number, &beat, promises, asked.at),
            Some(Response::ConsumerHeartbeat(Err(error))) => self.told(number, &error, promises),
            Some(Response::CommitOffsets(outcome)) => self.committed(number, asked, &outcome, promises),
            _ => {
                self.tell = true;
                Ok(())
            }
        }
    }

    fn committed(
        &mut self,
        number: usize,
        asked: &Asked,
        outcome: &Result<Vec<TopicOutcome>, GroupError>,
        promises: &mut Promises,
    ) -> Result<(), Violation> {
        for ((partition, offset), result) in asked.commits(outcome) {
            match result {
                Ok(()) => {
                    if asked.generation() < Some(self.epoch.get()) {
                        let found =
                            format!("a commit of epoch {:?} was taken at {}", asked.generation(), self.epoch);
                        return Err(broken(Invariant::Fencing, found));
                    }
                    promises.committed(CONSUMER, partition, offset);
                }
                Err(error) => {
                    promises.refused(CONSUMER, partition, offset);
                    self.told(number, &error, promises)?;
                }
            }
        }
        Ok(())
    }

    fn beat(
        &mut self,
        number: usize,
        beat: &ConsumerBeat,
        promises: &mut Promises,
        at: Timestamp,
    ) -> Result<(), Violation> {
        self.epoch = beat.epoch;
        self.tell = false;
        if let Some(assignment) = &beat.assignment {
            self.target = assignment.iter().flat_map(|topic| topic.partitions.iter().copied()).collect();
        }
        let before = self.owned.clone();
        self.owned.retain(|partition| self.target.contains(partition));
        promises.gives_up(number, &self.owned);
        self.owned.extend(&self.target);
        self.tell = self.owned != before;
        promises.holds(number, &self.owned, at)
    }

    fn told(&mut self, number: usize, error: &GroupError, promises: &mut Promises) -> Result<(), Violation> {
        match error {
            // Its next heartbeat tells it the epoch.
            GroupError::StaleMemberEpoch => {}
            // The group itself goes when it has neither members nor offsets.
            GroupError::UnknownMemberId
            | GroupError::FencedMemberEpoch(_)
            | GroupError::GroupIdNotFound(_) => {
                self.owned.clear();
                self.target.clear();
                self.epoch = MemberEpoch::JOIN;
                promises.forget(number);
            }
            other => {
                return Err(broken(Invariant::AnswerIsTrue, format!("a sound request was refused: {other}")));
            }
        }
        Ok(())
    }

    /// Nobody will answer: it says everything again.
    pub fn disconnected(&mut self) {
        self.waits = false;
        self.tell = true;
    }

    /// What it reads.
    pub fn owned(&self) -> Vec<PartitionIndex> {
        self.owned.iter().copied().collect()
    }
}
