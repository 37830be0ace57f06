//! A producer as a state machine: records in, batches out; answers in, deliveries out.
//!
//! It knows no socket, task or clock. The [driver](super::driver) hands it records, answers and the time, and asks it what
//! to look up, what to send, and when to come back. `W` is whoever waits for a record's delivery.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ottla_record::{Monotonic, ProducerEpoch, ProducerId};
use ottla_rpc::KafkaError;

use super::limits::Limits;
use super::partition::{Finished, Next, Partition, Pending, Written};
use super::topics::Topic;
use crate::backoff::Random;
use crate::error::Error;

/// A batch to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) batches: Bytes,
    pub(crate) records: usize,
}

/// A record's end.
#[derive(Clone, Debug)]
pub(crate) struct Outcome<W> {
    pub(crate) finished: Finished<W>,
    pub(crate) topic: Arc<str>,
    /// `None` if it never had one.
    pub(crate) partition: Option<i32>,
}

/// The producer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// To be asked for, from this instant on, once somebody wants it.
    Due(Monotonic),
    Asked,
    Known(ProducerId, ProducerEpoch),
}

#[derive(Debug)]
pub(crate) struct Machine<W> {
    limits: Limits,
    random: Random,
    identity: Identity,
    identity_attempts: u32,
    topics: BTreeMap<Arc<str>, Topic<W>>,
    /// Topics to look at: records wait for them, or they are to be looked up.
    unresolved: BTreeSet<Arc<str>>,
    partitions: Vec<Slot<W>>,
    index: BTreeMap<(Arc<str>, i32), usize>,
    /// Partitions that have something to send, in turns.
    ready: VecDeque<usize>,
    /// Partitions to look at again, by time; one entry each.
    timers: BTreeSet<(Monotonic, usize)>,
    /// Partitions that wait for the producer id.
    without_id: BTreeSet<usize>,
    /// Requests that were sent and not answered.
    flights: BTreeMap<u64, usize>,
    next_request: u64,
    /// Number of flushes that have begun.
    generation: u64,
    /// Records not yet finished, by the generation they came in: the oldest first.
    outstanding: BTreeMap<u64, usize>,
    outcomes: Vec<Outcome<W>>,
    scratch: Vec<Finished<W>>,
}

#[derive(Debug)]
struct Slot<W> {
    topic: Arc<str>,
    partition: i32,
    state: Partition<W>,
    ready: bool,
    timer: Option<Monotonic>,
    /// Failures in a row, for the back-off.
    failures: u32,
}

impl<W> Machine<W> {
    pub(crate) fn new(limits: Limits, random: Random) -> Self {
        Self {
            limits,
            random,
            identity: Identity::Due(Monotonic::ZERO),
            identity_attempts: 0,
            topics: BTreeMap::new(),
            unresolved: BTreeSet::new(),
            partitions: Vec::new(),
            index: BTreeMap::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            without_id: BTreeSet::new(),
            flights: BTreeMap::new(),
            next_request: 0,
            generation: 0,
            outstanding: BTreeMap::new(),
            outcomes: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Takes a record. It will be an outcome, sooner or later.
    pub(crate) fn push(&mut self, mut pending: Pending<W>, now: Monotonic) {
        pending.generation = self.generation;
        *self.outstanding.entry(self.generation).or_default() += 1;
        if let Some(partition) = pending.record.partition {
            return self.place(pending, partition, now);
        }
        let name = pending.record.topic.clone();
        let topic = self.topics.entry(name.clone()).or_insert_with(Topic::new);
        let partition = topic.partition(&pending, &self.limits, &mut self.random);
        if partition.is_none() || topic.lookup_due().is_some_and(|due| due <= now) {
            self.unresolved.insert(name);
        }
        match partition {
            Some(partition) => self.place(pending, partition, now),
            None => topic.wait(pending, now),
        }
    }

    /// The next topic to look up, which is answered with [`topic_known`](Self::topic_known) or
    /// [`topic_unknown`](Self::topic_unknown).
    pub(crate) fn lookup(&mut self, now: Monotonic) -> Option<Arc<str>> {
        let Self { topics, unresolved, .. } = self;
        unresolved.iter().find(|name| topics.get_mut(*name).is_some_and(|topic| topic.ask(now))).cloned()
    }

    pub(crate) fn topic_known(&mut self, name: &Arc<str>, partitions: u32, now: Monotonic) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        let mut waiting = topic.known(partitions, now, &self.limits);
        self.unresolved.remove(name);
        while let Some(pending) = waiting.pop_front() {
            let Some(topic) = self.topics.get_mut(name) else { return };
            match topic.partition(&pending, &self.limits, &mut self.random) {
                Some(partition) => self.place(pending, partition, now),
                None => topic.wait(pending, now),
            }
        }
    }

    pub(crate) fn topic_unknown(&mut self, name: &Arc<str>, error: Error, now: Monotonic) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        let hopeless = topic.unknown(error.clone(), now, &self.limits, &mut self.random);
        if !topic.is_waited_for() {
            self.unresolved.remove(name);
        }
        for pending in hopeless {
            self.finish(Finished { pending, outcome: Err(error.clone()) }, name.clone(), None);
        }
    }

