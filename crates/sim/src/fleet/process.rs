//! A broker's process: it registers itself, says that it lives, asks the controller, and ends in one of four ways.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_coordination::metadata::{
    BeginShutdown, Command, Image, RegisterBroker, RegisterBrokerError, Response,
};
use ottla_record::{Monotonic, Now, Timestamp};
use ottla_replication::{Effect, IsrRefused};
use ottla_storage::{DirectoryLimits, LogDirectory, OpenError};

use super::Fleet;
use super::driving::isr_outcome;
use super::happening::{Happening, Key, Message, Task};
use super::machine::{Host, Process, Proposal, Purpose, around};
use super::metadata::HEARTBEAT;
use super::network::Site;
use super::queue::Micros;
use super::shape::{MILLI, SECOND};
use crate::cluster::cluster_id;
use crate::disk::{SimDisk, Survival};
use crate::invariants::{Invariant, Violation, broken};

type Verdict = Result<(), Violation>;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Killed: what it wrote stays in the page cache. Its machine tells whoever is connected.
    Killed,
    /// The machine lost its power: nobody is told anything.
    PowerCut,
    /// A write or a sync failed, and it stopped itself; the page cache may hold what is not on the disk.
    DiskFailed,
    /// It was asked to, and closed its logs.
    Stopped,
}

impl Fleet {
    /// A machine starts a process on what its disk holds.
    pub(super) fn start(&mut self, broker: usize) -> Verdict {
        let Some(machine) = self.machines.get_mut(broker) else { return Ok(()) };
        machine.starting = false;
        if machine.process.is_some() {
            return Ok(());
        }
        machine.counted += 1;
        let incarnation = machine.counted;
        let limits = DirectoryLimits { open_files: 64, reserve_bytes: Some(0) };
        let opened = LogDirectory::open(machine.disk.port(), machine.id, machine.directory_id(), limits);
        let directory = match opened {
            Ok(directory) if !machine.disk.is_off() => Arc::new(directory),
            Ok(_) => return self.start_failed(broker),
            Err(OpenError::Io { .. }) => return self.start_failed(broker),
            Err(error) => return Err(broken(Invariant::Opens, error.to_string())),
        };
        // What the metadata's log has on disk may be applied from an older snapshot.
        if self.rng.chance(1, 2) {
            machine.image = machine.snapshot.clone();
        }
        let process = Process {
            incarnation,
            started: self.now,
            directory,
            epoch: None,
            followed: Image::empty(),
            hosts: BTreeMap::new(),
            shards: BTreeMap::new(),
            renewed: None,
            proposals: BTreeMap::new(),
            parked: BTreeMap::new(),
            fetching: BTreeMap::new(),
            // No answer to a former process is taken for one to this.
            next_number: incarnation << 32,
            stopping: false,
            keeps: 0,
        };
        machine.process = Some(Box::new(process));
        self.tally.lives += 1;
        self.note(|| format!("broker {} starts (process {incarnation})", broker + 1));
        self.later(broker, 0, Task::Heartbeat);
        let keep = around(SECOND, &mut self.rng);
        self.later(broker, keep, Task::Keep);
        self.register(broker);
        Ok(())
    }

    fn start_failed(&mut self, broker: usize) -> Verdict {
        self.note(|| format!("the disk of broker {} lets no process start", broker + 1));
        self.restore_machine(broker, End::DiskFailed);
        self.start_later(broker, 300 * MILLI);
        Ok(())
    }

    /// Plans a start.
    pub(super) fn start_later(&mut self, broker: usize, after: Micros) {
        if let Some(machine) = self.machines.get_mut(broker)
            && !std::mem::replace(&mut machine.starting, true)
        {
            self.queue.plan(self.now + after, Happening::Start { broker });
        }
    }

    fn register(&mut self, broker: usize) {
        let Some(machine) = self.machines.get(broker) else { return };
        let Some(process) = &machine.process else { return };
        let command = Command::RegisterBroker(RegisterBroker {
            broker: machine.id,
            incarnation: machine.incarnation_id(process.incarnation),
            cluster: cluster_id(),
            directory: machine.directory_id(),
            endpoints: Vec::new(),
            rack: None,
            replaces: machine.image.0.broker(machine.id).map(|registered| registered.epoch),
        });
        self.propose(broker, command, Purpose::Register);
    }

    /// Sends a command to the controller, and again until there is an answer.
    pub(super) fn propose(&mut self, broker: usize, command: Command, purpose: Purpose) {
        let Some(process) = self.process(broker) else { return };
        let number = process.next_number;
        process.next_number += 1;
        process.proposals.insert(number, Proposal { command, purpose, sent: 0 });
        self.propose_again(broker, number);
    }

