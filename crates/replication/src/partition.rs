//! The machine of one partition.

use std::time::Duration;

use ottla_record::produce::ValidatedBatches;
use ottla_record::{BrokerId, LeaderEpoch, Monotonic, Now, Offset, Timestamp};
use ottla_storage::compaction::CleanedSegment;
use ottla_storage::{Append, CheckpointJob, DeletedSegment, Log, StorageError};

use crate::effect::{DeleteRecordsError, Effect, ProduceError, Produced};
use crate::event::{Acks, Assignment, DeleteRecords, Durability, Event, PartitionConfig, Produce};
use crate::replica_fetch::FollowerFetchError;
use crate::replicas::Leadership;
use crate::view::{Availability, View};
use crate::waiters::Waiters;

/// Producers and deletions that may wait on one partition. Connections bound their requests in flight, so this is
/// reached only by a caller that does not.
pub const MAX_WAITING: usize = 65_536;

/// With `os` durability, what lies unflushed longer than this, or is more than [`FLUSH_BEHIND_BYTES`], is flushed behind the
/// acknowledgements: it bounds what a restart has to scan, and keeps write-back from coming in lumps.
pub const FLUSH_BEHIND_INTERVAL: Duration = Duration::from_secs(1);
/// How often the recovery point is raised. See [`FLUSH_BEHIND_INTERVAL`].
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// See [`FLUSH_BEHIND_INTERVAL`].
pub const FLUSH_BEHIND_BYTES: u64 = 64 << 20;

/// One replica of one partition: the whole path from append to acknowledgement.
///
/// | event | leading | not leading | offline |
/// |---|---|---|---|
/// | `Produce` | appended, or refused with nothing written; answered once its mark has passed it | `NotLeader` | `Offline` |
/// | `Flushed` ok | flushed end rises, high watermark follows, waiters are answered, the next flush starts if anything came meanwhile | flushed end rises | — |
/// | `Flushed` failed | **offline** | **offline** | — |
/// | `Checkpointed` | recovery point rises; **offline** if it failed | same | — |
/// | `DeleteRecords` | log start rises durably, then it is answered | `NotLeader` | `Offline` |
/// | `Assign` to us, higher epoch | a new term: followers' ends are forgotten | **leading** | — |
/// | `Assign` to us, same epoch | the in-sync set changes, the high watermark may rise | — | — |
/// | `Assign` to another | **not leading**: waiters get `NotLeader` | epoch noted | — |
/// | `Configure` | new limits from now on | same | same |
/// | `Configure` from `os` to `fsync` | what is unflushed is flushed at once; the high watermark stays, and whoever still waits or comes now waits for the flush | same, nobody waits | — |
/// | `Configure` from `fsync` to `os` | the high watermark may rise to the log end; waiters are answered | — | — |
/// | `Tick` | expired waiters get `TimedOut`; segment rolled by age; `os` flushed behind; recovery point raised | same | — |
/// | `Retain` | segments past retention, all below the high watermark, are dropped | — (follows the leader's log start) | — |
/// | `SwapCleaned` | the cleaned segment is in the log, durably, unless what it replaces is not; **offline** if the disk failed | same | given up |
/// | `DirectoryFailed` | **offline**: waiters get `Offline` | **offline** | — |
///
/// | a producer with | is answered when | with `os` |
/// |---|---|---|
/// | `Acks::None` | appended | appended |
/// | `Acks::Leader` | the flushed end has passed its records | appended |
/// | `Acks::All` | the high watermark and the flushed end have passed its records | the high watermark has |
///
/// With `fsync` the high watermark is at or below the flushed end, but for what the topic acknowledged while it was `os`.
/// A duplicate is answered by the same rule, with the offsets of the first time: the first write may not be durable yet.
#[derive(Debug)]
pub struct Partition<W> {
    own: BrokerId,
    log: Log,
    config: PartitionConfig,
    role: Role,
    /// Invariant: never goes back while this replica leads; at most the replicated end.
    high_watermark: Offset,
    /// The high watermark when the topic last changed from `os` to `fsync`: up to there it may be ahead of the disk.
    durable_from: Offset,
    waiting_for_flush: Waiters<Written<W>>,
    waiting_for_replicas: Waiters<Written<W>>,
    /// A job is out; what arrives meanwhile waits for the next one together.
    flushing: bool,
    checkpointing: bool,
    checkpoint_due: Monotonic,
    unflushed: Unflushed,
    published: Option<Marks>,
}

