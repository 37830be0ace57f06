//! The broker's process of a run: several partitions on one disk, driven as `node` drives them, with every choice that
//! threads and the kernel make in production left to the run's seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_record::ValidatedBatches;
use ottla_record::{Monotonic, Now, Offset, PartitionIndex};
use ottla_replication::{
    Acks, Assignment, Availability, DeleteRecords, Effect, Event, Partition, PartitionConfig, Produce, View,
};
use ottla_storage::{DeletedSegment, LogDirectory, OpenError};

use super::cleaner::Cleaning;
use super::flush_rounds::FlushRounds;
use super::promises;
use super::world::{Clients, World};
use crate::cluster::BROKER;
use crate::disk::{OpKind, SimDisk};
use crate::invariants::{self, Invariant, Violation, broken};
use crate::observed::Observed;
use crate::opening::{check_content, check_found, check_opened, open_directory, open_partition};
use crate::oracle::RecordId;

/// A running broker.
pub struct Broker {
    pub(super) disk: SimDisk,
    pub(super) directory: Arc<LogDirectory>,
    /// The pass of compaction that is under way.
    pub(super) cleaning: Option<Cleaning>,
    /// `None` where the log is damaged: that partition is offline, the others are not.
    pub(super) hosts: Vec<Option<Host>>,
    pub(super) rounds: FlushRounds,
    removals: Vec<DeletedSegment>,
    monotonic: Monotonic,
    next_waiter: u64,
    checkpoint_due: Monotonic,
    /// A partition has failed, and the keeper has not told the others.
    pub(super) failed: bool,
    told: bool,
}

/// One partition of it.
pub struct Host {
    pub(super) partition: Partition<u64>,
    /// What readers see.
    pub(super) view: View,
    pub(super) waiting: BTreeMap<u64, Waiting>,
    deleting: BTreeMap<u64, Offset>,
    pub(super) failed: bool,
}

/// A request that was not answered yet.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Whose.
    pub writer: usize,
    /// Its records, or the one marker.
    pub ids: Vec<RecordId>,
    /// What it waits for.
    pub acks: Acks,
    /// It ends a transaction.
    pub is_marker: bool,
    /// It must not be taken, and why.
    pub refused_for: Option<Defect>,
}

/// What is wrong with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The one before it is missing.
    Gap,
    /// Its producer was replaced by one of a newer epoch, which the log has heard.
    FencedEpoch,
}

/// Why a broker did not come up.
#[derive(Debug)]
pub enum StartError {
    /// The disk failed, or the machine stopped: to be tried again.
    Disk,
    /// A promise is broken.
    Violation(Violation),
}

