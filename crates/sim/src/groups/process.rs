//! The process of a coordinator: the shard of production, appending to the partition of production. When each thing is done, and
//! when it is reported, is the simulator's to say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_coordination::group::record::Record;
use ottla_coordination::group::request::{CommitOffsets, FetchOffsets, Request};
use ottla_coordination::group::response::{GroupError, Response, TopicOutcome};
use ottla_coordination::group::{self, Generation, MemberEpoch};
use ottla_coordination::shard::{self, AppendId, Shard};
use ottla_record::{
    BatchBuilder, BatchView, Codec, Monotonic, Now, Offset, Origin, PartitionIndex, ProduceRules, Timestamp,
    TimestampType, validate,
};
use ottla_replication::{Acks, Assignment, Durability, Effect, Event, Partition, PartitionConfig, Produce};
use ottla_storage::{CheckpointJob, FlushJob, LogConfig, LogDirectory, LogView, OpenError};

use super::promises::group_id;
use super::{SESSION_MS, World, settings};
use crate::cluster::BROKER;
use crate::disk::SimDisk;
use crate::explore::Moments;
use crate::invariants::{Invariant, Violation, broken};
use crate::opening::open_log;

type Groups = group::Groups<u64>;

/// What somebody asked.
#[derive(Clone, Debug)]
pub struct Asked {
    request: Request,
    /// When: what is answered was true then, however late the answer comes.
    pub at: Timestamp,
    /// The newest generation that was known of then.
    pub newest: Generation,
}

impl Asked {
    /// This request.
    pub const fn of(request: Request) -> Self {
        Self { request, at: Timestamp::EPOCH, newest: Generation::new(0) }
    }

    /// The same, asked now.
    #[must_use]
    pub fn asked(self, at: Timestamp, newest: Generation) -> Self {
        Self { at, newest, ..self }
    }

    /// What is asked.
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// It ends a membership.
    pub fn is_leaving(&self) -> bool {
        match &self.request {
            Request::Leave(_) => true,
            Request::ConsumerHeartbeat(beat) => beat.epoch == MemberEpoch::LEAVE,
            _ => false,
        }
    }

    /// The generation or epoch that a commit names.
    pub fn generation(&self) -> Option<i32> {
        self.commit().and_then(|commit| commit.generation_or_epoch)
    }

    fn commit(&self) -> Option<&CommitOffsets> {
        match &self.request {
            Request::CommitOffsets(commit) => Some(commit),
            _ => None,
        }
    }

    /// What became of each partition of a commit, with the offset that was named.
    pub fn commits(
        &self,
        outcome: &Result<Vec<TopicOutcome>, GroupError>,
    ) -> Vec<((PartitionIndex, i64), Result<(), GroupError>)> {
        let named = self.commit().into_iter().flat_map(|commit| &commit.topics).flat_map(|it| &it.partitions);
        let result = |partition: PartitionIndex| match outcome {
            Err(error) => Err(error.clone()),
            Ok(topics) => {
                let all = topics.iter().flat_map(|topic| &topic.partitions);
                let mut here = all.filter(|(number, _)| *number == partition);
                here.next().map_or(Err(GroupError::UnknownTopicOrPartition), |(_, result)| result.clone())
            }
        };
        named.map(|it| ((it.partition, it.offset.get()), result(it.partition))).collect()
    }
}

/// Who waits for an answer.
#[derive(Clone, Debug)]
enum Waiting {
    Member { number: usize, asked: Box<Asked> },
    Onlooker { group: &'static str, at: Timestamp },
}

/// The flush that the partition asked for.
#[derive(Debug)]
enum Flight {
    None,
    Wanted(FlushJob),
    Ran { end: Offset, succeeded: bool },
}

/// A running coordinator.
pub struct Process {
    disk: SimDisk,
    directory: Arc<LogDirectory>,
    partition: Partition<AppendId>,
    shard: Shard<Groups>,
    monotonic: Monotonic,
    flight: Flight,
    checkpoint: Option<CheckpointJob>,
    waiting: BTreeMap<u64, Waiting>,
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

impl Process {
    /// Starts: opens the log, leads, and loads what it holds.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(
        disk: &SimDisk,
        retention: Duration,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<Self, StartError> {
        let config = config();
        let now = Now { monotonic: Monotonic::ZERO, wall: world.wall };
        let opened = open_log(disk, &config.log, now);
        moments.keep(disk, world);
        let (directory, log) = opened.map_err(StartError::Open)?;
        let led = world.cluster.restart(directory.directory_id())?;
        let mut process = Self {
            disk: disk.clone(),
            directory,
            partition: Partition::new(BROKER, log, config),
            shard: Shard::loading(Groups::new(settings(retention, SESSION_MS)), AppendId::FIRST),
            monotonic: Monotonic::ZERO,
            flight: Flight::None,
            checkpoint: None,
            waiting: BTreeMap::new(),
            next_waiter: 0,
            failed: false,
        };
        let assignment = Assignment {
            leader_epoch: led.leader_epoch,
            partition_epoch: led.partition_epoch,
            leader: led.leader,
            replicas: led.replicas,
            isr: led.isr,
        };
        process.event(Event::Assign(assignment), world, moments)?;
        let records = process.read().map_err(|found| broken(Invariant::Readable, found))?;
        process.drive(shard::Event::Replayed(records), world, moments)?;
        process.drive(shard::Event::Loaded, world, moments)?;
        Ok(process)
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration, world: &mut World) {
        self.monotonic = self.monotonic + time;
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        world.wall = Timestamp::from_millis(world.wall.millis().saturating_add(millis));
    }

