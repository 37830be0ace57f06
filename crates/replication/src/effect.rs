//! What a partition asks its caller to do, and the answers it gives.

use ottla_record::{Offset, Timestamp};
use ottla_storage::compaction::SwapError;
use ottla_storage::{AppendError, CheckpointJob, DeletedSegment, FlushJob};

use crate::isr::IsrProposal;
use crate::replica_fetch::{FollowerFetchError, FollowerPosition};
use crate::view::View;

/// Something the caller must do, in the order given.
#[derive(Debug)]
pub enum Effect<W> {
    /// Run the job, then come back with [`crate::Event::Flushed`]. At most one is out at a time.
    Flush(FlushJob),
    /// Run the job, then come back with [`crate::Event::Checkpointed`]. At most one is out at a time.
    Checkpoint(CheckpointJob),
    /// Answer a producer.
    Produced {
        /// Whom.
        waiter: W,
        /// With what.
        outcome: Result<Produced, ProduceError>,
    },
    /// Answer a deletion with the new log start.
    RecordsDeleted {
        /// Whom.
        waiter: W,
        /// With what.
        outcome: Result<Offset, DeleteRecordsError>,
    },
    /// Answer a follower. On success its caller may read records for it, see [`crate::replica_fetch`].
    FollowerFetched {
        /// Whom.
        waiter: W,
        /// With what.
        outcome: Result<FollowerPosition, FollowerFetchError>,
    },
    /// Ask the controller for another in-sync set, then come back with [`crate::Event::IsrDecided`], whatever happens. At most
    /// one is out at a time; a newer [`crate::Event::Assign`] settles it as well.
    AlterIsr(IsrProposal),
    /// What the leader sent could not be appended, but for what came before it: fetch again after a while.
    CopyRefused(AppendError),
    /// Answer compaction: the segment is in the log, or has been given up.
    Swapped {
        /// Whom.
        waiter: W,
        /// With what.
        outcome: Result<(), SwapError>,
    },
    /// Show readers this from now on.
    Publish(View),
    /// Remove these files when they are due; readers may hold them open.
    Remove(Vec<DeletedSegment>),
    /// A write or a flush failed: the log directory is to go offline. Said once.
    Failed,
}

/// Where a producer's records went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Offset of the first record; of the first time they were written, for a duplicate.
    pub base_offset: Offset,
    /// The broker's time, where the topic stamps with it (`message.timestamp.type=LogAppendTime`).
    pub append_time: Option<Timestamp>,
    /// First offset still in the log.
    pub log_start: Offset,
}

/// Why a producer's records were not acknowledged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// This broker does not lead the partition.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// Neither the controller nor any follower is heard of: another broker may lead by now. Whether what was written before stays is
    /// unknown; what comes now is not written.
    #[error("this broker is cut off from the others, and another may lead the partition by now")]
    Deserted,
    /// Too few replicas are in sync; nothing was written.
    #[error("{in_sync} replicas are in sync, acks=all needs {required}")]
    NotEnoughReplicas {
        /// In-sync replicas now.
        in_sync: usize,
        /// `min.insync.replicas`, at most the replication factor.
        required: usize,
    },
    /// The records are written, but the marks did not pass them in time: whether they stay is unknown.
    #[error("the records were not flushed and replicated before the deadline")]
    TimedOut,
    /// More producers wait on this partition than it keeps; nothing was written.
    #[error("too many producers are waiting on this partition")]
    Overloaded,
    /// The log directory is offline.
    #[error("the log directory is offline after a failed write or flush")]
    Offline,
    /// The log refused the records; nothing was written.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl ProduceError {
    /// The same once more, if nothing was written and the reason passes by itself.
    pub(crate) fn passing(&self) -> Option<Self> {
        match *self {
            Self::NotLeader => Some(Self::NotLeader),
            Self::Deserted => Some(Self::Deserted),
            Self::NotEnoughReplicas { in_sync, required } => {
                Some(Self::NotEnoughReplicas { in_sync, required })
            }
            Self::Overloaded => Some(Self::Overloaded),
            Self::Append(AppendError::NoSpace { free, reserve }) => {
                Some(Self::Append(AppendError::NoSpace { free, reserve }))
            }
            Self::TimedOut | Self::Offline | Self::Append(_) => None,
        }
    }
}

/// Why records were not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteRecordsError {
    /// This broker does not lead the partition.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// The offset lies above the high watermark.
    #[error("offset {before} lies above the high watermark {high_watermark}")]
    OutOfRange {
        /// The offset asked for.
        before: Offset,
        /// The largest one allowed.
        high_watermark: Offset,
    },
    /// The topic does not delete (`cleanup.policy` without `delete`).
    #[error("the topic's cleanup.policy does not allow deleting records")]
    Policy,
    /// They are gone here, but not every in-sync replica said so in time.
    #[error("the records were not deleted on every in-sync replica before the deadline")]
    TimedOut,
    /// More deletions and producers wait on this partition than it keeps; nothing was deleted.
    #[error("too many requests are waiting on this partition")]
    Overloaded,
    /// The log directory is offline.
    #[error("the log directory is offline after a failed write or flush")]
    Offline,
}
