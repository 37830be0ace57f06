//! What clients and operators do in a run.

use std::time::Duration;

use ottla_record::{BatchBuilder, Codec, ControlType, EndTransactionMarker, Offset};
use ottla_replication::Acks;

use super::Run;
use super::broker::{Broker, Defect, Waiting};
use super::shape;
use super::world::Transaction;
use crate::client::{SentBatch, validated_marker};
use crate::invariants::{Invariant, Violation, broken};
use crate::oracle::RecordId;

/// Batches a client has in flight.
const MAX_IN_FLIGHT: usize = 5;

impl Run {
    /// Does one thing to a partition.
    pub(super) fn act(&mut self, number: usize, broker: &mut Broker) -> Result<(), Violation> {
        broker.pass(Duration::from_millis(self.rng.range(1, 12)), &mut self.world);
        match self.rng.below(100) {
            0..26 => self.write(number, broker),
            26..31 => self.retry(number, broker),
            31..36 => self.end_transaction(number, broker),
            36..56 => {
                for _ in 0..self.rng.range(1, 4) {
                    broker.rounds.step(&self.disk, &mut self.rng);
                }
                Ok(())
            }
            56..70 => match broker.rounds.report(&mut self.rng) {
                Some((number, event)) => broker.handle(number, event, &mut self.world),
                None => Ok(()),
            },
            70..84 => self.poll(number, broker),
            84..88 => broker.keep(&mut self.world),
            88..91 => {
                broker.pass(Duration::from_millis(self.rng.range(50, 2_500)), &mut self.world);
                broker.keep(&mut self.world)
            }
            91..93 => broker.retain(number, &mut self.world),
            93..95 => self.delete_records(number, broker),
            95..98 => {
                if self.rng.chance(1, 3) {
                    let config = shape::config(&mut self.rng);
                    self.note(|| format!("partition {number} is {:?} from now on", config.durability));
                    return broker.configure(number, config, &mut self.world);
                }
                self.leave_a_gap(number, broker)
            }
            _ => self.register_again(number, broker),
        }
    }

    /// A writer sends a batch; or, if something it sent may not be there, that again.
    fn write(&mut self, number: usize, broker: &mut Broker) -> Result<(), Violation> {
        let Some(clients) = self.world.partitions.get_mut(number) else { return Ok(()) };
        let writer = self.rng.index(clients.writers.len());
        let Some(client) = clients.writers.get_mut(writer) else { return Ok(()) };
        let producer = &mut client.producer;
        if producer.stalled || producer.is_idempotent() && producer.unanswered.len() >= MAX_IN_FLIGHT {
            return self.send_again(number, writer, broker);
        }
        if producer.transactional && matches!(client.transaction, Transaction::Ending { .. }) {
            return Ok(());
        }
        let ids = clients.oracle.draw(self.rng.index(4) + 1);
        if producer.transactional {
            match &mut client.transaction {
                Transaction::Open(open) => open.extend(&ids),
                other => *other = Transaction::Open(ids.clone()),
            }
        }
        let sent = producer.batch(ids, self.world.wall, &mut self.rng)?;
        self.send(number, writer, &sent, broker)
    }

    /// A writer sends again what was not answered, or the last that was, whose answer may have got lost.
    fn retry(&mut self, number: usize, broker: &mut Broker) -> Result<(), Violation> {
        let Some(clients) = self.world.partitions.get(number) else { return Ok(()) };
        let writer = self.rng.index(clients.writers.len());
        let Some(producer) = clients.writers.get(writer).map(|client| &client.producer) else {
            return Ok(());
        };
        match &producer.answered {
            _ if !producer.is_idempotent() => Ok(()),
            Some(sent) if producer.unanswered.is_empty() => {
                let sent = sent.clone();
                self.send(number, writer, &sent, broker)
            }
            _ => self.send_again(number, writer, broker),
        }
    }