    /// Sends a proposal that has no answer yet.
    pub(super) fn propose_again(&mut self, broker: usize, number: u64) {
        let Some(process) = self.process(broker) else { return };
        let Some(proposal) = process.proposals.get_mut(&number) else { return };
        proposal.sent += 1;
        // Of a change of the in-sync set it is said once that nobody knows; the partition asks again.
        if let (Purpose::Isr(key, partition_epoch), true) = (proposal.purpose, proposal.sent > 3) {
            process.proposals.remove(&number);
            let outcome = Err(IsrRefused::Retry);
            self.later(broker, 0, Task::IsrDecided { key, partition_epoch, outcome });
            return;
        }
        let command = Box::new(proposal.command.clone());
        let to = self.metadata.controller.map_or(broker, |(controller, _)| controller);
        self.send(Site::Broker(broker), Site::Broker(to), Message::Propose { number, command });
        let again = around(500 * MILLI, &mut self.rng);
        self.later(broker, again, Task::Propose { number });
    }

    /// The controller has answered.
    pub(super) fn decided(
        &mut self,
        broker: usize,
        number: u64,
        response: Response,
        version: usize,
    ) -> Verdict {
        let Some(process) = self.process(broker) else { return Ok(()) };
        let Some(proposal) = process.proposals.remove(&number) else { return Ok(()) };
        match (proposal.purpose, response) {
            (Purpose::Register, Response::RegisterBroker(Err(RegisterBrokerError::Duplicate { .. }))) => {
                // The metadata here was behind: with what has come meanwhile it may be right.
                self.catch_up(broker, version)?;
                self.register(broker);
            }
            (Purpose::Isr(key, partition_epoch), response) => {
                let outcome = isr_outcome(response);
                // `node` hands it over once its image has the version; it may also come before.
                if self.rng.chance(1, 2) {
                    self.catch_up(broker, version)?;
                }
                let task = Task::IsrDecided { key, partition_epoch, outcome };
                let after = self.rng.below(3 * MILLI);
                self.later(broker, after, task);
            }
            (Purpose::Register | Purpose::Shutdown, _) => {}
        }
        Ok(())
    }

    pub(super) fn heartbeat(&mut self, broker: usize) {
        let Some(machine) = self.machines.get(broker) else { return };
        let Some(process) = machine.process.as_deref() else { return };
        let message = Message::Heartbeat {
            incarnation: process.incarnation,
            epoch: process.epoch,
            ready: process.epoch.is_some() && !process.stopping,
            applied: machine.image.1,
            sent: self.now,
        };
        for voter in 0..self.machines.len() {
            self.send(Site::Broker(broker), Site::Broker(voter), message.clone());
        }
        self.later(broker, HEARTBEAT, Task::Heartbeat);
    }

    /// An operator asks a process to stop: it lets others lead first.
    pub(super) fn stop(&mut self, broker: usize) {
        let Some(process) = self.process(broker) else { return };
        if std::mem::replace(&mut process.stopping, true) {
            return;
        }
        let epoch = process.epoch;
        let Some(machine) = self.machines.get(broker) else { return };
        if let Some(epoch) = epoch {
            let command = Command::BeginShutdown(BeginShutdown { broker: machine.id, epoch });
            self.propose(broker, command, Purpose::Shutdown);
        }
        let grace = self.rng.range(100 * MILLI, 2 * SECOND);
        self.later(broker, grace, Task::Stop);
    }

    /// A machine stopped in the middle of an operation.
    pub(super) fn power_failed(&mut self, broker: usize) -> Verdict {
        for ledger in &mut self.ledgers {
            if let Some(copy) = ledger.copies.get_mut(broker) {
                copy.uncertain = true;
            }
        }
        let end = if self.shape.power && self.rng.chance(1, 2) { End::PowerCut } else { End::Killed };
        self.end(broker, end)
    }

    pub(super) fn check_power(&mut self, broker: usize) -> Verdict {
        match self.machines.get(broker) {
            Some(machine) if machine.disk.is_off() => self.power_failed(broker),
            _ => Ok(()),
        }
    }

