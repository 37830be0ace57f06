//! What a broker holds follows the metadata that it has applied, as `node::hosting` does it: logs are opened, assigned,
//! configured, closed and deleted.

use std::sync::Arc;

use ottla_coordination::metadata::{Image, Topic, TopicChange};
use ottla_replication::{Assignment, Effect, Event, Following, Partition, PartitionConfig};
use ottla_storage::{Log, LogDirectory, OpenError, TopicPartition};

use super::Fleet;
use super::happening::{FetchRequest, Happening, Key, Message};
use super::ledger::Copy;
use super::machine::{Host, uuid};
use super::network::Site;
use super::process::End;
use super::promises;
use super::queue::Micros;
use super::shape::MILLI;
use crate::invariants::{Invariant, Violation, broken};
use crate::storm::consumer::is_fault;

type Verdict = Result<(), Violation>;

impl Fleet {
    /// Applies the metadata's log up to there, and lets the partitions follow.
    pub(super) fn catch_up(&mut self, broker: usize, upto: usize) -> Verdict {
        let Some(machine) = self.machines.get_mut(broker) else { return Ok(()) };
        let (image, applied) = &mut machine.image;
        if upto <= *applied {
            return Ok(());
        }
        for command in self.metadata.log.get(*applied..upto).unwrap_or(&[]) {
            image.apply(command);
        }
        *applied = upto;
        if upto >= machine.snapshot.1 + SNAPSHOT_EVERY {
            machine.snapshot = machine.image.clone();
        }
        self.follow(broker)
    }

    /// Brings a process to what its machine's metadata says.
    fn follow(&mut self, broker: usize) -> Verdict {
        let Some(machine) = self.machines.get_mut(broker) else { return Ok(()) };
        let image = machine.image.0.clone();
        let (id, directory_of) = (machine.id, machine.counted);
        let ours =
            image.broker(id).filter(|b| b.incarnation == machine.incarnation_id(directory_of)).cloned();
        let Some(process) = machine.process.as_deref_mut() else { return Ok(()) };
        let Some(registered) = ours else { return Ok(()) };
        if process.epoch.is_none() {
            process.epoch = Some(registered.epoch);
            self.remove_strays(broker, &image)?;
            if self.machines.get(broker).is_none_or(|machine| machine.process.is_none()) {
                return Ok(());
            }
        }
        let Some(process) = self.process(broker) else { return Ok(()) };
        let older = std::mem::replace(&mut process.followed, image.clone());
        for change in image.topic_changes(&older) {
            match change {
                TopicChange::Created(topic) => self.host_topic(broker, &topic)?,
                TopicChange::Changed { new, .. } => {
                    self.host_topic(broker, &new)?;
                    self.configure_topic(broker, &new)?;
                }
                TopicChange::Deleted(topic) => self.unhost_topic(broker, &topic)?,
            }
        }
        self.pump_fetches(broker);
        self.follow_shards(broker)
    }

    /// Directories of topics that were deleted, and of partitions that were moved to other brokers, while nobody was there to see
    /// it. (`node` asks an operator about those of deleted topics; here there is none.)
    fn remove_strays(&mut self, broker: usize, image: &Image) -> Verdict {
        let Some(machine) = self.machines.get(broker) else { return Ok(()) };
        let (id, Some(process)) = (machine.id, machine.process.as_deref()) else { return Ok(()) };
        let directory = Arc::clone(&process.directory);
        let Ok(found) = directory.partitions() else { return self.check_power(broker) };
        for stray in found {
            let index = stray.name.partition;
            let partition = stray.topic_id.and_then(|topic| image.partition(topic, index));
            if partition.is_some_and(|partition| partition.replicas.contains(&id)) {
                continue;
            }
            let key = stray.topic_id.and_then(|topic| self.key_of(topic, index));
            self.delete(broker, &directory, &stray.name)?;
            self.copy_is_gone(broker, key);
        }
        self.check_power(broker)
    }

