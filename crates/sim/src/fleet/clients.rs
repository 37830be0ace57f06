//! Clients: producers that send again what was not answered, and consumers that go on where they stopped. What is not
//! answered in time is unknown: it may be there or not, once.

use std::collections::{BTreeMap, VecDeque};

use ottla_record::{BrokerId, LeaderEpoch, Offset, ProducerId};
use ottla_replication::{Acks, Availability, Event, Produce, ProduceError, Produced};
use ottla_storage::{AppendError, ReadError};

use super::Fleet;
use super::happening::{Happening, Key, Message, Polled, Refusal, Task};
use super::ledger::{FIRST_PLAIN, Stands};
use super::machine::{Waiting, around};
use super::network::Site;
use super::promises::{self, number_of};
use super::queue::Micros;
use super::shape::{MILLI, SECOND};
use crate::client::{Producer, SentBatch};
use crate::invariants::{Invariant, Violation, broken};
use crate::oracle::RecordId;

type Verdict = Result<(), Violation>;

/// One that writes to one partition.
#[derive(Debug)]
pub struct Writer {
    /// Its number.
    pub number: u64,
    /// Where it writes: a topic's place and a partition of it.
    pub target: (usize, usize),
    /// The partition that was meant when it last looked.
    pub key: Option<Key>,
    /// Its memory.
    pub producer: Producer,
    /// Waits for all in-sync replicas; a plain one for the leader only.
    pub all: bool,
    /// What was sent and not answered: the first record, and when.
    pub in_flight: BTreeMap<u64, (RecordId, Micros)>,
    /// The first records of what was sent since the oldest that has no answer: a broker remembers only so many.
    pub sent: VecDeque<RecordId>,
    /// It waits before it sends again.
    pub not_before: Micros,
}

/// One that reads a partition from its beginning.
#[derive(Debug)]
pub struct Reader {
    /// What it reads.
    pub target: (usize, usize),
    /// The partition that was meant when it last looked.
    pub key: Option<Key>,
    /// The next offset.
    pub position: Offset,
    /// The batch that it has read last.
    pub last: Option<Stands>,
    /// Its poll that is out, since when, and in which term.
    pub out: Option<(u64, Micros, LeaderEpoch)>,
    /// The newest high watermark it was shown, and in which term.
    pub shown: (LeaderEpoch, Offset),
}

/// All clients.
#[derive(Debug)]
pub struct Clients {
    /// Those that write.
    pub writers: Vec<Writer>,
    /// Those that read.
    pub readers: Vec<Reader>,
    /// Who leads what, as they were told.
    pub leaders: BTreeMap<Key, (Option<BrokerId>, LeaderEpoch)>,
    /// The number of the next request.
    pub next_request: u64,
    /// No new records are sent any more.
    pub finishing: bool,
}

impl Fleet {
    /// Clients come for a partition: a producer or two, and a consumer.
    pub(super) fn add_clients(&mut self, target: (usize, usize)) {
        let begin = self.now.max(2 * SECOND);
        for _ in 0..self.rng.range(1, 2) {
            let number = self.clients.writers.len();
            let plain = self.rng.chance(1, 5);
            self.clients.writers.push(Writer::new(number, target, plain));
            self.queue.plan(begin, Happening::Producer(number));
        }
        self.queue.plan(begin, Happening::Consumer(self.clients.readers.len()));
        self.clients.readers.push(Reader::new(target));
    }

