//! What a node needs from outside. The binary joins these to their implementations.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_coordination::metadata::voters::{QuorumDescription, VoterChange, VoterRefusal};
use ottla_coordination::metadata::{Command, Image, Response};
use ottla_record::{BrokerEpoch, BrokerId, LeaderEpoch, Now, Offset, PartitionIndex, TopicId};
use ottla_storage::ProducerStates;
use tokio::sync::watch;

/// A future that may be kept in a queue.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Both clocks of this process.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Now;
}

/// The cluster's metadata: commands go in, images come out.
pub trait MetadataPlane: Send + Sync + 'static {
    /// Commits a command and returns what its application answered. The image of [`MetadataPlane::images`] contains it by then.
    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Response, ProposeError>>;

    /// The image, now and whenever it changes.
    fn images(&self) -> watch::Receiver<Arc<Image>>;

    /// The age of this broker's session with the controller: since it last sent a sign of life that was acknowledged; `None` before
    /// the first. Metadata without a controller elsewhere are always in session.
    fn session_age(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    /// Where the quorum behind it stands; `None` if there is no quorum behind it.
    fn quorum(&self) -> Option<QuorumStatus> {
        None
    }

    /// The quorum as its leader sees it, wherever that is. A new leader is waited for until `within` is over.
    fn describe_quorum(&self, _within: Duration) -> BoxFuture<'_, Result<QuorumDescription, VoterError>> {
        Box::pin(async { Err(VoterError::Unavailable("there is no metadata quorum here".to_owned())) })
    }

    /// Gives a vote or takes it, wherever the leader is. What may be possible in a moment is tried until `within` is over.
    fn change_voter(&self, _change: VoterChange, _within: Duration) -> BoxFuture<'_, Result<(), VoterError>> {
        Box::pin(async { Err(VoterError::Unavailable("there is no metadata quorum here".to_owned())) })
    }
}

/// Where the metadata quorum stands, as this broker takes part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumStatus {
    /// Who leads it; `None` during an election.
    pub leader: Option<BrokerId>,
    /// Whether that is this broker.
    pub is_leader: bool,
    /// The term.
    pub term: u64,
    /// How many vote.
    pub voters: usize,
    /// Index of the last entry here.
    pub last_index: u64,
    /// Index of the last entry applied here.
    pub applied_index: u64,
    /// Index of the last entry that the newest snapshot holds; 0 without one.
    pub snapshot_index: u64,
    /// Snapshots written by this process.
    pub snapshots_written: u64,
    /// It has stopped because its disk failed.
    pub failed: bool,
}

/// Why a command was not committed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// There is no controller now; trying again may help.
    #[error("no controller is available: {0}")]
    Unavailable(String),
    /// The controller was lost while it had the command: it may have been applied or not.
    #[error("whether the controller has done it is not known: {0}")]
    Unknown(String),
    /// This process is stopping.
    #[error("the broker is shutting down")]
    Stopping,
}

/// Why the quorum was not described, or a vote neither given nor taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoterError {
    /// No leader answers. Nothing was done.
    #[error("{0}")]
    Unavailable(String),
    /// Nothing was done.
    #[error(transparent)]
    Refused(#[from] VoterRefusal),
    /// It may have been done or not.
    #[error("{0}")]
    Unknown(String),
    /// It is another cluster's. Nothing was done.
    #[error("this is cluster {here}, not {asked}")]
    OtherCluster {
        /// The cluster's id.
        here: String,
        /// The one asked for.
        asked: String,
    },
}

/// How a follower reaches the brokers that lead.
pub trait PeerTransport: Send + Sync + 'static {
    /// Asks a leader for what it has written since. The answer names the partitions asked for, in any order; one that is
    /// left out has nothing new.
    ///
    /// A future that is dropped gives the request up: whatever comes of it is not seen, and the next one does not wait for it.
    fn fetch<'a>(
        &'a self,
        leader: &'a PeerAddress,
        request: ReplicaFetch,
    ) -> BoxFuture<'a, Result<Vec<ReplicaFetched>, PeerError>>;

    /// True if a peer has closed its connection, also if the fetch that waits on it has not been told yet. Waits for nothing.
    fn has_hung_up(&self, _peer: BrokerId) -> bool {
        false
    }
}

