//! One broker process around one partition: it executes the machine's effects as the production shell does, but when and
//! in which order is the simulator's to say. Whatever is answered is told to the oracle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_record::{Monotonic, Now, Offset, Timestamp};
use ottla_replication::{
    Acks, Assignment, Availability, DeleteRecords, Durability, Effect, Event, Partition, PartitionConfig,
    Produce, ProduceError, Produced,
};
use ottla_storage::{
    AppendError, CheckpointJob, DeletedSegment, FlushJob, LogDirectory, OpenError, TopicPartition,
};

use crate::client::{Producer, SentBatch};
use crate::cluster::{BROKER, Cluster};
use crate::disk::{OpKind, SimDisk};
use crate::explore::Moments;
use crate::invariants::{self, Invariant, Violation, broken};
use crate::observed::Observed;
use crate::opening::{check_opened, open_log};
use crate::oracle::{Oracle, Promise, RecordId};

/// What outlives the broker's process.
#[derive(Clone, Debug)]
pub struct World {
    /// What the clients were told.
    pub oracle: Oracle,
    /// The clients.
    pub producers: Vec<Producer>,
    /// The metadata.
    pub cluster: Cluster,
    /// The wall clock.
    pub wall: Timestamp,
    /// The power was cut while producers were answered from the page cache, or not waited for: a gap in their
    /// sequences is then no fault of the log.
    pub gaps_allowed: bool,
    /// Requests answered well, for the proof that a run does anything.
    pub acknowledged: u64,
    /// Duplicates recognised.
    pub duplicates: u64,
}

/// The flush that the partition asked for.
#[derive(Debug)]
enum Flight {
    None,
    /// Not begun.
    Wanted(FlushJob),
    /// Done, not reported.
    Ran {
        end: Offset,
        succeeded: bool,
    },
}

/// A request that was not answered yet.
#[derive(Clone, Debug)]
struct Waiting {
    producer: usize,
    ids: Vec<RecordId>,
    acks: Acks,
}

/// A running broker.
pub struct Process {
    disk: SimDisk,
    directory: Arc<LogDirectory>,
    name: TopicPartition,
    partition: Partition<u64>,
    durability: Durability,
    monotonic: Monotonic,
    flight: Flight,
    checkpoint: Option<CheckpointJob>,
    removals: Vec<DeletedSegment>,
    waiting: BTreeMap<u64, Waiting>,
    deleting: BTreeMap<u64, Offset>,
    next_waiter: u64,
    /// The partition said that it failed.
    pub failed: bool,
}

/// Why a process did not come up.
#[derive(Debug)]
pub enum StartError {
    /// The log or its directory does not open.
    Open(OpenError),
    /// It opened, and a promise is broken.
    Violation(Violation),
}

impl From<Violation> for StartError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl Process {
    /// Starts a broker on what the disk holds: opens, checks, registers, leads.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(
        disk: &SimDisk,
        config: &PartitionConfig,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<Self, StartError> {
        let now = Now { monotonic: Monotonic::ZERO, wall: world.wall };
        let opened = open_log(disk, &config.log, now);
        moments.keep(disk, world);
        let (directory, log) = opened?;
        let observed = check_opened(disk, &log, &world.oracle)?;
        world.oracle.recovered(observed.records());
        world.oracle.flushed(observed.flushed_end);
        let led = world.cluster.restart(directory.directory_id())?;
        let assignment = Assignment {
            leader_epoch: led.leader_epoch,
            partition_epoch: led.partition_epoch,
            leader: led.leader,
            replicas: led.replicas,
            isr: led.isr,
        };
        invariants::epoch_is_new(&world.oracle, assignment.leader_epoch)?;
        world.oracle.term(assignment.leader_epoch);
        let mut process = Self {
            disk: disk.clone(),
            directory,
            name: Cluster::partition(),
            partition: Partition::new(BROKER, log, config.clone()),
            durability: config.durability,
            monotonic: Monotonic::ZERO,
            flight: Flight::None,
            checkpoint: None,
            removals: Vec::new(),
            waiting: BTreeMap::new(),
            deleting: BTreeMap::new(),
            next_waiter: 0,
            failed: false,
        };
        process.event(Event::Assign(assignment), world, moments)?;
        for client in &mut world.producers {
            client.reconnect();
        }
        Ok(process)
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration, world: &mut World) {
        self.monotonic = self.monotonic + time;
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        world.wall = Timestamp::from_millis(world.wall.millis().saturating_add(millis));
    }