#[derive(Debug)]
enum Role {
    Leading(Leadership),
    NotLeading { epoch: Option<LeaderEpoch> },
    Offline,
}

/// Records in the log whose producer waits for a mark to pass them.
#[derive(Debug)]
struct Written<W> {
    waiter: W,
    base_offset: Offset,
    append_time: Option<Timestamp>,
}

/// What has been appended since the last flush began.
#[derive(Debug, Default)]
struct Unflushed {
    since: Option<Monotonic>,
    records: u64,
    bytes: u64,
}

/// What a view shows; a new one is published when any of it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marks {
    log_start: Offset,
    last_stable: Offset,
    high_watermark: Offset,
    flushed_end: Offset,
    log_end: Offset,
    recovery_point: Offset,
    segments: usize,
    availability: Availability,
}

impl<W> Partition<W> {
    /// A replica on broker `own` that leads nothing yet. Everything in `log` has been recovered, and so is durable.
    pub fn new(own: BrokerId, log: Log, config: PartitionConfig) -> Self {
        let log_start = log.log_start();
        Self {
            own,
            log,
            config,
            role: Role::NotLeading { epoch: None },
            high_watermark: log_start,
            durable_from: log_start,
            waiting_for_flush: Waiters::new(),
            waiting_for_replicas: Waiters::new(),
            flushing: false,
            checkpointing: false,
            checkpoint_due: Monotonic::ZERO,
            unflushed: Unflushed::default(),
            published: None,
        }
    }