    /// A member asks.
    ///
    /// # Errors
    /// A broken promise.
    pub fn ask(
        &mut self,
        number: usize,
        asked: Asked,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let request = asked.request.clone();
        let asked = asked.asked(world.wall, world.promises.newest_joined());
        self.request(Waiting::Member { number, asked: Box::new(asked) }, request, world, moments)
    }

    /// Somebody reads the committed offsets.
    ///
    /// # Errors
    /// A broken promise.
    pub fn look(
        &mut self,
        groups: &[&'static str],
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        for group in groups.iter().copied() {
            let request = FetchOffsets {
                group: group_id(group),
                member: None,
                epoch: None,
                topics: None,
                require_stable: false,
            };
            let waiting = Waiting::Onlooker { group, at: world.wall };
            self.request(waiting, Request::FetchOffsets(request), world, moments)?;
        }
        Ok(())
    }

    fn request(
        &mut self,
        waiting: Waiting,
        request: Request,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let waiter = self.next_waiter;
        self.next_waiter += 1;
        self.waiting.insert(waiter, waiting);
        self.drive(shard::Event::Request { waiter, request }, world, moments)
    }

    /// Nobody hears what this member is answered.
    pub fn hang_up(&mut self, member: usize) {
        self.waiting
            .retain(|_, waiting| !matches!(waiting, Waiting::Member { number, .. } if *number == member));
    }

    /// Time has passed.
    ///
    /// # Errors
    /// A broken promise.
    pub fn tick(&mut self, world: &mut World, moments: &mut Moments<World>) -> Result<(), Violation> {
        self.event(Event::Tick, world, moments)?;
        if self.shard.next_deadline() <= self.monotonic {
            self.drive(shard::Event::Tick, world, moments)?;
        }
        Ok(())
    }

    /// Does the flush that is wanted.
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

    /// Does the checkpoint that is wanted, reports it, and stores the directory's.
    ///
    /// # Errors
    /// A broken promise.
    pub fn checkpoint(&mut self, world: &mut World, moments: &mut Moments<World>) -> Result<(), Violation> {
        if let Some(job) = self.checkpoint.take() {
            let succeeded = job.run(&*self.disk.port()).is_ok();
            moments.keep(&self.disk, world);
            self.event(Event::Checkpointed { job, succeeded }, world, moments)?;
        }
        let _ = self.directory.store_checkpoints();
        moments.keep(&self.disk, world);
        Ok(())
    }

    /// L2. Nobody waits but members whose rebalance is under way.
    ///
    /// # Errors
    /// Somebody does.
    pub fn at_rest(&self) -> Result<(), Violation> {
        let onlookers = self.waiting.values().filter(|it| matches!(it, Waiting::Onlooker { .. })).count();
        if onlookers == 0 {
            return Ok(());
        }
        Err(broken(Invariant::Progress, format!("{onlookers} reads of committed offsets were not answered")))
    }

    const fn now(&self, world: &World) -> Now {
        Now { monotonic: self.monotonic, wall: world.wall }
    }

    /// Hands an event to the shard, and does all that comes of it.
    fn drive(
        &mut self,
        event: shard::Event<Groups>,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut effects = Vec::new();
            let now = self.now(world);
            self.shard.handle(event, world.cluster.image(), now, &mut effects);
            for effect in effects {
                match effect {
                    shard::Effect::Append { id, records } => {
                        let batches = batch(&records, now)?;
                        let deadline = Monotonic::NEVER;
                        let produce = Produce { waiter: id, batches, acks: Acks::All, deadline };
                        let mut effects = Vec::new();
                        self.partition.handle(Event::Produce(produce), now, &mut effects);
                        moments.keep(&self.disk, world);
                        self.partition_said(effects, &mut events);
                    }
                    shard::Effect::Reply { waiter, outcome } => self.reply(waiter, outcome.ok(), world)?,
                }
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        event: Event<AppendId>,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let mut effects = Vec::new();
        self.partition.handle(event, self.now(world), &mut effects);
        moments.keep(&self.disk, world);
        let mut events = VecDeque::new();
        self.partition_said(effects, &mut events);
        events.into_iter().try_for_each(|event| self.drive(event, world, moments))
    }

    fn partition_said(
        &mut self,
        effects: Vec<Effect<AppendId>>,
        events: &mut VecDeque<shard::Event<Groups>>,
    ) {
        for effect in effects {
            match effect {
                Effect::Flush(job) => self.flight = Flight::Wanted(job),
                Effect::Checkpoint(job) => self.checkpoint = Some(job),
                Effect::Produced { waiter, outcome } => events.push_back(match outcome {
                    Ok(_) => shard::Event::Committed(waiter),
                    Err(_) => shard::Event::Failed(waiter),
                }),
                Effect::Failed => self.failed = true,
                _ => {}
            }
        }
    }

    fn reply(&mut self, waiter: u64, answer: Option<Response>, world: &mut World) -> Result<(), Violation> {
        match self.waiting.remove(&waiter) {
            Some(Waiting::Member { number, asked }) => {
                let World { members, promises, .. } = world;
                let Some(member) = members.get_mut(number) else { return Ok(()) };
                member.answered(number, &asked, answer, promises)
            }
            Some(Waiting::Onlooker { group, at }) => match answer {
                Some(Response::FetchOffsets(Ok(topics))) => world.promises.fetched(group, &topics, at),
                Some(Response::FetchOffsets(Err(error))) => {
                    Err(broken(Invariant::AnswerIsTrue, format!("a read of committed offsets: {error}")))
                }
                _ => Ok(()),
            },
            // It hung up.
            None => Ok(()),
        }
    }

    /// Every record of the log, as a coordinator that takes over reads them.
    fn read(&self) -> Result<Vec<Record>, String> {
        let log = self.partition.log();
        read_records(&log.view(), log.log_start(), log.log_end())
    }
}

/// Every record of a coordinator's log between two offsets, as one that takes over reads them.
///
/// # Errors
/// What it would run into, in words.
pub fn read_records(view: &LogView, mut from: Offset, end: Offset) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    while from < end {
        let slice = view.read(from, BITE, end, true).map_err(|error| error.to_string())?;
        let bytes = slice.ok_or("the log ends early")?.read().map_err(|error| error.to_string())?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let batch = BatchView::parse(rest).map_err(|error| error.to_string())?;
            batch.verify_crc().map_err(|error| error.to_string())?;
            for record in &batch.records(LARGEST).map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                let key = Bytes::copy_from_slice(record.key.unwrap_or_default());
                let value = record.value.map(Bytes::copy_from_slice);
                let decoded = Record::decode(&key, value.as_ref()).map_err(|error| error.to_string())?;
                records.extend(decoded);
            }
            from = batch.last_offset().next();
            rest = rest.split_at_checked(batch.len()).map_or(&[], |(_, rest)| rest);
        }
    }
    Ok(records)
}

/// The partition of a coordinator: small segments, so that there are many.
fn config() -> PartitionConfig {
    PartitionConfig {
        durability: Durability::Fsync,
        min_insync_replicas: 1,
        flush_records: u64::MAX,
        flush_interval: Duration::MAX,
        replica_lag_max: Duration::MAX,
        log: LogConfig {
            segment_bytes: 3_000,
            segment_ms: i64::MAX,
            segment_jitter_ms: 0,
            segment_index_bytes: 1 << 20,
            index_interval_bytes: 400,
            retention_bytes: None,
            retention_ms: None,
            delete_expired: false,
            compacted: false,
            compaction: None,
            file_delete_delay_ms: 1_000,
            preallocate: false,
            producer_id_expiration_ms: i64::MAX,
        },
    }
}

/// Records as one batch, as production writes them.
///
/// # Errors
/// None in a sound build.
pub fn batch(records: &[Record], now: Now) -> Result<ottla_record::ValidatedBatches, Violation> {
    let mut builder = BatchBuilder::new(Codec::None);
    for record in records {
        let encoded = record.encode();
        let (key, value) = encoded.map_err(|error| broken(Invariant::NoPanic, error.to_string()))?;
        builder.push(Some(now.wall), Some(&key), value.as_deref(), &[]);
    }
    let defect = |error: ottla_record::BatchError| broken(Invariant::NoPanic, error.to_string());
    validate(builder.build().map_err(defect)?, &RULES, now.wall).map_err(defect)
}

const RULES: ProduceRules = ProduceRules {
    origin: Origin::Coordinator,
    max_batch_bytes: 1 << 20,
    timestamp_type: TimestampType::CreateTime,
    before_max_ms: i64::MAX,
    after_max_ms: i64::MAX,
    compression: None,
    compacted: true,
    allow_zstd: true,
    max_decompressed_bytes: 1 << 20,
};

/// How much of a log is read at once.
const BITE: usize = 1_000;
/// More than any batch here.
const LARGEST: usize = 1 << 20;