impl From<Violation> for StartError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl Broker {
    /// Starts on what the disk holds: opens every log, checks what is found, registers, leads.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(disk: &SimDisk, reserve_bytes: u64, world: &mut World) -> Result<Self, StartError> {
        let now = Now { monotonic: Monotonic::ZERO, wall: world.wall };
        let directory = open_directory(disk, reserve_bytes).map_err(|error| not_open(&error, false))?;
        let mut logs = Vec::new();
        for clients in &mut world.partitions {
            let recovery_point = directory.log_start_of(&clients.name).recovery_point;
            clients.give_up_damaged(disk, recovery_point);
            let damaged = clients.may_be_damaged(disk);
            let log = match open_partition(&directory, &clients.name, &clients.config.log, now) {
                Ok(log) => log,
                Err(OpenError::Corrupt { .. }) if damaged => {
                    world.tally.refused += 1;
                    logs.push(None);
                    continue;
                }
                Err(error) => return Err(not_open(&error, damaged)),
            };
            let end = log.log_end();
            clients.damage.retain(|damage| damage.batch.is_none_or(|(first, _)| first < end));
            // Damage inside, where a start does not look: nothing was cut, but what headers say of producers may be wrong.
            // A scrub finds it, and the operator takes the partition offline.
            let unsound = clients.damage.iter().any(|damage| damage.batch.is_some() && damage.stands(disk));
            let observed = clients.undamaged(disk, || match (unsound, clients.indexes_damaged) {
                (true, _) => check_content(&log, &clients.oracle),
                (false, true) => check_found(&log, &clients.oracle),
                (false, false) => check_opened(disk, &log, &clients.oracle),
            })?;
            clients.oracle.recovered(observed.records());
            clients.oracle.flushed(observed.flushed_end);
            logs.push(Some(log).filter(|_| !unsound));
        }
        world.cluster.restart(directory.directory_id())?;
        world.tally.lives += 1;
        let mut broker = Self {
            disk: disk.clone(),
            directory,
            cleaning: None,
            hosts: Vec::new(),
            rounds: FlushRounds::default(),
            removals: Vec::new(),
            monotonic: Monotonic::ZERO,
            next_waiter: 0,
            checkpoint_due: Monotonic::ZERO,
            failed: false,
            told: false,
        };
        for (log, clients) in logs.into_iter().zip(&world.partitions) {
            let partition = log.map(|log| Partition::new(BROKER, log, clients.config.clone()));
            broker.hosts.push(partition.map(Host::new));
        }
        for number in 0..broker.hosts.len() {
            broker.lead(number, world)?;
        }
        Ok(broker)
    }

    /// Takes the term that the metadata has for a partition.
    ///
    /// # Errors
    /// A broken promise.
    pub fn lead(&mut self, number: usize, world: &mut World) -> Result<(), Violation> {
        let index = PartitionIndex::new(i32::try_from(number).unwrap_or(0));
        let led = world.cluster.assignment(index)?;
        let (Some(Some(_)), Some(clients)) = (self.hosts.get(number), world.partitions.get_mut(number))
        else {
            return Ok(());
        };
        invariants::epoch_is_new(&clients.oracle, led.leader_epoch)?;
        clients.oracle.term(led.leader_epoch);
        let assignment = Assignment {
            leader_epoch: led.leader_epoch,
            partition_epoch: led.partition_epoch,
            leader: led.leader,
            replicas: led.replicas,
            isr: led.isr,
        };
        self.handle(number, Event::Assign(assignment), world)
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration, world: &mut World) {
        self.monotonic = self.monotonic + time;
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        world.wall = ottla_record::Timestamp::from_millis(world.wall.millis().saturating_add(millis));
        world.tally.millis += millis.unsigned_abs();
    }

    /// A partition that serves, with its clients.
    pub fn serving<'a>(&'a self, number: usize, world: &'a World) -> Option<(&'a Host, &'a Clients)> {
        let host = self.hosts.get(number)?.as_ref().filter(|host| !host.failed)?;
        Some((host, world.partitions.get(number)?))
    }

    /// Appends what a writer sends.
    ///
    /// # Errors
    /// A broken promise.
    pub fn produce(
        &mut self,
        number: usize,
        batches: ValidatedBatches,
        waiting: Waiting,
        world: &mut World,
    ) -> Result<(), Violation> {
        let (Some(Some(host)), Some(clients)) =
            (self.hosts.get_mut(number), world.partitions.get_mut(number))
        else {
            return Ok(());
        };
        let base = host.partition.log().log_end();
        let (ids, acks) = (waiting.ids.clone(), waiting.acks);
        clients.oracle.attempt(base, &ids);
        let waiter = self.next_waiter;
        self.next_waiter += 1;
        host.waiting.insert(waiter, waiting);
        let deadline = self.monotonic + TIMEOUT;
        let writes = self.disk.count(OpKind::Write);
        let mut effects = Vec::new();
        let now = Now { monotonic: self.monotonic, wall: world.wall };
        host.partition.handle(Event::Produce(Produce { waiter, batches, acks, deadline }), now, &mut effects);
        if self.disk.is_off() {
            return Ok(());
        }
        if host.partition.log().log_end() > base {
            clients.oracle.written(base, &ids);
        } else if self.disk.count(OpKind::Write) == writes {
            clients.oracle.not_written(base, &ids);
        }
        self.execute(number, effects, world)
    }

    /// Asks for the deletion of the records below an offset.
    ///
    /// # Errors
    /// A broken promise.
    pub fn delete_records(
        &mut self,
        number: usize,
        before: Offset,
        world: &mut World,
    ) -> Result<(), Violation> {
        let waiter = self.next_waiter;
        self.next_waiter += 1;
        let (Some(Some(host)), Some(clients)) =
            (self.hosts.get_mut(number), world.partitions.get_mut(number))
        else {
            return Ok(());
        };
        clients.oracle.may_start_at(before);
        // Nobody but this broker has to delete: it is answered at once.
        let deadline = Monotonic::NEVER;
        host.deleting.insert(waiter, before);
        self.handle(
            number,
            Event::DeleteRecords(DeleteRecords { waiter, before: Some(before), deadline }),
            world,
        )
    }

    /// Looks for segments past their retention.
    ///
    /// # Errors
    /// A broken promise.
    pub fn retain(&mut self, number: usize, world: &mut World) -> Result<(), Violation> {
        if let (Some(Some(host)), Some(clients)) = (self.hosts.get(number), world.partitions.get_mut(number))
        {
            clients.oracle.may_start_at(host.view.high_watermark);
        }
        self.handle(number, Event::Retain, world)
    }

    /// The topic's configuration has changed.
    ///
    /// # Errors
    /// A broken promise.
    pub fn configure(
        &mut self,
        number: usize,
        mut config: PartitionConfig,
        world: &mut World,
    ) -> Result<(), Violation> {
        if let Some(clients) = world.partitions.get_mut(number) {
            // A topic that is compacted stays so: what it holds has keys.
            let log = &clients.config.log;
            (config.log.compacted, config.log.compaction) = (log.compacted, log.compaction);
            clients.config = config.clone();
            clients.was_cached |= !clients.is_durable();
        }
        self.handle(number, Event::Configure(config), world)
    }

    /// What the keeper of the log directory does: ticks, checkpoints, files whose time has come, bad news.
    ///
    /// # Errors
    /// A broken promise.
    pub fn keep(&mut self, world: &mut World) -> Result<(), Violation> {
        for segment in self.removals.extract_if(.., |segment| segment.due <= self.monotonic) {
            // A file that cannot be removed is removed at the next start.
            let _ = segment.remove(&*self.disk.port());
        }
        if self.failed && !self.told {
            self.told = true;
            for number in 0..self.hosts.len() {
                self.handle(number, Event::DirectoryFailed, world)?;
            }
        }
        let checkpoint = self.monotonic >= self.checkpoint_due;
        for number in 0..self.hosts.len() {
            let due = |host: &Host| checkpoint || host.partition.next_deadline() <= self.monotonic;
            if self.hosts.get(number).and_then(Option::as_ref).is_some_and(due) {
                self.handle(number, Event::Tick, world)?;
            }
        }
        if checkpoint && !self.failed {
            self.checkpoint_due = self.monotonic + CHECKPOINT_INTERVAL;
            for (host, clients) in self.hosts.iter().zip(&world.partitions) {
                if let Some(host) = host {
                    self.directory.note_high_watermark(&clients.name, host.view.high_watermark);
                }
            }
            // As production does: said in the log, and tried again a second later.
            let _ = self.directory.store_checkpoints();
        }
        Ok(())
    }

    /// The session was lost and a new one begun: every partition gets a new term, and one of them finds that another
    /// leader had less than it has.
    ///
    /// # Errors
    /// A broken promise.
    pub fn register_again(
        &mut self,
        cut: Option<(usize, Offset)>,
        world: &mut World,
    ) -> Result<(), Violation> {
        world.cluster.restart(self.directory.directory_id())?;
        if let Some((number, offset)) = cut {
            self.truncate(number, offset, world)?;
        }
        for number in 0..self.hosts.len() {
            if self.disk.is_off() {
                break;
            }
            self.lead(number, world)?;
        }
        Ok(())
    }

    /// Cuts what lies above the high watermark, as a follower does that another leader has told where its log ends.
    fn truncate(&mut self, number: usize, to: Offset, world: &mut World) -> Result<(), Violation> {
        // The partition has no jobs out, so nobody holds the log but it.
        let Some(host) = self.hosts.get_mut(number).and_then(Option::take) else { return Ok(()) };
        let Host { partition, waiting, deleting, .. } = host;
        let mut effects = Vec::new();
        let mut log = partition.into_log(&mut effects);
        let Some(clients) = world.partitions.get_mut(number) else { return Ok(()) };
        clients.oracle.truncating(to);
        let cut = log.truncate_to(to, world.wall);
        if self.disk.is_off() {
            return Ok(());
        }
        let failed = cut.is_err();
        if !failed {
            clients.oracle.truncated(log.log_end());
            clients.oracle.flushed(log.flushed_end());
            clients.oracle.nothing_returns();
        }
        let mut host = Host::new(Partition::new(BROKER, log, clients.config.clone()));
        (host.waiting, host.deleting) = (waiting, deleting);
        if let Some(place) = self.hosts.get_mut(number) {
            *place = Some(host);
        }
        self.execute(number, effects, world)?;
        if failed { self.handle(number, Event::DirectoryFailed, world) } else { Ok(()) }
    }

    /// Everything that holds after every event, of one partition.
    ///
    /// # Errors
    /// A broken promise.
    pub fn check(&self, number: usize, world: &World) -> Result<(), Violation> {
        let Some((host, clients)) = self.serving(number, world) else { return Ok(()) };
        let log = host.partition.log();
        clients.undamaged(&self.disk, || {
            let observed = Observed::read(log).map_err(|found| broken(Invariant::Readable, found))?;
            invariants::check_log(&clients.oracle, &observed)?;
            invariants::producer_state_is_true(log, &observed)?;
            invariants::epoch_history_is_true(log, &observed)?;
            promises::last_stable_is_true(&host.view, &observed)?;
            promises::times_are_found(&host.view, &observed)
        })
    }

    /// The same, and that every offset is found from every index.
    ///
    /// # Errors
    /// A broken promise.
    pub fn check_deeply(&self, number: usize, world: &World) -> Result<(), Violation> {
        self.check(number, world)?;
        let Some((host, clients)) = self.serving(number, world) else { return Ok(()) };
        let log = host.partition.log();
        clients.undamaged(&self.disk, || {
            let observed = Observed::read(log).map_err(|found| broken(Invariant::Readable, found))?;
            invariants::every_offset_is_found(log, &observed)
        })
    }

    /// Stops cleanly, as at SIGTERM. True if it was clean.
    pub fn stop(self) -> bool {
        let Self { hosts, directory, disk, .. } = self;
        let complete = hosts.iter().all(Option::is_some);
        for host in hosts.into_iter().flatten() {
            let log = host.partition.into_log(&mut Vec::new());
            let name = log.name().clone();
            let Ok(recovery_point) = log.close() else { return false };
            directory.note_recovery_point(&name, recovery_point);
        }
        complete
            && directory.store_checkpoints().is_ok()
            && directory.mark_clean(None).is_ok()
            && !disk.is_off()
    }

    /// Requests that nobody has answered.
    pub fn unanswered(&self) -> usize {
        self.hosts.iter().flatten().map(|host| host.waiting.len() + host.deleting.len()).sum()
    }

    /// Hands an event to a partition and does what it asks for.
    pub(super) fn handle(
        &mut self,
        number: usize,
        event: Event<u64>,
        world: &mut World,
    ) -> Result<(), Violation> {
        let Some(Some(host)) = self.hosts.get_mut(number) else { return Ok(()) };
        let now = Now { monotonic: self.monotonic, wall: world.wall };
        let mut effects = Vec::new();
        host.partition.handle(event, now, &mut effects);
        self.execute(number, effects, world)
    }

    fn execute(
        &mut self,
        number: usize,
        effects: Vec<Effect<u64>>,
        world: &mut World,
    ) -> Result<(), Violation> {
        self.monotonic = self.monotonic + self.disk.take_elapsed();
        // The machine has stopped in the middle of it: nobody hears anything.
        if self.disk.is_off() {
            return Ok(());
        }
        let World { partitions, tally, .. } = world;
        let (Some(Some(host)), Some(clients)) = (self.hosts.get_mut(number), partitions.get_mut(number))
        else {
            return Ok(());
        };
        for effect in effects {
            match effect {
                Effect::Flush(job) => self.rounds.want_flush(number, job)?,
                Effect::Checkpoint(job) => self.rounds.want_checkpoint(number, job)?,
                Effect::Produced { waiter, outcome } => {
                    let waiting = host.waiting.remove(&waiter);
                    let waiting = waiting
                        .ok_or_else(|| broken(Invariant::AnswerIsTrue, "a request was answered twice"))?;
                    super::answers::take(waiting, outcome, &host.partition.view(), clients, tally)?;
                }
                Effect::RecordsDeleted { waiter, outcome } => {
                    if let (Some(asked), Ok(start)) = (host.deleting.remove(&waiter), outcome) {
                        if start < asked {
                            let found = format!("deleted to {asked}, answered {start}");
                            return Err(broken(Invariant::AnswerIsTrue, found));
                        }
                        clients.oracle.starts_at(start);
                    }
                }
                Effect::Publish(view) => {
                    promises::shown(&view, &host.view, clients)?;
                    host.failed |= view.availability == Availability::Offline;
                    host.view = view;
                }
                Effect::Remove(segments) => self.removals.extend(segments),
                Effect::Swapped { outcome, .. } => tally.swapped += u64::from(outcome.is_ok()),
                // There is one broker.
                Effect::FollowerFetched { .. } | Effect::AlterIsr(_) | Effect::CopyRefused(_) => {}
                Effect::Failed => {
                    host.failed = true;
                    self.failed = true;
                }
            }
        }
        Ok(())
    }
}

impl Host {
    fn new(partition: Partition<u64>) -> Self {
        let view = partition.view();
        Self { partition, view, waiting: BTreeMap::new(), deleting: BTreeMap::new(), failed: false }
    }
}

/// Whether a log that does not open is the disk's fault of the moment, or ours.
fn not_open(error: &OpenError, damaged: bool) -> StartError {
    match error {
        OpenError::Io { source, .. } if super::consumer::is_fault(source) => StartError::Disk,
        other if damaged => StartError::Violation(broken(Invariant::DamageIsTold, other.to_string())),
        other => StartError::Violation(broken(Invariant::Opens, other.to_string())),
    }
}

/// How long clients wait.
const TIMEOUT: Duration = Duration::from_secs(5);
/// As in production.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
