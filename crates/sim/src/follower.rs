//! Crash enumeration of a follower's log: it copies a leader whose history changes under it, cuts what a new leader does
//! not have, and starts over where the leader has deleted more than it has. The leader is a model: batches in memory.

use std::sync::Arc;

use bytes::Bytes;
use ottla_record::{
    BatchBuilder, Codec, LeaderEpoch, Monotonic, Now, Offset, ProducerEpoch, ProducerId, ProducerStamp,
    Sequence, Timestamp,
};
use ottla_storage::{FlushJob, Log, LogConfig, LogDirectory, ProducerStates};

use crate::disk::SimDisk;
use crate::explore::{Crash, Life, Moments, Story};
use crate::invariants::{self, Invariant, Violation, broken};
use crate::observed::Observed;
use crate::opening::{check_opened, open_log, recover_again};
use crate::oracle::{Oracle, Promise, RecordId};
use crate::rng::Rng;

/// A follower of one partition.
#[derive(Clone, Copy, Debug)]
pub struct Follower {
    /// Name of the story.
    pub name: &'static str,
    /// `segment.bytes`
    pub segment_bytes: u32,
    /// Actions in the first life.
    pub actions: usize,
}

/// The stories of followers.
pub const FOLLOWERS: &[Follower] = &[
    Follower { name: "truncation", segment_bytes: 1_200, actions: 90 },
    Follower { name: "truncation-in-one-segment", segment_bytes: 100_000, actions: 80 },
];

/// A batch in the leader's log.
#[derive(Clone, Debug)]
struct LeaderBatch {
    base: Offset,
    last: Offset,
    epoch: LeaderEpoch,
    ids: Vec<RecordId>,
    bytes: Bytes,
}

/// The leaders, one after the other, and what clients were told.
#[derive(Clone, Debug)]
pub struct World {
    oracle: Oracle,
    batches: Vec<LeaderBatch>,
    epoch: LeaderEpoch,
    log_start: Offset,
    /// Below this, no leader ever changes anything.
    high_watermark: Offset,
    wall: Timestamp,
}

impl World {
    fn log_end(&self) -> Offset {
        self.batches.last().map_or(self.log_start, |batch| batch.last.next())
    }

    /// The leader appends a batch, of an idempotent producer or not.
    fn append(&mut self, rng: &mut Rng) -> Result<(), Violation> {
        let ids = self.oracle.draw(rng.index(4) + 1);
        let base = self.log_end();
        let mut builder = BatchBuilder::new(Codec::None).base_offset(base).leader_epoch(self.epoch);
        if rng.chance(1, 2) {
            builder = builder.producer(self.stamp(rng));
        }
        self.wall = Timestamp::from_millis(self.wall.millis() + i64::try_from(rng.below(20)).unwrap_or(0));
        for id in &ids {
            let mut value = id.0.to_be_bytes().to_vec();
            value.resize(8 + rng.index(120), 0x5a);
            builder.push(Some(self.wall), None, Some(&value), &[]);
        }
        let bytes = builder.build().map_err(|error| broken(Invariant::NoPanic, error.to_string()))?;
        let last = base + (i64::try_from(ids.len()).unwrap_or(1) - 1);
        self.batches.push(LeaderBatch { base, last, epoch: self.epoch, ids, bytes });
        Ok(())
    }

    /// Two producers, of which each continues where the leader's log has it: what was cut was never answered.
    fn stamp(&self, rng: &mut Rng) -> ProducerStamp {
        let id = ProducerId::new(7 + i64::from(rng.chance(1, 2)));
        let before = self.batches.iter().rev().find_map(|batch| {
            let view = ottla_record::BatchView::parse(&batch.bytes).ok()?;
            let stamp = view.header().producer().filter(|stamp| stamp.id == id)?;
            stamp.base_sequence.map(|sequence| sequence.advance(i32::try_from(batch.ids.len()).unwrap_or(0)))
        });
        let base_sequence = Some(before.unwrap_or(Sequence::ZERO));
        ProducerStamp { id, epoch: ProducerEpoch::ZERO, base_sequence }
    }

    /// Another leader takes over: it has everything below the high watermark, and perhaps more.
    fn elect(&mut self, rng: &mut Rng) {
        let settled = self.batches.partition_point(|batch| batch.last < self.high_watermark);
        let keep = settled + rng.index(self.batches.len() - settled + 1);
        self.batches.truncate(keep);
        self.epoch = self.epoch.next();
        self.oracle.term(self.epoch);
    }

    /// End of the newest epoch at or below `epoch` in the leader's log, as OffsetForLeaderEpoch answers.
    fn end_of_epoch(&self, epoch: LeaderEpoch) -> (Option<LeaderEpoch>, Offset) {
        let count = self.batches.partition_point(|batch| batch.epoch <= epoch);
        let end = self.batches.get(count).map_or(self.log_end(), |next| next.base);
        (count.checked_sub(1).and_then(|last| self.batches.get(last)).map(|batch| batch.epoch), end)
    }
}

