//! The end of a run: within a stated time after the last fault every partition is led, its in-sync set is full, everything
//! that was asked is answered, and everything that was acknowledged is there, on every replica, as it was.

use ottla_record::Offset;

use super::Fleet;
use super::promises::{self, number_of};
use super::queue::Micros;
use super::shape::SECOND;
use crate::invariants::{self, Invariant, Violation, broken};
use crate::observed::Observed;

/// After the last fault everything works within this time: a start, a session, an election, and catching up.
pub const REST: Micros = 30 * SECOND;
/// So long clients go on with new records; that must work too.
const GO_ON: Micros = 6 * SECOND;

impl Fleet {
    /// L1, L2. True if everything has come to rest.
    ///
    /// # Errors
    /// [`Invariant::Progress`] if it has not in time, or a promise that only holds at rest.
    pub(super) fn rests(&mut self) -> Result<bool, Violation> {
        self.clients.finishing = self.now >= self.heals_at + GO_ON;
        if !self.clients.finishing {
            return Ok(false);
        }
        match self.waits_for() {
            None => {
                self.check_at_rest()?;
                Ok(true)
            }
            Some(what) if self.now >= self.heals_at + REST => {
                let seconds = REST / SECOND;
                Err(broken(Invariant::Progress, format!("{seconds} s after the last fault: {what}")))
            }
            Some(_) => Ok(false),
        }
    }

    /// What is not as it should be yet.
    fn waits_for(&self) -> Option<String> {
        for machine in &self.machines {
            if !machine.is_up() || !machine.is_ready() || machine.image.1 < self.metadata.log.len() {
                return Some(format!("broker {} is not up, or behind", machine.id));
            }
        }
        for topic in self.metadata.head.topics() {
            for (index, partition) in topic.partitions() {
                let full = partition.isr.len() == partition.replicas.len();
                let stays = partition.reassignment.is_none();
                let Some(leader) = partition.leader.filter(|_| full && stays) else {
                    return Some(format!("{}-{index} is {partition:?}", topic.name()));
                };
                let key = self.key_of(topic.id(), index)?;
                let leads = number_of(leader);
                if !self.leads(leads, key) {
                    return Some(format!("broker {leader} does not lead {}-{index}", topic.name()));
                }
                let end = self.view(leads, key)?.log_end;
                for replica in &partition.replicas {
                    let view = self.view(number_of(*replica), key)?;
                    let rests = (view.log_end, view.high_watermark) == (end, end) && view.flushed_end == end;
                    if !rests {
                        return Some(format!(
                            "broker {replica} has {}-{index} up to {}, flushed {}, high watermark {}; the leader ends at {end}",
                            topic.name(),
                            view.log_end,
                            view.flushed_end,
                            view.high_watermark
                        ));
                    }
                }
            }
        }
        if let Some(topic) = self.topics.iter().find(|topic| topic.id.is_none()) {
            return Some(format!("{} is not there", topic.name));
        }
        if let Some(why) = self.members_wait_for().or_else(|| self.offsets_not_read()) {
            return Some(why);
        }
        let writes = |writer: &super::clients::Writer| {
            !writer.in_flight.is_empty()
                || writer.producer.is_idempotent() && !writer.producer.unanswered.is_empty()
        };
        if let Some(writer) = self.clients.writers.iter().find(|writer| writes(writer)) {
            return Some(format!("producer {} has no answer", writer.number));
        }
        let reads = |reader: &super::clients::Reader| {
            let end =
                reader.key.and_then(|key| self.ledgers.get(key)).map(super::ledger::Ledger::committed_end);
            reader.position < end.unwrap_or(Offset::ZERO)
        };
        self.clients
            .readers
            .iter()
            .find(|reader| reads(reader))
            .map(|reader| format!("a consumer of {:?} stays at {}", reader.target, reader.position))
    }

    fn view(&self, broker: usize, key: usize) -> Option<&ottla_replication::View> {
        self.machines.get(broker)?.process.as_deref()?.hosts.get(&key).map(|host| &host.view)
    }

