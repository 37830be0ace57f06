//! A member of a classic group: it joins, the leader assigns, everyone syncs, and then it heartbeats and commits.

use bytes::Bytes;
use ottla_coordination::group::request::{
    ClientFacts, CommitOffsets, CommitPartition, CommitTopic, Heartbeat, Join, Leave, Leaver, Protocol,
    Request, Sync, TopicRef,
};
use ottla_coordination::group::response::{GroupError, Joined, Response};
use ottla_coordination::group::{Generation, MemberId};
use ottla_record::{Offset, PartitionIndex, Uuid};

use super::PARTITIONS;
use super::process::Asked;
use super::promises::{CLASSIC, Promises, Timing, group_id};
use crate::cluster::TOPIC;
use crate::invariants::Violation;
use crate::rng::Rng;

/// A member's process.
#[derive(Clone, Debug)]
pub struct ClassicMember {
    id: Option<MemberId>,
    state: State,
    /// It waits for an answer.
    waits: bool,
}

#[derive(Clone, Debug)]
enum State {
    Out,
    /// Of the leader: everyone.
    Joined {
        generation: Generation,
        members: Vec<MemberId>,
    },
    Stable {
        generation: Generation,
        owned: Vec<PartitionIndex>,
    },
}

impl ClassicMember {
    /// A process without a memory.
    pub fn new() -> Self {
        Self { id: None, state: State::Out, waits: false }
    }

    /// What it asks next.
    pub fn act(&mut self, may_leave: bool, promises: &mut Promises, rng: &mut Rng) -> Option<Asked> {
        if self.waits {
            return None;
        }
        self.waits = true;
        let asked = match (&self.state, &self.id) {
            (State::Joined { generation, members }, Some(id)) => Asked::of(Request::Sync(Sync {
                group: group_id(CLASSIC),
                generation: *generation,
                member: id.clone(),
                instance: None,
                protocol_type: Some("consumer".into()),
                protocol_name: Some("dealt".into()),
                assignments: deal(members),
            })),
            (State::Stable { generation, owned }, Some(id)) => match rng.below(20) {
                0 if may_leave => Asked::of(Request::Leave(Leave {
                    group: group_id(CLASSIC),
                    members: vec![Leaver { member: Some(id.clone()), instance: None, reason: None }],
                })),
                1..9 => Asked::of(Request::Heartbeat(Heartbeat {
                    group: group_id(CLASSIC),
                    generation: *generation,
                    member: id.clone(),
                    instance: None,
                })),
                _ => commit(CLASSIC, id, generation.get(), owned.iter().copied(), promises),
            },
            _ => Asked::of(Request::Join(self.join(promises.timing(), rng))),
        };
        Some(asked)
    }

    fn join(&self, timing: Timing, rng: &mut Rng) -> Join {
        Join {
            group: group_id(CLASSIC),
            member: self.id.clone(),
            instance: None,
            client: client(),
            protocol_type: "consumer".into(),
            protocols: vec![Protocol { name: "dealt".into(), metadata: subscription() }],
            session_timeout_ms: timing.session_ms,
            rebalance_timeout_ms: Some(timing.rebalance_ms),
            require_known_member: true,
            can_skip_assignment: false,
            reason: None,
            fresh: fresh(rng),
        }
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
            Some(Response::Join(Ok(joined))) => {
                promises.joined(joined.generation);
                self.has_joined(joined);
            }
            Some(Response::Join(Err(error))) => self.told(&error),
            Some(Response::Sync(Ok(synced))) => {
                let State::Joined { generation, .. } = self.state else { return Ok(()) };
                let owned = parse(&synced.assignment);
                promises.synced(number, generation, &owned)?;
                self.state = State::Stable { generation, owned };
            }
            Some(Response::Sync(Err(error)) | Response::Heartbeat(Err(error))) => self.told(&error),
            Some(Response::Leave(_)) => *self = Self::new(),
            Some(Response::CommitOffsets(outcome)) => {
                let generation = asked.generation().map(Generation::new);
                for (topic, result) in asked.commits(&outcome) {
                    match result {
                        Ok(()) => {
                            if let Some(generation) = generation {
                                promises.commit_of(generation, asked.newest)?;
                            }
                            promises.committed(CLASSIC, topic.0, topic.1);
                        }
                        Err(error) => {
                            promises.refused(CLASSIC, topic.0, topic.1);
                            self.told(&error);
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn has_joined(&mut self, joined: Joined) {
        let members = joined.members.into_iter().map(|member| member.member).collect();
        self.id = Some(joined.member);
        self.state = State::Joined { generation: joined.generation, members };
    }

    fn told(&mut self, error: &GroupError) {
        match error {
            GroupError::MemberIdRequired { member } => self.id = Some(member.clone()),
            GroupError::RebalanceInProgress | GroupError::IllegalGeneration => {}
            _ => self.id = None,
        }
        self.state = State::Out;
    }

    /// Nobody will answer.
    pub fn disconnected(&mut self) {
        if std::mem::take(&mut self.waits) && !matches!(self.state, State::Stable { .. }) {
            self.state = State::Out;
        }
    }

    /// What it reads.
    pub fn owned(&self) -> Vec<PartitionIndex> {
        match &self.state {
            State::Stable { owned, .. } => owned.clone(),
            State::Out | State::Joined { .. } => Vec::new(),
        }
    }
}

impl Default for ClassicMember {
    fn default() -> Self {
        Self::new()
    }
}

/// A commit of the next offset in each of these partitions.
pub(super) fn commit(
    group: &'static str,
    member: &MemberId,
    generation_or_epoch: i32,
    partitions: impl Iterator<Item = PartitionIndex>,
    promises: &mut Promises,
) -> Asked {
    let partitions = partitions.map(|partition| CommitPartition {
        partition,
        offset: Offset::new(promises.attempt(group, partition)),
        leader_epoch: None,
        metadata: None,
    });
    Asked::of(Request::CommitOffsets(CommitOffsets {
        group: group_id(group),
        member: Some(member.clone()),
        instance: None,
        generation_or_epoch: Some(generation_or_epoch),
        knows_member_epochs: true,
        retention_ms: None,
        topics: vec![CommitTopic { topic: TopicRef::Name(TOPIC.into()), partitions: partitions.collect() }],
    }))
}

/// What every client says of itself.
pub(super) fn client() -> ClientFacts {
    ClientFacts { client_id: "simulated".into(), host: "/127.0.0.1".into() }
}

pub(super) fn fresh(rng: &mut Rng) -> Uuid {
    let mut bytes = [0; 16];
    let (high, low) = bytes.split_at_mut(8);
    high.copy_from_slice(&rng.next().to_be_bytes());
    low.copy_from_slice(&rng.next().to_be_bytes());
    Uuid::from_random(bytes)
}

/// `ConsumerProtocolSubscription` version 0: one topic, no user data.
fn subscription() -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend_from_slice(&u16::try_from(TOPIC.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(TOPIC.as_bytes());
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.into()
}

/// The partitions, dealt to the members in turn: of each, their numbers, a byte each.
fn deal(members: &[MemberId]) -> Vec<(MemberId, Bytes)> {
    let parts = members.iter().enumerate().map(|(place, member)| {
        let numbers =
            (0..PARTITIONS.unsigned_abs() as usize).filter(|number| number % members.len() == place);
        (member.clone(), numbers.filter_map(|number| u8::try_from(number).ok()).collect())
    });
    parts.collect()
}

fn parse(assignment: &[u8]) -> Vec<PartitionIndex> {
    assignment.iter().map(|number| PartitionIndex::new(i32::from(*number))).collect()
}
