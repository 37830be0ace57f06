//! One partition of a producer, as a state machine: batches waiting, batches on their way, sequences, retries.
//!
//! With idempotence the rules are those of Kafka's `TransactionManager` and `Sender` (KIP-98, KIP-360):
//!
//! - A batch gets its sequence when it is first sent, and keeps it however often it is sent again, so that the broker can
//!   tell a repetition from a new batch. The broker remembers the last five batches of a producer, hence the bound of five
//!   in flight.
//! - While a batch is to be repeated, none with a higher sequence is sent before it. Those that were already on their way
//!   are refused (OUT_OF_ORDER_SEQUENCE_NUMBER) and repeated behind it.
//! - A batch that leaves without an acknowledgement leaves a *gap* in the sequences: it was refused for good, or its time
//!   ran out and nobody knows whether it was written. What was sent behind it is repeated under the old sequences until
//!   the broker's answers say which: either one is accepted, then the lost batch was written after all and the gap is
//!   closed; or all are refused, then neither they nor the lost batch were. Then the partition begins anew: the next
//!   epoch of the producer id, sequence 0. The next epoch also fences whatever copy still travels.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use ottla_record::{
    BatchBuilder, BatchError, Codec, Header, Monotonic, Offset, ProducerEpoch, ProducerId, ProducerStamp,
    Sequence, Timestamp,
};
use ottla_rpc::KafkaError;

use super::limits::Limits;
use crate::error::Error;
use crate::record::ProducerRecord;

/// A record on its way, and who waits for its delivery.
#[derive(Clone, Debug)]
pub(crate) struct Pending<W> {
    pub(crate) record: ProducerRecord,
    pub(crate) timestamp: Timestamp,
    pub(crate) waiter: W,
    /// When it was handed over: the delivery deadline counts from here.
    pub(crate) created: Monotonic,
    /// How many flushes had begun before it came.
    pub(crate) generation: u64,
}

/// Records that travel together.
#[derive(Clone, Debug)]
struct Batch<W> {
    /// Number of its first record within the partition: the order of batches.
    first: u64,
    records: Vec<Pending<W>>,
    size: usize,
    created: Monotonic,
    generation: u64,
    /// No more records: something was split off it, or it was sent.
    sealed: bool,
    /// Set when it is first sent; counted without wrapping.
    sequence: Option<u64>,
    encoded: Option<Bytes>,
    not_before: Monotonic,
    attempts: u32,
    /// The broker said that it was not written, because one before it is missing.
    out_of_order: bool,
    /// An attempt was made of which nobody knows the outcome.
    maybe_written: bool,
    last_error: Option<Box<Error>>,
}

impl<W> Batch<W> {
    fn count(&self) -> u64 {
        self.records.len() as u64
    }
}

/// A batch that was sent and not answered.
#[derive(Clone, Debug)]
struct Flight<W> {
    request: u64,
    batch: Batch<W>,
    /// Number of records it was sent with. Its records are gone if their time ran out; the answer is still worth knowing.
    count: u64,
    expired: bool,
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) batches: Bytes,
    pub(crate) records: usize,
}

/// Whether the partition has something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Now.
    Send,
    /// Not before this instant.
    At(Monotonic),
    /// Something must happen first: an answer, a record, a producer id.
    Blocked,
}

/// Where a batch was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) base_offset: Offset,
    pub(crate) log_append_time: Option<Timestamp>,
}

/// What became of a record.
#[derive(Clone, Debug)]
pub(crate) struct Finished<W> {
    pub(crate) pending: Pending<W>,
    pub(crate) outcome: Result<(Offset, Timestamp), Error>,
}

/// One partition's batches.
#[derive(Clone, Debug)]
pub(crate) struct Partition<W> {
    topic: String,
    partition: i32,
    /// Batches to send: those to be repeated first, by order, the one that takes new records last.
    queue: VecDeque<Batch<W>>,
    flights: VecDeque<Flight<W>>,
    next_record: u64,
    /// Where a too large batch was refused, batches stay below this.
    batch_bytes: usize,
    stamp: Option<(ProducerId, ProducerEpoch)>,
    exhausted: Option<ProducerId>,
    /// Sequence of the next batch that has none yet.
    next_sequence: u64,
    /// Everything below this sequence was acknowledged, or counts as lost.
    acknowledged: u64,
    /// End of the last batch that left without acknowledgement, if nothing since has shown that it was written.
    gap: Option<u64>,
}