    /// A replica's files were deleted. If the machine stopped over it, they may be there again.
    fn copy_is_gone(&mut self, broker: usize, key: Option<Key>) {
        let uncertain = self.machines.get(broker).is_none_or(|machine| machine.process.is_none());
        if let Some(copy) =
            key.and_then(|key| self.ledgers.get_mut(key)).and_then(|ledger| ledger.copies.get_mut(broker))
        {
            *copy = Copy { uncertain, ..Copy::default() };
        }
    }

    fn delete(&mut self, broker: usize, directory: &LogDirectory, name: &TopicPartition) -> Verdict {
        let unique = uuid(0xde, self.rng.next());
        match directory.delete_partition(name, unique) {
            // What is left of it goes at the next start.
            Ok(gone) => drop(directory.remove_directory(&gone)),
            // The name is still taken. The next start finds a stray.
            Err(_) => {
                self.check_power(broker)?;
                return self.end(broker, End::DiskFailed);
            }
        }
        self.check_power(broker)
    }

    fn host_topic(&mut self, broker: usize, topic: &Topic) -> Verdict {
        for (index, partition) in topic.partitions() {
            let Some(key) = self.key_of(topic.id(), index) else { continue };
            let Some(machine) = self.machines.get(broker) else { return Ok(()) };
            let Some(process) = machine.process.as_deref() else { return Ok(()) };
            if !partition.replicas.contains(&machine.id) {
                // It was moved to other brokers.
                self.unhost(broker, key)?;
                continue;
            }
            if !process.hosts.contains_key(&key) && !self.open(broker, key, topic)? {
                continue;
            }
            let assignment = Assignment {
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
                leader: partition.leader,
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
            };
            let Some(host) = self.host(broker, key) else { continue };
            let newer =
                host.assignment.as_ref().is_none_or(|old| old.partition_epoch < assignment.partition_epoch);
            if newer {
                host.assignment = Some(assignment.clone());
            }
            self.drive(broker, key, Event::Assign(assignment))?;
        }
        Ok(())
    }

    /// Opens a replica's log, and sees that it is what its machine had. False if the machine stopped over it.
    fn open(&mut self, broker: usize, key: Key, topic: &Topic) -> Result<bool, Violation> {
        let now = self.now_of(broker);
        let (Some(machine), Some(ledger)) = (self.machines.get_mut(broker), self.ledgers.get_mut(key)) else {
            return Ok(false);
        };
        let Some(process) = machine.process.as_deref_mut() else { return Ok(false) };
        let config = config_of(&ledger.config, topic);
        let start = process.directory.log_start_of(&ledger.name);
        let opened = Log::open(
            &process.directory,
            ledger.name.directory(),
            ledger.topic,
            config.log.clone(),
            start,
            now,
        );
        if machine.disk.is_off() {
            self.power_failed(broker)?;
            return Ok(false);
        }
        let log = match opened {
            Ok((log, _)) => log,
            Err(OpenError::Io { source, .. }) if is_fault(&source) => {
                self.end(broker, End::DiskFailed)?;
                return Ok(false);
            }
            Err(error) => return Err(broken(Invariant::Opens, error.to_string())),
        };
        let mut partition = Partition::new(machine.id, log, config.clone());
        if let Some(stored) = process.directory.high_watermark_of(&ledger.name) {
            partition = partition.recalling(stored);
        }
        let view = partition.view();
        machine.disk.quietly(|| promises::reopened(ledger, broker, &view))?;
        promises::marks_are_committed(ledger, broker, &view)?;
        let in_sync = self.metadata.head.partition(ledger.topic, ledger.index());
        if in_sync.is_some_and(|partition| partition.isr.contains(&machine.id)) {
            promises::in_sync_replicas_have_it(ledger, &[machine.id], self.shape.power)?;
        }
        let serial = process.next_number;
        process.next_number += 1;
        process.hosts.insert(key, Host::new(serial, partition, config.min_insync_replicas));
        Ok(true)
    }