    /// Sends a batch of a producer.
    ///
    /// # Errors
    /// A broken promise.
    pub fn produce(
        &mut self,
        producer: usize,
        sent: &SentBatch,
        acks: Acks,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let batches = sent.validated(world.wall)?;
        let base = self.partition.log().log_end();
        world.oracle.attempt(base, &sent.ids);
        let waiter = self.next_waiter;
        self.next_waiter += 1;
        self.waiting.insert(waiter, Waiting { producer, ids: sent.ids.clone(), acks });
        let deadline = self.monotonic + TIMEOUT;
        let writes = self.disk.count(OpKind::Write);
        let mut effects = Vec::new();
        let event = Event::Produce(Produce { waiter, batches, acks, deadline });
        self.partition.handle(event, self.now(world), &mut effects);
        moments.keep(&self.disk, world);
        if self.partition.log().log_end() > base {
            world.oracle.written(base, &sent.ids);
        } else if self.disk.count(OpKind::Write) == writes {
            world.oracle.not_written(base, &sent.ids);
        }
        self.execute(effects, world)
    }

    /// Asks for the deletion of the records below an offset.
    ///
    /// # Errors
    /// A broken promise.
    pub fn delete_records(
        &mut self,
        before: Offset,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        world.oracle.may_start_at(before);
        let waiter = self.next_waiter;
        self.next_waiter += 1;
        self.deleting.insert(waiter, before);
        let request = DeleteRecords { waiter, before: Some(before), deadline: Monotonic::NEVER };
        self.event(Event::DeleteRecords(request), world, moments)
    }

    /// Looks for segments past their retention.
    ///
    /// # Errors
    /// A broken promise.
    pub fn retain(&mut self, world: &mut World, moments: &mut Moments<World>) -> Result<(), Violation> {
        world.oracle.may_start_at(self.partition.view().high_watermark);
        self.event(Event::Retain, world, moments)
    }

    /// Time has passed.
    ///
    /// # Errors
    /// A broken promise.
    pub fn tick(&mut self, world: &mut World, moments: &mut Moments<World>) -> Result<(), Violation> {
        self.event(Event::Tick, world, moments)
    }

    /// Does the flush that is wanted. What is appended between this and [`Process::report_flush`] is not part of it.
    pub fn run_flush(&mut self, world: &World, moments: &mut Moments<World>) {
        if let Flight::Wanted(job) = &self.flight {
            let succeeded = job.run(&*self.disk.port()).is_ok();
            moments.keep(&self.disk, world);
            self.flight = Flight::Ran { end: job.end, succeeded };
        }
    }

    /// Tells the partition that the flush is done.
    ///
    /// # Errors
    /// A broken promise.
    pub fn report_flush(&mut self, world: &mut World, moments: &mut Moments<World>) -> Result<(), Violation> {
        match std::mem::replace(&mut self.flight, Flight::None) {
            Flight::Ran { end, succeeded } => self.event(Event::Flushed { end, succeeded }, world, moments),
            other => {
                self.flight = other;
                Ok(())
            }
        }
    }

    /// Does the checkpoint that is wanted, and reports it.
    ///
    /// # Errors
    /// A broken promise.
    pub fn run_checkpoint(
        &mut self,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let Some(job) = self.checkpoint.take() else { return Ok(()) };
        let succeeded = job.run(&*self.disk.port()).is_ok();
        moments.keep(&self.disk, world);
        self.event(Event::Checkpointed { job, succeeded }, world, moments)
    }