    /// A client with a defect leaves out a record. The log must know that, as long as it has anything of the producer.
    fn leave_a_gap(&mut self, number: usize, broker: &mut Broker) -> Result<(), Violation> {
        let Some((host, clients)) = broker.serving(number, &self.world) else { return Ok(()) };
        let writer = self.rng.index(clients.writers.len());
        let (log_start, sound) = (host.view.log_start, !clients.gaps_allowed);
        let Some(clients) = self.world.partitions.get_mut(number) else { return Ok(()) };
        let Some(client) = clients.writers.get(writer) else { return Ok(()) };
        let producer = &client.producer;
        let known =
            producer.is_idempotent() && producer.unanswered.is_empty() && client.newest >= Some(log_start);
        if !known || !sound || producer.transactional {
            return Ok(());
        }
        let ids = clients.oracle.draw(1);
        let sent = producer.batch_behind_a_gap(ids.clone(), self.world.wall, &mut self.rng)?;
        let waiting =
            Waiting { writer, ids, acks: client.acks, is_marker: false, refused_for: Some(Defect::Gap) };
        broker.produce(number, sent.validated(self.world.wall)?, waiting, &mut self.world)
    }

    /// T5. A client that was replaced, and does not know it, sends a batch of the epoch before. What it is comes from a
    /// generator of its own, and nothing may come of it: so it changes nothing in a run.
    pub(super) fn a_zombie_writes(&mut self, number: usize, broker: &mut Broker) -> Result<(), Violation> {
        let Some((host, clients)) = broker.serving(number, &self.world) else { return Ok(()) };
        let Some(client) = self.zombies.pick(&clients.writers) else { return Ok(()) };
        let Some((offset, id)) = client.heard else { return Ok(()) };
        let stands = offset >= host.view.log_start && clients.oracle.current().get(&offset) == Some(&id);
        let writer = clients.writers.iter().position(|other| other.heard == client.heard);
        let (Some(mut zombie), Some(writer), true) = (client.producer.zombie(), writer, stands) else {
            return Ok(());
        };
        let ids = vec![RecordId::FENCED];
        let sent = zombie.batch(ids.clone(), self.world.wall, &mut self.zombies)?;
        let refused_for = Some(Defect::FencedEpoch);
        let waiting = Waiting { writer, ids, acks: Acks::Leader, is_marker: false, refused_for };
        self.world.tally.zombies += 1;
        broker.produce(number, sent.validated(self.world.wall)?, waiting, &mut self.world)
    }

    fn send_again(&mut self, number: usize, writer: usize, broker: &mut Broker) -> Result<(), Violation> {
        let unanswered = match self.producer(number, writer) {
            Some(client) => {
                client.stalled = false;
                client.unanswered.clone()
            }
            None => return Ok(()),
        };
        for sent in unanswered {
            self.send(number, writer, &sent, broker)?;
            // Behind a batch that was refused, the next would leave a gap.
            let done = self.producer(number, writer);
            if done.is_none_or(|client| client.stalled || client.unanswered.is_empty()) || self.disk.is_off()
            {
                break;
            }
        }
        Ok(())
    }

    fn producer(&mut self, number: usize, writer: usize) -> Option<&mut crate::client::Producer> {
        self.world.partitions.get_mut(number)?.writers.get_mut(writer).map(|client| &mut client.producer)
    }

    fn send(
        &mut self,
        number: usize,
        writer: usize,
        sent: &SentBatch,
        broker: &mut Broker,
    ) -> Result<(), Violation> {
        let batches = sent.validated(self.world.wall)?;
        let acks = self.world.partitions.get(number).and_then(|clients| clients.writers.get(writer));
        let acks = acks.map_or(Acks::All, |client| client.acks);
        let waiting = Waiting { writer, ids: sent.ids.clone(), acks, is_marker: false, refused_for: None };
        broker.produce(number, batches, waiting, &mut self.world)
    }

    /// A coordinator decides how a transaction ends, or sends the marker of one that it has decided.
    fn end_transaction(&mut self, number: usize, broker: &mut Broker) -> Result<(), Violation> {
        let Some(clients) = self.world.partitions.get_mut(number) else { return Ok(()) };
        let writer = self.rng.index(clients.writers.len());
        let Some(client) = clients.writers.get(writer) else { return Ok(()) };
        if matches!(client.transaction, Transaction::Open(_)) && client.producer.unanswered.is_empty() {
            let commit = self.rng.chance(2, 3);
            clients.decide(writer, commit);
        }
        self.send_marker(number, writer, broker)
    }