    fn configure_topic(&mut self, broker: usize, topic: &Topic) -> Verdict {
        for (index, _) in topic.partitions() {
            let Some(key) = self.key_of(topic.id(), index) else { continue };
            let Some(ledger) = self.ledgers.get(key) else { continue };
            let config = config_of(&ledger.config, topic);
            let Some(host) = self.host(broker, key) else { continue };
            if host.min_in_sync != config.min_insync_replicas {
                host.min_in_sync = config.min_insync_replicas;
                self.drive(broker, key, Event::Configure(config))?;
            }
        }
        Ok(())
    }

    fn unhost_topic(&mut self, broker: usize, topic: &Topic) -> Verdict {
        for (index, _) in topic.partitions() {
            if let Some(key) = self.key_of(topic.id(), index) {
                self.unhost(broker, key)?;
            }
        }
        self.check_power(broker)
    }

    /// Closes a replica and deletes its files, if there is one.
    fn unhost(&mut self, broker: usize, key: Key) -> Verdict {
        let Some(process) = self.process(broker) else { return Ok(()) };
        let Some(host) = process.hosts.remove(&key) else { return Ok(()) };
        let directory = Arc::clone(&process.directory);
        self.leave_a_fetch_behind(broker, key, host.view.following);
        let Some(process) = self.process(broker) else { return Ok(()) };
        for parked in process.parked.values_mut() {
            parked.request.parts.retain(|(of, ..)| *of != key);
        }
        let mut effects = Vec::new();
        let waiting = host.waiting;
        drop(host.partition.into_log(&mut effects));
        for effect in effects {
            if let Effect::Produced { waiter, .. } = effect
                && let Some(waiting) = waiting.get(&waiter).filter(|it| it.append.is_none())
            {
                self.refuse_producer(broker, waiting.request);
            }
        }
        let Some(name) = self.ledgers.get(key).map(|ledger| ledger.name.clone()) else { return Ok(()) };
        self.delete(broker, &directory, &name)?;
        self.copy_is_gone(broker, Some(key));
        Ok(())
    }
}

impl Fleet {
    /// The last fetch of a replica that is no more may be on its way still, and come when another has taken its place.
    fn leave_a_fetch_behind(&mut self, broker: usize, key: Key, following: Option<Following>) {
        let Some(machine) = self.machines.get(broker) else { return };
        let epoch = machine.process.as_deref().and_then(|process| process.epoch);
        let (Some(following), Some(broker_epoch)) = (following, epoch) else { return };
        let Some(position) = following.fetch else { return };
        let fetch = FetchRequest {
            // No answer to it is waited for.
            request: 0,
            follower: machine.id,
            broker_epoch,
            parts: vec![(key, following.leader_epoch, position)],
        };
        if self.rng.chance(1, 2) {
            let (from, to) = (Site::Broker(broker), Site::Broker(promises::number_of(following.leader)));
            let at = self.now + self.rng.range(MILLI, 600 * MILLI);
            self.queue.plan(at, Happening::Arrives { from, to, message: Message::Fetch(fetch) });
        }
    }
}

impl Host {
    fn new(serial: u64, partition: Partition<u64>, min_in_sync: usize) -> Self {
        let view = partition.view();
        Self {
            serial,
            partition,
            view,
            assignment: None,
            min_in_sync,
            waiting: std::collections::BTreeMap::new(),
            fetch: None,
            fetch_not_before: 0,
            armed: Micros::MAX,
        }
    }
}

/// A topic's configuration with what the metadata has of it.
fn config_of(config: &PartitionConfig, topic: &Topic) -> PartitionConfig {
    let min = topic.configs().get("min.insync.replicas").and_then(|value| value.trim().parse().ok());
    PartitionConfig { min_insync_replicas: min.unwrap_or(1), ..config.clone() }
}

/// Commands between two snapshots of the metadata.
const SNAPSHOT_EVERY: usize = 12;