    /// True if a producer id is wanted now, which is answered with [`identified`](Self::identified) or
    /// [`not_identified`](Self::not_identified).
    pub(crate) fn wants_identity(&mut self, now: Monotonic) -> bool {
        let due = matches!(self.identity, Identity::Due(at) if at <= now) && !self.without_id.is_empty();
        if due {
            self.identity = Identity::Asked;
        }
        due
    }

    pub(crate) fn identified(&mut self, id: ProducerId, epoch: ProducerEpoch, now: Monotonic) {
        self.identity = Identity::Known(id, epoch);
        self.identity_attempts = 0;
        for index in std::mem::take(&mut self.without_id) {
            self.look_at(index, now);
        }
    }

    pub(crate) fn not_identified(&mut self, error: &Error, now: Monotonic) {
        self.identity_attempts += 1;
        self.identity =
            Identity::Due(now + self.limits.backoff.wait(self.identity_attempts, &mut self.random));
        if error.is_retriable() {
            return;
        }
        for index in std::mem::take(&mut self.without_id) {
            self.with(index, now, |state, _, finished| state.fail_queued(error, finished));
        }
    }

    /// The next batch to send.
    pub(crate) fn send(&mut self, now: Monotonic) -> Option<Request> {
        while let Some(index) = self.ready.pop_front() {
            let Some(slot) = self.partitions.get_mut(index) else { continue };
            slot.ready = false;
            let id = self.next_request;
            let (topic, partition) = (slot.topic.clone(), slot.partition);
            let generation = self.generation;
            let sent = self.with(index, now, |state, limits, finished| {
                state.send(id, now, generation, limits, finished)
            });
            if let Some(outgoing) = sent.flatten() {
                self.next_request += 1;
                self.flights.insert(id, index);
                return Some(Request {
                    id,
                    topic,
                    partition,
                    batches: outgoing.batches,
                    records: outgoing.records,
                });
            }
        }
        None
    }

