//! The scenarios of crash enumeration over one partition: what clients, time and the broker's housekeeping do, drawn from
//! a seed with the weights of a profile.

use std::time::Duration;

use ottla_record::{ProducerId, Timestamp};
use ottla_replication::{Acks, Durability, PartitionConfig};
use ottla_storage::LogConfig;

use crate::broker::{Process, StartError, World};
use crate::client::Producer;
use crate::cluster::Cluster;
use crate::disk::SimDisk;
use crate::explore::{Crash, Life, Moments, Story};
use crate::invariants::{Invariant, Violation, broken};
use crate::opening::recover_again;
use crate::oracle::Oracle;
use crate::rng::Rng;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A producer sends a batch.
    Produce,
    /// An idempotent producer sends again what was not answered, or what was.
    Retry,
    /// The flush that is wanted is done.
    RunFlush,
    /// The flush that was done is reported.
    ReportFlush,
    /// Records below some offset up to the high watermark are deleted.
    DeleteRecords,
    /// Segments past their retention go.
    Retain,
    /// The checkpoint that is wanted is done and reported.
    RunCheckpoint,
    /// Recovery point and high watermark are stored.
    StoreCheckpoints,
    /// Files of deleted segments go.
    RemoveFiles,
    /// A while passes.
    Wait,
}

/// What a scenario is like.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// When a record counts as written.
    pub durability: Durability,
    /// How often each action comes.
    pub weights: &'static [(Action, u64)],
    /// What producers ask for, drawn evenly.
    pub acks: &'static [Acks],
    /// Idempotent producers, and plain ones after them.
    pub producers: (usize, usize),
    /// `segment.bytes`
    pub segment_bytes: u32,
    /// `retention.bytes`
    pub retention_bytes: Option<u64>,
    /// `retention.ms`
    pub retention_ms: Option<i64>,
    /// `segment.ms`
    pub segment_ms: i64,
    /// Actions in the first life.
    pub actions: usize,
}

use Action::{
    DeleteRecords, Produce, RemoveFiles, ReportFlush, Retain, Retry, RunCheckpoint, RunFlush,
    StoreCheckpoints, Wait,
};

const STEADY: &[(Action, u64)] = &[
    (Produce, 30),
    (Retry, 6),
    (RunFlush, 20),
    (ReportFlush, 20),
    (RunCheckpoint, 4),
    (StoreCheckpoints, 4),
    (Wait, 4),
];

/// All scenarios.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "rolls",
        durability: Durability::Fsync,
        weights: STEADY,
        acks: &[Acks::All],
        producers: (2, 1),
        segment_bytes: 1_200,
        retention_bytes: None,
        retention_ms: None,
        segment_ms: i64::MAX,
        actions: 70,
    },
    Profile {
        name: "retention",
        durability: Durability::Fsync,
        weights: &[
            (Produce, 30),
            (Retry, 4),
            (RunFlush, 20),
            (ReportFlush, 20),
            (Retain, 8),
            (RunCheckpoint, 6),
            (StoreCheckpoints, 4),
            (RemoveFiles, 4),
            (Wait, 8),
        ],
        acks: &[Acks::All, Acks::Leader],
        producers: (2, 1),
        segment_bytes: 1_200,
        retention_bytes: Some(2_500),
        retention_ms: Some(400),
        segment_ms: 300,
        actions: 80,
    },
    Profile {
        name: "delete-records",
        durability: Durability::Fsync,
        weights: &[
            (Produce, 26),
            (Retry, 4),
            (RunFlush, 20),
            (ReportFlush, 20),
            (DeleteRecords, 10),
            (RunCheckpoint, 10),
            (StoreCheckpoints, 4),
            (RemoveFiles, 4),
        ],
        acks: &[Acks::All],
        producers: (2, 0),
        segment_bytes: 1_500,
        retention_bytes: None,
        retention_ms: None,
        segment_ms: i64::MAX,
        actions: 80,
    },
    Profile {
        name: "producers",
        durability: Durability::Fsync,
        weights: &[
            (Produce, 24),
            (Retry, 24),
            (RunFlush, 16),
            (ReportFlush, 16),
            (RunCheckpoint, 6),
            (StoreCheckpoints, 6),
            (Wait, 4),
        ],
        acks: &[Acks::All, Acks::Leader],
        producers: (4, 0),
        segment_bytes: 2_500,
        retention_bytes: None,
        retention_ms: None,
        segment_ms: i64::MAX,
        actions: 80,
    },
    Profile {
        name: "acks",
        durability: Durability::Fsync,
        weights: STEADY,
        acks: &[Acks::None, Acks::Leader, Acks::All],
        producers: (2, 2),
        segment_bytes: 2_000,
        retention_bytes: None,
        retention_ms: None,
        segment_ms: i64::MAX,
        actions: 70,
    },
    Profile {
        name: "os",
        durability: Durability::Os,
        weights: &[
            (Produce, 30),
            (Retry, 8),
            (RunFlush, 10),
            (ReportFlush, 10),
            (StoreCheckpoints, 4),
            (Retain, 4),
            (RunCheckpoint, 4),
            (RemoveFiles, 2),
            (Wait, 8),
        ],
        acks: &[Acks::None, Acks::Leader, Acks::All],
        producers: (2, 1),
        segment_bytes: 1_500,
        retention_bytes: Some(6_000),
        retention_ms: None,
        segment_ms: i64::MAX,
        actions: 80,
    },
];

