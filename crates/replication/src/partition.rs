//! The machine of one partition.

mod follower;
mod leader;
mod role;
mod settle;

use std::time::Duration;

use ottla_record::{BrokerId, Monotonic, Now, Offset, PartitionEpoch, Timestamp};
use ottla_storage::compaction::CleanedSegment;
use ottla_storage::{CheckpointJob, DeletedSegment, Log, StorageError};

use crate::effect::{DeleteRecordsError, Effect, ProduceError};
use crate::event::{Durability, Event, PartitionConfig};
use crate::replicas::FollowerProgress;
use crate::view::{Availability, Following, View};
use crate::waiters::Waiters;
use role::Role;

/// Producers and deletions that may wait on one partition. Connections bound their requests in flight, so this is
/// reached only by a caller that does not.
pub const MAX_WAITING: usize = 65_536;

/// With `os` durability, what lies unflushed longer than this, or is more than [`FLUSH_BEHIND_BYTES`], is flushed behind the
/// acknowledgements: it bounds what a restart has to scan, and keeps write-back from coming in lumps.
pub const FLUSH_BEHIND_INTERVAL: Duration = Duration::from_secs(1);
/// How often the recovery point is raised. See [`FLUSH_BEHIND_INTERVAL`].
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// A leader out of session from which no follower has fetched for so long is likely to be cut off. Fetches wait half of it by default
/// (`replica.fetch.wait.max.ms`); one that waits longer than this makes a leader without a controller refuse what it could take.
pub const DESERTED_AFTER: Duration = Duration::from_secs(1);

/// What a producer has sent behind a batch that was refused arrives within so long.
pub const BEHIND_A_REFUSAL: Duration = Duration::from_secs(5);

/// See [`FLUSH_BEHIND_INTERVAL`].
pub const FLUSH_BEHIND_BYTES: u64 = 64 << 20;

/// One replica of one partition: the whole path from append to acknowledgement.
///
/// It leads in a term, follows the leader of a term, or does neither (there is no leader, or none has been heard of).
///
/// | event | leading | following | neither | offline |
/// |---|---|---|---|---|
/// | `Produce` | appended, or refused with nothing written, as what it follows if it is out of sequence for that; answered once its mark has passed it | `NotLeader` | `NotLeader` | `Offline` |
/// | `Flushed` ok | flushed end rises, high watermark follows, waiters are answered, the next flush starts if anything came meanwhile | flushed end rises, high watermark follows; the next fetch may go out | flushed end rises | — |
/// | `Flushed` failed | **offline** | **offline** | **offline** | — |
/// | `Checkpointed` | recovery point rises; **offline** if it failed | same, unless the log was cut since it began | same | — |
/// | `DeleteRecords` | log start rises durably; answered once every in-sync replica's has | `NotLeader` | `NotLeader` | `Offline` |
/// | `FollowerFetch` of this term | the follower's end counts, high watermark follows, waiters are answered; it may be proposed as in sync; it is told the marks | `NotLeader` | `NotLeader` | `Offline` |
/// | `FollowerFetch`, diverging or out of range | told so; what it had said counts no more | `NotLeader` | `NotLeader` | `Offline` |
/// | `FollowerFetch` of another term or registration, or of no replica | refused, counts for nothing | `NotLeader` | `NotLeader` | `Offline` |
/// | `IsrDecided` | accepted: that is the in-sync set now; refused: as [`crate::IsrRefused`] says | — | — | — |
/// | `Fetched` records | — | appended, then flushed; high watermark and log start follow the leader's, up to the own safe end | — | — |
/// | `Fetched` diverging | — | cut to where the largest common term ends in either log | — | — |
/// | `Fetched` out of range | — | below: starts over at the leader's log start; above: cut to the leader's end | — | — |
/// | `Fetched` for another term or position | — | — | — | — |
/// | `Assign` to us, higher epoch | a new term: followers' ends are forgotten | **leading**, high watermark as it was | **leading** | — |
/// | `Assign` to us, same epoch | the replicas and the in-sync set change, the high watermark may rise | — | — | — |
/// | `Assign` to another | **following**: waiters get `NotLeader` | **following** in the new term; the log stays until the new leader says what to cut | **following** | — |
/// | `Assign` to nobody | **neither**: waiters get `NotLeader` | **neither** | epoch noted | — |
/// | `Assign` that is not newer | — | — | — | — |
/// | `Configure` | new limits from now on | same | same | same |
/// | `Configure` from `os` to `fsync` | what is unflushed is flushed at once; the high watermark stays, and whoever still waits or comes now waits for the flush and for followers to fetch again | same, nobody waits but the next fetch | flushed at once | — |
/// | `Configure` from `fsync` to `os` | the high watermark may rise to the log end; waiters are answered | the next fetch need not wait for the flush | — | — |
/// | `InSession(false)` | if besides no follower has fetched for [`DESERTED_AFTER`], producers with `Acks::All` get `Deserted`, until either is heard of again | — | — | — |
/// | `Tick` | expired waiters get `TimedOut`; who lags is proposed to leave; segment rolled by age; `os` flushed behind; recovery point raised | the same of the log | the same of the log | — |
/// | `Retain` | segments past retention, all below the high watermark, are dropped | — (follows the leader's log start) | — | — |
/// | `SwapCleaned` | the cleaned segment is in the log, durably, unless what it replaces is not; **offline** if the disk failed | same | same | given up |
/// | `DirectoryFailed` | **offline**: waiters get `Offline` | **offline** | **offline** | — |
///
/// | a producer with | is answered when | with `os` |
/// |---|---|---|
/// | `Acks::None` | appended | appended |
/// | `Acks::Leader` | the flushed end has passed its records | appended |
/// | `Acks::All` | the high watermark and the flushed end have passed its records | the high watermark has |
///
/// With `fsync` the high watermark is at or below the flushed end, but for what the topic acknowledged while it was `os`.
/// A duplicate is answered by the same rule, with the offsets of the first time: the first write may not be durable yet.
///
/// A leader's high watermark is the least end of the maximal in-sync set (see [`crate::isr`]), and rests while fewer replicas
/// are in sync than `min.insync.replicas`. A follower's is the leader's, as far as it holds the records safely. It goes back
/// on a replica only with the log, when a leader elected uncleanly has it cut.
#[derive(Debug)]
pub struct Partition<W> {
    own: BrokerId,
    log: Log,
    config: PartitionConfig,
    role: Role,
    /// The newest version of the assignment that is known; the answer to a proposal may be ahead of the image.
    version: Option<PartitionEpoch>,
    /// Invariant: goes back only where the log is cut below it.
    high_watermark: Offset,
    /// The controller hears of this broker, as far as that is known.
    in_session: bool,
    /// The high watermark when the topic last changed from `os` to `fsync`: up to there it may be ahead of the disk.
    durable_from: Offset,
    waiting_for_flush: Waiters<Written<W>>,
    waiting_for_replicas: Waiters<Written<W>>,
    waiting_for_deletion: Waiters<W>,
    /// A job is out; what arrives meanwhile waits for the next one together.
    flushing: bool,
    checkpointing: Checkpointing,
    checkpoint_due: Monotonic,
    unflushed: Unflushed,
    published: Option<Marks>,
    /// The last refusal of a producer's batch for a reason that passes by itself, and when that was; following refuses everything.
    refused: Option<(Monotonic, ProduceError)>,
}