    /// A producer's turn: it sends again what has no answer, or something new.
    pub(super) fn write(&mut self, number: usize) -> Verdict {
        let pace = if self.clients.finishing { 100 * MILLI } else { around(self.shape.pace, &mut self.rng) };
        self.queue.plan(self.now + pace, Happening::Producer(number));
        let now = self.now;
        let Some(writer) = self.clients.writers.get_mut(number) else { return Ok(()) };
        let key = self.topics.get(writer.target.0).and_then(|topic| topic.keys.get(writer.target.1)).copied();
        if key != writer.key {
            // The topic was deleted, and perhaps created again: a producer begins anew.
            let id = writer.producer.is_idempotent().then(|| {
                self.tally.producers += 1;
                ProducerId::new(i64::try_from(self.tally.producers).unwrap_or(0))
            });
            writer.producer = Producer::new(id);
            writer.in_flight.clear();
            writer.sent.clear();
            writer.key = key;
        }
        let Some(key) = key else { return Ok(()) };
        let late: Vec<u64> = writer
            .in_flight
            .iter()
            .filter(|(_, (_, sent))| now >= sent + REQUEST_TIMEOUT)
            .map(|(request, _)| *request)
            .collect();
        if !late.is_empty() {
            self.tally.unknown += late.len() as u64;
            writer.in_flight.retain(|request, _| !late.contains(request));
            writer.producer.reconnect();
        }
        if now < writer.not_before {
            return Ok(());
        }
        if writer.producer.stalled {
            // In order, and once it is known what became of those behind.
            if writer.in_flight.is_empty() {
                writer.producer.stalled = false;
                let again = writer.producer.unanswered.clone();
                for batch in again {
                    self.send_batch(number, key, batch);
                }
            }
            return Ok(());
        }
        // A broker takes the first batch that it sees of a producer for its first: the next ones wait for the answer.
        let pipelines = writer.producer.is_idempotent() && writer.producer.answered.is_some();
        let most = if pipelines { MAX_IN_FLIGHT } else { 1 };
        while let Some(oldest) = writer.sent.front()
            && !writer.producer.unanswered.iter().any(|batch| batch.ids.first() == Some(oldest))
        {
            writer.sent.pop_front();
        }
        if self.clients.finishing || writer.in_flight.len() >= most || writer.sent.len() >= most {
            return Ok(());
        }
        let Some(ledger) = self.ledgers.get_mut(key) else { return Ok(()) };
        let id = writer.number;
        ledger.producers.extend(writer.producer.id().map(|producer| (id, producer)));
        let count = self.rng.index(4) + 1;
        let ids = ledger.draw(id, count);
        let wall =
            ottla_record::Timestamp::from_millis(1_700_000_000_000 + i64::try_from(now / MILLI).unwrap_or(0));
        writer.sent.extend(ids.first());
        let batch = writer.producer.batch(ids, wall, &mut self.rng)?;
        self.send_batch(number, key, batch);
        Ok(())
    }

    fn send_batch(&mut self, number: usize, key: Key, batch: SentBatch) {
        let request = self.clients.next_request;
        self.clients.next_request += 1;
        let to = self.believed_leader(key);
        let Some(writer) = self.clients.writers.get_mut(number) else { return };
        let Some(first) = batch.ids.first().copied() else { return };
        writer.in_flight.insert(request, (first, self.now));
        self.requests.insert(request, number);
        let message = Message::Produce { request, key, all: writer.all, batch };
        self.send(Site::Clients, Site::Broker(to), message);
    }

    fn believed_leader(&mut self, key: Key) -> usize {
        let known = self.clients.leaders.get(&key).and_then(|(leader, _)| *leader);
        known.map_or_else(|| self.rng.index(self.machines.len()), number_of)
    }

    /// A batch arrives at a broker.
    pub(super) fn serve_produce(
        &mut self,
        broker: usize,
        request: u64,
        key: Key,
        all: bool,
        batch: &SentBatch,
    ) -> Verdict {
        let wall = self.wall();
        let deadline = self.now_of(broker).monotonic + PRODUCE_TIMEOUT;
        let Some(process) = self.process(broker) else { return Ok(()) };
        let waiter = process.next_number;
        process.next_number += 1;
        let Some(host) = process.hosts.get_mut(&key) else {
            self.refuse_producer(broker, request);
            return Ok(());
        };
        host.waiting.insert(waiter, Waiting { request, ids: batch.ids.clone(), all, append: None });
        let (base, leads) = (host.partition.log().log_end(), host.view.availability.leading());
        let acks = if all { Acks::All } else { Acks::Leader };
        let batches = batch.validated(wall)?;
        self.drive(broker, key, Event::Produce(Produce { waiter, batches, acks, deadline }))?;
        // It may have stopped in the middle of this.
        if let (Some(epoch), None, Some(ledger)) =
            (leads, self.process(broker).map(drop), self.ledgers.get_mut(key))
        {
            ledger.attempted(base, epoch, &batch.ids);
        }
        Ok(())
    }

