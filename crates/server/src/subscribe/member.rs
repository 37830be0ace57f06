//! One member of a group, as the broker that holds its stream plays it: when to ask the coordinator and what, which
//! partitions are read, and what the client is told. Pure: no clock, no I/O, no runtime.
//!
//! The coordinator says which partitions the member shall own ([`Reply::Beaten`]); the member gets there in two steps. It
//! first gives back what it shall not keep, with the client's consent or when the time for that is over; only then it asks
//! where the new ones begin, and reads them. That is the order in which KIP-848 keeps one owner per partition.
//!
//! | what happens | while joining | in the group, content | waiting for `release` |
//! |---|---|---|---|
//! | an assignment comes | a member; takes it on | gives back, then takes on | kept until `release` |
//! | `release` | ignored | ignored | given back; coordinator told; goes on with the newest assignment |
//! | the time for `release` is over | – | – | the same, and `lost` |
//! | the coordinator does not know the member | joins again | everything `lost`; joins again | everything `lost`; joins again |
//! | the coordinator is not there | asks again after [`BACKOFF`], for [`PATIENCE`]; then the stream ends | the same | the same |
//! | another broker coordinates the group | the stream ends | the same | the same |
//! | a commit | refused | of owned partitions: to the coordinator | the same |
//! | the client leaves | leaves | answers commits, leaves | the same |
//!
//! Invariant: one request to the coordinator at a time. So a commit always carries the epoch that the coordinator has,
//! and a member that leaves has everything it committed before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ottla_node::record::{Monotonic, Offset, TopicId};
use ottla_rpc::{KafkaError, v1};

use crate::errors::Failure;

/// How often a member asks for news at least. The coordinator allows more (group.consumer.heartbeat.interval.ms), which
/// spares the network; here there is none in between, and a rebalance is as quick as its slowest member.
const BEAT: Duration = Duration::from_millis(500);
/// How long to wait before asking again a coordinator that was not there.
const BACKOFF: Duration = Duration::from_millis(100);
/// How long a coordinator is asked again that is not there. Then the stream ends, and the client looks for another broker: this
/// one may be cut off from all that know better.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before a partition that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Commits that wait for the coordinator. Past that the client's next request is not read.
const MAX_COMMITS: usize = 64;
/// Seeks that wait for one before them. Past that the client's next request is not read.
const MAX_SEEKS: usize = 64;

/// One partition of one incarnation of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partition {
    pub(super) topic: Arc<str>,
    pub(super) topic_id: TopicId,
    pub(super) index: i32,
}

/// What a member knows of itself, from its `join`.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) rebalance_timeout: Duration,
    /// Where to begin without a usable commit.
    pub(super) start: Option<v1::Position>,
    /// Flow control by credits, to begin with.
    pub(super) credit: Option<i64>,
}

/// What is asked of the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    /// Epoch 0 joins. `owned` is told when it has changed, and when the answer before was lost.
    Heartbeat {
        epoch: i32,
        owned: Option<Vec<Partition>>,
    },
    /// Where partitions begin: by their commits, else by the plan's start.
    Places {
        epoch: i32,
        partitions: Vec<Partition>,
    },
    Commit {
        epoch: i32,
        offsets: Vec<Commit>,
    },
    Leave,
}

/// One offset of a commit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Commit {
    pub(super) partition: Partition,
    pub(super) offset: i64,
    pub(super) leader_epoch: Option<i32>,
    pub(super) metadata: String,
}

/// Where a partition begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) partition: Partition,
    pub(super) position: Offset,
    pub(super) committed: Option<Offset>,
    pub(super) metadata: String,
}

/// What the coordinator answers.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// A heartbeat was taken. No assignment: the last one stands.
    Beaten {
        epoch: i32,
        interval: Duration,
        assignment: Option<BTreeSet<Partition>>,
    },
    Placed(Vec<Place>),
    /// One result for each offset of the commit.
    Committed(Vec<Result<(), Failure>>),
    Left,
    /// It does not know the member, or not in this epoch.
    Fenced(Failure),
    /// It cannot answer yet.
    Busy(Failure),
    /// It is not there now.
    Absent(Failure),
    /// It is another broker now, to which the client has to go: what it says to the member cannot be heard here.
    Moved(Failure),
    /// It refuses, and will again.
    Refused(Failure),
}