/// A running follower.
struct Process<'a> {
    disk: &'a SimDisk,
    directory: Arc<LogDirectory>,
    log: Log,
    wanted: Option<FlushJob>,
    ran: Option<Offset>,
    time: u64,
}

impl Process<'_> {
    const fn now(&self, world: &World) -> Now {
        Now { monotonic: Monotonic::ZERO, wall: world.wall }
    }

    /// Cuts what the leader does not have: down to where the newest epoch both know ends in either log (KIP-101, KIP-279).
    fn reconcile(&mut self, world: &mut World, moments: &mut Moments<World>) -> Result<(), Violation> {
        loop {
            let end = self.log.log_end();
            if end < world.log_start || self.log.log_start() > world.log_end() {
                return self.start_over(world, moments);
            }
            let Some(latest) = self.log.leader_epochs().latest() else { return Ok(()) };
            let (theirs, their_end) = world.end_of_epoch(latest.epoch);
            let ours = theirs.and_then(|epoch| self.log.leader_epochs().end_offset_for(epoch, end));
            let cut = their_end.min(ours.map_or(end, |ours| ours.end)).max(self.log.log_start());
            if cut >= end {
                return Ok(());
            }
            self.truncate(cut, world, moments)?;
            if theirs == Some(latest.epoch) {
                return Ok(());
            }
        }
    }

    fn truncate(
        &mut self,
        to: Offset,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        world.oracle.truncating(to);
        let cut = self.log.truncate_to(to, world.wall);
        moments.keep(self.disk, world);
        cut.map_err(|error| broken(Invariant::Progress, format!("truncating to {to}: {error}")))?;
        world.oracle.truncated(to);
        if self.log.log_end() > to {
            return Err(broken(
                Invariant::DenseOffsets,
                format!("cut at {to}, ends at {}", self.log.log_end()),
            ));
        }
        world.oracle.truncated(self.log.log_end());
        // The port says that everything left is durable, the cut included.
        world.oracle.flushed(self.log.flushed_end());
        world.oracle.nothing_returns();
        Ok(())
    }

    fn start_over(&mut self, world: &mut World, moments: &mut Moments<World>) -> Result<(), Violation> {
        let to = world.log_start;
        world.oracle.truncating(Offset::ZERO);
        world.oracle.restarting_at(to.max(self.log.log_start()));
        let emptied = self.log.truncate_fully_and_start_at(to, ProducerStates::default(), world.wall);
        moments.keep(self.disk, world);
        emptied.map_err(|error| broken(Invariant::Progress, format!("starting over at {to}: {error}")))?;
        world.oracle.truncated(Offset::ZERO);
        world.oracle.restarting_at(to);
        world.oracle.nothing_returns();
        Ok(())
    }

    fn fetch(
        &mut self,
        world: &mut World,
        moments: &mut Moments<World>,
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        self.reconcile(world, moments)?;
        let from = self.log.log_end();
        let first = world.batches.partition_point(|batch| batch.last < from);
        let mut fetched: Vec<LeaderBatch> =
            world.batches.iter().skip(first).take(rng.index(3) + 1).cloned().collect();
        // A fetch is never larger than a segment.
        while fetched.iter().map(|batch| batch.bytes.len()).sum::<usize>()
            > self.log.config().segment_bytes as usize
        {
            fetched.pop();
        }
        let Some(next) = fetched.first() else { return Ok(()) };
        if next.base != from {
            let found = format!("the follower ends at {from}, inside the leader's batch at {}", next.base);
            return Err(broken(Invariant::OneValuePerOffset, found));
        }
        let mut bytes = Vec::new();
        for batch in &fetched {
            world.oracle.attempt(batch.base, &batch.ids);
            bytes.extend_from_slice(&batch.bytes);
        }
        let appended = self.log.append_as_follower(&bytes, self.now(world));
        moments.keep(self.disk, world);
        appended.map_err(|error| broken(Invariant::Progress, format!("appending at {from}: {error}")))?;
        for batch in &fetched {
            world.oracle.written(batch.base, &batch.ids);
        }
        Ok(())
    }

    fn run_flush(&mut self, world: &World, moments: &mut Moments<World>) -> Result<(), Violation> {
        let Some(job) = self.wanted.take() else { return Ok(()) };
        let done = job.run(&*self.disk.port());
        moments.keep(self.disk, world);
        done.map_err(|error| broken(Invariant::Progress, format!("flushing: {error}")))?;
        self.ran = Some(job.end);
        Ok(())
    }

    fn report_flush(&mut self, world: &mut World) -> Result<(), Violation> {
        let Some(end) = self.ran.take() else { return Ok(()) };
        self.log.complete_flush(end);
        world.oracle.flushed(self.log.flushed_end());
        // The leader hears of it with the next fetch; then the high watermark may pass.
        world.high_watermark = world.high_watermark.max(self.log.flushed_end().min(world.log_end()));
        world.oracle.promise(world.high_watermark, Promise::Durable);
        Ok(())
    }

    fn act(
        &mut self,
        world: &mut World,
        moments: &mut Moments<World>,
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        self.time += rng.below(10);
        match rng.below(100) {
            0..20 => world.append(rng),
            20..50 => self.fetch(world, moments, rng),
            50..66 => {
                // One job at a time. A truncation may come between any two of its steps.
                if self.wanted.is_none() && self.ran.is_none() {
                    self.wanted = self.log.begin_flush();
                }
                self.run_flush(world, moments)
            }
            66..82 => self.report_flush(world),
            82..90 => {
                world.elect(rng);
                world.append(rng)?;
                self.reconcile(world, moments)
            }
            90..92 => {
                // The leader's retention has gone past what this follower has.
                let from = rng.index(world.batches.len() + 1);
                let Some(kept) = world.batches.get(from).map(|batch| batch.base) else { return Ok(()) };
                if kept > self.log.log_end() {
                    world.batches.drain(..from);
                    world.log_start = kept;
                    world.high_watermark = world.high_watermark.max(kept);
                }
                self.reconcile(world, moments)
            }
            _ => {
                let raised = self.log.checkpoint();
                moments.keep(self.disk, world);
                raised.map_err(|error| broken(Invariant::Progress, format!("checkpoint: {error}")))?;
                // Stored later, and not at all if a crash comes before.
                self.store_checkpoints(world, moments)
            }
        }
    }

    fn store_checkpoints(&self, world: &World, moments: &mut Moments<World>) -> Result<(), Violation> {
        let stored = self.directory.store_checkpoints();
        moments.keep(self.disk, world);
        stored.map_err(|error| broken(Invariant::Progress, format!("checkpoints: {error}")))
    }

    fn check(&self, world: &World) -> Result<(), Violation> {
        let observed = Observed::read(&self.log).map_err(|found| broken(Invariant::Readable, found))?;
        invariants::check_log(&world.oracle, &observed)?;
        invariants::producer_state_is_true(&self.log, &observed)?;
        invariants::epoch_history_is_true(&self.log, &observed)?;
        invariants::every_offset_is_found(&self.log, &observed)?;
        is_a_prefix(world, &observed)
    }
}