impl<W> Partition<W> {
    pub(crate) fn new(topic: &str, partition: i32, limits: &Limits) -> Self {
        Self {
            topic: topic.to_owned(),
            partition,
            queue: VecDeque::new(),
            flights: VecDeque::new(),
            next_record: 0,
            batch_bytes: limits.batch_bytes,
            stamp: None,
            exhausted: None,
            next_sequence: 0,
            acknowledged: 0,
            gap: None,
        }
    }

    /// Takes a record.
    pub(crate) fn push(&mut self, pending: Pending<W>) {
        let size = pending.record.size().get();
        let number = self.next_record;
        self.next_record += 1;
        let fits = |batch: &&mut Batch<W>| !batch.sealed && batch.size + size <= self.batch_bytes;
        if let Some(open) = self.queue.back_mut().filter(fits) {
            open.size += size;
            open.records.push(pending);
            return;
        }
        self.queue.push_back(Batch {
            first: number,
            size,
            created: pending.created,
            generation: pending.generation,
            records: vec![pending],
            sealed: false,
            sequence: None,
            encoded: None,
            not_before: Monotonic::ZERO,
            attempts: 0,
            out_of_order: false,
            maybe_written: false,
            last_error: None,
        });
    }

    /// True if it cannot go on without a producer id.
    pub(crate) fn wants_id(&self, limits: &Limits) -> bool {
        limits.idempotent && self.stamp.is_none() && !self.queue.is_empty()
    }

    /// Begins with a producer id, unless that is the one whose epochs it has used up.
    pub(crate) fn give_id(&mut self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        if self.exhausted == Some(id) {
            return false;
        }
        self.stamp.get_or_insert((id, epoch));
        true
    }

    /// Whether there is something to send. `generation` is the number of flushes that have begun.
    pub(crate) fn next(&self, now: Monotonic, generation: u64, limits: &Limits) -> Next {
        let Some(front) = self.queue.front() else { return Next::Blocked };
        if self.flights.len() >= limits.max_in_flight {
            return Next::Blocked;
        }
        if limits.idempotent && !self.sequences_allow(front) {
            return Next::Blocked;
        }
        let full = front.sealed || self.queue.len() > 1 || front.size >= self.batch_bytes;
        let due = if full || front.generation < generation {
            Monotonic::ZERO
        } else {
            front.created + limits.linger
        };
        let due = due.max(front.not_before);
        if due <= now { Next::Send } else { Next::At(due) }
    }

    fn sequences_allow(&self, front: &Batch<W>) -> bool {
        match front.sequence {
            // A repetition waits for those behind it to be refused, or they would be written before it.
            Some(sequence) => {
                self.flights.iter().all(|f| f.batch.sequence.is_some_and(|other| other < sequence))
            }
            None => self.stamp.is_some() && self.gap.is_none() && !self.repeats_what_may_be_written(),
        }
    }

    /// While a batch that may have been written is repeated, nothing new goes behind it. If something did with each of its
    /// attempts, the broker could write more than the five batches it remembers, and refuse as out of order what it has long
    /// written.
    fn repeats_what_may_be_written(&self) -> bool {
        self.flights.iter().any(|flight| flight.batch.maybe_written)
    }

    /// Takes the next batch to send, if there is one now.
    ///
    /// A batch that cannot be packed is finished with the error.
    pub(crate) fn send(
        &mut self,
        request: u64,
        now: Monotonic,
        generation: u64,
        limits: &Limits,
        finished: &mut Vec<Finished<W>>,
    ) -> Option<Outgoing> {
        while self.next(now, generation, limits) == Next::Send {
            let mut batch = self.queue.pop_front()?;
            batch.sealed = true;
            if limits.idempotent && batch.sequence.is_none() {
                batch.sequence = Some(self.next_sequence);
                self.next_sequence += batch.count();
            }
            match self.encode(&batch, limits.codec) {
                Ok(batches) => {
                    batch.encoded = Some(batches.clone());
                    batch.attempts += 1;
                    batch.out_of_order = false;
                    let (count, records) = (batch.count(), batch.records.len());
                    self.flights.push_back(Flight { request, batch, count, expired: false });
                    return Some(Outgoing { batches, records });
                }
                Err(reason) => {
                    let error = Error::Batch {
                        topic: self.topic.clone(),
                        partition: self.partition,
                        offset: Offset::ZERO,
                        reason,
                    };
                    self.give_up(batch, &error, finished);
                }
            }
        }
        None
    }