    /// A broker answers a producer.
    pub(super) fn produced(
        &mut self,
        broker: usize,
        key: Key,
        waiter: u64,
        outcome: Result<Produced, ProduceError>,
    ) -> Verdict {
        let durable = self.shape.power;
        let Some(host) = self.host(broker, key) else { return Ok(()) };
        let Some(waiting) = host.waiting.remove(&waiter) else {
            return Err(broken(Invariant::AnswerIsTrue, "a request was answered twice"));
        };
        // The answer may come before the view that it is true of has been published.
        let view = host.partition.view();
        let gave_up = self.ledgers.get(key).is_some_and(|ledger| ledger.given_up_below.is_some());
        let counts = |epoch| self.ledgers.get(key).is_some_and(|ledger| ledger.counts(epoch));
        let counts = view.availability.leading().is_none_or(counts);
        let outcome = match outcome {
            Ok(produced) => {
                let end = produced.base_offset + i64::try_from(waiting.ids.len()).unwrap_or(0);
                let lie = |found: String| Err(broken(Invariant::AnswerIsTrue, found));
                if waiting.all && view.high_watermark < end {
                    return lie(format!("answered up to {end} with acks=all at {}", view.high_watermark));
                }
                if durable && view.flushed_end < end {
                    return lie(format!("answered up to {end}, flushed is {}", view.flushed_end));
                }
                if counts {
                    self.promised.push((key, broker, produced.base_offset, waiting.clone()));
                }
                Ok(produced.base_offset)
            }
            Err(ProduceError::NotLeader | ProduceError::Deserted | ProduceError::Offline) => {
                Err(Refusal::NotLeader)
            }
            Err(ProduceError::Append(AppendError::OutOfOrderSequence { .. })) => Err(Refusal::OutOfOrder),
            // What a producer has given up comes late.
            Err(ProduceError::Append(AppendError::InvalidProducerEpoch { .. })) if gave_up => {
                Err(Refusal::OutOfOrder)
            }
            Err(
                ProduceError::NotEnoughReplicas { .. } | ProduceError::TimedOut | ProduceError::Overloaded,
            ) => Err(Refusal::Later),
            Err(ProduceError::Append(
                AppendError::NoSpace { .. } | AppendError::Io(_) | AppendError::Poisoned,
            )) => Err(Refusal::Later),
            Err(other) => {
                return Err(broken(Invariant::AnswerIsTrue, format!("a sound request was refused: {other}")));
            }
        };
        if let Some((epoch, id)) = waiting.append {
            let after = self.rng.below(MILLI);
            let append = (id, outcome.is_ok());
            self.later(broker, after, Task::Appended { key, epoch, append });
            return Ok(());
        }
        let request = waiting.request;
        self.send(Site::Broker(broker), Site::Clients, Message::Produced { request, outcome });
        Ok(())
    }

    /// P6, R1: what was answered stands where the answer says, once everything of the event has been shown.
    pub(super) fn check_promised(&mut self) -> Verdict {
        for (key, broker, base, waiting) in std::mem::take(&mut self.promised) {
            let Some(ledger) = self.ledgers.get(key) else { continue };
            let Some(copy) = ledger.copies.get(broker) else { continue };
            let start = copy.start;
            let there = if waiting.all { ledger.committed_at(base) } else { copy.from(base).next() };
            let ids = there.and_then(|stands| ledger.written(stands.base, stands.epoch)).map(|w| &w.ids);
            self.tally.acknowledged += 1;
            if base >= start && ids.is_none_or(|ids| **ids != *waiting.ids) {
                let found =
                    format!("{:?} was answered with offset {base}, where {ids:?} stands", waiting.ids);
                return Err(broken(Invariant::AnswerIsTrue, found));
            }
        }
        Ok(())
    }

    /// A broker that does not have the partition says so.
    pub(super) fn refuse_producer(&mut self, broker: usize, request: u64) {
        let outcome = Err(Refusal::NotLeader);
        self.send(Site::Broker(broker), Site::Clients, Message::Produced { request, outcome });
    }

    /// A producer has its answer.
    pub(super) fn take_produced(&mut self, request: u64, outcome: Result<Offset, Refusal>) {
        let Some(number) = self.requests.remove(&request) else { return };
        if let Err(refusal) = outcome {
            self.note(|| format!("producer {number} is refused: {refusal:?}"));
        }
        let backoff = self.now + around(60 * MILLI, &mut self.rng);
        let Some(writer) = self.clients.writers.get_mut(number) else { return };
        let ledger = writer.key.and_then(|key| self.ledgers.get(key));
        let gave_up = ledger.is_some_and(|ledger| ledger.given_up_below.is_some());
        // An answer that comes too late is no news.
        let Some((first, _)) = writer.in_flight.remove(&request) else { return };
        match outcome {
            Ok(_) => writer.producer.settled(first, true),
            Err(refusal) => {
                writer.producer.reconnect();
                writer.not_before = backoff;
                if refusal == Refusal::OutOfOrder && gave_up {
                    // What it has sent is lost for good: it begins a new epoch (KIP-360).
                    writer.producer.bump();
                    writer.in_flight.clear();
                    writer.sent.clear();
                }
                if refusal == Refusal::NotLeader
                    && let Some(key) = writer.key
                    && let Some(place) = self.clients.leaders.get_mut(&key)
                {
                    place.0 = None;
                }
                self.ask_who_leads();
            }
        }
    }