    fn send_marker(&mut self, number: usize, writer: usize, broker: &mut Broker) -> Result<(), Violation> {
        let on_its_way = broker
            .hosts
            .get(number)
            .and_then(Option::as_ref)
            .is_none_or(|host| host.waiting.values().any(|w| w.writer == writer && w.is_marker));
        let Some(clients) = self.world.partitions.get_mut(number) else { return Ok(()) };
        let Some(client) = clients.writers.get(writer) else { return Ok(()) };
        let Transaction::Ending { commit } = client.transaction else { return Ok(()) };
        let Some(stamp) = client.producer.marker_stamp().filter(|_| !on_its_way) else { return Ok(()) };
        let coordinator_epoch = clients.next_marker;
        clients.next_marker += 1;
        let control = if commit { ControlType::Commit } else { ControlType::Abort };
        let mut builder = BatchBuilder::new(Codec::None).producer(stamp).transactional().control();
        builder.push_marker(self.world.wall, EndTransactionMarker { control, coordinator_epoch });
        let bytes = builder.build().map_err(|error| broken(Invariant::NoPanic, error.to_string()))?;
        let batches = validated_marker(bytes, self.world.wall)?;
        let ids = vec![RecordId::marker(coordinator_epoch)];
        let waiting = Waiting { writer, ids, acks: Acks::All, is_marker: true, refused_for: None };
        broker.produce(number, batches, waiting, &mut self.world)
    }

    /// A consumer polls.
    pub(super) fn poll(&mut self, number: usize, broker: &Broker) -> Result<(), Violation> {
        let reader = self.rng.index(2);
        self.poll_with(number, reader, broker)
    }

    fn poll_with(&mut self, number: usize, reader: usize, broker: &Broker) -> Result<(), Violation> {
        let Some((host, _)) = broker.serving(number, &self.world) else { return Ok(()) };
        let view = host.view.clone();
        let Some(clients) = self.world.partitions.get_mut(number) else { return Ok(()) };
        let Some(mut consumer) = clients.readers.get(reader).cloned() else { return Ok(()) };
        let polled = consumer.poll(&view, clients, &self.disk, &mut self.world.tally);
        // A machine that stops in the middle of a read answers nobody.
        if self.disk.is_off() {
            return Ok(());
        }
        polled?;
        if let Some(place) = clients.readers.get_mut(reader) {
            *place = consumer;
        }
        Ok(())
    }

    fn delete_records(&mut self, number: usize, broker: &mut Broker) -> Result<(), Violation> {
        let Some((host, _)) = broker.serving(number, &self.world) else { return Ok(()) };
        let (start, end) = (host.view.log_start, host.view.high_watermark);
        let before = start + i64::try_from(self.rng.below((end - start).unsigned_abs() + 1)).unwrap_or(0);
        self.note(|| format!("partition {number}: records below {before} are deleted"));
        broker.delete_records(number, before, &mut self.world)
    }

    /// The broker lost its session for a moment; perhaps another led meanwhile, without what is not committed.
    fn register_again(&mut self, number: usize, broker: &mut Broker) -> Result<(), Violation> {
        let quiet = broker.rounds.is_quiet(number);
        let cut = broker.serving(number, &self.world).filter(|_| quiet).map(|(host, _)| {
            let (from, to) = (host.view.high_watermark, host.view.log_end);
            (from, (to - from).unsigned_abs())
        });
        let cut = cut.filter(|(_, span)| *span > 0).map(|(from, span)| -> (usize, Offset) {
            (number, from + i64::try_from(self.rng.below(span)).unwrap_or(0))
        });
        self.note(|| format!("a new session; cut: {cut:?}"));
        broker.register_again(cut, &mut self.world)
    }

    /// Faults have stopped: a partition's clients do what is left to do.
    pub(super) fn finish(&mut self, number: usize, broker: &mut Broker) -> Result<(), Violation> {
        let writers = self.world.partitions.get(number).map_or(0, |clients| clients.writers.len());
        for writer in 0..writers {
            self.send_again(number, writer, broker)?;
            let Some(clients) = self.world.partitions.get_mut(number) else { continue };
            let Some(client) = clients.writers.get(writer) else { continue };
            if matches!(client.transaction, Transaction::Open(_)) && client.producer.unanswered.is_empty() {
                clients.decide(writer, true);
            }
            self.send_marker(number, writer, broker)?;
        }
        for _ in 0..POLLS {
            self.poll_with(number, 0, broker)?;
            self.poll_with(number, 1, broker)?;
        }
        Ok(())
    }
}

/// Polls of each consumer in one round of coming to rest.
const POLLS: usize = 60;