    /// Stores the recovery point and the other checkpoints of the directory.
    ///
    /// # Errors
    /// A broken promise.
    pub fn store_checkpoints(
        &mut self,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let view = self.partition.view();
        self.directory.note_high_watermark(&self.name, view.high_watermark);
        let stored = self.directory.store_checkpoints();
        moments.keep(&self.disk, world);
        if stored.is_err() {
            self.event(Event::DirectoryFailed, world, moments)?;
        }
        Ok(())
    }

    /// Removes the files of segments that are out of the log.
    pub fn remove_files(&mut self, world: &World, moments: &mut Moments<World>) {
        for segment in std::mem::take(&mut self.removals) {
            // A file that cannot be removed is removed at the next start.
            let _ = segment.remove(&*self.disk.port());
            moments.keep(&self.disk, world);
        }
    }

    /// Reads everything and checks it against what was promised.
    ///
    /// # Errors
    /// A broken promise.
    pub fn check(&self, oracle: &Oracle) -> Result<(), Violation> {
        let log = self.partition.log();
        let observed = Observed::read(log).map_err(|found| broken(Invariant::Readable, found))?;
        invariants::check_log(oracle, &observed)?;
        invariants::producer_state_is_true(log, &observed)?;
        invariants::epoch_history_is_true(log, &observed)?;
        invariants::every_offset_is_found(log, &observed)
    }

    /// Stops cleanly, as at SIGTERM.
    ///
    /// # Errors
    /// A broken promise.
    pub fn stop(mut self, world: &mut World, moments: &mut Moments<World>) -> Result<(), Violation> {
        self.run_flush(world, moments);
        self.report_flush(world, moments)?;
        let mut effects = Vec::new();
        let Self { partition, directory, disk, name, .. } = self;
        let log = partition.into_log(&mut effects);
        let closed = log.close();
        moments.keep(&disk, world);
        if let Ok(recovery_point) = closed {
            directory.note_recovery_point(&name, recovery_point);
            if directory.store_checkpoints().is_ok() {
                let _ = directory.mark_clean(None);
            }
            moments.keep(&disk, world);
        }
        Ok(())
    }

    /// True if a flush is wanted or not reported.
    pub const fn is_flushing(&self) -> bool {
        !matches!(self.flight, Flight::None)
    }

    /// Requests that nobody has answered.
    pub fn unanswered(&self) -> usize {
        self.waiting.len() + self.deleting.len()
    }

    /// The log's marks: start, high watermark, end.
    pub fn marks(&self) -> (Offset, Offset, Offset) {
        let view = self.partition.view();
        (view.log_start, view.high_watermark, view.log_end)
    }

    const fn now(&self, world: &World) -> Now {
        Now { monotonic: self.monotonic, wall: world.wall }
    }

    fn event(
        &mut self,
        event: Event<u64>,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let mut effects = Vec::new();
        self.partition.handle(event, self.now(world), &mut effects);
        moments.keep(&self.disk, world);
        self.execute(effects, world)
    }