/// Where a broker is reached by its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Who.
    pub broker: BrokerId,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Which of a follower's two fetches from one leader this is. Each goes its own way, so that neither waits for the other's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Of copies that producers wait for: they are in sync, or too few are without them.
    InSync,
    /// Of copies that have to catch up: there may be gigabytes of them, and they give way to everything else.
    CatchingUp,
}

/// A follower's fetch from one leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaFetch {
    /// Which of the two.
    pub lane: Lane,
    /// The follower.
    pub replica: BrokerId,
    /// Its registration: an older process's fetch must not count (KIP-903).
    pub replica_epoch: BrokerEpoch,
    /// How long the leader may wait for records.
    pub max_wait: Duration,
    /// How many bytes it waits for.
    pub min_bytes: usize,
    /// Bytes in all; the first batch comes whole.
    pub max_bytes: usize,
    /// From where on.
    pub partitions: Vec<ReplicaFetchPartition>,
}

/// From where on a follower wants one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaFetchPartition {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The term in which it follows.
    pub leader_epoch: LeaderEpoch,
    /// What it has, safely, ends here.
    pub offset: Offset,
    /// The epoch of its last record.
    pub last_epoch: Option<LeaderEpoch>,
    /// Its first offset.
    pub log_start: Offset,
    /// The high watermark it knows; `None` if it can wait for a newer one until records come.
    pub high_watermark: Option<Offset>,
    /// Bytes of this partition at most; the first batch comes whole.
    pub max_bytes: usize,
}

/// What a leader answered for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaFetched {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// What it has, or why nothing.
    pub outcome: Result<LeaderAnswer, ReplicaFetchError>,
}

/// What a leader has for a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderAnswer {
    /// Whole batches, or none.
    Records {
        /// The batches as they lie in the leader's log.
        bytes: Bytes,
        /// The leader's high watermark.
        high_watermark: Offset,
        /// The leader's first offset.
        log_start: Offset,
    },
    /// The logs part: this is where the largest epoch that both may know ends with the leader (KIP-595).
    Diverging {
        /// That epoch; `None` if the leader has none that is as old.
        epoch: Option<LeaderEpoch>,
        /// Where it ends there.
        end: Offset,
    },
    /// The offset is outside the leader's log.
    OutOfRange {
        /// The leader's first offset.
        log_start: Offset,
        /// Where its log ends.
        log_end: Offset,
        /// What is known of producers below its first offset.
        producers: Arc<ProducerStates>,
    },
}

/// Why a leader gave a follower nothing of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaFetchError {
    /// It does not lead, or does not take the asker for a replica.
    #[error("the broker asked does not lead the partition, or does not count this one among its replicas")]
    NotLeader,
    /// It leads in a newer term.
    #[error("the leader is in a newer term")]
    FencedLeaderEpoch,
    /// It has not heard of that term yet.
    #[error("the leader has not heard of the term yet")]
    UnknownLeaderEpoch,
    /// It has not heard of the partition yet, or not any more.
    #[error("the leader does not know the partition")]
    UnknownPartition,
    /// It knows another registration of the asker.
    #[error("the leader knows another registration of this broker")]
    StaleBrokerEpoch,
    /// It cannot read its log.
    #[error("the leader cannot read its log")]
    Storage,
    /// Its log begins or ends elsewhere than when the fetch came.
    #[error("the leader's log begins or ends elsewhere by now")]
    OffsetMoved,
    /// It answered with another of Kafka's error codes.
    #[error("the leader answered with error {0}")]
    Other(i16),
}

/// Why a peer did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// No connection, or it broke.
    #[error("{0}")]
    Broken(#[from] std::io::Error),
    /// It took too long (`replica.socket.timeout.ms`).
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// It answered with something else.
    #[error("the answer cannot be understood: {0}")]
    Malformed(String),
    /// It refuses the whole request.
    #[error("the request was refused with error {0}")]
    Refused(i16),
}