impl Profile {
    /// The partition's configuration.
    pub fn config(&self) -> PartitionConfig {
        PartitionConfig {
            durability: self.durability,
            min_insync_replicas: 1,
            flush_records: 12,
            flush_interval: Duration::from_millis(200),
            replica_lag_max: Duration::MAX,
            log: LogConfig {
                segment_bytes: self.segment_bytes,
                segment_ms: self.segment_ms,
                segment_jitter_ms: 0,
                segment_index_bytes: 1 << 20,
                index_interval_bytes: 150,
                retention_bytes: self.retention_bytes,
                retention_ms: self.retention_ms,
                delete_expired: true,
                compacted: false,
                compaction: None,
                file_delete_delay_ms: 1_000,
                preallocate: false,
                producer_id_expiration_ms: i64::MAX,
            },
        }
    }

    /// Draws an action.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Action {
        let total = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut at = rng.below(total);
        for (action, weight) in self.weights {
            if at < *weight {
                return *action;
            }
            at -= weight;
        }
        Wait
    }

    /// The world before the first start.
    pub fn world(&self) -> World {
        let (idempotent, plain) = self.producers;
        let numbered = (0..idempotent).map(|n| Some(ProducerId::new(1_000 + i64::try_from(n).unwrap_or(0))));
        let producers = numbered.chain((0..plain).map(|_| None)).map(Producer::new).collect();
        World {
            oracle: Oracle::new(),
            producers,
            cluster: Cluster::new(),
            wall: Timestamp::from_millis(1_700_000_000_000),
            gaps_allowed: false,
            acknowledged: 0,
            duplicates: 0,
        }
    }

    /// Does one thing.
    ///
    /// # Errors
    /// A broken promise.
    pub fn act(
        &self,
        action: Action,
        process: &mut Process,
        world: &mut World,
        moments: &mut Moments<World>,
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        process.pass(Duration::from_millis(rng.range(1, 12)), world);
        match action {
            Produce => self.produce(process, world, moments, rng),
            Retry => self.retry(process, world, moments, rng),
            RunFlush => {
                process.run_flush(world, moments);
                Ok(())
            }
            ReportFlush => process.report_flush(world, moments),
            DeleteRecords => {
                let (start, high_watermark, _) = process.marks();
                let span = (high_watermark - start).unsigned_abs();
                let before = start + i64::try_from(rng.below(span + 1)).unwrap_or(0);
                process.delete_records(before, world, moments)
            }
            Retain => process.retain(world, moments),
            RunCheckpoint => process.run_checkpoint(world, moments),
            StoreCheckpoints => process.store_checkpoints(world, moments),
            RemoveFiles => {
                process.remove_files(world, moments);
                Ok(())
            }
            Wait => {
                process.pass(Duration::from_millis(rng.range(20, 250)), world);
                process.tick(world, moments)
            }
        }
    }

    /// A producer asks for the same all its life, as clients do.
    fn acks_of(&self, producer: usize) -> Acks {
        self.acks.get(producer % self.acks.len().max(1)).copied().unwrap_or(Acks::All)
    }

    fn produce(
        &self,
        process: &mut Process,
        world: &mut World,
        moments: &mut Moments<World>,
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        let producer = rng.index(world.producers.len());
        let acks = self.acks_of(producer);
        let Some(client) = world.producers.get_mut(producer) else { return Ok(()) };
        // A client has at most five batches in flight, or the broker would not remember them all.
        if client.stalled || (client.is_idempotent() && client.unanswered.len() >= MAX_IN_FLIGHT) {
            return send_again(producer, acks, process, world, moments);
        }
        let ids = world.oracle.draw(rng.index(4) + 1);
        let sent = client.batch(ids, world.wall, rng)?;
        process.produce(producer, &sent, acks, world, moments)
    }

    /// An idempotent producer sends again what was not answered; or the last that was, whose answer may have got lost.
    fn retry(
        &self,
        process: &mut Process,
        world: &mut World,
        moments: &mut Moments<World>,
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        let producer = rng.index(world.producers.len());
        let acks = self.acks_of(producer);
        let answered = match world.producers.get(producer) {
            Some(client) if client.is_idempotent() && client.unanswered.is_empty() => client.answered.clone(),
            Some(client) if client.is_idempotent() => {
                return send_again(producer, acks, process, world, moments);
            }
            _ => None,
        };
        match answered {
            Some(sent) => process.produce(producer, &sent, acks, world, moments),
            None => Ok(()),
        }
    }

    /// Faults have stopped: everything that is wanted is done, and every client gets its answer.
    ///
    /// # Errors
    /// [`Invariant::Progress`] if one does not.
    pub fn settle(
        &self,
        process: &mut Process,
        world: &mut World,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        for producer in 0..world.producers.len() {
            let Some(client) = world.producers.get_mut(producer) else { continue };
            client.reconnect();
            send_again(producer, self.acks_of(producer), process, world, moments)?;
        }
        for _ in 0..SETTLE_ROUNDS {
            process.pass(Duration::from_millis(250), world);
            process.tick(world, moments)?;
            process.run_flush(world, moments);
            process.report_flush(world, moments)?;
            process.run_checkpoint(world, moments)?;
        }
        let left: usize = world.producers.iter().map(|client| client.unanswered.len()).sum();
        if process.unanswered() > 0 || left > 0 {
            let found = format!("{} requests and {left} batches were not answered", process.unanswered());
            return Err(broken(Invariant::Progress, found));
        }
        let (_, high_watermark, end) = process.marks();
        if high_watermark != end {
            let found = format!("the high watermark stays at {high_watermark}, the log ends at {end}");
            return Err(broken(Invariant::Progress, found));
        }
        Ok(())
    }
}

