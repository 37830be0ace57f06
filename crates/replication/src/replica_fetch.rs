//! What a follower and its leader say to each other: the follower asks from where its copy ends, the leader answers with its
//! marks, and with where the two logs part if they do (KIP-595).
//!
//! The records themselves pass by the machines: the leader's caller reads them from its [`View`](crate::View) after the
//! answer. It must take one view, see that it leads in the term of the question, and read from that: a later view may hold
//! what another leader wrote.

use std::sync::Arc;

use bytes::Bytes;
use ottla_record::{BrokerEpoch, BrokerId, LeaderEpoch, Offset};
use ottla_storage::ProducerStates;

/// A follower asks its leader for what comes next. It says by that what it has.
#[derive(Debug)]
pub struct FollowerFetch<W> {
    /// Gets the answer.
    pub waiter: W,
    /// Who asks.
    pub follower: BrokerId,
    /// The registration that the asker carries: a process that has been replaced counts no more (KIP-903). Whether it is the
    /// registered one is the caller's to check; that it never goes back, the machine's.
    pub broker_epoch: BrokerEpoch,
    /// The term in which the asker believes this replica to lead. A fetch that names none is not a follower's (KIP-320).
    pub leader_epoch: LeaderEpoch,
    /// The end of what it holds safely: with `fsync` flushed, with `os` appended.
    pub offset: Offset,
    /// The term of its last record; `None` if it has none.
    pub last_epoch: Option<LeaderEpoch>,
    /// Where its log starts, durably.
    pub log_start: Offset,
}

/// The leader's answer to a [`FollowerFetch`] that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerPosition {
    /// The follower has records that the leader does not have: it is sent none, and is to cut first.
    pub diverging: Option<EpochEnd>,
    /// The leader's high watermark, the fetch counted in.
    pub high_watermark: Offset,
    /// The leader's log start, which the follower's follows.
    pub log_start: Offset,
    /// The leader's log end, flushed or not: up to there the follower may be sent records.
    pub log_end: Offset,
}

/// Where a term ends in the leader's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest term in the leader's log that is not above the one asked for; `None` if there is none.
    pub epoch: Option<LeaderEpoch>,
    /// The first offset behind it.
    pub end: Offset,
}

/// Why a follower's fetch counts for nothing and is sent nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowerFetchError {
    /// This replica does not lead.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// The follower is in an older term.
    #[error("the follower's term has ended; the term is {current} now")]
    FencedLeaderEpoch {
        /// The term here.
        current: LeaderEpoch,
    },
    /// The follower is in a newer term than this replica has heard of.
    #[error("the follower's term has not been heard of; the term here is {current}")]
    UnknownLeaderEpoch {
        /// The term here.
        current: LeaderEpoch,
    },
    /// The asker is not among the replicas.
    #[error("the asking broker holds no replica of the partition")]
    NotAReplica,
    /// A later process of the same broker has fetched already.
    #[error("the asking broker has been registered again since, with epoch {current}")]
    StaleBrokerEpoch {
        /// The later registration.
        current: BrokerEpoch,
    },
    /// The follower's end lies outside the leader's log.
    #[error("the offset lies outside the log, which goes from {log_start} to {log_end}")]
    OutOfRange {
        /// First offset of the leader's log.
        log_start: Offset,
        /// The leader's log end.
        log_end: Offset,
        /// What is known of producers below the log start.
        producers: Arc<ProducerStates>,
    },
    /// The leader's log directory is offline.
    #[error("the log directory is offline after a failed write or flush")]
    Offline,
}

/// From where a follower fetches next, and what its fetch must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    /// The end of its log, which is also its safe end: the fetch says that it has everything below.
    pub offset: Offset,
    /// The term of its last record; `None` if it has none.
    pub last_epoch: Option<LeaderEpoch>,
    /// Where its log starts, durably.
    pub log_start: Offset,
}

/// What came of a fetch from the leader.
#[derive(Clone, Debug)]
pub struct FetchedFromLeader {
    /// The term of the fetch. A result of another term is ignored.
    pub leader_epoch: LeaderEpoch,
    /// The offset of the fetch. A result for another end than today's is ignored.
    pub from: Offset,
    /// The term of the last record that the fetch named. It tells a late result from one for the same offset, if the
    /// records below have been replaced meanwhile.
    pub last_epoch: Option<LeaderEpoch>,
    /// The answer.
    pub outcome: FetchedOutcome,
}

/// The leader's answer to a follower's fetch.
#[derive(Clone, Debug)]
pub enum FetchedOutcome {
    /// Records, or none if there are none yet.
    Records {
        /// Batches as they stand in the leader's log. A batch that is cut short at the end is left out.
        bytes: Bytes,
        /// The leader's high watermark.
        high_watermark: Offset,
        /// The leader's log start.
        log_start: Offset,
    },
    /// The logs part: cut, and ask again.
    Diverging(EpochEnd),
    /// The leader's log does not reach the offset.
    OutOfRange {
        /// First offset of the leader's log.
        log_start: Offset,
        /// The leader's log end.
        log_end: Offset,
        /// What is known of producers below the log start: a copy that begins there finds no batch from before, and must know
        /// those all the same when they are sent again.
        producers: Arc<ProducerStates>,
    },
}