    /// True if [`send`](Self::send) may have something.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn written(&mut self, request: u64, written: Written, now: Monotonic) {
        let Some(index) = self.flights.remove(&request) else { return };
        if let Some(slot) = self.partitions.get_mut(index) {
            slot.failures = 0;
        }
        self.with(index, now, |state, _, finished| state.written(request, written, finished));
    }

    pub(crate) fn failed(&mut self, request: u64, error: Error, now: Monotonic) {
        let Some(index) = self.flights.remove(&request) else { return };
        let Some(slot) = self.partitions.get_mut(index) else { return };
        // Those behind a batch that is to be repeated are refused in a row; that is one failure, not five.
        if !error.is(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER) {
            slot.failures += 1;
        }
        let not_before = now + self.limits.backoff.wait(slot.failures.max(1), &mut self.random);
        if error.is(KafkaError::UNKNOWN_TOPIC_OR_PARTITION)
            && let Some(topic) = self.topics.get_mut(&slot.topic)
        {
            topic.doubt(now);
        }
        self.with(index, now, |state, limits, finished| {
            state.failed(request, error, not_before, limits, finished)
        });
    }

    /// The connection is gone: nothing that was sent will be answered.
    pub(crate) fn disconnected(&mut self, error: &Error, now: Monotonic) {
        let broken: BTreeSet<usize> = std::mem::take(&mut self.flights).into_values().collect();
        for index in broken {
            self.with(index, now, |state, limits, finished| state.disconnected(error, now, limits, finished));
        }
    }

    /// Everything taken so far is to be sent without lingering. Returns the flush's number, for
    /// [`flushed`](Self::flushed).
    pub(crate) fn flush(&mut self, now: Monotonic) -> u64 {
        let flush = self.generation;
        self.generation += 1;
        for index in 0..self.partitions.len() {
            self.look_at(index, now);
        }
        flush
    }

    /// True once every record that came before the flush is finished.
    pub(crate) fn flushed(&self, flush: u64) -> bool {
        self.outstanding.first_key_value().is_none_or(|(generation, _)| *generation > flush)
    }

    /// True if every record is finished.
    pub(crate) fn is_idle(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now: Monotonic) {
        while let Some((at, index)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(slot) = self.partitions.get_mut(index) {
                slot.timer = None;
            }
            self.with(index, now, |state, limits, finished| state.expire(now, limits, finished));
        }
        let names: Vec<Arc<str>> = self.unresolved.iter().cloned().collect();
        for name in names {
            self.expire_waiting(&name, now);
        }
    }

    /// When [`tick`](Self::tick), [`lookup`](Self::lookup) or [`wants_identity`](Self::wants_identity) have something to
    /// do next.
    pub(crate) fn next_deadline(&self) -> Option<Monotonic> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let identity = match self.identity {
            Identity::Due(at) if !self.without_id.is_empty() => Some(at),
            _ => None,
        };
        let topics = self
            .unresolved
            .iter()
            .filter_map(|name| self.topics.get(name))
            .flat_map(|topic| [topic.next_expiry(&self.limits), topic.lookup_due()]);
        topics.chain([timer, identity]).flatten().min()
    }

    /// Takes what became of records since the last call.
    pub(crate) fn outcomes(&mut self) -> std::vec::Drain<'_, Outcome<W>> {
        self.outcomes.drain(..)
    }

    fn expire_waiting(&mut self, name: &Arc<str>, now: Monotonic) {
        while let Some(topic) = self.topics.get_mut(name)
            && let Some(pending) = topic.expire(now, &self.limits)
        {
            let error = Error::TimedOut {
                what: "delivering a record",
                after: self.limits.delivery_timeout,
                maybe_sent: false,
                last: topic.last_error().cloned().map(Box::new),
            };
            self.finish(Finished { pending, outcome: Err(error) }, name.clone(), None);
        }
    }

    fn place(&mut self, pending: Pending<W>, partition: i32, now: Monotonic) {
        let topic = &pending.record.topic;
        let index = match self.index.get(&(topic.clone(), partition)) {
            Some(index) => *index,
            None => {
                let state = Partition::new(topic, partition, &self.limits);
                let topic = topic.clone();
                self.index.insert((topic.clone(), partition), self.partitions.len());
                self.partitions.push(Slot {
                    topic,
                    partition,
                    state,
                    ready: false,
                    timer: None,
                    failures: 0,
                });
                self.partitions.len() - 1
            }
        };
        self.with(index, now, |state, _, _| state.push(pending));
    }

    /// Lets one partition do something, finishes what that finished, and sees what is next.
    fn with<T>(
        &mut self,
        index: usize,
        now: Monotonic,
        act: impl FnOnce(&mut Partition<W>, &Limits, &mut Vec<Finished<W>>) -> T,
    ) -> Option<T> {
        let slot = self.partitions.get_mut(index)?;
        let mut finished = std::mem::take(&mut self.scratch);
        let result = act(&mut slot.state, &self.limits, &mut finished);
        #[cfg(debug_assertions)]
        slot.state.check_invariants(&self.limits);
        let (topic, partition) = (slot.topic.clone(), slot.partition);
        for one in finished.drain(..) {
            self.finish(one, topic.clone(), Some(partition));
        }
        self.scratch = finished;
        self.look_at(index, now);
        Some(result)
    }

    /// Files a partition under what it waits for.
    fn look_at(&mut self, index: usize, now: Monotonic) {
        let Some(slot) = self.partitions.get_mut(index) else { return };
        if slot.state.wants_id(&self.limits) {
            let given = matches!(self.identity, Identity::Known(id, epoch) if slot.state.give_id(id, epoch));
            if !given {
                if let Identity::Known(..) = self.identity {
                    self.identity = Identity::Due(now);
                }
                self.without_id.insert(index);
            }
        }
        let next = slot.state.next(now, self.generation, &self.limits);
        if next == Next::Send && !slot.ready {
            slot.ready = true;
            self.ready.push_back(index);
        }
        let linger = if let Next::At(at) = next { Some(at) } else { None };
        let expiry = slot.state.next_expiry(self.limits.delivery_timeout);
        let timer = linger.into_iter().chain(expiry).min();
        if timer != slot.timer {
            if let Some(at) = slot.timer {
                self.timers.remove(&(at, index));
            }
            if let Some(at) = timer {
                self.timers.insert((at, index));
            }
            slot.timer = timer;
        }
    }

    fn finish(&mut self, finished: Finished<W>, topic: Arc<str>, partition: Option<i32>) {
        let generation = finished.pending.generation;
        if let Some(count) = self.outstanding.get_mut(&generation) {
            *count -= 1;
            if *count == 0 {
                self.outstanding.remove(&generation);
            }
        }
        self.outcomes.push(Outcome { finished, topic, partition });
    }
}

#[cfg(test)]
mod tests;