/// What happens.
#[derive(Debug)]
pub(super) enum Event {
    Reply(Reply),
    Commit(v1::CommitOffsets),
    Release,
    Seek(v1::SeekPartition),
    SetPaused(Vec<v1::TopicPartition>, bool),
    Credit(i64),
    Leave,
    /// The client asks for something that cannot be.
    Fail(Failure),
    /// What a `LookUp` found.
    Found(Partition, Result<Offset, Failure>),
    /// A partition cannot be read on: the log does not hold the offset, or something is wrong with the log, at an offset.
    OutOfRange(Partition, Failure),
    Unreadable(Partition, Offset, Failure),
    /// Records of so many bytes went to the client.
    Sent(usize),
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    Call(Call),
    LookUp(Partition, v1::Position),
    Read {
        partition: Partition,
        at: Offset,
        paused: bool,
    },
    Stop(Partition),
    SetPaused(Partition, bool),
    Send(v1::subscribe_response::Event),
    /// The stream ends.
    End(Result<(), Failure>),
}

/// The machine.
#[derive(Debug)]
pub(super) struct Member {
    plan: Plan,
    member_id: Arc<str>,
    /// `None` while it joins.
    epoch: Option<i32>,
    owned: BTreeMap<Partition, Owned>,
    /// The coordinator knows what is owned.
    owned_told: bool,
    /// What shall be owned.
    target: BTreeSet<Partition>,
    revoking: Option<Revoking>,
    calling: Option<Calling>,
    commits: VecDeque<(u64, Vec<Commit>, Vec<Failure>)>,
    next_beat: Monotonic,
    /// Before this the coordinator is left alone.
    quiet_until: Monotonic,
    /// Since when the coordinator has not been there.
    absent_since: Option<Monotonic>,
    credit: Option<i64>,
    leaving: bool,
    /// Why the stream ends once the member has left.
    failure: Option<Failure>,
    ended: bool,
}

#[derive(Clone, Debug, Default)]
struct Owned {
    paused: bool,
    /// When to try again, and from where, after it could not be read.
    retry: Option<(Monotonic, Offset)>,
    /// A place is being looked up, and it is read from none meanwhile.
    looking: bool,
    /// Seeks that came meanwhile. One after the other, so that the last one counts.
    seeks: VecDeque<v1::Position>,
}

#[derive(Debug)]
struct Revoking {
    partitions: BTreeSet<Partition>,
    until: Monotonic,
}

/// What the coordinator has been asked.
#[derive(Debug)]
enum Calling {
    Heartbeat,
    Places,
    Commit { id: u64, partitions: Vec<Partition>, refused: Vec<Failure> },
    Leave,
}

impl Member {
    /// A member that is about to join.
    pub(super) fn new(plan: Plan, member_id: Arc<str>, now: Monotonic) -> Self {
        let credit = plan.credit;
        Self {
            plan,
            member_id,
            epoch: None,
            owned: BTreeMap::new(),
            owned_told: false,
            target: BTreeSet::new(),
            revoking: None,
            calling: None,
            commits: VecDeque::new(),
            next_beat: now,
            quiet_until: now,
            absent_since: None,
            credit,
            leaving: false,
            failure: None,
            ended: false,
        }
    }

    /// Takes an event; what is to be done is added to `effects`.
    pub(super) fn handle(&mut self, event: Event, now: Monotonic, effects: &mut Vec<Effect>) {
        if self.ended {
            return;
        }
        match event {
            Event::Reply(reply) => self.replied(reply, now, effects),
            Event::Commit(commit) => self.commit(commit, effects),
            Event::Release => self.release(now, effects),
            Event::Seek(seek) => self.seek(seek, effects),
            Event::SetPaused(partitions, paused) => self.set_paused(&partitions, paused, effects),
            Event::Credit(bytes) => {
                self.credit = self.credit.map(|credit| credit.saturating_add(bytes.max(0)));
            }
            Event::Leave => self.leaving = true,
            Event::Fail(failure) => self.fail(failure),
            Event::Found(partition, found) => self.found(partition, found, effects),
            Event::OutOfRange(partition, failure) => self.out_of_range(partition, failure, effects),
            Event::Unreadable(partition, at, failure) => {
                self.unreadable(&partition, at, failure, now, effects);
            }
            Event::Sent(bytes) => {
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                self.credit = self.credit.map(|credit| credit.saturating_sub(bytes));
            }
            Event::Tick => self.tick(now, effects),
        }
        if !self.ended {
            self.call(now, effects);
        }
        self.check_invariants();
    }