/// P3. After reconciling, the follower has the leader's batches and no others.
fn is_a_prefix(world: &World, observed: &Observed) -> Result<(), Violation> {
    for batch in &observed.batches {
        let at = world.batches.partition_point(|leader| leader.last < batch.base);
        let Some(leader) = world.batches.get(at).filter(|leader| leader.base == batch.base) else {
            if batch.last < world.log_start {
                continue;
            }
            return Err(broken(
                Invariant::OneValuePerOffset,
                format!("the leader has no batch at {}", batch.base),
            ));
        };
        if (leader.last, Some(leader.epoch), &leader.ids) != (batch.last, batch.epoch, &batch.ids) {
            let found = format!("the leader has {leader:?}, the follower {batch:?}");
            return Err(broken(Invariant::OneValuePerOffset, found));
        }
    }
    Ok(())
}

impl Follower {
    fn config(&self) -> LogConfig {
        LogConfig {
            segment_bytes: self.segment_bytes,
            segment_ms: i64::MAX,
            segment_jitter_ms: 0,
            segment_index_bytes: 1 << 20,
            index_interval_bytes: 150,
            retention_bytes: None,
            retention_ms: None,
            delete_expired: true,
            compacted: false,
            compaction: None,
            file_delete_delay_ms: 0,
            preallocate: false,
            producer_id_expiration_ms: i64::MAX,
        }
    }
}

/// Actions in a life after a crash.
const LATER_ACTIONS: usize = 8;

impl Story for Follower {
    type World = World;

    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn world(&self) -> World {
        let mut oracle = Oracle::new();
        oracle.term(LeaderEpoch::ZERO);
        World {
            oracle,
            batches: Vec::new(),
            epoch: LeaderEpoch::ZERO,
            log_start: Offset::ZERO,
            high_watermark: Offset::ZERO,
            wall: Timestamp::from_millis(1_700_000_000_000),
        }
    }

    fn live(
        &self,
        disk: &SimDisk,
        world: &mut World,
        life: Life,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let mut rng = Rng::new(life.seed);
        let now = Now { monotonic: Monotonic::ZERO, wall: world.wall };
        let opened = open_log(disk, &self.config(), now);
        moments.keep(disk, world);
        let (directory, log) = opened.map_err(|error| broken(Invariant::Opens, error.to_string()))?;
        let observed = check_opened(disk, &log, &world.oracle)?;
        world.oracle.recovered(observed.records());
        world.oracle.flushed(observed.flushed_end);
        if life.number > 0 && (life.only_check || rng.chance(1, 4)) {
            recover_again(disk, &self.config(), &world.oracle, world.wall)?;
        }
        let mut process = Process { disk, directory, log, wanted: None, ran: None, time: 0 };
        process.reconcile(world, moments)?;
        process.check(world)?;
        if life.only_check {
            return Ok(());
        }
        let actions = if life.number == 0 { self.actions } else { LATER_ACTIONS };
        for _ in 0..actions {
            process.act(world, moments, &mut rng)?;
        }
        process.reconcile(world, moments)?;
        process.check(world)
    }

    fn crashed(&self, world: &mut World, crash: Crash) {
        if crash.cuts_power() {
            world.oracle.power_cut();
        }
    }
}