/// Sends all that was not answered, in order.
fn send_again(
    producer: usize,
    acks: Acks,
    process: &mut Process,
    world: &mut World,
    moments: &mut Moments<World>,
) -> Result<(), Violation> {
    let Some(client) = world.producers.get_mut(producer) else { return Ok(()) };
    client.stalled = false;
    for sent in client.unanswered.clone() {
        process.produce(producer, &sent, acks, world, moments)?;
        // Behind a batch that was refused, the next would leave a gap.
        if world.producers.get(producer).is_some_and(|client| client.stalled || client.unanswered.is_empty())
        {
            break;
        }
    }
    Ok(())
}

/// Batches a client has in flight.
const MAX_IN_FLIGHT: usize = 5;
/// Flushes in which everything must come to rest.
const SETTLE_ROUNDS: usize = 4;
/// Actions in a life after a crash.
const LATER_ACTIONS: usize = 6;

impl Story for Profile {
    type World = World;

    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn world(&self) -> World {
        self.world()
    }

    fn live(
        &self,
        disk: &SimDisk,
        world: &mut World,
        life: Life,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let config = self.config();
        let mut rng = Rng::new(life.seed);
        let mut process = match Process::start(disk, &config, world, moments) {
            Ok(process) => process,
            Err(StartError::Violation(violation)) => return Err(violation),
            Err(StartError::Open(error)) => return Err(broken(Invariant::Opens, error.to_string())),
        };
        if life.number > 0 && (life.only_check || rng.chance(1, 4)) {
            recover_again(disk, &config.log, &world.oracle, world.wall)?;
        }
        if life.only_check {
            return Ok(());
        }
        let actions = if life.number == 0 { self.actions } else { LATER_ACTIONS };
        for _ in 0..actions {
            let action = self.draw(&mut rng);
            self.act(action, &mut process, world, moments, &mut rng)?;
        }
        if rng.chance(1, 2) {
            self.settle(&mut process, world, moments)?;
        }
        if process.failed {
            return Err(broken(Invariant::Progress, "the partition went offline, and no disk had failed"));
        }
        process.check(&world.oracle)?;
        if rng.chance(1, 4) {
            process.stop(world, moments)?;
        }
        Ok(())
    }

    fn crashed(&self, world: &mut World, crash: Crash) {
        if crash.cuts_power() {
            world.oracle.power_cut();
            world.gaps_allowed |= self.durability == Durability::Os || self.acks.contains(&Acks::None);
        }
    }
}