    /// True if records may go to the client now.
    pub(super) fn has_credit(&self) -> bool {
        self.credit.is_none_or(|credit| credit > 0)
    }

    /// True if the client's next request may be read.
    pub(super) fn takes_requests(&self) -> bool {
        let seeks = || self.owned.values().map(|owned| owned.seeks.len()).sum::<usize>();
        !self.leaving && self.commits.len() < MAX_COMMITS && seeks() < MAX_SEEKS
    }

    /// When a `Tick` is due.
    pub(super) fn next_deadline(&self) -> Monotonic {
        let retries = self.owned.values().filter_map(|owned| owned.retry.map(|(when, _)| when));
        let revoking = self.revoking.iter().map(|revoking| revoking.until);
        let waits = !self.commits.is_empty() || self.leaving || !self.wanted().is_empty();
        let call = if waits { self.quiet_until } else { self.next_beat.max(self.quiet_until) };
        let call = self.calling.is_none().then_some(call);
        // While the coordinator is asked, its answer is the next event.
        let far = self.next_beat + self.plan.rebalance_timeout.max(BEAT);
        retries.chain(revoking).chain(call).min().unwrap_or(far)
    }

    /// The owned partition of this name.
    pub(super) fn find(&self, topic: &str, index: i32) -> Option<Partition> {
        self.owned.keys().find(|partition| &*partition.topic == topic && partition.index == index).cloned()
    }

    fn replied(&mut self, reply: Reply, now: Monotonic, effects: &mut Vec<Effect>) {
        let Some(calling) = self.calling.take() else { return };
        let absent_since = self.absent_since.take();
        match (reply, calling) {
            (Reply::Beaten { epoch, interval, assignment }, Calling::Heartbeat) => {
                self.next_beat = now + interval.min(BEAT);
                self.beaten(epoch, assignment, now, effects);
            }
            (Reply::Placed(places), Calling::Places) => self.placed(places, now, effects),
            (Reply::Committed(results), Calling::Commit { id, refused, .. }) => {
                let failures = refused.into_iter().chain(results.into_iter().filter_map(Result::err));
                send_committed(id, failures, effects);
            }
            (_, Calling::Leave) => self.end(effects),
            (Reply::Fenced(failure), calling) => {
                self.answer_call(calling, &failure, effects);
                self.fenced(&failure, now, effects);
            }
            (Reply::Busy(failure), calling) => {
                self.quiet_until = now + BACKOFF;
                // A commit is answered: whether it is worth another try is for the client to say, which may have newer
                // offsets by then.
                self.answer_call(calling, &failure, effects);
            }
            (Reply::Absent(failure), calling) => {
                let since = absent_since.unwrap_or(now);
                self.absent_since = Some(since);
                self.quiet_until = now + BACKOFF;
                self.answer_call(calling, &failure, effects);
                if now >= since + PATIENCE {
                    self.end_with(failure, effects);
                }
            }
            (Reply::Moved(failure), calling) => {
                self.answer_call(calling, &failure, effects);
                self.end_with(failure, effects);
            }
            (Reply::Refused(failure), Calling::Commit { id, partitions, refused }) => {
                let each = partitions
                    .iter()
                    .map(|partition| failure.clone().about(&partition.topic, Some(partition.index)));
                send_committed(id, refused.into_iter().chain(each), effects);
            }
            (Reply::Refused(failure), _) => self.fail(failure),
            // An answer to another question than was asked: asked again.
            (_, calling) => {
                self.quiet_until = now + BACKOFF;
                let failure = Failure::new(KafkaError::COORDINATOR_NOT_AVAILABLE, "no answer came");
                self.answer_call(calling, &failure, effects);
            }
        }
    }