/// Records in the log whose producer waits for a mark to pass them.
#[derive(Debug)]
struct Written<W> {
    waiter: W,
    base_offset: Offset,
    append_time: Option<Timestamp>,
}

/// Whether a checkpoint is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checkpointing {
    No,
    Yes,
    /// The log was cut since it began: what it synced need not be what stands at those offsets now.
    Void,
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
    following: Option<Following>,
}

impl<W> Partition<W> {
    /// A replica on broker `own` that leads nothing yet. Everything in `log` has been recovered, and so is durable.
    pub fn new(own: BrokerId, log: Log, config: PartitionConfig) -> Self {
        let log_start = log.log_start();
        Self {
            own,
            log,
            config,
            role: Role::Neither { epoch: None },
            version: None,
            high_watermark: log_start,
            in_session: true,
            durable_from: log_start,
            waiting_for_flush: Waiters::new(),
            waiting_for_replicas: Waiters::new(),
            waiting_for_deletion: Waiters::new(),
            flushing: false,
            checkpointing: Checkpointing::No,
            checkpoint_due: Monotonic::ZERO,
            unflushed: Unflushed::default(),
            published: None,
            refused: None,
        }
    }

    /// The same, which knows how far it was committed when it was last written down (`replication-offset-checkpoint`): what was
    /// committed once stays so. What a crash took of the log, and of its flushed part, is not counted.
    #[must_use]
    pub fn recalling(mut self, stored: Offset) -> Self {
        self.raise_high_watermark_to(stored.min(self.log.flushed_end()));
        self
    }

    /// Takes one event and adds what is to be done to `effects`.
    pub fn handle(&mut self, event: Event<W>, now: Now, effects: &mut Vec<Effect<W>>) {
        match event {
            Event::Produce(produce) => self.produce(produce, now, effects),
            Event::Flushed { end, succeeded } => self.flushed(end, succeeded, effects),
            Event::Checkpointed { job, succeeded } => self.checkpointed(&job, succeeded, effects),
            Event::DeleteRecords(request) => self.delete_records(request, now, effects),
            Event::FollowerFetch(fetch) => self.follower_fetch(fetch, now, effects),
            Event::IsrDecided { partition_epoch, outcome } => self.isr_decided(partition_epoch, outcome, now),
            Event::Fetched(fetched) => self.fetched(fetched, now, effects),
            Event::Assign(assignment) => self.assign(&assignment, now, effects),
            Event::Configure(config) => self.configure(config),
            Event::InSession(open) => self.in_session = open,
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
        let in_sync = match &self.role {
            Role::Leading(leadership) => {
                leadership.next_deadline(self.log.log_end(), self.config.replica_lag_max)
            }
            Role::Following(_) | Role::Neither { .. } | Role::Offline => Monotonic::NEVER,
        };
        let waiting = self.waiting_for_flush.next_deadline().min(self.waiting_for_replicas.next_deadline());
        let deserted = match self.waiting_for_replicas.len() {
            0 => Monotonic::NEVER,
            _ => self.deserted_at(),
        };
        waiting.min(deserted).min(self.waiting_for_deletion.next_deadline()).min(behind).min(in_sync)
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
            following: marks.following,
        }
    }