    fn execute(&mut self, effects: Vec<Effect<u64>>, world: &mut World) -> Result<(), Violation> {
        for effect in effects {
            match effect {
                Effect::Flush(job) => self.flight = Flight::Wanted(job),
                Effect::Produced { waiter, outcome } => self.produced(waiter, outcome, world)?,
                Effect::RecordsDeleted { waiter, outcome } => {
                    let asked = self.deleting.remove(&waiter);
                    if let (Some(asked), Ok(start)) = (asked, outcome) {
                        if start < asked {
                            let found = format!("deleted to {asked}, answered {start}");
                            return Err(broken(Invariant::AnswerIsTrue, found));
                        }
                        world.oracle.starts_at(start);
                    }
                }
                Effect::Checkpoint(job) => self.checkpoint = Some(job),
                Effect::Publish(view) => {
                    world.oracle.flushed(view.flushed_end);
                    if matches!(view.availability, Availability::Leading { .. }) {
                        invariants::high_watermark_never_falls(&world.oracle, view.high_watermark)?;
                        world.oracle.promise(view.high_watermark, self.promise());
                    }
                }
                Effect::Remove(segments) => self.removals.extend(segments),
                // Nothing is compacted in these stories.
                Effect::Swapped { .. } => {}
                // There is one broker.
                Effect::FollowerFetched { .. } | Effect::AlterIsr(_) | Effect::CopyRefused(_) => {}
                Effect::Failed => self.failed = true,
            }
        }
        Ok(())
    }

    const fn promise(&self) -> Promise {
        match self.durability {
            Durability::Fsync => Promise::Durable,
            Durability::Os => Promise::Cached,
        }
    }

    fn produced(
        &mut self,
        waiter: u64,
        outcome: Result<Produced, ProduceError>,
        world: &mut World,
    ) -> Result<(), Violation> {
        let Some(Waiting { producer, ids, acks }) = self.waiting.remove(&waiter) else {
            return Err(broken(Invariant::AnswerIsTrue, "a request was answered twice"));
        };
        let (Some(first), Some(client)) = (ids.first().copied(), world.producers.get_mut(producer)) else {
            return Ok(());
        };
        match outcome {
            Ok(produced) => {
                client.settled(first, true);
                world.acknowledged += 1;
                self.check_answer(&produced, &ids, acks, world)
            }
            Err(ProduceError::Append(AppendError::OutOfOrderSequence { .. })) if world.gaps_allowed => {
                client.bump();
                Ok(())
            }
            // It was written, and then deleted: with its records, the memory of it went.
            Err(ProduceError::Append(AppendError::OutOfOrderSequence { .. }))
                if world.oracle.offset_of(first).is_some_and(|at| at < self.partition.log().log_start()) =>
            {
                client.settled(first, false);
                Ok(())
            }
            // Unknown: it stays unanswered, and an idempotent client sends it again.
            Err(
                ProduceError::TimedOut
                | ProduceError::Offline
                | ProduceError::NotLeader
                | ProduceError::Deserted
                | ProduceError::Append(
                    AppendError::NoSpace { .. } | AppendError::Io(_) | AppendError::Poisoned,
                ),
            ) => {
                client.reconnect();
                Ok(())
            }
            Err(other) => {
                Err(broken(Invariant::AnswerIsTrue, format!("a sound request was refused: {other}")))
            }
        }
    }

    /// What was answered is in the log, at the offset that was answered, below the mark that was waited for.
    fn check_answer(
        &self,
        produced: &Produced,
        ids: &[RecordId],
        acks: Acks,
        world: &mut World,
    ) -> Result<(), Violation> {
        let base = produced.base_offset;
        let stands = ids.iter().zip(0..).all(|(id, n)| world.oracle.current().get(&(base + n)) == Some(id));
        // Deleted meanwhile is no lie.
        if !stands && base >= self.partition.log().log_start() {
            let found = format!("records {ids:?} were answered with offset {base}, where they are not");
            return Err(broken(Invariant::AnswerIsTrue, found));
        }
        let end = base + i64::try_from(ids.len()).unwrap_or(0);
        let view = self.partition.view();
        if acks == Acks::All && view.high_watermark < end {
            let found =
                format!("answered up to {end} with acks=all, the high watermark is {}", view.high_watermark);
            return Err(broken(Invariant::AnswerIsTrue, found));
        }
        if acks != Acks::None {
            world.oracle.acknowledged(base, ids, self.promise());
        }
        Ok(())
    }
}

/// How long clients wait.
const TIMEOUT: Duration = Duration::from_secs(30);