    /// What a failed call means for the client, if it waits for it.
    fn answer_call(&mut self, calling: Calling, failure: &Failure, effects: &mut Vec<Effect>) {
        // Nobody knows whether the coordinator heard what the heartbeat said.
        self.owned_told &= !matches!(calling, Calling::Heartbeat);
        if let Calling::Commit { id, partitions, refused } = calling {
            let each = partitions
                .iter()
                .map(|partition| failure.clone().about(&partition.topic, Some(partition.index)));
            send_committed(id, refused.into_iter().chain(each), effects);
        }
    }

    fn beaten(
        &mut self,
        epoch: i32,
        assignment: Option<BTreeSet<Partition>>,
        now: Monotonic,
        effects: &mut Vec<Effect>,
    ) {
        if self.epoch.is_none() {
            let joined = v1::Joined { member_id: self.member_id.to_string(), member_epoch: epoch };
            effects.push(send(v1::subscribe_response::Event::Joined(joined)));
        }
        self.epoch = Some(epoch);
        if let Some(assignment) = assignment {
            self.target = assignment;
        }
        self.reconcile(now, effects);
    }

    /// Begins to give back what shall not be kept.
    fn reconcile(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        if self.revoking.is_some() {
            return;
        }
        let surplus: BTreeSet<Partition> =
            self.owned.keys().filter(|partition| !self.target.contains(*partition)).cloned().collect();
        if surplus.is_empty() {
            return;
        }
        // The coordinator counts from when it decided, which is a heartbeat ago at most.
        let within =
            self.plan.rebalance_timeout.saturating_sub(2 * BEAT).max(self.plan.rebalance_timeout / 2);
        effects.extend(surplus.iter().cloned().map(Effect::Stop));
        effects.push(send(v1::subscribe_response::Event::Revoking(v1::Revoking {
            partitions: surplus.iter().map(named).collect(),
            within_ms: i32::try_from(within.as_millis()).unwrap_or(i32::MAX),
        })));
        self.revoking = Some(Revoking { partitions: surplus, until: now + within });
    }

    fn release(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        let Some(revoking) = self.revoking.take() else { return };
        for partition in &revoking.partitions {
            self.owned.remove(partition);
        }
        self.owned_told = false;
        self.next_beat = now;
        self.reconcile(now, effects);
    }

    fn placed(&mut self, places: Vec<Place>, now: Monotonic, effects: &mut Vec<Effect>) {
        let mut assigned = Vec::new();
        for Place { partition, position, committed, metadata } in places {
            // It may have been taken back meanwhile.
            if !self.target.contains(&partition) || self.owned.contains_key(&partition) {
                continue;
            }
            assigned.push(v1::AssignedPartition {
                topic: partition.topic.to_string(),
                partition: partition.index,
                position: position.get(),
                committed: committed.map(Offset::get),
                metadata,
            });
            self.owned.insert(partition.clone(), Owned::default());
            effects.push(Effect::Read { partition, at: position, paused: false });
        }
        if assigned.is_empty() {
            // Their places are not known yet, for example because a topic is still in the making.
            self.quiet_until = now + BACKOFF;
            return;
        }
        let member_epoch = self.epoch.unwrap_or_default();
        effects.push(send(v1::subscribe_response::Event::Assigned(v1::Assigned {
            partitions: assigned,
            member_epoch,
        })));
        self.owned_told = false;
        self.next_beat = now;
    }

    fn fenced(&mut self, failure: &Failure, now: Monotonic, effects: &mut Vec<Effect>) {
        let was_member = self.epoch.take().is_some();
        let lost: Vec<Partition> = std::mem::take(&mut self.owned).into_keys().collect();
        effects.extend(lost.iter().cloned().map(Effect::Stop));
        if was_member {
            let partitions = lost.iter().map(named).collect();
            let reason = failure.message.clone();
            effects.push(send(v1::subscribe_response::Event::Lost(v1::Lost { partitions, reason })));
        }
        self.target.clear();
        self.revoking = None;
        self.owned_told = false;
        self.next_beat = now;
        if !was_member {
            self.quiet_until = now + BACKOFF;
        }
        let gone: Vec<_> = self.commits.drain(..).collect();
        for (id, offsets, refused) in gone {
            let each =
                offsets.iter().map(|commit| not_owned(&commit.partition.topic, commit.partition.index));
            send_committed(id, refused.into_iter().chain(each), effects);
        }
    }