    /// The log, for what is asked of it between events (epochs, producers).
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// How far the followers have come, if this replica leads: for metrics and descriptions.
    pub fn followers(&self) -> impl Iterator<Item = FollowerProgress> {
        let leadership = match &self.role {
            Role::Leading(leadership) => Some(leadership),
            Role::Following(_) | Role::Neither { .. } | Role::Offline => None,
        };
        leadership.into_iter().flat_map(|leadership| leadership.progress())
    }

    /// Gives the log back, to close it. Whoever waits gets `NotLeader`.
    pub fn into_log(mut self, effects: &mut Vec<Effect<W>>) -> Log {
        self.role = Role::Neither { epoch: None };
        self.refuse_as_not_leader(effects);
        self.log
    }

    /// Panics if the marks are out of order: a defect of ours, never bad input.
    pub fn check_invariants(&self) {
        let marks = self.marks();
        assert!(marks.log_start <= marks.last_stable, "{marks:?}");
        assert!(marks.last_stable <= marks.high_watermark, "{marks:?}");
        assert!(marks.high_watermark <= marks.log_end, "{marks:?}");
        assert!(marks.flushed_end <= marks.log_end, "{marks:?}");
        if self.config.durability == Durability::Fsync && !matches!(self.role, Role::Offline) {
            assert!(marks.high_watermark <= marks.flushed_end.max(self.durable_from), "{marks:?}");
        }
        let waiting = self.waiting();
        assert!(waiting == 0 || matches!(self.role, Role::Leading(_)), "{waiting} wait on {:?}", self.role);
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
        let was = std::mem::replace(&mut self.checkpointing, Checkpointing::No);
        if matches!(self.role, Role::Offline) {
            return;
        }
        match (succeeded, was) {
            (true, Checkpointing::Void) => {}
            (true, Checkpointing::Yes | Checkpointing::No) => self.log.complete_checkpoint(job),
            (false, _) => self.fail(effects),
        }
    }

    fn configure(&mut self, config: PartitionConfig) {
        if (self.config.durability, config.durability) == (Durability::Os, Durability::Fsync) {
            self.durable_from = self.high_watermark;
            if let Role::Leading(leadership) = &mut self.role {
                // What they have said so far was of their page caches.
                leadership.forget_ends();
            }
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
        if now.monotonic >= self.deserted_at() {
            for Written { waiter, .. } in self.waiting_for_replicas.take_all() {
                effects.push(Effect::Produced { waiter, outcome: Err(ProduceError::Deserted) });
            }
        }
        for waiter in self.waiting_for_deletion.take_expired(now.monotonic) {
            effects.push(Effect::RecordsDeleted { waiter, outcome: Err(DeleteRecordsError::TimedOut) });
        }
        if matches!(self.role, Role::Offline) {
            return;
        }
        self.log.expire_producers(now.wall);
        if self.log.roll_if_due(now).is_err() {
            self.fail(effects);
        }
    }

    /// From when on this leader takes nothing that others would have to confirm, because it seems to be cut off from all of them.
    fn deserted_at(&self) -> Monotonic {
        match &self.role {
            Role::Leading(leadership) if !self.in_session => leadership.deserted_at(DESERTED_AFTER),
            Role::Leading(_) | Role::Following(_) | Role::Neither { .. } | Role::Offline => Monotonic::NEVER,
        }
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
        self.refuse_waiters(|| ProduceError::Offline, DeleteRecordsError::Offline, effects);
        effects.push(Effect::Failed);
    }

    /// Producers and deletions that wait.
    fn waiting(&self) -> usize {
        self.waiting_for_flush.len() + self.waiting_for_replicas.len() + self.waiting_for_deletion.len()
    }

    fn refuse_as_not_leader(&mut self, effects: &mut Vec<Effect<W>>) {
        self.refuse_waiters(|| ProduceError::NotLeader, DeleteRecordsError::NotLeader, effects);
    }

    fn refuse_waiters(
        &mut self,
        produce: impl Fn() -> ProduceError,
        delete: DeleteRecordsError,
        effects: &mut Vec<Effect<W>>,
    ) {
        for waiting in [&mut self.waiting_for_flush, &mut self.waiting_for_replicas] {
            for Written { waiter, .. } in waiting.take_all() {
                effects.push(Effect::Produced { waiter, outcome: Err(produce()) });
            }
        }
        for waiter in self.waiting_for_deletion.take_all() {
            effects.push(Effect::RecordsDeleted { waiter, outcome: Err(delete) });
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
                Role::Following(f) => Availability::NotLeading { epoch: Some(f.epoch) },
                Role::Neither { epoch } => Availability::NotLeading { epoch: *epoch },
                Role::Offline => Availability::Offline,
            },
            following: self.following(),
        }
    }
}