    fn encode(&self, batch: &Batch<W>, codec: Codec) -> Result<Bytes, BatchError> {
        if let Some(encoded) = &batch.encoded {
            return Ok(encoded.clone());
        }
        let mut builder = BatchBuilder::new(codec);
        if let (Some((id, epoch)), Some(sequence)) = (self.stamp, batch.sequence) {
            builder = builder.producer(ProducerStamp { id, epoch, base_sequence: Some(on_wire(sequence)) });
        }
        let mut headers = Vec::new();
        for pending in &batch.records {
            let ProducerRecord { key, value, headers: named, .. } = &pending.record;
            headers.clear();
            headers
                .extend(named.iter().map(|h| Header { key: h.name.as_bytes(), value: h.value.as_deref() }));
            builder.push(Some(pending.timestamp), key.as_deref(), value.as_deref(), &headers);
        }
        builder.build()
    }

    /// The broker wrote a batch.
    pub(crate) fn written(&mut self, request: u64, written: Written, finished: &mut Vec<Finished<W>>) {
        let Some(flight) = self.take_flight(request) else { return };
        if let Some(sequence) = flight.batch.sequence {
            // The broker takes no batch before all below it, so this also speaks for them.
            self.acknowledged = self.acknowledged.max(sequence + flight.count);
            self.gap = self.gap.filter(|end| *end > self.acknowledged);
        }
        for (delta, pending) in (0..).zip(flight.batch.records) {
            let timestamp = written.log_append_time.unwrap_or(pending.timestamp);
            finished.push(Finished { pending, outcome: Ok((written.base_offset + delta, timestamp)) });
        }
        self.begin_anew_if_settled();
    }

    /// The broker refused a batch, or nobody knows.
    pub(crate) fn failed(
        &mut self,
        request: u64,
        error: Error,
        not_before: Monotonic,
        limits: &Limits,
        finished: &mut Vec<Finished<W>>,
    ) {
        let Some(flight) = self.take_flight(request) else { return };
        self.flight_failed(flight, error, not_before, limits, finished);
        self.begin_anew_if_settled();
    }

    /// The connection is gone, and with it every answer.
    pub(crate) fn disconnected(
        &mut self,
        error: &Error,
        now: Monotonic,
        limits: &Limits,
        finished: &mut Vec<Finished<W>>,
    ) {
        for flight in std::mem::take(&mut self.flights) {
            self.flight_failed(flight, error.clone(), now, limits, finished);
        }
        self.begin_anew_if_settled();
    }

    fn flight_failed(
        &mut self,
        flight: Flight<W>,
        error: Error,
        not_before: Monotonic,
        limits: &Limits,
        finished: &mut Vec<Finished<W>>,
    ) {
        let mut batch = flight.batch;
        if flight.expired {
            self.open_gap(batch.sequence.map(|sequence| sequence + flight.count));
            return;
        }
        batch.not_before = not_before;
        batch.maybe_written |= error.is_outcome_unknown();
        let in_turn = batch.sequence == Some(self.acknowledged) && self.gap.is_none();
        if limits.idempotent && error.is(KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER) && !in_turn {
            batch.out_of_order = true;
            self.requeue(batch, error);
        } else if limits.idempotent && error.is(KafkaError::UNKNOWN_PRODUCER_ID) {
            // The broker forgot the producer, so it surely wrote nothing: begin anew, as KIP-360 does.
            batch.out_of_order = true;
            self.open_gap(batch.sequence.map(|sequence| sequence + flight.count));
            self.requeue(batch, error);
        } else if error.is(KafkaError::MESSAGE_TOO_LARGE) && batch.records.len() > 1 {
            self.split(batch, error);
        } else if error.is_retriable() {
            self.requeue(batch, error);
        } else {
            self.give_up(batch, &error, finished);
        }
    }