    fn commit(&mut self, commit: v1::CommitOffsets, effects: &mut Vec<Effect>) {
        let (mut offsets, mut refused) = (Vec::new(), Vec::new());
        for v1::CommitOffset { topic, partition, offset, leader_epoch, metadata } in commit.offsets {
            match self.find(&topic, partition) {
                None => refused.push(not_owned(&topic, partition)),
                Some(_) if offset < 0 => refused.push(
                    Failure::new(KafkaError::INVALID_REQUEST, format!("the offset {offset} is negative"))
                        .about(&topic, Some(partition)),
                ),
                Some(partition) => offsets.push(Commit { partition, offset, leader_epoch, metadata }),
            }
        }
        if offsets.is_empty() {
            send_committed(commit.id, refused.into_iter(), effects);
        } else {
            self.commits.push_back((commit.id, offsets, refused));
        }
    }

    fn seek(&mut self, seek: v1::SeekPartition, effects: &mut Vec<Effect>) {
        // Of a partition that was taken meanwhile, the client hears by `revoking` or `lost`.
        let Some(partition) = self.find(&seek.topic, seek.partition) else { return };
        self.look_up(partition, seek.to.unwrap_or_default(), effects);
    }

    fn look_up(&mut self, partition: Partition, to: v1::Position, effects: &mut Vec<Effect>) {
        let Some(owned) = self.owned.get_mut(&partition) else { return };
        if owned.looking {
            return owned.seeks.push_back(to);
        }
        owned.retry = None;
        owned.looking = true;
        effects.push(Effect::Stop(partition.clone()));
        effects.push(Effect::LookUp(partition, to));
    }

    fn found(&mut self, partition: Partition, found: Result<Offset, Failure>, effects: &mut Vec<Effect>) {
        let is_going = self.is_revoking(&partition);
        // What was looked for before the partition went and came again is of no use.
        let Some(owned) = self.owned.get_mut(&partition).filter(|owned| owned.looking) else { return };
        owned.looking = false;
        match found {
            Ok(at) => {
                let (topic, index) = (partition.topic.to_string(), partition.index);
                let sought = v1::Sought { topic, partition: index, position: at.get() };
                if let Some(next) = owned.seeks.pop_front() {
                    owned.looking = true;
                    effects.push(Effect::LookUp(partition, next));
                } else if !is_going {
                    effects.push(Effect::Read { partition, at, paused: owned.paused });
                }
                effects.push(send(v1::subscribe_response::Event::Sought(sought)));
            }
            Err(failure) => self.fail(failure),
        }
    }

    fn set_paused(&mut self, partitions: &[v1::TopicPartition], paused: bool, effects: &mut Vec<Effect>) {
        for v1::TopicPartition { topic, partition } in partitions {
            let Some(partition) = self.find(topic, *partition) else { continue };
            if let Some(owned) = self.owned.get_mut(&partition) {
                owned.paused = paused;
                effects.push(Effect::SetPaused(partition, paused));
            }
        }
    }

    fn out_of_range(&mut self, partition: Partition, failure: Failure, effects: &mut Vec<Effect>) {
        if !self.owned.contains_key(&partition) {
            return;
        }
        match self.plan.start {
            Some(start) => self.look_up(partition, start, effects),
            None => self.fail(failure),
        }
    }

    fn unreadable(
        &mut self,
        partition: &Partition,
        at: Offset,
        failure: Failure,
        now: Monotonic,
        effects: &mut Vec<Effect>,
    ) {
        let Some(owned) = self.owned.get_mut(partition) else { return };
        owned.retry = Some((now + RETRY, at));
        let gone = [KafkaError::UNKNOWN_TOPIC_OR_PARTITION, KafkaError::UNKNOWN_TOPIC_ID];
        if gone.iter().any(|gone| failure.detail.kafka_error == gone.name()) {
            // Its topic was deleted: the coordinator is about to take it back.
            return;
        }
        let Failure { message, detail } = failure;
        let unreadable = v1::Unreadable { detail: Some(*detail), message };
        effects.push(send(v1::subscribe_response::Event::Unreadable(unreadable)));
    }

