//! What can happen to a partition.

use std::time::Duration;

use ottla_record::produce::ValidatedBatches;
use ottla_record::{BrokerId, LeaderEpoch, Monotonic, Offset, PartitionEpoch};
use ottla_storage::compaction::CleanedSegment;
use ottla_storage::{CheckpointJob, LogConfig};

use crate::isr::{IsrRefused, IsrState};
use crate::replica_fetch::{FetchedFromLeader, FollowerFetch};

/// One thing that happens to a partition. `W` is the caller's completion handle: the machine keeps it and hands it back.
#[derive(Debug)]
pub enum Event<W> {
    /// A producer's batches, checked already.
    Produce(Produce<W>),
    /// The flush asked for by [`crate::Effect::Flush`] ended. On success everything below `end` is durable.
    Flushed {
        /// The end offset that the job named.
        end: Offset,
        /// False if any file or directory of the job failed to sync.
        succeeded: bool,
    },
    /// The checkpoint asked for by [`crate::Effect::Checkpoint`] ended.
    Checkpointed {
        /// The job.
        job: CheckpointJob,
        /// False if any file or directory of the job failed to sync.
        succeeded: bool,
    },
    /// Records below an offset are to go.
    DeleteRecords(DeleteRecords<W>),
    /// To a leader: a follower asks for what comes next.
    FollowerFetch(FollowerFetch<W>),
    /// To a leader: the change that [`crate::Effect::AlterIsr`] asked for was decided.
    IsrDecided {
        /// The version that the proposal named; for another one than the one that is out, the event is ignored.
        partition_epoch: PartitionEpoch,
        /// What came of it.
        outcome: Result<IsrState, IsrRefused>,
    },
    /// To a follower: what its fetch brought. It may cut the log, which waits for the disk.
    Fetched(FetchedFromLeader),
    /// The metadata's word on who leads and who is in sync.
    Assign(Assignment),
    /// The topic's configuration changed.
    Configure(PartitionConfig),
    /// This broker renews its session with the controller, or no longer can: then it may have been replaced.
    InSession(bool),
    /// Time passed: deadlines, the segment's age, the recovery point.
    Tick,
    /// Time to look for segments past their retention.
    Retain,
    /// Compaction has written a segment that is to take the place of others.
    SwapCleaned {
        /// Gets the answer.
        waiter: W,
        /// The segment.
        cleaned: CleanedSegment,
    },
    /// The log directory failed elsewhere (a failed fsync of another partition): nothing here can be trusted to be written.
    DirectoryFailed,
}

/// Batches of one producer for this partition.
#[derive(Debug)]
pub struct Produce<W> {
    /// Gets the answer.
    pub waiter: W,
    /// What to append.
    pub batches: ValidatedBatches,
    /// What the answer waits for.
    pub acks: Acks,
    /// When the producer stops waiting. The records stay.
    pub deadline: Monotonic,
}

/// What a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nothing: the broker sends no answer.
    None,
    /// The leader has it: in its page cache (`os`) or on its disk (`fsync`).
    Leader,
    /// Every in-sync replica has it, by the same rule.
    All,
}

/// Deletion of the records below an offset (KIP-107).
#[derive(Debug)]
pub struct DeleteRecords<W> {
    /// Gets the answer.
    pub waiter: W,
    /// First offset to keep; `None` for the high watermark.
    pub before: Option<Offset>,
    /// When the asker stops waiting for the followers. The records stay deleted here.
    pub deadline: Monotonic,
}

/// Who leads this partition and who is in sync, from the cluster image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The leader's term.
    pub leader_epoch: LeaderEpoch,
    /// The version of all this: an assignment that is not newer than what is known is ignored.
    pub partition_epoch: PartitionEpoch,
    /// The leader; `None` while there is none.
    pub leader: Option<BrokerId>,
    /// All replicas.
    pub replicas: Vec<BrokerId>,
    /// Those whose copy an acknowledgement of `acks=all` waits for.
    pub isr: Vec<BrokerId>,
}

/// When a record counts as written (`ottla.ack.durability`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk.
    Fsync,
    /// In the page cache, as Kafka has it.
    Os,
}

/// The topic's configuration as one partition needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionConfig {
    /// When a record counts as written.
    pub durability: Durability,
    /// In-sync replicas without which `acks=all` is refused (`min.insync.replicas`); at most the replication factor counts (KIP-966).
    pub min_insync_replicas: usize,
    /// With `os`: flush after this many records (`flush.messages`).
    pub flush_records: u64,
    /// With `os`: flush what has waited this long (`flush.ms`).
    pub flush_interval: Duration,
    /// A follower that has not had everything for this long is taken out of the in-sync set (`replica.lag.time.max.ms`).
    pub replica_lag_max: Duration,
    /// What the log needs.
    pub log: LogConfig,
}