    /// Takes one event and adds what is to be done to `effects`.
    pub fn handle(&mut self, event: Event<W>, now: Now, effects: &mut Vec<Effect<W>>) {
        match event {
            Event::Produce(produce) => self.produce(produce, now, effects),
            Event::Flushed { end, succeeded } => self.flushed(end, succeeded, effects),
            Event::Checkpointed { job, succeeded } => self.checkpointed(&job, succeeded, effects),
            Event::DeleteRecords(request) => self.delete_records(request, now, effects),
            Event::FollowerFetch(fetch) => {
                // No replica but this one is counted yet.
                let error = match &self.role {
                    Role::Leading(_) => FollowerFetchError::NotAReplica,
                    Role::NotLeading { .. } => FollowerFetchError::NotLeader,
                    Role::Offline => FollowerFetchError::Offline,
                };
                effects.push(Effect::FollowerFetched { waiter: fetch.waiter, outcome: Err(error) });
            }
            // Nothing has been asked for.
            Event::IsrDecided { .. } | Event::Fetched(_) => {}
            Event::Assign(assignment) => self.assign(&assignment, effects),
            Event::Configure(config) => self.configure(config),
            Event::Tick => self.tick(now, effects),
            Event::Retain => self.retain(now, effects),
            Event::SwapCleaned { waiter, cleaned } => self.swap_cleaned(waiter, cleaned, now, effects),
            Event::DirectoryFailed => self.fail(effects),
        }
        self.settle(now, effects);
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    /// When a [`Event::Tick`] is due at the latest; [`Monotonic::NEVER`] if nothing waits for one.
    pub fn next_deadline(&self) -> Monotonic {
        let behind = match self.unflushed.since {
            Some(since) if !self.flushing => since + self.flush_behind_interval(),
            _ => Monotonic::NEVER,
        };
        self.waiting_for_flush.next_deadline().min(self.waiting_for_replicas.next_deadline()).min(behind)
    }

    /// The picture readers see now.
    pub fn view(&self) -> View {
        let marks = self.marks();
        View {
            log: self.log.view(),
            log_start: marks.log_start,
            last_stable: marks.last_stable,
            high_watermark: marks.high_watermark,
            flushed_end: marks.flushed_end,
            log_end: marks.log_end,
            recovery_point: marks.recovery_point,
            size_bytes: self.log.size_bytes(),
            availability: marks.availability,
            following: None,
        }
    }

    /// The log, for what is asked of it between events (epochs, producers).
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Gives the log back, to close it. Whoever waits gets `NotLeader`.
    pub fn into_log(mut self, effects: &mut Vec<Effect<W>>) -> Log {
        self.role = Role::NotLeading { epoch: None };
        self.refuse_waiters(|| ProduceError::NotLeader, effects);
        self.log
    }

    /// Panics if the marks are out of order: a defect of ours, never bad input.
    pub fn check_invariants(&self) {
        let marks = self.marks();
        assert!(marks.log_start <= marks.last_stable, "{marks:?}");
        assert!(marks.last_stable <= marks.high_watermark, "{marks:?}");
        assert!(marks.high_watermark <= marks.log_end, "{marks:?}");
        assert!(marks.flushed_end <= marks.log_end, "{marks:?}");
        if self.config.durability == Durability::Fsync && matches!(self.role, Role::Leading(_)) {
            assert!(marks.high_watermark <= marks.flushed_end.max(self.durable_from), "{marks:?}");
        }
    }

    fn produce(&mut self, produce: Produce<W>, now: Now, effects: &mut Vec<Effect<W>>) {
        let Produce { waiter, batches, acks, deadline } = produce;
        let (end, written) = match self.append(&batches, acks, now) {
            Ok(
                Append::New { first, last, log_append_time: append_time }
                | Append::Duplicate { first, last, append_time },
            ) => (last.next(), Written { waiter, base_offset: first, append_time }),
            Err(error) => {
                effects.push(Effect::Produced { waiter, outcome: Err(error) });
                if self.log.is_poisoned() {
                    self.fail(effects);
                }
                return;
            }
        };
        match (acks, self.config.durability) {
            (Acks::None, _) | (Acks::Leader, Durability::Os) => self.acknowledge(written, effects),
            (Acks::Leader, Durability::Fsync) => self.waiting_for_flush.add(end, deadline, written),
            (Acks::All, _) => self.waiting_for_replicas.add(end, deadline, written),
        }
    }

    fn append(&mut self, batches: &ValidatedBatches, acks: Acks, now: Now) -> Result<Append, ProduceError> {
        let leadership = match &self.role {
            Role::Leading(leadership) => leadership,
            Role::NotLeading { .. } => return Err(ProduceError::NotLeader),
            Role::Offline => return Err(ProduceError::Offline),
        };
        if acks == Acks::All {
            let in_sync = leadership.in_sync();
            let required = leadership.required(self.config.min_insync_replicas);
            if in_sync < required {
                return Err(ProduceError::NotEnoughReplicas { in_sync, required });
            }
        }
        if self.waiting_for_flush.len() + self.waiting_for_replicas.len() >= MAX_WAITING {
            return Err(ProduceError::Overloaded);
        }
        let (end_before, bytes_before) = (self.log.log_end(), self.log.size_bytes());
        let appended = self.log.append_as_leader(batches, leadership.epoch, now)?;
        let records = self.log.log_end() - end_before;
        if records > 0 {
            self.unflushed.since.get_or_insert(now.monotonic);
            self.unflushed.records += records.unsigned_abs();
            self.unflushed.bytes += self.log.size_bytes().saturating_sub(bytes_before);
        }
        Ok(appended)
    }

    fn flushed(&mut self, end: Offset, succeeded: bool, effects: &mut Vec<Effect<W>>) {
        self.flushing = false;
        if matches!(self.role, Role::Offline) {
            return;
        }
        if succeeded {
            self.log.complete_flush(end);
        } else {
            // Never tried again: the page cache calls those pages clean now, whatever reached the disk.
            self.log.poison();
            self.fail(effects);
        }
    }

    fn checkpointed(&mut self, job: &CheckpointJob, succeeded: bool, effects: &mut Vec<Effect<W>>) {
        self.checkpointing = false;
        if matches!(self.role, Role::Offline) {
            return;
        }
        if succeeded {
            self.log.complete_checkpoint(job);
        } else {
            self.fail(effects);
        }
    }

    fn delete_records(&mut self, request: DeleteRecords<W>, now: Now, effects: &mut Vec<Effect<W>>) {
        let DeleteRecords { waiter, before, .. } = request;
        let outcome = self.advance_log_start(before, now, effects);
        effects.push(Effect::RecordsDeleted { waiter, outcome });
    }

    /// Raises the log start. It is durable when this returns, so records that were deleted never come back.
    fn advance_log_start(
        &mut self,
        before: Option<Offset>,
        now: Now,
        effects: &mut Vec<Effect<W>>,
    ) -> Result<Offset, DeleteRecordsError> {
        match &self.role {
            Role::Leading(_) => {}
            Role::NotLeading { .. } => return Err(DeleteRecordsError::NotLeader),
            Role::Offline => return Err(DeleteRecordsError::Offline),
        }
        if !self.config.log.delete_expired {
            return Err(DeleteRecordsError::Policy);
        }
        let before = before.unwrap_or(self.high_watermark);
        if before > self.high_watermark {
            return Err(DeleteRecordsError::OutOfRange { before, high_watermark: self.high_watermark });
        }
        if before > self.log.log_start() {
            let removed = self.log.advance_log_start(before, self.high_watermark, now);
            self.removed(removed, effects)?;
        }
        Ok(self.log.log_start())
    }

    fn assign(&mut self, assignment: &Assignment, effects: &mut Vec<Effect<W>>) {
        if matches!(self.role, Role::Offline) {
            return;
        }
        if assignment.leader != Some(self.own) {
            self.role = Role::NotLeading { epoch: Some(assignment.leader_epoch) };
            self.refuse_waiters(|| ProduceError::NotLeader, effects);
            return;
        }
        match &mut self.role {
            Role::Leading(leadership) if leadership.epoch >= assignment.leader_epoch => {
                leadership.reassign(self.own, assignment);
            }
            _ => self.role = Role::Leading(Leadership::begin(self.own, assignment, self.log.log_end())),
        }
    }

    fn configure(&mut self, config: PartitionConfig) {
        if (self.config.durability, config.durability) == (Durability::Os, Durability::Fsync) {
            self.durable_from = self.high_watermark;
        }
        self.log.set_config(config.log.clone());
        self.config = config;
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        for waiting in [&mut self.waiting_for_flush, &mut self.waiting_for_replicas] {
            for Written { waiter, .. } in waiting.take_expired(now.monotonic) {
                effects.push(Effect::Produced { waiter, outcome: Err(ProduceError::TimedOut) });
            }
        }
        if matches!(self.role, Role::Offline) {
            return;
        }
        self.log.expire_producers(now.wall);
        if self.log.roll_if_due(now).is_err() {
            self.fail(effects);
        }
    }

    fn retain(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        if !matches!(self.role, Role::Leading(_)) {
            return;
        }
        let removed = self.log.retain(self.high_watermark, now);
        // A failure has been dealt with: there is nobody to tell.
        let _failed = self.removed(removed, effects);
    }

    /// Compaction is each replica's own affair, whoever leads: it changes no offset and no record.
    fn swap_cleaned(&mut self, waiter: W, cleaned: CleanedSegment, now: Now, effects: &mut Vec<Effect<W>>) {
        let outcome = self.log.swap_cleaned(cleaned, now).map(|replaced| {
            // The marks may be what they were, and the segments are others all the same.
            self.published = None;
            effects.push(Effect::Remove(replaced));
        });
        if self.log.is_poisoned() {
            self.fail(effects);
        }
        effects.push(Effect::Swapped { waiter, outcome });
    }

    /// Hands out files that left the log; readers may still hold them open.
    fn removed(
        &mut self,
        removed: Result<Vec<DeletedSegment>, StorageError>,
        effects: &mut Vec<Effect<W>>,
    ) -> Result<(), DeleteRecordsError> {
        match removed {
            Ok(removed) if removed.is_empty() => Ok(()),
            Ok(removed) => {
                effects.push(Effect::Remove(removed));
                Ok(())
            }
            Err(_) => {
                self.fail(effects);
                Err(DeleteRecordsError::Offline)
            }
        }
    }

    fn fail(&mut self, effects: &mut Vec<Effect<W>>) {
        if matches!(self.role, Role::Offline) {
            return;
        }
        self.role = Role::Offline;
        self.log.poison();
        self.refuse_waiters(|| ProduceError::Offline, effects);
        effects.push(Effect::Failed);
    }

    fn refuse_waiters(&mut self, error: impl Fn() -> ProduceError, effects: &mut Vec<Effect<W>>) {
        for waiting in [&mut self.waiting_for_flush, &mut self.waiting_for_replicas] {
            for Written { waiter, .. } in waiting.take_all() {
                effects.push(Effect::Produced { waiter, outcome: Err(error()) });
            }
        }
    }

    /// What follows from any event: marks rise, waiters whose mark has passed are answered, the next flush starts.
    fn settle(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        if let Role::Leading(leadership) = &self.role {
            let own_end = match self.config.durability {
                Durability::Fsync => self.log.flushed_end(),
                Durability::Os => self.log.log_end(),
            };
            if let Some(replicated) = leadership.replicated_end(own_end)
                && replicated > self.high_watermark
            {
                self.high_watermark = replicated;
                self.log.high_watermark_reached(replicated);
            }
            while let Some(written) = self.waiting_for_flush.pop_passed(own_end) {
                self.acknowledge(written, effects);
            }
            // Usually the high watermark; it may be ahead of the disk where the topic was `os` before. What it passed then
            // is promised again to whoever sends it again now, and this time the promise is the disk.
            let promised = self.high_watermark.min(own_end);
            while let Some(written) = self.waiting_for_replicas.pop_passed(promised) {
                self.acknowledge(written, effects);
            }
        }
        self.flush_if_due(now, effects);
        self.checkpoint_if_due(now, effects);
        let marks = self.marks();
        if self.published != Some(marks) {
            self.published = Some(marks);
            effects.push(Effect::Publish(self.view()));
        }
    }

    fn acknowledge(&self, written: Written<W>, effects: &mut Vec<Effect<W>>) {
        let Written { waiter, base_offset, append_time } = written;
        let outcome = Ok(Produced { base_offset, append_time, log_start: self.log.log_start() });
        effects.push(Effect::Produced { waiter, outcome });
    }

    fn flush_if_due(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        if self.flushing || matches!(self.role, Role::Offline) {
            return;
        }
        let due = match (self.unflushed.since, self.config.durability) {
            (None, _) => false,
            (Some(_), Durability::Fsync) => true,
            (Some(since), Durability::Os) => {
                self.unflushed.records >= self.config.flush_records
                    || self.unflushed.bytes >= FLUSH_BEHIND_BYTES
                    || now.monotonic >= since + self.flush_behind_interval()
            }
        };
        if !due {
            return;
        }
        self.unflushed = Unflushed::default();
        if let Some(job) = self.log.begin_flush() {
            self.flushing = true;
            effects.push(Effect::Flush(job));
        }
    }

    /// Raises the recovery point every second or every 64 MiB: it bounds what a start after a crash has to scan.
    fn checkpoint_if_due(&mut self, now: Now, effects: &mut Vec<Effect<W>>) {
        let due = now.monotonic >= self.checkpoint_due || self.log.is_checkpoint_due();
        if self.checkpointing || !due || matches!(self.role, Role::Offline) {
            return;
        }
        self.checkpoint_due = now.monotonic + CHECKPOINT_INTERVAL;
        match self.log.begin_checkpoint() {
            Ok(Some(job)) => {
                self.checkpointing = true;
                effects.push(Effect::Checkpoint(job));
            }
            Ok(None) => {}
            Err(_) => self.fail(effects),
        }
    }

    fn flush_behind_interval(&self) -> Duration {
        match self.config.durability {
            Durability::Fsync => Duration::ZERO,
            Durability::Os => self.config.flush_interval.min(FLUSH_BEHIND_INTERVAL),
        }
    }

    fn marks(&self) -> Marks {
        let high_watermark = self.high_watermark.max(self.log.log_start());
        let unstable = self.log.producers().first_unstable_offset();
        Marks {
            log_start: self.log.log_start(),
            last_stable: unstable
                .map_or(high_watermark, |first| first.min(high_watermark))
                .max(self.log.log_start()),
            high_watermark,
            flushed_end: self.log.flushed_end(),
            log_end: self.log.log_end(),
            recovery_point: self.log.recovery_point(),
            segments: self.log.segment_count(),
            availability: match &self.role {
                Role::Leading(l) => Availability::Leading { epoch: l.epoch, epoch_start: l.epoch_start },
                Role::NotLeading { epoch } => Availability::NotLeading { epoch: *epoch },
                Role::Offline => Availability::Offline,
            },
        }
    }
}