    fn tick(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        if let Some(revoking) = self.revoking.as_ref().filter(|revoking| revoking.until <= now) {
            effects.push(send(v1::subscribe_response::Event::Lost(v1::Lost {
                partitions: revoking.partitions.iter().map(named).collect(),
                reason: "they were not given back in time; a larger rebalance_timeout_ms gives more"
                    .to_owned(),
            })));
            self.release(now, effects);
        }
        for (partition, owned) in &mut self.owned {
            if let Some((_, at)) = owned.retry.take_if(|(when, _)| *when <= now) {
                effects.push(Effect::Read { partition: partition.clone(), at, paused: owned.paused });
            }
        }
    }

    /// Partitions that this member may take on now.
    fn wanted(&self) -> Vec<Partition> {
        if self.revoking.is_some() {
            return Vec::new();
        }
        self.target.iter().filter(|partition| !self.owned.contains_key(*partition)).cloned().collect()
    }

    /// Asks the coordinator what is due, if it is not being asked already.
    fn call(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        if self.calling.is_some() || (now < self.quiet_until && self.failure.is_none()) {
            return;
        }
        let Some(epoch) = self.epoch else {
            if self.leaving {
                return self.end(effects);
            }
            self.calling = Some(Calling::Heartbeat);
            return effects.push(Effect::Call(Call::Heartbeat { epoch: 0, owned: Some(Vec::new()) }));
        };
        let (calling, call) = if now >= self.next_beat && !self.leaving {
            let owned = (!self.owned_told).then(|| self.owned.keys().cloned().collect());
            self.owned_told = true;
            (Calling::Heartbeat, Call::Heartbeat { epoch, owned })
        } else if let Some((id, offsets, refused)) = self.commits.pop_front() {
            let partitions = offsets.iter().map(|commit| commit.partition.clone()).collect();
            (Calling::Commit { id, partitions, refused }, Call::Commit { epoch, offsets })
        } else if self.leaving {
            (Calling::Leave, Call::Leave)
        } else {
            let partitions = self.wanted();
            if partitions.is_empty() {
                return;
            }
            (Calling::Places, Call::Places { epoch, partitions })
        };
        self.calling = Some(calling);
        effects.push(Effect::Call(call));
    }

    /// Leaves, and then says why.
    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
        self.leaving = true;
    }

    /// Ends without leaving: the group is to know the member when it comes back.
    fn end_with(&mut self, failure: Failure, effects: &mut Vec<Effect>) {
        self.failure.get_or_insert(failure);
        self.end(effects);
    }

    fn end(&mut self, effects: &mut Vec<Effect>) {
        self.ended = true;
        effects.push(Effect::End(self.failure.take().map_or(Ok(()), Err)));
    }

    fn is_revoking(&self, partition: &Partition) -> bool {
        self.revoking.as_ref().is_some_and(|revoking| revoking.partitions.contains(partition))
    }

    /// What always holds between two events.
    fn check_invariants(&self) {
        debug_assert!(self.epoch.is_some() || self.owned.is_empty(), "only members own partitions");
        debug_assert!(
            self.revoking
                .iter()
                .all(|revoking| revoking.partitions.iter().all(|p| self.owned.contains_key(p))),
            "what is given back is owned until then"
        );
        debug_assert!(self.commits.len() <= MAX_COMMITS, "commits are bounded");
    }
}

fn send(event: v1::subscribe_response::Event) -> Effect {
    Effect::Send(event)
}

fn send_committed(id: u64, failures: impl Iterator<Item = Failure>, effects: &mut Vec<Effect>) {
    let failures = failures
        .map(|Failure { message, detail }| v1::CommitFailure { detail: Some(*detail), message })
        .collect();
    effects.push(send(v1::subscribe_response::Event::Committed(v1::Committed { id, failures })));
}

fn not_owned(topic: &str, partition: i32) -> Failure {
    let why = "this member does not own the partition now, so another one says where the group goes on";
    Failure::new(KafkaError::STALE_MEMBER_EPOCH, why).about(topic, Some(partition))
}

fn named(partition: &Partition) -> v1::TopicPartition {
    v1::TopicPartition { topic: partition.topic.to_string(), partition: partition.index }
}

#[cfg(test)]
mod tests;