    /// Finishes what is older than the delivery timeout.
    pub(crate) fn expire(&mut self, now: Monotonic, limits: &Limits, finished: &mut Vec<Finished<W>>) {
        let old = |batch: &Batch<W>| batch.created + limits.delivery_timeout <= now;
        while let Some(batch) = self.queue.pop_front() {
            if !old(&batch) {
                self.queue.push_front(batch);
                break;
            }
            let error = expired(limits.delivery_timeout, batch.maybe_written, batch.last_error.clone());
            self.give_up(batch, &error, finished);
        }
        for flight in self.flights.iter_mut().filter(|flight| !flight.expired && old(&flight.batch)) {
            flight.expired = true;
            let error = expired(limits.delivery_timeout, true, flight.batch.last_error.take());
            let records = std::mem::take(&mut flight.batch.records);
            finished
                .extend(records.into_iter().map(|pending| Finished { pending, outcome: Err(error.clone()) }));
        }
        self.begin_anew_if_settled();
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub(crate) fn next_expiry(&self, delivery_timeout: Duration) -> Option<Monotonic> {
        let flying = self.flights.iter().filter(|flight| !flight.expired).map(|flight| flight.batch.created);
        flying
            .chain(self.queue.front().map(|batch| batch.created))
            .min()
            .map(|created| created + delivery_timeout)
    }

    /// Finishes everything that was not sent, because there will be no producer id.
    pub(crate) fn fail_queued(&mut self, error: &Error, finished: &mut Vec<Finished<W>>) {
        for batch in std::mem::take(&mut self.queue) {
            self.give_up(batch, error, finished);
        }
    }

    fn take_flight(&mut self, request: u64) -> Option<Flight<W>> {
        let index = self.flights.iter().position(|flight| flight.request == request)?;
        self.flights.remove(index)
    }

    fn requeue(&mut self, mut batch: Batch<W>, error: Error) {
        batch.last_error = Some(Box::new(error));
        let place = self.queue.partition_point(|other| other.first < batch.first);
        self.queue.insert(place, batch);
    }

    /// Two halves in the place of one, with the same sequences together.
    fn split(&mut self, mut batch: Batch<W>, error: Error) {
        let behind = batch.records.split_off(batch.records.len() / 2);
        let size = |records: &[Pending<W>]| records.iter().map(|pending| pending.record.size().get()).sum();
        let count = batch.count();
        let second = Batch {
            first: batch.first + count,
            size: size(&behind),
            sequence: batch.sequence.map(|sequence| sequence + count),
            records: behind,
            encoded: None,
            last_error: None,
            ..Batch { records: Vec::new(), encoded: None, last_error: None, ..batch }
        };
        let first = Batch { size: size(&batch.records), encoded: None, ..batch };
        self.batch_bytes = self.batch_bytes.min(first.size.max(second.size));
        self.requeue(second, error.clone());
        self.requeue(first, error);
    }

    fn give_up(&mut self, batch: Batch<W>, error: &Error, finished: &mut Vec<Finished<W>>) {
        let count = batch.count();
        self.open_gap(batch.sequence.map(|sequence| sequence + count));
        let outcome = |pending| Finished { pending, outcome: Err(error.clone()) };
        finished.extend(batch.records.into_iter().map(outcome));
        self.begin_anew_if_settled();
    }

    fn open_gap(&mut self, end: Option<u64>) {
        self.gap = self.gap.max(end.filter(|end| *end > self.acknowledged));
    }

    /// With a gap, once it is known that nothing behind it was written: the next epoch, from sequence 0.
    fn begin_anew_if_settled(&mut self) {
        let settled = |batch: &Batch<W>| batch.sequence.is_none() || batch.out_of_order;
        if self.gap.is_none() || !self.flights.is_empty() || !self.queue.front().is_none_or(settled) {
            return;
        }
        self.gap = None;
        self.next_sequence = 0;
        self.acknowledged = 0;
        if let Some((id, epoch)) = self.stamp.take() {
            match epoch.get().checked_add(1) {
                Some(epoch) => self.stamp = Some((id, ProducerEpoch::new(epoch))),
                None => self.exhausted = Some(id),
            }
        }
        for batch in &mut self.queue {
            batch.sequence = None;
            batch.encoded = None;
            batch.out_of_order = false;
            // All were refused.
            batch.maybe_written = false;
        }
    }

    #[cfg(debug_assertions)]
    pub(crate) fn check_invariants(&self, limits: &Limits) {
        let orders: Vec<u64> = self.queue.iter().map(|batch| batch.first).collect();
        assert!(orders.is_sorted(), "batches wait in order: {orders:?}");
        assert!(self.flights.len() <= limits.max_in_flight, "{} in flight", self.flights.len());
        let sequences: Vec<u64> = self.queue.iter().map_while(|batch| batch.sequence).collect();
        assert!(sequences.is_sorted(), "sequences wait in order: {sequences:?}");
        let stamped = self.queue.iter().filter(|batch| batch.sequence.is_some()).count();
        assert_eq!(stamped, sequences.len(), "batches with sequences wait before those without");
        assert!(
            !limits.idempotent || self.acknowledged <= self.next_sequence,
            "acknowledged what was never sent"
        );
    }
}

fn expired(after: Duration, maybe_sent: bool, last: Option<Box<Error>>) -> Error {
    Error::TimedOut { what: "delivering a record", after, maybe_sent, last }
}

/// Sequences are 31 bits on the wire.
fn on_wire(sequence: u64) -> Sequence {
    let wrapped = sequence & u64::from(i32::MAX.cast_unsigned());
    Sequence::new(i32::try_from(wrapped).unwrap_or(0))
}

#[cfg(test)]
mod tests;