    /// Clients ask a broker, any of them, who leads what.
    pub(super) fn refresh(&mut self) {
        self.queue.plan(self.now + REFRESH, Happening::Refresh);
        self.ask_who_leads();
    }

    pub(super) fn ask_who_leads(&mut self) {
        if self.now < self.asked_at + 30 * MILLI {
            return;
        }
        self.asked_at = self.now;
        let broker = self.rng.index(self.machines.len());
        self.send(Site::Clients, Site::Broker(broker), Message::WhoLeads);
    }

    /// A broker tells what its metadata says.
    pub(super) fn tell_who_leads(&mut self, broker: usize) {
        let Some(machine) = self.machines.get(broker) else { return };
        let Some(process) = machine.process.as_deref() else { return };
        let mut leaders = Vec::new();
        for topic in process.followed.topics() {
            for (index, partition) in topic.partitions() {
                if let Some(key) = self.key_of(topic.id(), index) {
                    leaders.push((key, partition.leader, partition.leader_epoch));
                }
            }
        }
        self.send(Site::Broker(broker), Site::Clients, Message::Leaders(leaders));
    }

    /// Clients take what they were told, unless they know of a newer term.
    pub(super) fn take_leaders(&mut self, leaders: Vec<(Key, Option<BrokerId>, LeaderEpoch)>) {
        for (key, leader, epoch) in leaders {
            let known = self.clients.leaders.entry(key).or_insert((leader, epoch));
            if epoch >= known.1 {
                *known = (leader, epoch);
            }
        }
    }

    /// A consumer's turn.
    pub(super) fn poll(&mut self, number: usize) {
        let pace =
            if self.clients.finishing { 100 * MILLI } else { around(2 * self.shape.pace, &mut self.rng) };
        self.queue.plan(self.now + pace, Happening::Consumer(number));
        let now = self.now;
        let Some(reader) = self.clients.readers.get_mut(number) else { return };
        let key = self.topics.get(reader.target.0).and_then(|topic| topic.keys.get(reader.target.1)).copied();
        if key != reader.key {
            *reader = Reader { key, ..Reader::new(reader.target) };
        }
        if reader.out.is_some_and(|(_, since, _)| now < since + REQUEST_TIMEOUT) {
            return;
        }
        let Some(key) = key else { return };
        let Some((Some(leader), epoch)) = self.clients.leaders.get(&key).copied() else { return };
        let request = self.clients.next_request;
        self.clients.next_request += 1;
        reader.out = Some((request, now, epoch));
        let (position, last) = (reader.position, reader.last);
        let message = Message::Poll { consumer: number, request, key, position, epoch, last };
        self.send(Site::Clients, Site::Broker(number_of(leader)), message);
    }

    /// A poll arrives at a broker. The rules are those of KIP-320: both sides name their terms.
    ///
    /// # Errors
    /// [`Invariant::TruncationIsTold`]
    pub(super) fn serve_poll(
        &mut self,
        broker: usize,
        key: Key,
        position: Offset,
        epoch: LeaderEpoch,
        last: Option<Stands>,
    ) -> Result<Polled, Violation> {
        let Some(host) = self.host(broker, key) else { return Ok(Polled::NotLeader) };
        let view = &host.view;
        let Availability::Leading { epoch: own, epoch_start } = view.availability else {
            return Ok(Polled::NotLeader);
        };
        if own != epoch {
            return Ok(Polled::NotLeader);
        }
        let (log_start, log_end) = (view.log_start, view.log_end);
        if position < log_start || position > log_end {
            return Ok(Polled::OutOfRange { log_start, log_end });
        }
        if let Some(last) = last {
            let end = host.partition.log().leader_epochs().end_offset_for_reader(last.epoch, own, log_end);
            match end {
                Some(end) if end.end < position => return Ok(Polled::Diverging { end: end.end }),
                // The term is unknown here: what was read in it is not in this log, and where the two part is not known.
                Some(end) if end.epoch < last.epoch => return Ok(Polled::Diverging { end: log_start }),
                _ => {}
            }
        }
        let bytes = match view.log.read(position, POLL_BYTES, view.high_watermark, true) {
            Ok(Some(slice)) => slice.read().unwrap_or_default(),
            Ok(None) => Vec::new(),
            Err(ReadError::OffsetOutOfRange { log_start, log_end, .. }) => {
                return Ok(Polled::OutOfRange { log_start, log_end });
            }
            Err(_) => return Ok(Polled::NotLeader),
        };
        // Until it has reached the start of the term, a leader does not know it (KIP-207).
        let high_watermark = (view.high_watermark >= epoch_start).then_some(view.high_watermark);
        if let Some(ledger) = self.ledgers.get(key) {
            promises::reader_was_told(ledger, broker, last)?;
        }
        Ok(Polled::Batches { bytes: bytes.into(), high_watermark, epoch: own })
    }