    /// R1, R2, P3, M2, M3 and everything that a log promises, of everything there is.
    fn check_at_rest(&mut self) -> Result<(), Violation> {
        self.answered_stays()?;
        let hash = |image: &ottla_coordination::metadata::Image| {
            image.hash().map_err(|error| broken(Invariant::ImagesConverge, error.to_string()))
        };
        let head = hash(&self.metadata.head)?;
        for machine in &self.machines {
            if hash(&machine.image.0)? != head {
                let found = format!("broker {} has another image", machine.id);
                return Err(broken(Invariant::ImagesConverge, found));
            }
        }
        for broker in 0..self.machines.len() {
            let keys: Vec<usize> = self
                .machines
                .get(broker)
                .and_then(|machine| machine.process.as_deref())
                .map(|process| process.hosts.keys().copied().collect())
                .unwrap_or_default();
            self.no_strays(broker, &keys)?;
            for key in keys {
                self.check_copy(broker, key)?;
                let Some(ledger) = self.ledgers.get_mut(key) else { continue };
                let end = ledger.committed_end();
                promises::has_committed(ledger, broker, end)?;
            }
        }
        for writer in self.clients.writers.iter().filter(|writer| writer.producer.is_idempotent()) {
            let Some(ledger) = writer.key.and_then(|key| self.ledgers.get(key)) else { continue };
            if ledger.given_up_below.is_some() {
                continue;
            }
            let (drawn, committed) = ledger.progress_of(writer.number);
            if drawn != committed {
                let found = format!("producer {} sent {drawn} records, {committed} are there", writer.number);
                return Err(broken(Invariant::AcknowledgedSurvives, found));
            }
        }
        Ok(())
    }

    /// M2: a broker has the replicas that the metadata gives it, in its process and on its disk, and no others.
    fn no_strays(&self, broker: usize, keys: &[usize]) -> Result<(), Violation> {
        let Some(machine) = self.machines.get(broker) else { return Ok(()) };
        let Some(process) = machine.process.as_deref() else { return Ok(()) };
        let given = |key: &usize| {
            let ledger = self.ledgers.get(*key)?;
            let partition = self.metadata.head.partition(ledger.topic, ledger.index())?;
            partition.replicas.contains(&machine.id).then_some(&ledger.name)
        };
        let found = machine.disk.quietly(|| process.directory.partitions());
        let found = found.map_err(|error| broken(Invariant::Opens, error.to_string()))?;
        let names: Vec<_> = keys.iter().filter_map(given).collect();
        let strays = found.iter().filter(|directory| !names.contains(&&directory.name)).count();
        if names.len() == keys.len() && found.len() == keys.len() && strays == 0 {
            return Ok(());
        }
        let found = format!("broker {} hosts {names:?} of {keys:?}, and has {found:?}", broker + 1);
        Err(broken(Invariant::MetadataStays, found))
    }

    /// One of all replicas, gone through as a whole.
    pub(super) fn check_some_copy(&mut self) -> Result<(), Violation> {
        let broker = self.rng.index(self.machines.len());
        let Some(process) = self.machines.get(broker).and_then(|machine| machine.process.as_deref()) else {
            return Ok(());
        };
        let keys: Vec<usize> = process.hosts.keys().copied().collect();
        match self.rng.pick(&keys).copied() {
            Some(key) => self.check_copy(broker, key),
            None => Ok(()),
        }
    }

    /// S1, P3, R6: a replica's log is what the checker believes it to be; its epochs, producers and indexes say what it holds.
    fn check_copy(&self, broker: usize, key: usize) -> Result<(), Violation> {
        let (Some(machine), Some(ledger)) = (self.machines.get(broker), self.ledgers.get(key)) else {
            return Ok(());
        };
        let Some(host) = machine.process.as_deref().and_then(|process| process.hosts.get(&key)) else {
            return Ok(());
        };
        if host.view.availability == ottla_replication::Availability::Offline {
            return Ok(());
        }
        let log = host.partition.log();
        machine.disk.quietly(|| {
            let found = promises::read(ledger, &host.view, host.view.log_start)?;
            let copy = ledger.copies.get(broker);
            let same = copy.is_some_and(|copy| {
                (copy.start, copy.end) == (host.view.log_start, host.view.log_end)
                    && copy.batches.iter().eq(found.iter().map(|written| &written.stands))
            });
            if !same {
                let found = format!("broker {} has {found:?}, its views said {copy:?}", broker + 1);
                return Err(broken(Invariant::SameBytes, found));
            }
            if ledger.opaque {
                return Ok(());
            }
            let observed = Observed::read(log).map_err(|found| broken(Invariant::Readable, found))?;
            invariants::offsets_are_dense(&observed)?;
            invariants::no_record_stands_twice(&observed)?;
            invariants::producer_state_is_true(log, &observed)?;
            invariants::epoch_history_is_true(log, &observed)?;
            invariants::every_offset_is_found(log, &observed)
        })
    }
}