    /// Ends a process.
    pub(super) fn end(&mut self, broker: usize, end: End) -> Verdict {
        let Some(machine) = self.machines.get_mut(broker) else { return Ok(()) };
        machine.paused = None;
        machine.frozen.clear();
        let Some(process) = machine.process.take() else { return Ok(()) };
        let incarnation = process.incarnation;
        self.note(|| format!("broker {}: process {incarnation} ends: {end:?}", broker + 1));
        let mut end = end;
        if end == End::Stopped {
            end = self.close(broker, *process);
        }
        self.tally.power_cuts += u64::from(end == End::PowerCut);
        self.restore_machine(broker, end);
        if end != End::PowerCut {
            for other in 0..self.machines.len() {
                let message = Message::Ended { incarnation };
                self.send(Site::Broker(broker), Site::Broker(other), message);
            }
        }
        let after = if self.rng.chance(1, 3) { self.rng.below(10 * SECOND) } else { self.rng.below(SECOND) };
        let after = if self.healing { after / 10 } else { after };
        self.start_later(broker, after + 50 * MILLI);
        Ok(())
    }

    /// Closes a process's logs as at SIGTERM.
    fn close(&mut self, broker: usize, process: Process) -> End {
        let Process { hosts, directory, epoch, .. } = process;
        let mut clean = true;
        for (key, host) in hosts {
            let mut effects = Vec::new();
            let log = host.partition.into_log(&mut effects);
            for effect in effects {
                if let Effect::Produced { waiter, .. } = effect
                    && let Some(waiting) = host.waiting.get(&waiter).filter(|it| it.append.is_none())
                {
                    self.refuse_producer(broker, waiting.request);
                }
            }
            let name = log.name().clone();
            match log.close() {
                Ok(recovery_point) => {
                    directory.note_recovery_point(&name, recovery_point);
                    directory.note_high_watermark(&name, host.view.high_watermark);
                    if let Some(copy) = self.ledgers.get_mut(key).and_then(|l| l.copies.get_mut(broker)) {
                        copy.flushed = copy.end;
                    }
                }
                Err(_) => clean = false,
            }
        }
        clean &= directory.store_checkpoints().is_ok();
        clean = clean && directory.mark_clean(epoch).is_ok();
        self.tally.clean_stops += u64::from(clean);
        let off = self.machines.get(broker).is_some_and(|machine| machine.disk.is_off());
        match (clean, off) {
            (true, false) => End::Stopped,
            (_, true) => {
                for ledger in &mut self.ledgers {
                    if let Some(copy) = ledger.copies.get_mut(broker) {
                        copy.uncertain = true;
                    }
                }
                End::Killed
            }
            (false, false) => End::DiskFailed,
        }
    }

    /// The disk as the next process finds it.
    fn restore_machine(&mut self, broker: usize, end: End) {
        let Some(machine) = self.machines.get_mut(broker) else { return };
        let failed = machine.disk.failed_syncs() > 0;
        let image = machine.disk.image();
        let image = if end == End::PowerCut {
            let survival = *self.rng.pick(&Survival::ALL).unwrap_or(&Survival::Nothing);
            image.power_cut(survival, &mut self.rng)
        } else {
            let mut image = image.process_death();
            if failed {
                image.evict((1, 3), &mut self.rng);
            }
            image
        };
        machine.disk = SimDisk::new(image, self.rng.next());
        for copy in self.ledgers.iter_mut().filter_map(|ledger| ledger.copies.get_mut(broker)) {
            copy.lost_cache |= end == End::PowerCut || failed;
            copy.uncertain |= end == End::DiskFailed;
        }
    }

    /// A broker's clock.
    pub(super) fn now_of(&self, broker: usize) -> Now {
        let started = self.machines.get(broker).and_then(|m| m.process.as_deref()).map_or(0, |p| p.started);
        let since = Duration::from_micros(self.now.saturating_sub(started));
        Now { monotonic: Monotonic::from_start(since), wall: self.wall() }
    }

    /// The wall clock, the same everywhere.
    pub(super) fn wall(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + i64::try_from(self.now / MILLI).unwrap_or(0))
    }

    /// Plans something within a process.
    pub(super) fn later(&mut self, broker: usize, after: Micros, what: Task) {
        let Some(process) = self.machines.get(broker).and_then(|machine| machine.process.as_deref()) else {
            return;
        };
        let incarnation = process.incarnation;
        self.queue.plan(self.now + after, Happening::Within { broker, incarnation, what });
    }

    pub(super) fn process(&mut self, broker: usize) -> Option<&mut Process> {
        self.machines.get_mut(broker)?.process.as_deref_mut()
    }

    pub(super) fn host(&mut self, broker: usize, key: Key) -> Option<&mut Host> {
        self.process(broker)?.hosts.get_mut(&key)
    }
}