    /// R2, R5, R6, P5, P8: a consumer gets what its poll has brought.
    pub(super) fn take_polled(&mut self, number: usize, request: u64, outcome: Polled) -> Verdict {
        let Some(reader) = self.clients.readers.get_mut(number) else { return Ok(()) };
        let Some((_, _, asked_in)) = reader.out.take_if(|(out, ..)| *out == request) else { return Ok(()) };
        let Some(key) = reader.key else { return Ok(()) };
        let Some(ledger) = self.ledgers.get(key) else { return Ok(()) };
        // The leader of a log that is given up may still speak of it, true or not.
        let counts = ledger.counts(asked_in);
        match outcome {
            Polled::NotLeader => {
                self.ask_who_leads();
                Ok(())
            }
            Polled::OutOfRange { log_start, .. } if reader.position < log_start => {
                // Retention went past it, and it is told so.
                (reader.position, reader.last) = (log_start, None);
                Ok(())
            }
            Polled::OutOfRange { log_start: end, .. } | Polled::Diverging { end } => {
                // It is told that what it has read is gone. Nothing that is committed ever is.
                let committed = reader.last.is_some_and(|last| ledger.committed_at(last.base) == Some(last));
                if counts && (committed || ledger.given_up_below.is_none()) {
                    let found = format!(
                        "a consumer has read up to {}, {:?} the last, and is told that this was cut: {outcome:?}",
                        reader.position, reader.last
                    );
                    return Err(broken(Invariant::AcknowledgedSurvives, found));
                }
                self.tally.truncations_told += 1;
                (reader.position, reader.last) = (end, None);
                Ok(())
            }
            Polled::Batches { bytes, high_watermark, epoch } => {
                let batches = promises::batches_of(ledger, &bytes)?;
                for batch in &batches {
                    promises::may_be_read(ledger, batch, counts)?;
                    let follows =
                        batch.stands.base <= reader.position && batch.stands.last >= reader.position;
                    if !follows {
                        let found = format!("asked for {}, got {:?}", reader.position, batch.stands);
                        return Err(broken(Invariant::NothingSkipped, found));
                    }
                    reader.position = batch.stands.last.next();
                    reader.last = Some(batch.stands);
                    self.tally.consumed += batch.ids.len() as u64;
                }
                if let Some(shown) = high_watermark {
                    if shown < reader.shown.1 && counts && ledger.counts(reader.shown.0) {
                        let found = format!(
                            "a consumer saw the high watermark at {:?}, now at {shown} in epoch {epoch}",
                            reader.shown
                        );
                        return Err(broken(Invariant::HighWatermarkNeverFalls, found));
                    }
                    reader.shown = (epoch, shown);
                }
                Ok(())
            }
        }
    }
}

impl Writer {
    /// One that has not written.
    pub fn new(number: usize, target: (usize, usize), plain: bool) -> Self {
        let number = number as u64;
        let id = (!plain).then_some(ProducerId::ZERO);
        Self {
            number: if plain { FIRST_PLAIN + number } else { number },
            target,
            key: None,
            producer: Producer::new(id),
            all: !plain,
            in_flight: BTreeMap::new(),
            sent: VecDeque::new(),
            not_before: 0,
        }
    }
}

impl Reader {
    /// One that begins at the beginning.
    pub const fn new(target: (usize, usize)) -> Self {
        Self {
            target,
            key: None,
            position: Offset::ZERO,
            last: None,
            out: None,
            shown: (LeaderEpoch::ZERO, Offset::ZERO),
        }
    }
}

/// `max.in.flight.requests.per.connection`
const MAX_IN_FLIGHT: usize = 5;
/// After so long a client gives an answer up (`request.timeout.ms`).
const REQUEST_TIMEOUT: Micros = 3 * SECOND;
/// How long a broker lets a producer wait.
const PRODUCE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
/// Between two questions who leads.
const REFRESH: Micros = SECOND;
/// What a consumer asks for at once.
const POLL_BYTES: usize = 2_000;
